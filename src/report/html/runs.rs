//! A run, a comparison, and a list of runs as pages.

use maud::{Markup, PreEscaped, html};

use super::style::page;
use crate::evaluate::{Evaluation, format_p};
use crate::report::compare::{Pair, Scale, sentence};
use crate::report::plot::Plot;
use crate::report::summary::{duration, percent};
use crate::schedule::queue::title;
use crate::store::{RunDetail, RunSummary};

/// Everything about one run.
pub fn run(detail: &RunDetail, plots: &[Plot]) -> String {
    let name = title(&detail.summary.name, &detail.summary.point);
    page(&name, &run_body(detail, &pictures(plots))).into_string()
}

/// The same without its frame, with its plots as somebody else shows them.
pub fn run_body(detail: &RunDetail, plots: &Markup) -> Markup {
    let summary = &detail.summary;
    let name = title(&summary.name, &summary.point);
    html! {
        h1 { (name) }
        p.faint { "run " (summary.id) ", " (summary.status) ", " (summary.epochs) " epochs"
            @if let Some(seconds) = summary.seconds { " in " (duration(seconds)) } ", begun " (summary.started_at.get(..16).unwrap_or_default().replace('T', " ")) " UTC" }
        @if let Some(message) = &summary.message { p { (message) } }
        @if let (Some(evaluation), Some(classes)) = (&detail.evaluation, &detail.classes) {
            (verdict(summary, evaluation, classes))
        }
        (plots)
        (history(detail))
        h2 { "Experiment" }
        pre { (detail.experiment) }
        (environment(detail))
        (repeat(detail))
    }
}

fn verdict(summary: &RunSummary, evaluation: &Evaluation, classes: &[String; 2]) -> Markup {
    let interval = evaluation.accuracy_interval;
    html! {
        p.verdict { strong { (percent(evaluation.accuracy)) " right" } ": " (evaluation.sentence(classes)) "." }
        @if let Some(leaked @ 1..) = summary.leaked {
            p.warning { (leaked) " of the " (evaluation.confusion.total())
                " test images look like a training image, so the figures may be too good. "
                code { "split.keep_duplicates_together = true" } " keeps them on one side." }
        }
        div.scroll tabindex="0" role="region" aria-label="Figures" { table {
            tr { th scope="row" { "Accuracy" } td.number { (percent(evaluation.accuracy)) }
                td { "95 % interval " (percent(interval.low)) " to " (percent(interval.high)) ", " (evaluation.confusion.total()) " test images" } }
            tr { th scope="row" { "Naive" } td.number { (percent(evaluation.naive_accuracy)) }
                td { "always answering “" (classes[evaluation.naive_class.min(1)]) "”; the test set is "
                    (evaluation.classes[0].support) " " (classes[0]) " and " (evaluation.classes[1].support) " " (classes[1]) } }
            @if let (Some(ceiling), Some(low), Some(high)) = (summary.ceiling, summary.ceiling_low, summary.ceiling_high) {
                tr { th scope="row" { "Ceiling" } td.number { (percent(ceiling)) }
                    td { "95 % interval " (percent(low)) " to " (percent(high)) ", from labels of pictures that occur more than once" } }
            }
            @if let Some(auc) = evaluation.auc {
                tr { th scope="row" { "AUC" } td.number { (format!("{auc:.3}")) }
                    td { @if let Some(interval) = evaluation.auc_interval {
                        "95 % interval " (format!("{:.3} to {:.3}", interval.low, interval.high)) } } }
            }
            @if let Some(average) = evaluation.average_precision {
                tr { th scope="row" { "Average precision" } td.number { (format!("{average:.3}")) } td { "of " (classes[1]) } }
            }
            tr { th scope="row" { "Brier" } td.number { (format!("{:.3}", evaluation.brier)) }
                td { @if let Some(error) = evaluation.calibration_error { "calibration error " (format!("{error:.3}")) } } }
            @if let Some(tuned) = &evaluation.tuned {
                tr { th scope="row" { "Tuned" } td.number { (percent(tuned.accuracy)) }
                    td { "at threshold " (format!("{:.3}", tuned.threshold)) ", the best on the validation set; against naive "
                        (format_p(tuned.p_naive)) } }
            }
        } }
    }
}

