//! `show`: everything about one run.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::exit::Failure;
use super::plot::of_run;
use super::{Global, open, print, print_json, write_page};
use crate::report::html;
use crate::report::summary::{history, summary};
use crate::report::table::{Format, runs};
use crate::store::RunDetail;

/// Arguments of `show`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An id, the beginning of one, the name of an experiment (its last run), or `best`.
    run: String,
    /// Write it with all plots as one HTML file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// How to write it: markdown and csv give the run's line of the report.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Prints the run.
pub fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let (results, store) = open::store(global)?;
    let id = store.resolve(&args.run)?;
    let detail = store.detail(&id)?;
    if let Some(file) = &args.html {
        return write_page(file, &html::run(&detail, &of_run(&results, &store, &id)?));
    }
    let format = if global.json { Format::Json } else { args.format };
    match format {
        Format::Json => print_json(&detail),
        Format::Markdown | Format::Csv => print(&runs(&[detail.summary], format).map_err(Failure::run)?),
        Format::Table => {
            let text = summary(&detail, results.run(&id).path(), results.store());
            print(&(text + &more(&detail)))
        }
    }
}

fn more(detail: &RunDetail) -> String {
    let mut text = format!("\nHistory\n{}\nCircumstances\n", history(&detail.epochs));
    for (name, value) in &detail.environment {
        let _ = writeln!(text, "  {name:12}  {value}");
    }
    text.push_str("\nArtifacts\n");
    for (name, description) in &detail.artifacts {
        let _ = writeln!(text, "  {name:22}  {description}");
    }
    let _ = write!(text, "\nExperiment\n{}", detail.experiment);
    text
}
