//! `compare`: runs against each other, on the same test images.

use super::exit::{Failure, USAGE};
use super::{Global, open, print};
use crate::report::compare::{pairs, render};
use crate::report::table::Format;
use crate::schedule::queue::title;

/// Arguments of `compare`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Two runs or more: an id, the beginning of one, the name of an experiment (its last run), or `best`.
    #[arg(required = true, num_args = 2.., value_name = "RUN")]
    runs: Vec<String>,
    /// How to write it.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Compares every two of the runs.
pub fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let (_, store) = open::store(global)?;
    let mut runs: Vec<(String, _)> = Vec::new();
    for name in &args.runs {
        let id = store.resolve(name)?;
        let summary = store.detail(&id)?.summary;
        runs.push((format!("{} ({id})", title(&summary.name, &summary.point)), store.predictions(&id)?));
    }
    let pairs = pairs(&runs).map_err(|error| Failure::new(USAGE, error))?;
    let format = if global.json { Format::Json } else { args.format };
    print(&render(&pairs, format).map_err(Failure::run)?)
}
