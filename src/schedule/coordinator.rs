//! Runs from request to result: fills the slots with workers, reads what they tell, is the only writer of the store.
//!
//! One thread does all of it, in a loop that sleeps until a worker ends, a signal comes or a moment has passed.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::attempt::{Attempt, Why, is_busy};
use super::identity::point_key;
use super::launcher::Worker;
use super::prune::Judge;
use super::queue::{Job, Queue};
use super::results::Results;
use super::wake::{Clock, Wake};
use crate::config::{Experiment, Objective};
use crate::events::{self, Event, FailureKind, Line, Part};
use crate::store::{Store, StoreError};
use crate::train::environment::git_commit;
use crate::train::folder::{RunFolder, RunSpec, write_atomically};

/// Longest sleep between two looks at the event files.
const LOOK: Duration = Duration::from_millis(100);

/// How many runs at once, with what, and when enough is enough.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Workers at the same time.
    pub jobs: usize,
    /// Threads of each.
    pub threads: usize,
    /// Bytes of memory that all may take together, by estimate; `None`: not limited.
    pub memory: Option<u64>,
    /// GPUs, as `CUDA_VISIBLE_DEVICES` names them; a run that needs one has it for itself.
    pub devices: Vec<String>,
    /// Time that an attempt may take.
    pub timeout: Option<Duration>,
    /// Time that a worker may be silent.
    pub stall: Duration,
    /// Time between asking a worker to stop and killing it.
    pub grace: Duration,
    /// How often a failed run is begun again.
    pub retries: usize,
    /// Failures after which nothing new is begun and what runs is stopped.
    pub max_failures: Option<usize>,
}

impl Limits {
    /// One run with `threads` threads, for as long as it takes.
    pub fn one_run(threads: usize) -> Self {
        Self {
            jobs: 1,
            threads,
            memory: None,
            devices: Vec::new(),
            timeout: None,
            stall: Duration::MAX,
            grace: Duration::MAX,
            retries: 0,
            max_failures: None,
        }
    }
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
    /// A pruner stopped it; `fresh` as above.
    Pruned {
        /// Whether this call did it.
        fresh: bool,
    },
    /// It was asked to stop and saved its state.
    Interrupted,
    /// It took longer than it may, and saved its state.
    TimedOut,
    /// It would not fit into memory, so it was not begun.
    TooLarge {
        /// Bytes that it needs, by estimate.
        needs: u64,
        /// Bytes that it may have.
        limit: u64,
    },
    /// It failed.
    Failed {
        /// Why.
        message: String,
        /// What kind of failure.
        kind: FailureKind,
    },
}

impl RunOutcome {
    /// Data that cannot be read.
    pub fn unreadable(message: &str) -> Self {
        Self::Failed { message: message.to_owned(), kind: FailureKind::Data }
    }

    /// Whether something went wrong that is not the user's wish.
    pub fn is_failure(&self) -> bool {
        !matches!(self, Self::Completed { .. } | Self::Pruned { .. } | Self::Interrupted)
    }

    /// Whether it went wrong just now.
    fn is_new_failure(&self) -> bool {
        self.is_failure() && *self != Self::Diverged { fresh: false }
    }

    /// The word of the `status` column, or `refused`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Completed { .. } => "completed",
            Self::Diverged { .. } => "diverged",
            Self::Pruned { .. } => "pruned",
            Self::Interrupted => "interrupted",
            Self::TimedOut => "timed_out",
            Self::TooLarge { .. } => "refused",
            Self::Failed { .. } => "failed",
        }
    }

    /// The same as an earlier call's doing.
    fn stale(self) -> Self {
        match self {
            Self::Completed { .. } => Self::Completed { fresh: false },
            Self::Diverged { .. } => Self::Diverged { fresh: false },
            Self::Pruned { .. } => Self::Pruned { fresh: false },
            other => other,
        }
    }
}

