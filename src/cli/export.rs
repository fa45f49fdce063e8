//! `export`: runs in the formats of other tools.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::json;

use super::exit::{Failure, USAGE};
use super::{Global, open, print, print_json};
use crate::report::export::{self, ExportError, Exported};
use crate::store::write_optuna;

/// Arguments of `export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Runs: an id, the beginning of one, the name of an experiment (its last run), or `best`. Left out: all of them.
    runs: Vec<String>,
    /// Only runs for which an SQL expression holds, for example "name = 'width'".
    #[arg(long = "where", value_name = "EXPR", conflicts_with = "runs")]
    filter: Option<String>,
    /// The format.
    #[arg(long, value_enum)]
    to: Format,
    /// Where to: a folder for csv, parquet, tensorboard, safetensors and onnx; a file for json and optuna; for mlflow the address of the
    /// server.
    #[arg(long, value_name = "PLACE")]
    out: String,
}

/// Formats of other tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// runs.csv, epochs.csv, predictions.csv.
    Csv,
    /// Everything as one JSON file.
    Json,
    /// runs.parquet, epochs.parquet, predictions.parquet.
    Parquet,
    /// An event file for each run.
    Tensorboard,
    /// To a tracking server by its REST API.
    Mlflow,
    /// A study database that optuna-dashboard opens, a study for each experiment.
    Optuna,
    /// The trained weights; examples/load_weights.py loads them into Keras and PyTorch.
    Safetensors,
    /// The trained network: pixels in, probability out.
    Onnx,
}

/// Exports, and says where everything is.
pub fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let (results, store) = open::store(global)?;
    let ids: Vec<String> = if args.runs.is_empty() {
        store.summaries(args.filter.as_deref(), None)?.into_iter().map(|run| run.id).collect()
    } else {
        args.runs.iter().map(|run| store.resolve(run)).collect::<Result<_, _>>()?
    };
    if ids.is_empty() {
        return Err(Failure::run("There is no such run to export."));
    }
    let mut runs = Vec::with_capacity(ids.len());
    for id in &ids {
        runs.push(Exported { detail: store.detail(id)?, predictions: store.predictions(id)?, folder: results.run(id) });
    }
    let written = write(args, &runs)?;
    if global.json {
        return print_json(&json!({ "written": written }));
    }
    print(&written.iter().map(|path| format!("{}\n", path.display())).collect::<String>())
}

fn write(args: &Args, runs: &[Exported]) -> Result<Vec<PathBuf>, Failure> {
    let out = Path::new(&args.out);
    Ok(match args.to {
        Format::Csv => export::csv(runs, out)?,
        Format::Json => export::json(runs, out)?,
        Format::Parquet => export::parquet(runs, out)?,
        Format::Tensorboard => export::tensorboard(runs, out)?,
        Format::Mlflow => {
            if !args.out.starts_with("http://") && !args.out.starts_with("https://") {
                let message = format!(
                    "--out is the server's address for mlflow, such as http://127.0.0.1:5000, not `{}`.",
                    args.out
                );
                return Err(Failure::new(USAGE, message));
            }
            export::mlflow(runs, &args.out)?
        }
        Format::Optuna => vec![optuna(runs, out)?],
        Format::Safetensors => each(runs, out, "safetensors", export::safetensors)?,
        Format::Onnx => each(runs, out, "onnx", |run, file| export::onnx(run, &file))?,
    })
}

/// A file for each completed run, in a folder.
fn each(
    runs: &[Exported],
    folder: &Path,
    ending: &str,
    write: impl Fn(&Exported, PathBuf) -> Result<PathBuf, ExportError>,
) -> Result<Vec<PathBuf>, ExportError> {
    std::fs::create_dir_all(folder).map_err(|error| ExportError::File { path: folder.to_owned(), error })?;
    let completed = runs.iter().filter(|run| run.detail.evaluation.is_some() || runs.len() == 1);
    completed
        .map(|run| {
            let id = &run.detail.summary.id;
            if run.detail.evaluation.is_none() {
                return Err(ExportError::Unfinished(id.clone()));
            }
            write(run, folder.join(format!("{id}.{ending}")))
        })
        .collect()
}

fn optuna(runs: &[Exported], file: &Path) -> Result<PathBuf, Failure> {
    if file.exists() {
        return Err(Failure::new(
            USAGE,
            format!("{} is there already; choose another name, or remove it.", file.display()),
        ));
    }
    let mut studies: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for run in runs {
        let summary = run.detail.summary.clone();
        studies.entry(summary.name.clone()).or_default().push((summary, run.detail.epochs.clone()));
    }
    write_optuna(file, &studies)?;
    Ok(file.to_owned())
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        Self::run(error)
    }
}