fn pictures(plots: &[Plot]) -> Markup {
    html! {
        @if !plots.is_empty() {
            h2 { "Plots" }
            div.plots { @for plot in plots {
                figure.wide[matches!(plot.name, "mistakes" | "parallel" | "effects")] {
                    (PreEscaped(&plot.svg)) figcaption { (plot.caption) }
                }
            } }
        }
    }
}

fn history(detail: &RunDetail) -> Markup {
    html! {
        @if let Some(first) = detail.epochs.first() {
            h2 { "History" }
            div.scroll tabindex="0" role="region" aria-label="Epochs" { table {
                thead { tr { th.number scope="col" { "epoch" } th.number scope="col" { "training loss" } th.number scope="col" { "training accuracy" }
                    th.number scope="col" { (first.held_out_part.name()) " loss" } th.number scope="col" { (first.held_out_part.name()) " accuracy" }
                    th.number scope="col" { "learning rate" } th.number scope="col" { "seconds" } } }
                tbody { @for epoch in &detail.epochs { tr {
                    td.number { (epoch.epoch) }
                    td.number { (format!("{:.4}", epoch.train.loss)) } td.number { (percent(epoch.train.accuracy)) }
                    td.number { (format!("{:.4}", epoch.held_out.loss)) } td.number { (percent(epoch.held_out.accuracy)) }
                    td.number { (format!("{:.2e}", epoch.learning_rate)) } td.number { (format!("{:.1}", epoch.seconds)) }
                } } }
            } }
        }
    }
}

fn environment(detail: &RunDetail) -> Markup {
    let summary = &detail.summary;
    html! {
        h2 { "Environment" }
        dl {
            @for (name, value) in &detail.environment { dt { (name) } dd { (value) } }
            dt { "seed" } dd { (summary.seed) }
            @if let Some(data) = &summary.fingerprint { dt { "data" } dd { (data) } }
            @if let Some(split) = &summary.split_hash { dt { "split" } dd { (split) } }
        }
    }
}

fn repeat(detail: &RunDetail) -> Markup {
    html! {
        h2 { "To repeat it" }
        p { "Save the experiment above as " code { "experiment.toml" } " and run "
            code { "emo-runner run experiment.toml" } ": same data, same machine and build, same bits. Where the store is, "
            code { "emo-runner replay " (detail.summary.id) } " does it and says whether they are." }
    }
}

/// Two runs or more on the same images.
pub fn comparison(pairs: &[Pair], scale: Option<Scale>) -> String {
    page("Comparison", &comparison_body(pairs, scale)).into_string()
}

/// The same without its frame.
pub fn comparison_body(pairs: &[Pair], scale: Option<Scale>) -> Markup {
    html! {
        h1 { "Comparison" }
        @for pair in pairs { p.verdict { (sentence(pair, pairs.len())) } }
        @if let Some(scale) = scale { p { (scale.text()) } }
        div.scroll tabindex="0" role="region" aria-label="Pairs of runs" { table {
            thead { tr { th scope="col" { "first" } th scope="col" { "second" } th.number scope="col" { "accuracy" } th.number scope="col" { "" } th.number scope="col" { "difference" }
                th.number scope="col" { "95 % interval" } th.number scope="col" { "p" } th.number scope="col" { "AUC" } th.number scope="col" { "" } th.number scope="col" { "p (AUC)" } } }
            tbody { @for pair in pairs { @let c = &pair.comparison; tr {
                td { (pair.first) } td { (pair.second) }
                td.number { (percent(c.accuracy[0])) } td.number { (percent(c.accuracy[1])) }
                td.number { (format!("{:+.1}", c.difference * 100.0)) }
                td.number { (format!("{:+.1} to {:+.1}", c.interval.low * 100.0, c.interval.high * 100.0)) }
                td.number { (p_value(Some(pair.p_adjusted))) }
                td.number { (c.auc.map_or("-".to_owned(), |auc| format!("{:.3}", auc[0]))) }
                td.number { (c.auc.map_or("-".to_owned(), |auc| format!("{:.3}", auc[1]))) }
                td.number { (p_value(pair.auc_p_adjusted)) }
            } } }
        } }
        p.faint { "p: exact McNemar and DeLong, adjusted by Holm over the pairs." }
        @for pair in pairs {
            h2 { "Where " (pair.first) " and " (pair.second) " disagree most" }
            div.scroll tabindex="0" role="region" aria-label="Images where they differ" { table {
                thead { tr { th scope="col" { "image" } th scope="col" { "class" } th.number scope="col" { (pair.first) } th.number scope="col" { (pair.second) } } }
                tbody { @for (name, label, first, second) in &pair.disagreements { tr {
                    td { (name) } td { (label) } td.number { (format!("{first:.3}")) } td.number { (format!("{second:.3}")) } } } }
            } }
        }
    }
}