/// Why runs could not be coordinated.
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
    /// The system refuses processes or signals.
    #[error("The worker process could not be started: {0}.")]
    Worker(io::Error),
}

/// Sees what happens while it happens: the progress views.
pub trait Observer {
    /// A run is taken up: its folder, and whether another process works on it already.
    fn begins(&mut self, job: &Job, folder: &RunFolder, by_another: bool);
    /// Something happened in a run.
    fn line(&mut self, job: &Job, line: &Line);
    /// A failed run is begun again.
    fn retries(&mut self, _job: &Job, _message: &str) {}
    /// A run ended.
    fn ended(&mut self, _job: &Job, _outcome: &RunOutcome, _store: &Store) {}
    /// A moment has passed.
    fn looks(&mut self, _queue: &Queue) {}
    /// Everything is being stopped, and why.
    fn stopping(&mut self, why: Stopping);
    /// Nothing may be drawn until something happens again: the process is about to be stopped by Ctrl-Z.
    fn pauses(&mut self) {}
}

/// Why everything is being stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopping {
    /// The first Ctrl-C: workers save.
    Asked,
    /// The second: workers are killed.
    Now,
    /// Too many failures.
    Failures(usize),
}

/// Owns the store while runs are done.
#[derive(Debug)]
pub struct Coordinator {
    results: Results,
    store: Store,
    wake: Wake,
    clock: Clock,
    attempts: Vec<Attempt>,
    judges: HashMap<usize, Judge>,
    /// Jobs that another process worked on while we looked.
    followed: HashSet<usize>,
    stops: usize,
    failures: usize,
    gave_up: bool,
    commit: Option<(String, bool)>,
    command_line: Vec<String>,
}

/// What to do about a run key.
#[derive(Debug, PartialEq)]
enum Decision {
    /// It is done: nothing.
    Done(RunFolder, RunOutcome),
    /// Begin, or go on, in this folder.
    Work(RunFolder),
}

impl Coordinator {
    /// Opens the store and catches the signals that mean "stop". `command_line` is for the record.
    ///
    /// # Errors
    /// When the store cannot be opened or the system refuses signal handlers.
    pub fn new(results: Results, command_line: Vec<String>) -> Result<Self, CoordinateError> {
        let store = Store::open(results.store())?;
        Self::with_store(results, store, command_line)
    }

    /// For runs that no store is to know of.
    ///
    /// # Errors
    /// When the system refuses signal handlers.
    pub fn unrecorded(results: Results, command_line: Vec<String>) -> Result<Self, CoordinateError> {
        let store = Store::in_memory()?;
        Self::with_store(results, store, command_line)
    }

