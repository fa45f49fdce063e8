//! `plot`: pictures of a run, or of many together.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::json;

use super::exit::Failure;
use super::{Global, open, print, print_json};
use crate::report::plot::{self, Plot, png};
use crate::schedule::Results;
use crate::store::Store;
use crate::train::folder::write_atomically;

/// Arguments of `plot`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An id, the beginning of one, the name of an experiment (its last run), or `best`. Left out: views of all runs together.
    run: Option<String>,
    /// The folder to write to; it is made if need be.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Of all runs together, only those for which an SQL expression holds, for example "name = 'width'".
    #[arg(long = "where", value_name = "EXPR", conflicts_with = "run")]
    filter: Option<String>,
    /// What to write.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Kinds of picture files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Both.
    #[default]
    All,
    /// For papers and pages.
    Svg,
    /// For slides and messages.
    Png,
}

/// Writes the pictures and says where they are.
pub fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let (results, store) = open::store(global)?;
    let plots = match &args.run {
        Some(run) => of_run(&results, &store, &store.resolve(run)?)?,
        None => plot::of_runs(&store.summaries(args.filter.as_deref(), None)?).map_err(Failure::run)?,
    };
    if plots.is_empty() {
        return Err(Failure::run(
            "There is nothing to plot yet: a run needs a finished epoch, views of a sweep two completed runs.",
        ));
    }
    std::fs::create_dir_all(&args.to).map_err(|error| unwritable(&args.to, &error))?;
    let mut written = Vec::new();
    for plot in &plots {
        written.extend(write(plot, args)?);
    }
    if global.json {
        return print_json(&json!({ "files": written }));
    }
    print(&written.iter().map(|path| format!("{}\n", path.display())).collect::<String>())
}

/// Every plot of a run; the mistakes where its data are still there.
pub fn of_run(results: &Results, store: &Store, id: &str) -> Result<Vec<Plot>, Failure> {
    let detail = store.detail(id)?;
    let predictions = store.predictions(id)?;
    let mut plots = plot::of_run(&detail, &predictions).map_err(Failure::run)?;
    plots.extend(plot::mistakes_of(&results.cache(), &detail, &predictions));
    Ok(plots)
}

fn write(plot: &Plot, args: &Args) -> Result<Vec<PathBuf>, Failure> {
    let mut written = Vec::new();
    if args.format != Format::Png {
        written.push((args.to.join(format!("{}.svg", plot.name)), plot.svg.clone().into_bytes()));
    }
    if args.format != Format::Svg {
        written.push((args.to.join(format!("{}.png", plot.name)), png(&plot.svg).map_err(Failure::run)?));
    }
    for (path, bytes) in &written {
        write_atomically(path, bytes).map_err(|error| unwritable(path, &error))?;
    }
    Ok(written.into_iter().map(|(path, _)| path).collect())
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::run(format!("{} cannot be written: {error}. Choose another folder with --to.", path.display()))
}
