//! One attempt at a run: its worker, what it tells, and how it ended.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use super::coordinator::RunOutcome;
use super::launcher::Worker;
use super::reconcile::close_torn_run;
use crate::events::{self, Event, FailureKind, Line, Reader, Writer};
use crate::train::folder::RunFolder;
use crate::train::worker::BUSY;

/// Log lines that a failure quotes.
const LOG_LINES: usize = 50;

/// Why a worker was asked to stop.
#[derive(Debug, Clone, PartialEq)]
pub enum Why {
    /// The user wants to stop, or another run's failure ends everything.
    Stop,
    /// It ran longer than it may.
    TimedOut {
        /// How long it may run.
        limit: Duration,
    },
    /// It gave no sign of life.
    Stalled {
        /// How long it was silent.
        silent: Duration,
    },
    /// Others do better.
    Pruned {
        /// Why.
        reason: String,
    },
}

/// A run that is being worked on, here or elsewhere.
#[derive(Debug)]
pub struct Attempt {
    /// Number of the job.
    pub job: usize,
    /// The run's folder.
    pub folder: RunFolder,
    /// The process; `None` when another coordinator's works on the run.
    pub worker: Option<Worker>,
    /// Which GPU it has, by its place in the list.
    pub device: Option<usize>,
    /// When it was begun.
    pub begun: Duration,
    /// When it last told something.
    pub heard: Duration,
    /// Why and when it was asked to stop.
    pub asked: Option<(Why, Duration)>,
    /// Whether it was killed.
    pub killed: bool,
    tail: Tail,
}

impl Attempt {
    /// An attempt whose worker is still to be started. The lines of earlier attempts come first.
    pub fn new(job: usize, folder: RunFolder, now: Duration) -> Self {
        let tail = Tail { path: folder.events(), file: None, reader: Reader::default() };
        Self { job, folder, worker: None, device: None, begun: now, heard: now, asked: None, killed: false, tail }
    }

    /// The same run in another coordinator's hands.
    pub fn follow(self) -> Self {
        Self { worker: None, device: None, asked: None, killed: false, ..self }
    }

    /// Lines since the last call.
    ///
    /// # Errors
    /// When the event file cannot be read.
    pub fn read(&mut self) -> io::Result<Vec<Line>> {
        self.tail.read()
    }

    /// Asks the worker to save and stop; the first reason counts.
    pub fn ask(&mut self, why: Why, now: Duration) {
        if let (None, Some(worker)) = (&self.asked, &self.worker) {
            worker.stop();
            self.asked = Some((why, now));
        }
    }

    /// Ends the worker now.
    pub fn kill(&mut self) {
        if let Some(worker) = &self.worker {
            worker.kill();
            self.killed = true;
        }
    }

    /// Whether nobody works on the run any more; with the exit status if the worker was ours.
    ///
    /// # Errors
    /// When the system knows neither the process nor the lock.
    pub fn ended(&mut self) -> io::Result<Option<Option<ExitStatus>>> {
        match &mut self.worker {
            Some(worker) => Ok(worker.ended()?.map(Some)),
            None => Ok(self.folder.try_lock()?.map(|_lock| None)),
        }
    }

    /// The outcome after our worker has ended; `None` when another coordinator has taken the run up since. What the worker
    /// could not say itself is written down for it.
    ///
    /// # Errors
    /// When the run's files cannot be read or written.
    pub fn conclude(&self, status: Option<ExitStatus>) -> io::Result<Option<RunOutcome>> {
        let lines = events::read_all(&self.folder.events())?;
        let said = lines.last().and_then(|line| ending(&line.event));
        let why = self.asked.as_ref().map(|(why, _)| why);
        match (said, why) {
            (Some(said), None | Some(Why::Stop)) => return Ok(Some(said)),
            (Some(said), Some(_)) if said != RunOutcome::Interrupted => return Ok(Some(said)),
            _ => {}
        }
        // Whoever holds the lock may write.
        let Some(_lock) = self.folder.try_lock()? else { return Ok(None) };
        let epoch = |line: &Line| if let Event::Epoch(epoch) = &line.event { Some(epoch.epoch) } else { None };
        let epochs_done = || lines.iter().filter_map(epoch).max().unwrap_or(0);
        let event = match why {
            Some(Why::Stop) => {
                close_torn_run(&self.folder)?;
                return Ok(Some(RunOutcome::Interrupted));
            }
            Some(Why::TimedOut { limit }) => Event::TimedOut { limit: limit.as_secs_f64() },
            Some(Why::Pruned { reason }) => Event::Pruned { epochs_done: epochs_done(), reason: reason.clone() },
            Some(Why::Stalled { silent }) => self.failure(&format!(
                "The worker gave no sign of life for {:.0} s and was ended; --stall sets how long it may be silent.",
                silent.as_secs_f64()
            )),
            None => self.failure(&death(status)),
        };
        Writer::open(&self.folder.events())?.write(event.clone())?;
        Ok(ending(&event))
    }

    fn failure(&self, message: &str) -> Event {
        let message = format!("{message}\n{}", last_log_lines(&self.folder)).trim_end().to_owned();
        Event::Failed { message, kind: FailureKind::Run }
    }
}

/// Whether a worker ended because the run is taken or done.
pub fn is_busy(status: Option<ExitStatus>) -> bool {
    status.is_some_and(|status| status.code() == Some(i32::from(BUSY)))
}

/// The outcome that an event stands for, if it ends an attempt.
pub fn ending(event: &Event) -> Option<RunOutcome> {
    match event {
        Event::Completed(_) => Some(RunOutcome::Completed { fresh: true }),
        Event::Diverged { .. } => Some(RunOutcome::Diverged { fresh: true }),
        Event::Pruned { .. } => Some(RunOutcome::Pruned { fresh: true }),
        Event::TimedOut { .. } => Some(RunOutcome::TimedOut),
        Event::Interrupted { .. } => Some(RunOutcome::Interrupted),
        Event::Failed { message, kind } => Some(RunOutcome::Failed { message: message.clone(), kind: *kind }),
        _ => None,
    }
}

/// The event file as it grows.
#[derive(Debug)]
struct Tail {
    path: PathBuf,
    file: Option<File>,
    reader: Reader,
}

impl Tail {
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
