//! Runs in the formats of other tools.

mod mlflow;
mod onnx;
mod table;
mod tensorboard;

use std::io;
use std::path::PathBuf;

use thiserror::Error;

pub use mlflow::mlflow;
pub use onnx::onnx;
pub use table::{csv, json, parquet};
pub use tensorboard::tensorboard;

use crate::model::weights::read_safetensors;
use crate::store::{Predictions, RunDetail};
use crate::train::folder::RunFolder;

/// A run with everything that the store knows of it, and its folder.
#[derive(Debug)]
pub struct Exported {
    /// The run.
    pub detail: RunDetail,
    /// What it said of its test images.
    pub predictions: Predictions,
    /// Where its files are.
    pub folder: RunFolder,
}

/// Why an export failed.
#[derive(Debug, Error)]
pub enum ExportError {
    /// A file.
    #[error("{} cannot be written: {error}. Choose another place with --out.", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The tracking server.
    #[error("The tracking server at {url} {reason}")]
    Server {
        /// What was asked.
        url: String,
        /// What went wrong, beginning with a verb.
        reason: String,
    },
    /// A run without what the format is about.
    #[error("Run {0} is not completed, so it has no weights to export.")]
    Unfinished(String),
    /// What a library refused; a bug of ours.
    #[error("The {format} file cannot be made: {reason}. This is a bug.")]
    Library {
        /// Which format.
        format: &'static str,
        /// The library's words.
        reason: String,
    },
    /// The weights.
    #[error(transparent)]
    Weights(#[from] crate::model::WeightsError),
    /// The configuration in the store.
    #[error("The experiment of run {0} cannot be read back; was the store written by a newer emo-runner?")]
    Experiment(String),
}

impl ExportError {
    fn library(format: &'static str, error: impl std::fmt::Display) -> Self {
        Self::Library { format, reason: error.to_string() }
    }
}

/// A copy of a run's weights, once they are found whole.
///
/// # Errors
/// When they are missing or damaged, or the file cannot be written.
pub fn safetensors(run: &Exported, path: PathBuf) -> Result<PathBuf, ExportError> {
    let weights = run.folder.model();
    read_safetensors(&weights)?;
    let bytes = std::fs::read(&weights).map_err(|error| ExportError::File { path: weights, error })?;
    write(path, &bytes)
}

/// Writes a file, making its folder.
fn write(path: PathBuf, bytes: &[u8]) -> Result<PathBuf, ExportError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let made = folder.map_or(Ok(()), std::fs::create_dir_all);
    match made.and_then(|()| crate::train::folder::write_atomically(&path, bytes)) {
        Ok(()) => Ok(path),
        Err(error) => Err(ExportError::File { path, error }),
    }
}