    fn with_store(results: Results, store: Store, command_line: Vec<String>) -> Result<Self, CoordinateError> {
        Ok(Self {
            results,
            store,
            wake: Wake::new().map_err(CoordinateError::Worker)?,
            clock: Clock::default(),
            attempts: Vec::new(),
            judges: HashMap::new(),
            followed: HashSet::new(),
            stops: 0,
            failures: 0,
            gave_up: false,
            commit: git_commit(),
            command_line,
        })
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The store, for what must be settled before runs begin.
    pub fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    /// Whether the user asked to stop.
    pub fn was_interrupted(&self) -> bool {
        self.stops > 0
    }

    /// Does all jobs of a queue.
    ///
    /// # Errors
    /// [`CoordinateError`] when the store or the system cannot be used. What happens to one run is its outcome.
    pub fn work(
        &mut self,
        queue: &mut Queue,
        limits: &Limits,
        observer: &mut dyn Observer,
    ) -> Result<(), CoordinateError> {
        self.learn_of_earlier_runs(queue)?;
        self.advance(queue)?;
        loop {
            self.heed_signals(observer)?;
            if !self.is_stopping() {
                self.fill(queue, limits, observer)?;
            }
            let ended = self.listen(queue, limits, observer)?;
            self.enforce(limits);
            observer.looks(queue);
            if self.attempts.is_empty() && (self.is_stopping() || queue.is_drained()) {
                return Ok(());
            }
            if !ended {
                self.wake.sleep(LOOK);
            }
        }
    }

    fn is_stopping(&self) -> bool {
        self.stops > 0 || self.gave_up
    }

    /// Tells the judges what runs did before this call.
    fn learn_of_earlier_runs(&mut self, queue: &Queue) -> Result<(), CoordinateError> {
        for study in 0..queue.files().len() {
            if let Some((rule, objective)) = queue.pruner(study) {
                self.judges.insert(study, Judge::new(rule, objective));
            }
        }
        for job in queue.jobs().iter().filter(|job| job.outcome.is_some()) {
            let (Some(judge), Some(id)) = (self.judges.get_mut(&job.run.study), &job.id) else { continue };
            let Some((_, objective)) = queue.pruner(job.run.study) else { continue };
            for epoch in self.store.epochs(id)? {
                if let Some(value) = value(objective, &epoch) {
                    judge.learn(job.number, epoch.epoch, value);
                }
            }
            if matches!(job.outcome, Some(RunOutcome::Completed { .. })) {
                judge.complete(job.number);
            }
        }
        Ok(())
    }

    /// Lets searches go on, with the results of runs that are done already.
    fn advance(&mut self, queue: &mut Queue) -> Result<(), CoordinateError> {
        loop {
            let done = queue.advance();
            if done.is_empty() {
                return Ok(());
            }
            for number in done {
                if let Some(outcome) = queue.job(number).outcome.clone() {
                    let value = self.objective(queue, number)?;
                    queue.finish(number, outcome, value);
                }
            }
        }
    }

    fn objective(&self, queue: &Queue, number: usize) -> Result<Option<f64>, CoordinateError> {
        let job = queue.job(number);
        let sweep = queue.files().get(job.run.study).and_then(|file| file.sweep());
        let (Some(sweep), Some(id)) = (sweep, &job.id) else { return Ok(None) };
        let [loss, accuracy, auc] = self.store.validation(id)?;
        Ok(match sweep.objective() {
            Objective::ValLoss => loss,
            Objective::ValAccuracy => accuracy,
            Objective::ValAuc => auc,
        })
    }

    fn heed_signals(&mut self, observer: &mut dyn Observer) -> Result<(), CoordinateError> {
        let asked = self.wake.asked();
        if asked.pause {
            self.pause(observer)?;
        }
        for _ in 0..asked.stops {
            self.stops += 1;
            observer.stopping(if self.stops == 1 { Stopping::Asked } else { Stopping::Now });
            if self.stops == 1 {
                self.ask_all();
            } else {
                self.attempts.iter_mut().for_each(Attempt::kill);
            }
        }
        Ok(())
    }

    fn ask_all(&mut self) {
        let now = self.clock.now();
        self.attempts.iter_mut().for_each(|attempt| attempt.ask(Why::Stop, now));
        // Another's run goes on without us.
        self.attempts.retain(|attempt| attempt.worker.is_some());
    }

    /// Ctrl-Z: workers and clocks stand still until the process is continued.
    fn pause(&mut self, observer: &mut dyn Observer) -> Result<(), CoordinateError> {
        observer.pauses();
        let workers = || self.attempts.iter().filter_map(|attempt| attempt.worker.as_ref());
        workers().for_each(Worker::pause);
        let begun = Instant::now();
        let paused = self.wake.pause_process();
        workers().for_each(Worker::go_on);
        self.clock.leave_out(begun.elapsed());
        paused.map_err(CoordinateError::Worker)
    }

    /// Begins jobs while there are slots, memory and GPUs for them.
    fn fill(&mut self, queue: &mut Queue, limits: &Limits, observer: &mut dyn Observer) -> Result<(), CoordinateError> {
        loop {
            let ours = || self.attempts.iter().filter(|attempt| attempt.worker.is_some());
            if ours().count() >= limits.jobs {
                return Ok(());
            }
            let taken: u64 = ours().map(|attempt| queue.job(attempt.job).memory).sum();
            let free_memory = limits.memory.map(|limit| limit.saturating_sub(taken));
            let used: Vec<usize> = ours().filter_map(|attempt| attempt.device).collect();
            let device = (0..limits.devices.len()).find(|device| !used.contains(device));
            let fits = |job: &Job| {
                let small = taken == 0 || free_memory.is_none_or(|free| job.memory <= free);
                small && (!job.needs_gpu() || device.is_some() || limits.devices.is_empty())
            };
            let Some(number) = queue.take(fits) else { return Ok(()) };
            let device = device.filter(|_| queue.job(number).needs_gpu());
            self.begin(queue, number, device, limits, observer)?;
        }
    }

    /// Begins a job, or finds it done or in other hands.
    fn begin(
        &mut self,
        queue: &mut Queue,
        number: usize,
        device: Option<usize>,
        limits: &Limits,
        observer: &mut dyn Observer,
    ) -> Result<(), CoordinateError> {
        let job = queue.job(number);
        let Ok(identity) = &job.run.identity else { return Ok(()) };
        let accept_pruned = queue.accepts_pruned(job.run.study);
        let force = job.force && !self.followed.contains(&number) && job.retries == 0;
        let begun =
            decide(&self.results, &identity.run_key, force, accept_pruned).and_then(|decision| match decision {
                Decision::Done(folder, outcome) => Ok((folder, Some(outcome))),
                Decision::Work(folder) => {
                    let spec = self.spec(&folder, job, limits.threads);
                    write_run(&folder, &spec, &job.run.experiment)
                        .map_err(|error| CoordinateError::Folder { path: folder.path().to_owned(), error })?;
                    Ok((folder, None))
                }
            });
        let (folder, done) = match begun {
            Ok(begun) => begun,
            Err(error) if queue.jobs().len() == 1 => return Err(error),
            Err(error) => return self.end(queue, number, failed(error), observer),
        };
        queue.set_id(number, folder.id());
        let mut attempt = Attempt::new(number, folder, self.clock.now());
        let earlier = attempt.read().map_err(|error| unusable(&attempt, error))?;
        self.take(queue, number, &attempt.folder, &earlier)?;
        if let Some(outcome) = done {
            let outcome = if self.followed.contains(&number) { outcome } else { outcome.stale() };
            return self.end(queue, number, outcome, observer);
        }
        let free = attempt.folder.try_lock().map_err(|error| unusable(&attempt, error))?.is_some();
        observer.begins(queue.job(number), &attempt.folder, !free);
        if free {
            let name = device.map(|device| limits.devices[device].as_str());
            attempt.worker =
                Some(Worker::start(&attempt.folder, limits.threads, name).map_err(CoordinateError::Worker)?);
            attempt.device = device;
        } else {
            self.followed.insert(number);
        }
        self.attempts.push(attempt);
        Ok(())
    }

    fn spec(&self, folder: &RunFolder, job: &Job, threads: usize) -> RunSpec {
        let cache = std::path::absolute(self.results.cache()).unwrap_or_else(|_| self.results.cache());
        let identity = job.run.identity.as_ref().ok();
        RunSpec {
            id: folder.id(),
            run_key: identity.map(|identity| identity.run_key.clone()).unwrap_or_default(),
            point_key: identity
                .map(|identity| point_key(&job.run.experiment, &identity.fingerprint))
                .unwrap_or_default(),
            cache,
            threads,
            command_line: self.command_line.clone(),
            point: job.run.label(),
            commit: self.commit.clone(),
        }
    }

    /// Lines become rows, and the judges hear of them.
    fn take(
        &mut self,
        queue: &Queue,
        number: usize,
        folder: &RunFolder,
        lines: &[Line],
    ) -> Result<(), CoordinateError> {
        let job = queue.job(number);
        self.store.take(&folder.id(), &job.run.experiment, lines)?;
        let (Some(judge), Some((_, objective))) = (self.judges.get_mut(&job.run.study), queue.pruner(job.run.study))
        else {
            return Ok(());
        };
        for line in lines {
            match &line.event {
                Event::Epoch(epoch) => {
                    if let Some(value) = value(objective, epoch) {
                        judge.learn(number, epoch.epoch, value);
                    }
                }
                Event::Completed(_) => judge.complete(number),
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads what workers told and ends the attempts whose workers are gone. Says whether any ended.
    fn listen(
        &mut self,
        queue: &mut Queue,
        limits: &Limits,
        observer: &mut dyn Observer,
    ) -> Result<bool, CoordinateError> {
        let mut any = false;
        for mut attempt in std::mem::take(&mut self.attempts) {
            // Looked at before the file is read, so that nothing is left unread.
            let ended = attempt.ended().map_err(|error| unusable(&attempt, error))?;
            let lines = attempt.read().map_err(|error| unusable(&attempt, error))?;
            if !lines.is_empty() {
                attempt.heard = self.clock.now();
                self.take(queue, attempt.job, &attempt.folder, &lines)?;
                lines.iter().for_each(|line| observer.line(queue.job(attempt.job), line));
                self.judge(queue, &mut attempt, &lines);
            }
            match ended {
                None => self.attempts.push(attempt),
                Some(status) => {
                    any = true;
                    self.close(queue, attempt, status, limits, observer)?;
                }
            }
        }
        Ok(any)
    }

    fn judge(&self, queue: &Queue, attempt: &mut Attempt, lines: &[Line]) {
        let job = queue.job(attempt.job);
        let epochs = job.run.experiment.train().epochs();
        let Some(judge) = self.judges.get(&job.run.study) else { return };
        // Several epochs may have passed since the last look; each is judged.
        let verdict = lines.iter().find_map(|line| match &line.event {
            Event::Epoch(epoch) if epoch.epoch < epochs => judge.verdict(attempt.job, epoch.epoch),
            _ => None,
        });
        if let Some(reason) = verdict {
            attempt.ask(Why::Pruned { reason }, self.clock.now());
        }
    }

    /// After nobody works on a run any more.
    fn close(
        &mut self,
        queue: &mut Queue,
        attempt: Attempt,
        status: Option<std::process::ExitStatus>,
        limits: &Limits,
        observer: &mut dyn Observer,
    ) -> Result<(), CoordinateError> {
        let number = attempt.job;
        if attempt.worker.is_none() {
            // The other process finished, or died: look again what there is to do.
            queue.again(number);
            return Ok(());
        }
        let concluded = if is_busy(status) { Ok(None) } else { attempt.conclude(status) };
        let outcome = match concluded {
            Ok(Some(outcome)) => outcome,
            Ok(None) => return self.follow(queue, attempt, observer),
            Err(error) => failed(unusable(&attempt, error)),
        };
        let lines = events::read_all(&attempt.folder.events()).map_err(|error| unusable(&attempt, error))?;
        self.take(queue, number, &attempt.folder, &lines)?;
        match &outcome {
            RunOutcome::Failed { message, kind: FailureKind::Run }
                if queue.job(number).retries < limits.retries && !self.is_stopping() =>
            {
                queue.retry(number);
                observer.retries(queue.job(number), message);
                Ok(())
            }
            _ => {
                self.end(queue, number, outcome, observer)?;
                self.give_up_after(limits, observer);
                Ok(())
            }
        }
    }

    /// Another coordinator's worker has the run, or has done it: waits for that.
    fn follow(
        &mut self,
        queue: &mut Queue,
        attempt: Attempt,
        observer: &mut dyn Observer,
    ) -> Result<(), CoordinateError> {
        let number = attempt.job;
        self.followed.insert(number);
        if self.is_stopping() {
            return self.end(queue, number, RunOutcome::Interrupted, observer);
        }
        observer.begins(queue.job(number), &attempt.folder, true);
        self.attempts.push(attempt.follow());
        Ok(())
    }

    fn end(
        &mut self,
        queue: &mut Queue,
        number: usize,
        outcome: RunOutcome,
        observer: &mut dyn Observer,
    ) -> Result<(), CoordinateError> {
        if outcome.is_new_failure() {
            self.failures += 1;
        }
        observer.ended(queue.job(number), &outcome, &self.store);
        let value = self.objective(queue, number)?;
        queue.finish(number, outcome, value);
        if self.is_stopping() { Ok(()) } else { self.advance(queue) }
    }

    fn give_up_after(&mut self, limits: &Limits, observer: &mut dyn Observer) {
        if limits.max_failures.is_some_and(|most| self.failures >= most) && !self.is_stopping() {
            self.gave_up = true;
            observer.stopping(Stopping::Failures(self.failures));
            self.ask_all();
        }
    }

    /// Ends what runs too long, is silent too long, or does not stop when asked.
    fn enforce(&mut self, limits: &Limits) {
        let now = self.clock.now();
        for attempt in &mut self.attempts {
            match (&attempt.asked, limits.timeout) {
                (Some((_, asked)), _) if now.saturating_sub(*asked) > limits.grace && !attempt.killed => attempt.kill(),
                (None, Some(limit)) if now.saturating_sub(attempt.begun) > limit => {
                    attempt.ask(Why::TimedOut { limit }, now);
                }
                (None, _) if now.saturating_sub(attempt.heard) > limits.stall => {
                    attempt.ask(Why::Stalled { silent: limits.stall }, now);
                }
                _ => {}
            }
        }
    }
}

fn unusable(attempt: &Attempt, error: io::Error) -> CoordinateError {
    CoordinateError::Folder { path: attempt.folder.path().to_owned(), error }
}

fn failed(error: CoordinateError) -> RunOutcome {
    RunOutcome::Failed { message: error.to_string(), kind: FailureKind::Run }
}

/// The objective after an epoch, if it was measured on a validation set.
fn value(objective: Objective, epoch: &events::Epoch) -> Option<f64> {
    if epoch.held_out_part != Part::Validation {
        return None;
    }
    match objective {
        Objective::ValLoss => Some(epoch.held_out.loss),
        Objective::ValAccuracy => Some(epoch.held_out.accuracy),
        Objective::ValAuc => epoch.held_out_auc,
    }
}

/// The newest run of a key is gone on with unless it is over; `force` begins another.
fn decide(results: &Results, run_key: &str, force: bool, accept_pruned: bool) -> Result<Decision, CoordinateError> {
    let ordinals = results.ordinals(run_key);
    let newest = results.run(&Results::id(run_key, ordinals.max(1)));
    let lines = events::read_all(&newest.events())
        .map_err(|error| CoordinateError::Folder { path: newest.path().to_owned(), error })?;
    let over = lines.iter().find_map(|line| match &line.event {
        Event::Completed(_) => Some(RunOutcome::Completed { fresh: true }),
        Event::Diverged { .. } => Some(RunOutcome::Diverged { fresh: true }),
        _ => None,
    });
    let pruned = matches!(lines.last().map(|line| &line.event), Some(Event::Pruned { .. }));
    let over = over.or((pruned && accept_pruned).then_some(RunOutcome::Pruned { fresh: true }));
    Ok(match (over, force) {
        (None, _) => Decision::Work(newest),
        (Some(outcome), false) => Decision::Done(newest, outcome),
        (Some(_), true) => Decision::Work(results.run(&Results::id(run_key, ordinals + 1))),
    })
}

/// Writes what a worker needs into a run's folder.
fn write_run(folder: &RunFolder, spec: &RunSpec, experiment: &Experiment) -> io::Result<()> {
    fs::create_dir_all(folder.path())?;
    write_atomically(&folder.experiment(), experiment.to_toml().as_bytes())?;
    write_atomically(&folder.spec(), &serde_json::to_vec_pretty(spec)?)
}
