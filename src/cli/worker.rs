//! `worker`: the process of one run.

use std::path::PathBuf;
use std::time::Duration;

use super::exit::Failure;
use crate::train::folder::RunFolder;
use crate::train::worker::{BUSY, FOLDER, WorkerError, work};

/// Arguments of `worker`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run's folder.
    folder: PathBuf,
    /// It is the job of a cluster: another process may hold the run for a moment.
    #[arg(long)]
    in_job: bool,
}

/// How long the job of a cluster waits for its run.
const PATIENCE: Duration = Duration::from_secs(10);

/// Does the run.
pub fn run(args: &Args) -> Result<(), Failure> {
    let patience = if args.in_job { PATIENCE } else { Duration::ZERO };
    work(&RunFolder::new(&args.folder), patience).map_err(|error| match error {
        WorkerError::Busy(_) => Failure::new(BUSY, error),
        WorkerError::Folder { .. } => Failure::new(FOLDER, error),
    })
}
