//! Nothing stays "running" for ever: brings the store in line with the run folders.

use std::collections::HashSet;
use std::fs;
use std::io;

use thiserror::Error;

use super::attempt::ending;
use super::results::Results;
use crate::config::{ConfigError, Experiment, load};
use crate::events::{self, Event, Line, Writer};
use crate::model::weights;
use crate::store::{Annotation, Store, StoreError};
use crate::train::checkpoint::Place;
use crate::train::folder::{RunFolder, write_atomically};

/// Why the store could not be brought in line.
#[derive(Debug, Error)]
pub enum ReconcileError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The run folders.
    #[error("The folder of runs cannot be read: {0}.")]
    Folder(#[from] io::Error),
}

/// What a rebuild found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Runs taken into the store.
    pub runs: usize,
    /// Folders that are no readable run, with the reason.
    pub skipped: Vec<(String, String)>,
}

/// Takes what workers wrote while nobody read it, and marks runs whose worker is gone as interrupted.
///
/// # Errors
/// When the store cannot be written.
pub fn settle(results: &Results, store: &mut Store) -> Result<(), ReconcileError> {
    let known: HashSet<String> = store.ids()?.into_iter().collect();
    let running: HashSet<String> = store.running()?.into_iter().collect();
    for folder in results.all_runs()? {
        let id = folder.id();
        if known.contains(&id) && !running.contains(&id) {
            continue;
        }
        let Ok(experiment) = experiment_of(&folder) else { continue };
        store.take(&id, &experiment, &told(&folder)?)?;
    }
    Ok(())
}

/// Makes the store anew from the run folders.
///
/// # Errors
/// When the store cannot be written or the folder of runs cannot be read.
pub fn rebuild(results: &Results, store: &mut Store) -> Result<Rebuilt, ReconcileError> {
    let mut rebuilt = Rebuilt::default();
    store.clear()?;
    for folder in results.all_runs()? {
        let id = folder.id();
        let experiment = match experiment_of(&folder) {
            Ok(experiment) => experiment,
            Err(error) => {
                rebuilt.skipped.push((id, error.to_string()));
                continue;
            }
        };
        let lines = told(&folder)?;
        if lines.is_empty() {
            rebuilt.skipped.push((id, "it has no events".to_owned()));
            continue;
        }
        store.take(&id, &experiment, &lines)?;
        if let Some(annotation) = fs::read(folder.annotation()).ok().and_then(|text| serde_json::from_slice(&text).ok())
        {
            store.annotate(&id, &annotation)?;
        }
        rebuilt.runs += 1;
    }
    Ok(rebuilt)
}

/// Keeps what people wrote beside a run: in its folder, from which the store can be made again, and in the store.
///
/// # Errors
/// When either cannot be written.
pub fn annotate(results: &Results, store: &mut Store, id: &str, annotation: &Annotation) -> Result<(), ReconcileError> {
    let text = serde_json::to_vec_pretty(annotation).map_err(io::Error::from)?;
    write_atomically(&results.run(id).annotation(), &text)?;
    Ok(store.annotate(id, annotation)?)
}

fn experiment_of(folder: &RunFolder) -> Result<Experiment, ConfigError> {
    Ok(load(&folder.experiment(), &[])?.experiment)
}

/// What a run has told, ended if its worker died without a word.
fn told(folder: &RunFolder) -> io::Result<Vec<Line>> {
    match folder.try_lock()? {
        Some(_lock) => {
            close_torn_run(folder)?;
            events::read_all(&folder.events())
        }
        // A worker that lives holds the lock; then the run is really running.
        None => events::read_arrived(&folder.events()),
    }
}

/// Ends the event file of a run whose worker died without a word. Call it with the run's lock held.
pub(super) fn close_torn_run(folder: &RunFolder) -> io::Result<()> {
    let lines = events::read_all(&folder.events())?;
    let Some(last) = lines.last() else { return Ok(()) };
    if ending(&last.event).is_some() {
        return Ok(());
    }
    let (epochs_done, steps_done) = place(folder);
    Writer::open(&folder.events())?.write(Event::Interrupted { epochs_done, steps_done, reason: None })
}

/// Epochs and steps of a run's checkpoint; zeros where there is none.
pub(super) fn place(folder: &RunFolder) -> (usize, usize) {
    let place: Option<Place> = fs::exists(folder.checkpoint())
        .unwrap_or(false)
        .then(|| weights::read_safetensors(&folder.checkpoint()).ok())
        .flatten()
        .and_then(|(_, metadata)| serde_json::from_str(metadata.get("place")?).ok());
    place.map_or((0, 0), |place| (place.history.len(), place.current.steps))
}
