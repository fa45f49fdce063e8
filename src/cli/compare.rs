//! `compare`: runs against each other, on the same test images.

use std::path::PathBuf;

use super::exit::{Failure, USAGE};
use super::{Global, open, print, write_page};
use crate::report::compare::{Scale, pairs, render};
use crate::report::html;
use crate::report::table::Format;
use crate::schedule::queue::title;
use crate::store::StoreError;

/// Arguments of `compare`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Two runs or more: an id, the beginning of one, the name of an experiment (its last run), or `best`.
    #[arg(required = true, num_args = 2.., value_name = "RUN")]
    runs: Vec<String>,
    /// Write it as one HTML file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// How to write it.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Compares every two of the runs.
pub fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let (_, store) = open::store(global)?;
    let mut runs: Vec<(String, _)> = Vec::new();
    let mut scale = None;
    for name in &args.runs {
        let id = store.resolve(name)?;
        let Some(summary) = store.summary(&id)? else { return Err(StoreError::NoSuchRun(id).into()) };
        runs.push((format!("{} ({id})", title(&summary.name, &summary.point)), store.predictions(&id)?));
        // The same images for all, or they are refused.
        scale = scale.or(summary.naive_accuracy.map(|naive| Scale { naive, ceiling: summary.ceiling }));
    }
    let pairs = pairs(&runs).map_err(|error| Failure::new(USAGE, error))?;
    if let Some(file) = &args.html {
        return write_page(file, &html::comparison(&pairs, scale));
    }
    let format = if global.json { Format::Json } else { args.format };
    print(&render(&pairs, scale, format).map_err(Failure::run)?)
}
