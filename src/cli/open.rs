//! What several commands begin with: an experiment whose network fits its images, the settled store.

use std::path::Path;

use super::Global;
use super::doctor::tried;
use super::exit::{Failure, STORE, USAGE};
use crate::config::{BackendKind, Experiment, Loaded, load};
use crate::model::shapes::shapes;
use crate::schedule::reconcile::settle;
use crate::schedule::{Limits, Queue, Results, RunOutcome};
use crate::store::{Store, StoreError};
use crate::train::backend::{self, BackendError, Place};
use crate::train::gpu::devices;

/// Loads an experiment file and checks all that can be checked without its data.
pub fn experiment(path: &Path, overrides: &[String]) -> Result<Experiment, Failure> {
    let Loaded { experiment, document } = load(path, overrides)?;
    let experiment = backend::settled(experiment, Place::Here);
    if let Err(error) = shapes(experiment.model(), experiment.data().image_size()) {
        let message = error.to_string().trim_end_matches('.').to_owned();
        return Err(document.problem("data.image_size", message, Some(error.help())).into());
    }
    Ok(experiment)
}

/// Refuses a backend that this build or machine does not have, before anything is decoded.
pub fn usable_backend(experiment: &Experiment) -> Result<(), Failure> {
    let backend = experiment.backend();
    backend::check(backend, experiment.device(), Place::Here).map_err(|error| Failure::new(USAGE, error))?;
    if backend == BackendKind::Cuda { working_gpu() } else { Ok(()) }
}

/// Limits of one run, on one of the GPUs if it needs one.
pub fn limits_of(experiment: &Experiment, threads: usize) -> Limits {
    let devices = if experiment.backend() == BackendKind::Cuda { devices() } else { Vec::new() };
    Limits { devices, ..Limits::one_run(threads) }
}

/// Refuses a GPU on which nothing can be computed, whatever its files look like.
pub fn working_gpu() -> Result<(), Failure> {
    let unusable = |reason| Failure::new(USAGE, BackendError::NotUsable { backend: BackendKind::Cuda, reason });
    tried(BackendKind::Cuda).map(|_| ()).map_err(unusable)
}

/// The store with nothing left "running" whose worker is gone.
pub fn store(global: &Global) -> Result<(Results, Store), Failure> {
    let results = global.results();
    let mut store = match Store::open_existing(results.store()) {
        Err(StoreError::Missing { path }) if results.all_runs().is_ok_and(|runs| !runs.is_empty()) => {
            let message = format!(
                "There is no store at {}, but there are runs in {}: `emo-runner store rebuild` makes it from them.",
                path.display(),
                results.runs().display()
            );
            return Err(Failure::new(STORE, message));
        }
        opened => opened?,
    };
    if !store.is_read_only() {
        settle(&results, &mut store)?;
    }
    Ok((results, store))
}

/// Id and outcome of a queue's only run; one that was never begun was stopped before.
pub fn only_run(queue: &Queue) -> (String, RunOutcome) {
    let job = queue.jobs().first();
    let id = job.and_then(|job| job.id.clone()).unwrap_or_default();
    (id, job.and_then(|job| job.outcome.clone()).unwrap_or(RunOutcome::Interrupted))
}

/// The command line that was typed, for the record; bytes that are no UTF-8 are shown as �.
pub fn command_line() -> Vec<String> {
    std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect()
}

/// Threads to compute with: what was asked for, else what the machine has.
pub fn threads(asked: Option<usize>) -> usize {
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}
