//! One run from request to result: decides, starts the worker, reads its events, writes the store.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::thread::sleep;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use thiserror::Error;

use super::launcher::Worker;
use super::results::Results;
use crate::config::Experiment;
use crate::events::{self, Event, FailureKind, Line, Reader, Writer};
use crate::store::{Store, StoreError};
use crate::train::folder::{RunFolder, RunSpec, write_atomically};
use crate::train::worker::BUSY;

/// Time between two looks at the event file.
const POLL: Duration = Duration::from_millis(40);

/// Log lines that a failure quotes.
const LOG_LINES: usize = 50;

/// What a user asked for.
#[derive(Debug)]
pub struct RunRequest<'a> {
    /// The experiment.
    pub experiment: &'a Experiment,
    /// Its identity, see [`super::identity::run_key`].
    pub run_key: String,
    /// Threads of the computation.
    pub threads: usize,
    /// Run even if the same run is completed.
    pub force: bool,
    /// The command line, for the record.
    pub command_line: Vec<String>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum RunOutcome {
    /// It is completed; `fresh` is false when it was so before.
    Completed {
        /// Whether this call did it.
        fresh: bool,
    },
    /// A loss was not finite; `fresh` as above.
    Diverged {
        /// Whether this call did it.
        fresh: bool,
    },
    /// It was asked to stop and saved its state.
    Interrupted,
    /// It failed.
    Failed {
        /// Why.
        message: String,
        /// What kind of failure.
        kind: FailureKind,
    },
}

/// Why a run could not be coordinated.
#[derive(Debug, Error)]
pub enum CoordinateError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The run's folder.
    #[error("The results folder {} cannot be used: {error}. Name another place with --db.", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The worker process.
    #[error("The worker process could not be started: {0}.")]
    Worker(io::Error),
}

/// Sees what happens while it happens: the progress view.
pub trait Observer {
    /// A run is taken up: its folder, and whether another process works on it already.
    fn begins(&mut self, folder: &RunFolder, by_another: bool);
    /// Something happened.
    fn line(&mut self, line: &Line);
    /// The first Ctrl-C: the run is saving.
    fn stopping(&mut self);
}

/// Owns the store while runs are done.
#[derive(Debug)]
pub struct Coordinator {
    results: Results,
    store: Store,
    signals: Signals,
}

/// What to do about a request.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    /// It is done: nothing.
    Done(RunFolder),
    /// Begin, or go on, in this folder.
    Work(RunFolder),
}

