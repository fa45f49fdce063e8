//! `report`: all runs, or the best.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::exit::Failure;
use super::plot::of_run;
use super::{Global, open, print, write_page};
use crate::config::Objective;
use crate::evaluate::{best_of_chance, expected_maximum, format_p, mean_of_repeats, selection_adjusted_p};
use crate::report::comparison::Comparison;
use crate::report::html;
use crate::report::plot::of_runs;
use crate::report::summary::{percent, summary};
use crate::report::table::{Format, adjust, runs};
use crate::store::{RunSummary, Store};

/// Arguments of `report`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show only the best run: by validation accuracy where every completed run has it, else by test accuracy.
    #[arg(long)]
    best: bool,
    /// Take runs that differ in seed or fold only together, with intervals of their means.
    #[arg(long, conflicts_with = "best")]
    points: bool,
    /// What points are ranked by where all have a validation set. Default: val_auc.
    #[arg(long, requires = "points", value_parser = parse_objective)]
    objective: Option<Objective>,
    /// Only runs for which an SQL expression holds, for example "name = 'baseline' AND auc > 0.6".
    #[arg(long = "where", value_name = "EXPR")]
    filter: Option<String>,
    /// Sort by a column, for example "auc DESC". Default: oldest first.
    #[arg(long, value_name = "KEY")]
    sort: Option<String>,
    /// Write all runs (with --best, that run) with plots as one HTML file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// How to write the table.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn parse_objective(text: &str) -> Result<Objective, String> {
    let all = [Objective::ValAuc, Objective::ValAccuracy, Objective::ValLoss];
    all.into_iter()
        .find(|objective| objective.to_string() == text)
        .ok_or_else(|| "expected val_auc, val_accuracy or val_loss".to_owned())
}

/// Prints the report.
pub fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let (results, store) = open::store(global)?;
    let format = if global.json { Format::Json } else { args.format };
    if !args.best {
        let mut found = store.summaries(args.filter.as_deref(), args.sort.as_deref())?;
        if args.points && args.html.is_none() {
            let comparison = Comparison::of_runs(&found, args.objective.unwrap_or_default());
            return print(&comparison.render(format).map_err(Failure::run)?);
        }
        adjust(&mut found);
        if let Some(file) = &args.html {
            let points = Comparison::of_runs(&found, args.objective.unwrap_or_default());
            let plots = of_runs(&found).map_err(Failure::run)?;
            return write_page(file, &html::list(&found, &points, &plots));
        }
        return print(&runs(&found, format).map_err(Failure::run)?);
    }
    let Some(best) = store.best(args.filter.as_deref())? else {
        return Err(Failure::run("No run is completed yet, so there is no best one."));
    };
    if let Some(file) = &args.html {
        let plots = of_run(&results, &store, &best.id)?;
        return write_page(file, &html::run(&store.detail(&best.id)?, &plots));
    }
    let by_test = best.validation_accuracy.is_none();
    if format != Format::Table {
        return print(&runs(&[best], format).map_err(Failure::run)?);
    }
    let detail = store.detail(&best.id)?;
    print(&summary(&detail, results.run(&best.id).path(), results.store()))?;
    print(&selection(&store, args.filter.as_deref(), &best, by_test)?)
}

/// What choosing one of many does to the number that is chosen.
fn selection(store: &Store, filter: Option<&str>, best: &RunSummary, by_test: bool) -> Result<String, Failure> {
    let accuracies = store.accuracies(best.fingerprint.as_deref(), filter)?;
    if accuracies.len() < 2 {
        return Ok(String::new());
    }
    let mut text = if by_test {
        flattery(&accuracies)
    } else {
        format!(
            "\nChosen of {} runs on these data by their validation sets; the test set above took no part in the choice.\n",
            accuracies.len()
        )
    };
    let (Some(naive), Some(images), Some(accuracy)) = (best.naive_accuracy, best.test_images, best.accuracy) else {
        return Ok(text);
    };
    let (models, right) = (accuracies.len(), (accuracy * images as f64).round() as u64);
    let chance = best_of_chance(models, images, naive).zip(selection_adjusted_p(models, images, naive, right));
    if let Some((chance, p)) = chance.filter(|_| by_test) {
        let _ = writeln!(
            text,
            "The best of {models} classifiers that are right on {} of {images} images by chance reaches {} on average, and {} or more \
             in 1 of 20 cases. After this choice, {} has {} against the naive answer.",
            percent(naive),
            percent(chance.mean),
            percent(chance.high),
            percent(accuracy),
            format_p(p)
        );
    }
    Ok(text)
}

fn flattery(accuracies: &[f64]) -> String {
    let advice = "Set split.validation to choose on other images.";
    let Some(spread) = mean_of_repeats(accuracies, 0.95) else { return String::new() };
    let points = expected_maximum(accuracies.len()) * spread.deviation * 100.0;
    format!(
        "\nChosen on the test set, because not every run has a validation set. Were all {} runs on these data equally good, the best of them \
         would look {points:.1} points better than it is, by chance alone (expected maximum under their standard deviation of \
         {:.1} points). {advice}\n",
        accuracies.len(),
        spread.deviation * 100.0
    )
}
