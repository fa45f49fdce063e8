//! One attempt at a run: its worker, what it tells, and how it ended.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::coordinator::RunOutcome;
use super::launcher::{Ending, Launcher, State, WorkerId};
use super::reconcile::{close_torn_run, place};
use crate::events::{self, Event, FailureKind, Line, Reader, Writer};
use crate::train::folder::RunFolder;

/// Log lines that a failure quotes.
const LOG_LINES: usize = 50;

/// How long the last lines of a worker elsewhere may be on their way through a network file system.
const ON_THE_WAY: Duration = Duration::from_secs(5);

/// How long the job of a worker that has stopped may be said to run. Slurm does not hear of an end when the process that
/// watches over the job was killed with it.
const STOPPED: Duration = Duration::from_secs(60);

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
    /// Its worker; `None` when another coordinator's works on the run.
    pub worker: Option<WorkerId>,
    /// Which GPU it has, by its place in the list.
    pub device: Option<usize>,
    /// Why its worker waits; `None` once it works.
    pub waits: Option<String>,
    /// When it was begun.
    pub begun: Duration,
    /// When it last told something.
    pub heard: Duration,
    /// Why and when it was asked to stop.
    pub asked: Option<(Why, Duration)>,
    /// Whether it was killed.
    pub killed: bool,
    /// Whether the last line that it told ends the attempt for good.
    told_end: bool,
    /// Whether the last line that it told is that it stopped before its end.
    told_stop: bool,
    /// When its worker was first known to be gone.
    gone: Option<Duration>,
    tail: Tail,
}

impl Attempt {
    /// An attempt whose worker is still to be started. The lines of earlier attempts come first.
    pub fn new(job: usize, folder: RunFolder, now: Duration) -> Self {
        let tail = Tail { path: folder.events(), reader: Reader::default() };
        Self {
            job,
            folder,
            worker: None,
            device: None,
            waits: None,
            begun: now,
            heard: now,
            asked: None,
            killed: false,
            told_end: false,
            told_stop: false,
            gone: None,
            tail,
        }
    }

    /// The same run in another coordinator's hands.
    pub fn follow(self) -> Self {
        let same = Self { worker: None, device: None, waits: None, asked: None, killed: false, ..self };
        Self { told_end: false, told_stop: false, gone: None, ..same }
    }

    /// Lines since the last call.
    ///
    /// # Errors
    /// When the event file cannot be read.
    pub fn read(&mut self) -> io::Result<Vec<Line>> {
        let lines = self.tail.read()?;
        if let Some(line) = lines.last() {
            let ending = ending(&line.event);
            self.told_stop = ending == Some(RunOutcome::Interrupted);
            self.told_end = ending.is_some() && !self.told_stop;
        }
        Ok(lines)
    }

    /// The lines of earlier attempts, which end nothing now.
    ///
    /// # Errors
    /// As above.
    pub fn read_earlier(&mut self) -> io::Result<Vec<Line>> {
        let lines = self.read()?;
        (self.told_end, self.told_stop) = (false, false);
        Ok(lines)
    }

    /// Asks the worker to save and stop; the first reason counts.
    pub fn ask(&mut self, why: Why, now: Duration, launcher: &mut dyn Launcher) {
        if let (None, Some(worker)) = (&self.asked, self.worker) {
            launcher.stop(worker);
            self.asked = Some((why, now));
        }
    }

    /// Ends the worker now.
    pub fn kill(&mut self, launcher: &mut dyn Launcher) {
        if let Some(worker) = self.worker {
            launcher.kill(worker);
            self.killed = true;
        }
    }

    /// How the worker is; `Ended(None)` when it was another's and nobody works on the run any more.
    ///
    /// # Errors
    /// When the system knows neither the process nor the lock.
    pub fn look(&mut self, now: Duration, launcher: &mut dyn Launcher) -> io::Result<Look> {
        let Some(worker) = self.worker else {
            return Ok(if self.folder.try_lock()?.is_some() { Look::Ended(None) } else { Look::Running });
        };
        // What a run says itself counts before what is said of it: a node may be lost after its run is done.
        if launcher.is_detached() && self.told_end {
            return Ok(Look::Ended(Some(Ending::Gone(String::new()))));
        }
        Ok(match launcher.state(worker)? {
            State::Running if launcher.is_detached() && self.told_stop && self.asked.is_none() => {
                if now.saturating_sub(*self.gone.get_or_insert(now)) < STOPPED || self.folder.try_lock()?.is_none() {
                    return Ok(Look::Running);
                }
                launcher.stop(worker);
                Look::Ended(Some(Ending::Lost("its worker has stopped, though its job is said to run".to_owned())))
            }
            State::Running => Look::Running,
            State::Waiting(reason) => {
                (self.told_stop, self.gone) = (false, None);
                Look::Waiting(reason)
            }
            State::Ended(Ending::Gone(_))
                if launcher.is_detached() && now.saturating_sub(*self.gone.get_or_insert(now)) < ON_THE_WAY =>
            {
                Look::Running
            }
            State::Ended(ending) => Look::Ended(Some(ending)),
        })
    }