impl Coordinator {
    /// Opens the store and catches the signals that mean "stop".
    ///
    /// # Errors
    /// When the store cannot be opened or the system refuses signal handlers.
    pub fn new(results: Results) -> Result<Self, CoordinateError> {
        let store = Store::open(results.store())?;
        let signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(CoordinateError::Worker)?;
        Ok(Self { results, store, signals })
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Does a run, goes on with it, or finds it done. Returns its folder.
    ///
    /// # Errors
    /// [`CoordinateError`] when the store, the folder or the process cannot be used.
    pub fn run(
        &mut self,
        request: &RunRequest<'_>,
        observer: &mut dyn Observer,
    ) -> Result<(RunFolder, RunOutcome), CoordinateError> {
        let mut fresh = false;
        let mut force = request.force;
        loop {
            let folder = match decide(&self.results, &request.run_key, force)? {
                Decision::Done(folder) => {
                    let lines = self.take_all(&folder, request.experiment)?;
                    let outcome = match lines.iter().rev().find_map(|line| ending(&line.event)) {
                        Some(RunOutcome::Diverged { .. }) => RunOutcome::Diverged { fresh },
                        _ => RunOutcome::Completed { fresh },
                    };
                    return Ok((folder, outcome));
                }
                Decision::Work(folder) => folder,
            };
            self.prepare(&folder, request)?;
            observer.begins(&folder, false);
            let mut tail = self.tail(&folder, request.experiment)?;
            let worker = Worker::start(&folder, request.threads).map_err(CoordinateError::Worker)?;
            let status = self.follow(&folder, &mut tail, request.experiment, Some(worker), observer)?;
            if status.is_some_and(|status| status.code() == Some(i32::from(BUSY))) {
                observer.begins(&folder, true);
                self.follow(&folder, &mut tail, request.experiment, None, observer)?;
                // The other process finished, or died: look again what there is to do.
                (fresh, force) = (true, false);
                if self.interrupted_by_user() {
                    return Ok((folder, RunOutcome::Interrupted));
                }
                continue;
            }
            let outcome = self.conclude(&folder, request.experiment, status)?;
            return Ok((folder, outcome));
        }
    }

    fn interrupted_by_user(&mut self) -> bool {
        self.signals.pending().count() > 0
    }

    fn prepare(&self, folder: &RunFolder, request: &RunRequest<'_>) -> Result<(), CoordinateError> {
        let cache = std::path::absolute(self.results.cache()).unwrap_or_else(|_| self.results.cache());
        let spec = RunSpec {
            id: folder.id(),
            run_key: request.run_key.clone(),
            cache,
            threads: request.threads,
            command_line: request.command_line.clone(),
        };
        write_run(folder, &spec, request.experiment)
            .map_err(|error| CoordinateError::Folder { path: folder.path().to_owned(), error })
    }

    /// The event file, read up to what earlier attempts wrote; the store has all of that.
    fn tail(&mut self, folder: &RunFolder, experiment: &Experiment) -> Result<Tail, CoordinateError> {
        let mut tail = Tail::new(folder);
        let lines = tail.read().map_err(|error| CoordinateError::Folder { path: folder.path().to_owned(), error })?;
        self.store.take(&folder.id(), experiment, &lines)?;
        Ok(tail)
    }

    /// Passes events on until the worker has ended, or, without one, until nobody works on the run.
    fn follow(
        &mut self,
        folder: &RunFolder,
        tail: &mut Tail,
        experiment: &Experiment,
        mut worker: Option<Worker>,
        observer: &mut dyn Observer,
    ) -> Result<Option<ExitStatus>, CoordinateError> {
        let unusable = |error| CoordinateError::Folder { path: folder.path().to_owned(), error };
        let mut stops = 0;
        loop {
            let status = match &mut worker {
                Some(worker) => worker.ended().map_err(CoordinateError::Worker)?,
                None => None,
            };
            let over = match &worker {
                Some(_) => status.is_some(),
                None => folder.try_lock().map_err(unusable)?.is_some(),
            };
            let lines = tail.read().map_err(unusable)?;
            if !lines.is_empty() {
                self.store.take(&folder.id(), experiment, &lines)?;
                lines.iter().for_each(|line| observer.line(line));
            }
            if over {
                return Ok(status);
            }
            for _ in 0..self.signals.pending().count() {
                stops += 1;
                match (&worker, stops) {
                    (Some(worker), 1) => {
                        worker.stop();
                        observer.stopping();
                    }
                    (Some(worker), _) => worker.kill(),
                    // Another's run goes on without us.
                    (None, _) => return Ok(None),
                }
            }
            sleep(POLL);
        }
    }

    /// The outcome after the worker has ended; what it could not say itself is written down for it.
    fn conclude(
        &mut self,
        folder: &RunFolder,
        experiment: &Experiment,
        status: Option<ExitStatus>,
    ) -> Result<RunOutcome, CoordinateError> {
        let unusable = |error| CoordinateError::Folder { path: folder.path().to_owned(), error };
        let lines = events::read_all(&folder.events()).map_err(unusable)?;
        if let Some(outcome) = lines.last().and_then(|line| ending(&line.event)) {
            return Ok(outcome);
        }
        let message = format!("{}\n{}", death(status), last_log_lines(folder)).trim_end().to_owned();
        if folder.try_lock().map_err(unusable)?.is_some() {
            let event = Event::Failed { message: message.clone(), kind: FailureKind::Run };
            Writer::open(&folder.events()).and_then(|mut writer| writer.write(event)).map_err(unusable)?;
            self.take_all(folder, experiment)?;
        }
        Ok(RunOutcome::Failed { message, kind: FailureKind::Run })
    }

    fn take_all(&mut self, folder: &RunFolder, experiment: &Experiment) -> Result<Vec<Line>, CoordinateError> {
        let lines = events::read_all(&folder.events())
            .map_err(|error| CoordinateError::Folder { path: folder.path().to_owned(), error })?;
        self.store.take(&folder.id(), experiment, &lines)?;
        Ok(lines)
    }
}

/// The event file as it grows.
struct Tail {
    path: PathBuf,
    file: Option<File>,
    reader: Reader,
}

impl Tail {
    fn new(folder: &RunFolder) -> Self {
        Self { path: folder.events(), file: None, reader: Reader::default() }
    }