/// A list of runs, or a whole sweep, with its views.
pub fn list(runs: &[RunSummary], points: &crate::report::comparison::Comparison, plots: &[Plot]) -> String {
    let completed = runs.iter().filter(|run| run.accuracy.is_some()).count();
    let better =
        runs.iter().filter(|run| run.p_naive_adjusted.is_some_and(|p| p < 0.05) && run.accuracy > run.naive_accuracy);
    let body = html! {
        h1 { (runs.len()) " runs" }
        p.verdict { (better.count()) " of " (completed) " completed runs are better than always answering the more frequent class "
            "(exact McNemar test, p < 0.05 after Holm's adjustment over this list)." }
        @if runs.iter().any(|run| run.leaked > Some(0)) {
            p.warning { "In some runs test images look like training images, so their figures may be too good." }
        }
        (points_table(points))
        (pictures(plots))
        h2 { "Runs" }
        div.scroll tabindex="0" role="region" aria-label="Runs" { table {
            thead { tr { th scope="col" { "run" } th scope="col" { "name" } th scope="col" { "status" } th.number scope="col" { "accuracy" } th.number scope="col" { "naive" } th.number scope="col" { "ceiling" }
                th.number scope="col" { "p" } th.number scope="col" { "AUC" } th.number scope="col" { "seconds" } } }
            tbody { @for run in runs { tr {
                td { (run.id) } td { (title(&run.name, &run.point)) } td { (run.status) }
                td.number { (share(run.accuracy)) } td.number { (share(run.naive_accuracy)) } td.number { (share(run.ceiling)) }
                td.number { (p_value(run.p_naive_adjusted)) }
                td.number { (run.auc.map_or("-".to_owned(), |auc| format!("{auc:.3}"))) }
                td.number { (run.seconds.map_or("-".to_owned(), |seconds| format!("{seconds:.1}"))) }
            } } }
        } }
    };
    page("Runs", &body).into_string()
}

/// What a sweep found, point by point.
pub fn points_table(points: &crate::report::comparison::Comparison) -> Markup {
    let judged = points.points.iter().any(|point| point.objective.is_some());
    html! {
        h2 { "Points" }
        p.faint { @if points.by_validation { "Best first by " (points.objective.to_string()) ", not by the test set." }
            @else { "Best first by test accuracy, because not every run has a validation set: the best looks better than it is." } }
        div.scroll tabindex="0" role="region" aria-label="Points" { table {
            thead { tr { th scope="col" { "experiment" } th.number scope="col" { "runs" }
                @if judged { th.number scope="col" { (points.objective.to_string()) } } th.number scope="col" { "accuracy" }
                th.number scope="col" { "95 % interval" } th.number scope="col" { "naive" } th.number scope="col" { "ceiling" } th.number scope="col" { "AUC" } } }
            tbody { @for point in &points.points { tr {
                td { (title(&point.name, &point.point)) } td.number { (point.runs) }
                @if judged { td.number { (point.objective.map_or("-".to_owned(), |value| format!("{value:.4}"))) } }
                td.number { (share(point.accuracy)) }
                td.number { (point.accuracy_low.zip(point.accuracy_high).map_or("-".to_owned(), |(low, high)| format!("{} to {}", percent(low), percent(high)))) }
                td.number { (share(point.naive_accuracy)) } td.number { (share(point.ceiling)) }
                td.number { (point.auc.map_or("-".to_owned(), |auc| format!("{auc:.3}"))) }
            } } }
        } }
    }
}

/// An accuracy, if there is one.
pub fn share(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), percent)
}

/// A p-value as a table has it.
pub fn p_value(p: Option<f64>) -> String {
    p.map_or_else(|| "-".to_owned(), |p| format_p(p).trim_start_matches("p = ").trim_start_matches("p ").to_owned())
}
