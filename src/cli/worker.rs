//! `worker`: the process of one run.

use std::path::PathBuf;

use super::exit::Failure;
use crate::train::folder::RunFolder;
use crate::train::worker::{BUSY, WorkerError, work};

/// Arguments of `worker`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run's folder.
    folder: PathBuf,
}

/// Does the run.
pub fn run(args: &Args) -> Result<(), Failure> {
    work(&RunFolder::new(&args.folder)).map_err(|error| match error {
        WorkerError::Busy(_) => Failure::new(BUSY, error),
        WorkerError::Folder { .. } => Failure::run(error),
    })
}