    /// Lines since the last call.
    fn read(&mut self) -> io::Result<Vec<Line>> {
        if self.file.is_none() {
            self.file = match File::open(&self.path) {
                Ok(file) => Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(error),
            };
        }
        let Some(file) = &mut self.file else { return Ok(Vec::new()) };
        self.reader.read(file)
    }
}

/// The outcome that an event stands for, if it ends an attempt.
pub fn ending(event: &Event) -> Option<RunOutcome> {
    match event {
        Event::Completed(_) => Some(RunOutcome::Completed { fresh: true }),
        Event::Diverged { .. } => Some(RunOutcome::Diverged { fresh: true }),
        Event::Interrupted { .. } => Some(RunOutcome::Interrupted),
        Event::Failed { message, kind } => Some(RunOutcome::Failed { message: message.clone(), kind: *kind }),
        _ => None,
    }
}

/// The newest run of a key is gone on with unless it is over; `force` begins another.
fn decide(results: &Results, run_key: &str, force: bool) -> Result<Decision, CoordinateError> {
    let ordinals = results.ordinals(run_key);
    let newest = results.run(&Results::id(run_key, ordinals.max(1)));
    let lines = events::read_all(&newest.events())
        .map_err(|error| CoordinateError::Folder { path: newest.path().to_owned(), error })?;
    let over = lines.iter().any(|line| matches!(line.event, Event::Completed(_) | Event::Diverged { .. }));
    Ok(match (over, force) {
        (false, _) => Decision::Work(newest),
        (true, false) => Decision::Done(newest),
        (true, true) => Decision::Work(results.run(&Results::id(run_key, ordinals + 1))),
    })
}

/// Does a run again in a folder of its own that is not in the store, or goes on with that.
///
/// # Errors
/// [`CoordinateError`] when the folder or the process cannot be used.
pub fn repeat(
    results: &Results,
    id: &str,
    experiment: &Experiment,
    threads: usize,
    observer: &mut dyn Observer,
) -> Result<(RunFolder, RunOutcome), CoordinateError> {
    let original = results.run(id);
    let folder = RunFolder::new(results.replays().join(id));
    let unusable = |error| CoordinateError::Folder { path: folder.path().to_owned(), error };
    let over = |lines: &[Line]| lines.last().and_then(|line| ending(&line.event));
    let finished = [RunOutcome::Completed { fresh: true }, RunOutcome::Diverged { fresh: true }];
    let lines = events::read_all(&folder.events()).map_err(unusable)?;
    if over(&lines).is_some_and(|outcome| finished.contains(&outcome)) {
        fs::remove_dir_all(folder.path()).map_err(unusable)?;
    }
    let spec = RunSpec { threads, ..original.read_spec().map_err(unusable)? };
    write_run(&folder, &spec, experiment).map_err(unusable)?;
    observer.begins(&folder, false);
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(CoordinateError::Worker)?;
    let mut tail = Tail::new(&folder);
    tail.read().map_err(unusable)?;
    let mut worker = Worker::start(&folder, threads).map_err(CoordinateError::Worker)?;
    let mut stops = 0;
    let status = loop {
        let status = worker.ended().map_err(CoordinateError::Worker)?;
        tail.read().map_err(unusable)?.iter().for_each(|line| observer.line(line));
        if status.is_some() {
            break status;
        }
        for _ in 0..signals.pending().count() {
            stops += 1;
            if stops == 1 {
                worker.stop();
                observer.stopping();
            } else {
                worker.kill();
            }
        }
        sleep(POLL);
    };
    let lines = events::read_all(&folder.events()).map_err(unusable)?;
    let outcome = over(&lines).unwrap_or_else(|| RunOutcome::Failed {
        message: format!("{}\n{}", death(status), last_log_lines(&folder)).trim_end().to_owned(),
        kind: FailureKind::Run,
    });
    Ok((folder, outcome))
}

/// Writes what a worker needs into a run's folder.
///
/// # Errors
/// When the folder cannot be made or written.
pub fn write_run(folder: &RunFolder, spec: &RunSpec, experiment: &Experiment) -> io::Result<()> {
    fs::create_dir_all(folder.path())?;
    write_atomically(&folder.experiment(), experiment.to_toml().as_bytes())?;
    write_atomically(&folder.spec(), &serde_json::to_vec_pretty(spec)?)
}

/// How a worker died that could not tell.
fn death(status: Option<ExitStatus>) -> String {
    use std::os::unix::process::ExitStatusExt;
    match status.map(|status| (status.signal(), status.code())) {
        Some((Some(9), _)) => "The worker was killed (signal 9): by hand, or by the system when memory ran out. \
                               The same command goes on from the last checkpoint."
            .to_owned(),
        Some((Some(signal), _)) => format!("The worker was ended by signal {signal}."),
        Some((_, Some(code))) => format!("The worker ended with code {code} without saying why."),
        _ => "The worker ended without saying why.".to_owned(),
    }
}

/// The end of the worker's log.
fn last_log_lines(folder: &RunFolder) -> String {
    let log = fs::read(folder.log()).unwrap_or_default();
    let text = String::from_utf8_lossy(&log).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
