//! The summary of one run that a person would quote.

use std::fmt::Write as _;
use std::path::Path;

use crate::evaluate::{ClassMetrics, Evaluation, format_p};
use crate::events::{Epoch, Part};
use crate::store::{RunDetail, RunSummary};

/// The summary of a run, as plain text. `folder` is where its files are, `store` where its row is.
pub fn summary(run: &RunDetail, folder: &Path, store: &Path) -> String {
    let mut text = headline(run);
    if let (Some(evaluation), Some(classes)) = (&run.evaluation, &run.classes) {
        text.push('\n');
        text.push_str(&verdict(&run.summary, evaluation, classes));
        text.push('\n');
        text.push_str(&confusion(evaluation, classes));
    }
    if let (Some(leaked @ 1..), Some(evaluation)) = (run.summary.leaked, &run.evaluation) {
        let all = evaluation.confusion.total();
        let _ = writeln!(
            text,
            "\nwarning: {leaked} of the {all} test images look like a training image, so the figures may be too good.\n\
             `emo-runner data audit` shows them; split.keep_duplicates_together = true keeps them on one side."
        );
    }
    text.push('\n');
    let _ = writeln!(text, "Files  {}", folder.display());
    let _ = writeln!(text, "Store  {}", store.display());
    text
}

fn headline(run: &RunDetail) -> String {
    let summary = &run.summary;
    let mut text = format!("{}, run {}: {}", summary.name, summary.id, summary.status);
    if let Some(seconds) = summary.seconds {
        let _ = write!(text, " after {} epochs in {}", summary.epochs, duration(seconds));
    }
    text.push('\n');
    if let Some(message) = &summary.message {
        let _ = writeln!(text, "{message}");
    }
    text
}

fn verdict(run: &RunSummary, evaluation: &Evaluation, classes: &[String; 2]) -> String {
    let interval = evaluation.accuracy_interval;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "Accuracy  {}  (95 % interval {} to {}, {} test images)",
        percent(evaluation.accuracy),
        percent(interval.low),
        percent(interval.high),
        evaluation.confusion.total()
    );
    let _ = writeln!(
        text,
        "Naive     {}  (always answering \"{}\"; the test set is {} {} and {} {})",
        percent(evaluation.naive_accuracy),
        classes[evaluation.naive_class.min(1)],
        evaluation.classes[0].support,
        classes[0],
        evaluation.classes[1].support,
        classes[1]
    );
    if let (Some(ceiling), Some(low), Some(high)) = (run.ceiling, run.ceiling_low, run.ceiling_high) {
        let _ = writeln!(
            text,
            "Ceiling   {}  (95 % interval {} to {}, from labels of pictures that occur more than once)",
            percent(ceiling),
            percent(low),
            percent(high)
        );
    }
    let _ = writeln!(text, "Verdict   {}", evaluation.sentence(classes));
    let auc = evaluation.auc.map_or_else(|| "undefined: one class is missing".to_owned(), |auc| format!("{auc:.3}"));
    let interval = evaluation.auc_interval.map(|auc| format!("  (95 % interval {:.3} to {:.3})", auc.low, auc.high));
    let _ = writeln!(text, "AUC       {auc}{}", interval.unwrap_or_default());
    if let Some(error) = evaluation.calibration_error {
        let _ = writeln!(text, "Brier     {:.3}  (calibration error {error:.3})", evaluation.brier);
    }
    if let Some(tuned) = &evaluation.tuned {
        let _ = writeln!(
            text,
            "Tuned     {}  (at threshold {:.3}, the best on the validation set; against naive {})",
            percent(tuned.accuracy),
            tuned.threshold,
            format_p(tuned.p_naive)
        );
    }
    text
}

fn confusion(evaluation: &Evaluation, classes: &[String; 2]) -> String {
    let c = &evaluation.confusion;
    let rows = [[c.true_negative, c.false_positive], [c.false_negative, c.true_positive]];
    let width = classes.iter().map(|class| class.chars().count()).max().unwrap_or(0).max("precision".len());
    let [zero, one] = classes;
    let columns = [format!("called {zero}"), format!("called {one}")];
    let [first, second] = columns.each_ref().map(|column| column.chars().count());
    let mut text = String::new();
    let _ = writeln!(text, "{:width$}  {}  {}  {:>6}  {:>6}", "", columns[0], columns[1], "recall", "F1");
    for (index, class) in classes.iter().enumerate() {
        let metrics = &evaluation.classes[index];
        let [a, b] = rows[index];
        let _ = writeln!(
            text,
            "{class:width$}  {a:>first$}  {b:>second$}  {:>6}  {:>6}",
            share(metrics.recall),
            share(metrics.f1)
        );
    }
    let precision = |metrics: &ClassMetrics| share(metrics.precision);
    let [p0, p1] = evaluation.classes.each_ref().map(precision);
    let _ = writeln!(text, "{:width$}  {p0:>first$}  {p1:>second$}", "precision");
    text
}

/// The history as lines, one an epoch.
pub fn history(epochs: &[Epoch]) -> String {
    let total = epochs.len();
    epochs.iter().map(|epoch| epoch_line(epoch, total) + "\n").collect()
}

/// One epoch in a line.
pub fn epoch_line(epoch: &Epoch, epochs: usize) -> String {
    let part = match epoch.held_out_part {
        Part::Validation => "validation",
        _ => "test",
    };
    let digits = epochs.to_string().len();
    format!(
        "epoch {:>digits$}/{epochs}  train loss {:.4} accuracy {:.3}  {part} loss {:.4} accuracy {:.3}  lr {:.2e}  {:.1} s  \
         {:.0} images/s",
        epoch.epoch,
        epoch.train.loss,
        epoch.train.accuracy,
        epoch.held_out.loss,
        epoch.held_out.accuracy,
        epoch.learning_rate,
        epoch.seconds,
        epoch.images_per_second
    )
}

/// `55.4 %`.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn share(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
}

/// `12.3 s`, `4 min 05 s`, `2 h 03 min`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}