    /// The outcome after our worker has ended; `None` when another coordinator has taken the run up since. What the worker
    /// could not say itself is written down for it.
    ///
    /// # Errors
    /// When the run's files cannot be read or written.
    pub fn conclude(&self, how: &Ending) -> io::Result<Option<RunOutcome>> {
        let lines = events::read_all(&self.folder.events())?;
        let said = lines.last().and_then(|line| ending(&line.event));
        let why = self.asked.as_ref().map(|(why, _)| why);
        match (said, why) {
            (Some(said), Some(Why::Stop)) => return Ok(Some(said)),
            (Some(said), None) if said != RunOutcome::Interrupted || matches!(how, Ending::Gone(_)) => {
                return Ok(Some(said));
            }
            (Some(said), Some(_)) if said != RunOutcome::Interrupted => return Ok(Some(said)),
            _ => {}
        }
        if let Ending::Refused(message) = how {
            return Ok(Some(RunOutcome::Failed { message: message.clone(), kind: FailureKind::Run }));
        }
        // Whoever holds the lock may write.
        let Some(_lock) = self.folder.try_lock()? else { return Ok(None) };
        if why == Some(&Why::Stop) || lines.is_empty() && matches!(how, Ending::Cancelled(_) | Ending::Lost(_)) {
            close_torn_run(&self.folder)?;
            return Ok(Some(RunOutcome::Interrupted));
        }
        let event = self.last_word(why, how, &lines);
        Writer::open(&self.folder.events())?.write(event.clone())?;
        Ok(ending(&event))
    }

    /// The event that ends the attempt of a worker that could not say so.
    fn last_word(&self, why: Option<&Why>, how: &Ending, lines: &[Line]) -> Event {
        let epoch = |line: &Line| if let Event::Epoch(epoch) = &line.event { Some(epoch.epoch) } else { None };
        let epochs_done = lines.iter().filter_map(epoch).max().unwrap_or(0);
        match (why, how) {
            (Some(Why::TimedOut { limit }), _) => Event::TimedOut { limit: limit.as_secs_f64(), reason: None },
            (Some(Why::Pruned { reason }), _) => Event::Pruned { epochs_done, reason: reason.clone() },
            (Some(Why::Stalled { silent }), _) => self.failure(&format!(
                "The worker gave no sign of life for {:.0} s and was ended; --stall sets how long it may be silent.",
                silent.as_secs_f64()
            )),
            (_, Ending::TimedOut { limit, reason }) => {
                Event::TimedOut { limit: limit.map_or(0.0, |limit| limit.as_secs_f64()), reason: Some(reason.clone()) }
            }
            (_, Ending::Cancelled(reason) | Ending::Lost(reason)) => {
                let (epochs_done, steps_done) = place(&self.folder);
                Event::Interrupted { epochs_done, steps_done, reason: Some(reason.clone()) }
            }
            (_, Ending::Gone(message) | Ending::Refused(message)) => self.failure(message),
            (_, Ending::Busy) => self.failure("The worker found its run taken."),
        }
    }

    fn failure(&self, message: &str) -> Event {
        let message = format!("{message}\n{}", last_lines(&self.folder.log())).trim_end().to_owned();
        Event::Failed { message, kind: FailureKind::Run }
    }
}

/// How an attempt is.
#[derive(Debug, PartialEq)]
pub enum Look {
    /// Its worker waits, and why.
    Waiting(String),
    /// It goes on.
    Running,
    /// Nobody works on the run any more; how its worker went, if it was ours.
    Ended(Option<Ending>),
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
    reader: Reader,
}

impl Tail {
    /// The file is opened anew each time: only then does a network file system ask its server how long it is.
    fn read(&mut self) -> io::Result<Vec<Line>> {
        match File::open(&self.path) {
            Ok(mut file) => self.reader.read(&mut file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// The end of a log; empty where there is none.
pub fn last_lines(log: &std::path::Path) -> String {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
