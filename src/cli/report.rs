//! `report`: all runs, or the best.

use super::exit::Failure;
use super::{Global, open, print};
use crate::report::summary::summary;
use crate::report::table::{Format, runs};

/// Arguments of `report`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show only the best run: by validation accuracy where every completed run has it, else by test accuracy.
    #[arg(long)]
    best: bool,
    /// Only runs for which an SQL expression holds, for example "name = 'baseline' AND auc > 0.6".
    #[arg(long = "where", value_name = "EXPR")]
    filter: Option<String>,
    /// Sort by a column, for example "auc DESC". Default: oldest first.
    #[arg(long, value_name = "KEY")]
    sort: Option<String>,
    /// How to write the table.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Prints the report.
pub fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let (results, store) = open::store(global)?;
    let format = if global.json { Format::Json } else { args.format };
    if !args.best {
        let found = store.summaries(args.filter.as_deref(), args.sort.as_deref())?;
        return print(&runs(&found, format).map_err(Failure::run)?);
    }
    let Some(best) = store.best(args.filter.as_deref())? else {
        return Err(Failure::run("No run is completed yet, so there is no best one."));
    };
    let by_test = best.validation_accuracy.is_none();
    if format != Format::Table {
        return print(&runs(&[best], format).map_err(Failure::run)?);
    }
    let detail = store.detail(&best.id)?;
    print(&summary(&detail, results.run(&best.id).path(), results.store()))?;
    if by_test {
        let note = "\nChosen by test accuracy, because not every run has a validation set: the best of several runs \
                    looks better on the test set than it is. Set split.validation to choose on other images.\n";
        print(note)?;
    }
    Ok(())
}
