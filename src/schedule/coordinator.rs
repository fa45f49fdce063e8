//! Runs from request to result: fills the slots with workers, reads what they tell, is the only writer of the store.
//!
//! One thread does all of it, in a loop that sleeps until a worker ends, a signal comes or a moment has passed.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::attempt::{Attempt, Look, Why};
use super::devices::{Claim, place};
use super::identity::point_key;
use super::launcher::{Ending, Launcher, Needs, Order, WorkerId};
use super::local::LocalLauncher;
use super::prune::Judge;
use super::queue::{Again, Job, Queue};
use super::results::Results;
use super::wake::{Asked, Clock, Wake};
use crate::config::{Experiment, Objective};
use crate::events::{self, Event, FailureKind, Line, Part};
use crate::store::{Store, StoreError};
use crate::train::environment::git_commit;
use crate::train::folder::{RunFolder, RunSpec, write_atomically};
use crate::train::gpu::Device;

/// How many runs at once, with what, and when enough is enough.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Workers at the same time.
    pub jobs: usize,
    /// Threads of each.
    pub threads: usize,
    /// Bytes of memory that all may take together, by estimate; `None`: not limited.
    pub memory: Option<u64>,
    /// GPUs of this machine.
    pub devices: Vec<Device>,
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
    /// How often a run is begun again that was lost through no fault of its own.
    pub losses: usize,
    /// How many time limits of a cluster a run may use up.
    pub time_limits: usize,
    /// What Ctrl-C does to workers that can live on without us.
    pub on_interrupt: OnInterrupt,
}

/// What Ctrl-C does to workers that can live on without their coordinator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnInterrupt {
    /// Ask on a terminal; leave them where there is none.
    #[default]
    Ask,
    /// They go on, and the same command picks them up.
    Leave,
    /// They save and stop.
    Cancel,
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
            losses: 0,
            time_limits: 1,
            on_interrupt: OnInterrupt::default(),
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
        /// Of what: `memory` or `GPU memory`.
        of: &'static str,
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
    /// A run waits for its turn elsewhere, and why.
    fn waits(&mut self, _job: &Job, _reason: &str) {}
    /// Something that the user should hear.
    fn notice(&mut self, _text: &str) {}
    /// The user pressed Ctrl-C: what is to become of so many jobs? The answer comes later, by [`Observer::answer`].
    /// Says whether there is anybody to ask.
    fn asks(&mut self, _jobs: usize) -> bool {
        false
    }
    /// The answer, if there is one by now.
    fn answer(&mut self) -> Option<Answer> {
        None
    }
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
    /// So many jobs go on without us.
    Left(usize),
}

/// What becomes of the jobs of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// They go on.
    Leave,
    /// They save and stop.
    Cancel,
    /// They go on, and so does the coordinator.
    Watch,
}

/// Owns the store while runs are done.
#[derive(Debug)]
pub struct Coordinator {
    results: Results,
    store: Store,
    launcher: Box<dyn Launcher>,
    wake: Wake,
    clock: Clock,
    attempts: Vec<Attempt>,
    judges: HashMap<usize, Judge>,
    /// Jobs that another process worked on while we looked.
    followed: HashSet<usize>,
    /// Jobs that were begun in this call.
    begun: HashSet<usize>,
    stops: usize,
    /// Whether a question is open.
    asking: bool,
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
            launcher: Box::new(LocalLauncher::default()),
            wake: Wake::new().map_err(CoordinateError::Worker)?,
            clock: Clock::default(),
            attempts: Vec::new(),
            judges: HashMap::new(),
            followed: HashSet::new(),
            begun: HashSet::new(),
            stops: 0,
            asking: false,
            failures: 0,
            gave_up: false,
            commit: git_commit(),
            command_line,
        })
    }

    /// The same with workers elsewhere.
    #[must_use]
    pub fn with_launcher(self, launcher: Box<dyn Launcher>) -> Self {
        Self { launcher, ..self }
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
            self.heed_signals(limits, observer)?;
            self.launcher.look().iter().for_each(|text| observer.notice(text));
            if !self.is_stopping() && self.launcher.is_ready() {
                self.fill(queue, limits, observer)?;
            }
            let ended = self.listen(queue, limits, observer)?;
            self.enforce(limits);
            observer.looks(queue);
            if self.attempts.is_empty() && (self.is_stopping() || queue.is_drained()) {
                self.launcher.leave();
                return Ok(());
            }
            if !ended {
                let working = self.attempts.iter().filter(|attempt| attempt.waits.is_none()).count();
                self.wake.sleep(self.launcher.pace(working));
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

    fn heed_signals(&mut self, limits: &Limits, observer: &mut dyn Observer) -> Result<(), CoordinateError> {
        let asked = self.wake.asked();
        if asked.pause {
            self.pause(observer)?;
        }
        if self.launcher.is_detached() {
            self.heed_detached(asked, limits, observer);
            return Ok(());
        }
        for _ in 0..asked.stops {
            self.stops += 1;
            observer.stopping(if self.stops == 1 { Stopping::Asked } else { Stopping::Now });
            if self.stops == 1 {
                self.ask_all();
            } else {
                self.attempts.iter_mut().for_each(|attempt| attempt.kill(&mut *self.launcher));
            }
        }
        Ok(())
    }

    /// Stopping when workers can live on: Ctrl-C asks what is to become of them; a second one leaves them, and so does the
    /// end of the session.
    fn heed_detached(&mut self, asked: Asked, limits: &Limits, observer: &mut dyn Observer) {
        if asked.stops > 0 {
            let first = self.stops == 0 && !self.asking;
            match limits.on_interrupt {
                OnInterrupt::Cancel if first => self.cancel_all(observer),
                OnInterrupt::Ask if first && asked.stops == 1 && asked.interrupts == 1 => {
                    self.asking = observer.asks(self.attempts.len());
                    if !self.asking {
                        self.leave_all(observer);
                    }
                }
                _ => self.leave_all(observer),
            }
        }
        if self.asking
            && let Some(answer) = observer.answer()
        {
            self.asking = false;
            match answer {
                Answer::Leave => self.leave_all(observer),
                Answer::Cancel => self.cancel_all(observer),
                Answer::Watch => {}
            }
        }
    }

    fn cancel_all(&mut self, observer: &mut dyn Observer) {
        self.stops += 1;
        observer.stopping(Stopping::Asked);
        self.ask_all();
    }

    fn leave_all(&mut self, observer: &mut dyn Observer) {
        self.stops += 1;
        self.asking = false;
        observer.stopping(Stopping::Left(self.attempts.len()));
        self.attempts.clear();
    }

    fn ask_all(&mut self) {
        let now = self.clock.now();
        self.attempts.iter_mut().for_each(|attempt| attempt.ask(Why::Stop, now, &mut *self.launcher));
        // Another's run goes on without us.
        self.attempts.retain(|attempt| attempt.worker.is_some());
    }

    /// Ctrl-Z: workers and clocks stand still until the process is continued.
    fn pause(&mut self, observer: &mut dyn Observer) -> Result<(), CoordinateError> {
        observer.pauses();
        let workers: Vec<WorkerId> = self.attempts.iter().filter_map(|attempt| attempt.worker).collect();
        workers.iter().for_each(|&worker| self.launcher.pause(worker));
        let begun = Instant::now();
        let paused = self.wake.pause_process();
        workers.iter().for_each(|&worker| self.launcher.go_on(worker));
        self.clock.leave_out(begun.elapsed());
        paused.map_err(CoordinateError::Worker)
    }

    /// Begins jobs while there are slots, memory and GPUs for them.
    fn fill(&mut self, queue: &mut Queue, limits: &Limits, observer: &mut dyn Observer) -> Result<(), CoordinateError> {
        let mut ready = Vec::new();
        while let Some((number, device)) = self.next(queue, limits) {
            ready.extend(self.prepare(queue, number, device, limits, observer)?);
            if ready.len() >= self.launcher.batch() {
                self.start(std::mem::take(&mut ready), queue, observer)?;
                self.heed_signals(limits, observer)?;
                if self.is_stopping() {
                    return Ok(());
                }
            }
        }
        self.start(ready, queue, observer)
    }

    /// The next job for which there is room, and the GPU that it has then.
    fn next(&self, queue: &mut Queue, limits: &Limits) -> Option<(usize, Option<usize>)> {
        let ours = || self.attempts.iter().filter(|attempt| attempt.worker.is_some());
        if limits.jobs < usize::MAX && ours().count() >= limits.jobs {
            return None;
        }
        let taken = limits.memory.map_or(0, |_| ours().map(|attempt| queue.job(attempt.job).memory).sum());
        let free_memory = limits.memory.map(|limit| limit.saturating_sub(taken));
        let on_gpus = ours().filter(|attempt| attempt.device.is_some());
        let working: Vec<Claim> =
            on_gpus.map(|attempt| Claim { device: attempt.device, ..queue.job(attempt.job).claim }).collect();
        let device = |job: &Job| place(&limits.devices, &working, job.claim);
        let fits = |job: &Job| {
            let small = taken == 0 || free_memory.is_none_or(|free| job.memory <= free);
            small && (!job.needs_gpu() || limits.devices.is_empty() || device(job).is_some())
        };
        let number = queue.take(fits)?;
        let job = queue.job(number);
        Some((number, if job.needs_gpu() { device(job) } else { None }))
    }

    /// Makes a job ready to be begun, or finds it done, in other hands, or with a worker of an earlier coordinator.
    fn prepare(
        &mut self,
        queue: &mut Queue,
        number: usize,
        device: Option<usize>,
        limits: &Limits,
        observer: &mut dyn Observer,
    ) -> Result<Option<(Attempt, Order)>, CoordinateError> {
        let job = queue.job(number);
        let Ok(identity) = &job.run.identity else { return Ok(None) };
        let accept_pruned = queue.accepts_pruned(job.run.study);
        let force = job.force && !self.followed.contains(&number) && !self.begun.contains(&number);
        let needs = self.launcher.needs(job, limits.threads);
        let found = decide(&self.results, &identity.run_key, force, accept_pruned).and_then(|decision| {
            let folder = match decision {
                Decision::Done(folder, outcome) => return Ok((folder, Found::Done(outcome))),
                Decision::Work(folder) => folder,
            };
            if let Some(worker) = self.launcher.find(&folder) {
                return Ok((folder, Found::Worker(worker)));
            }
            let spec = self.spec(&folder, job, &needs);
            write_run(&folder, &spec, &job.run.experiment)
                .map_err(|error| CoordinateError::Folder { path: folder.path().to_owned(), error })?;
            Ok((folder, Found::Nobody))
        });
        let (folder, found) = match found {
            Ok(found) => found,
            Err(error) if queue.jobs().len() == 1 => return Err(error),
            Err(error) => {
                self.end(queue, number, failed(error), observer)?;
                return Ok(None);
            }
        };
        queue.set_id(number, folder.id());
        let mut attempt = Attempt::new(number, folder, self.clock.now());
        let earlier = attempt.read_earlier().map_err(|error| unusable(&attempt, error))?;
        self.take(queue, number, &attempt.folder, &earlier)?;
        match found {
            Found::Done(outcome) => {
                let outcome = if self.followed.contains(&number) { outcome } else { outcome.stale() };
                self.end(queue, number, outcome, observer)?;
                return Ok(None);
            }
            Found::Worker(worker) => {
                self.hand_over(queue, attempt, worker, observer);
                return Ok(None);
            }
            Found::Nobody => {}
        }
        if attempt.folder.try_lock().map_err(|error| unusable(&attempt, error))?.is_none() {
            observer.begins(queue.job(number), &attempt.folder, true);
            self.followed.insert(number);
            self.attempts.push(attempt);
            return Ok(None);
        }
        attempt.device = device;
        let device = device.map(|device| limits.devices[device].name.clone());
        let order = Order { folder: attempt.folder.clone(), needs, device };
        Ok(Some((attempt, order)))
    }

    fn start(
        &mut self,
        ready: Vec<(Attempt, Order)>,
        queue: &Queue,
        observer: &mut dyn Observer,
    ) -> Result<(), CoordinateError> {
        if ready.is_empty() {
            return Ok(());
        }
        let (attempts, orders): (Vec<Attempt>, Vec<Order>) = ready.into_iter().unzip();
        let workers = self.launcher.start(orders).map_err(CoordinateError::Worker)?;
        for (attempt, worker) in attempts.into_iter().zip(workers) {
            self.hand_over(queue, attempt, worker, observer);
        }
        Ok(())
    }

    /// A run has its worker.
    fn hand_over(&mut self, queue: &Queue, mut attempt: Attempt, worker: WorkerId, observer: &mut dyn Observer) {
        self.begun.insert(attempt.job);
        // Whether one that is elsewhere works already is seen at the next look.
        let waits = self.launcher.is_detached().then(String::new);
        if waits.is_none() {
            observer.begins(queue.job(attempt.job), &attempt.folder, false);
        }
        (attempt.worker, attempt.waits) = (Some(worker), waits);
        self.attempts.push(attempt);
    }

    fn spec(&self, folder: &RunFolder, job: &Job, needs: &Needs) -> RunSpec {
        let cache = std::path::absolute(self.results.cache()).unwrap_or_else(|_| self.results.cache());
        let identity = job.run.identity.as_ref().ok();
        RunSpec {
            id: folder.id(),
            run_key: identity.map(|identity| identity.run_key.clone()).unwrap_or_default(),
            point_key: identity
                .map(|identity| point_key(&job.run.experiment, &identity.fingerprint))
                .unwrap_or_default(),
            cache,
            threads: needs.cpus,
            time_limit: needs.time.map(|time| time.as_secs()),
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
            let look =
                attempt.look(self.clock.now(), &mut *self.launcher).map_err(|error| unusable(&attempt, error))?;
            if self.still_waits(queue, &mut attempt, &look, observer) {
                self.attempts.push(attempt);
                continue;
            }
            let lines = attempt.read().map_err(|error| unusable(&attempt, error))?;
            if !lines.is_empty() {
                attempt.heard = self.clock.now();
                self.take(queue, attempt.job, &attempt.folder, &lines)?;
                lines.iter().for_each(|line| observer.line(queue.job(attempt.job), line));
                self.judge(queue, &mut attempt, &lines);
            }
            match look {
                Look::Ended(ending) => {
                    any = true;
                    self.close(queue, attempt, ending, limits, observer)?;
                }
                Look::Waiting(_) | Look::Running => self.attempts.push(attempt),
            }
        }
        Ok(any)
    }

    /// Follows a worker from waiting to working and back. Says whether there is nothing to be read from it.
    fn still_waits(&self, queue: &Queue, attempt: &mut Attempt, look: &Look, observer: &mut dyn Observer) -> bool {
        match look {
            Look::Waiting(reason) => {
                if attempt.waits.as_ref() != Some(reason) {
                    attempt.waits = Some(reason.clone());
                    observer.waits(queue.job(attempt.job), reason);
                }
                true
            }
            Look::Running if attempt.waits.take().is_some() => {
                (attempt.begun, attempt.heard) = (self.clock.now(), self.clock.now());
                observer.begins(queue.job(attempt.job), &attempt.folder, false);
                false
            }
            _ => false,
        }
    }

    fn judge(&mut self, queue: &Queue, attempt: &mut Attempt, lines: &[Line]) {
        let job = queue.job(attempt.job);
        let epochs = job.run.experiment.train().epochs();
        let Some(judge) = self.judges.get(&job.run.study) else { return };
        // Several epochs may have passed since the last look; each is judged.
        let verdict = lines.iter().find_map(|line| match &line.event {
            Event::Epoch(epoch) if epoch.epoch < epochs => judge.verdict(attempt.job, epoch.epoch),
            _ => None,
        });
        if let Some(reason) = verdict {
            attempt.ask(Why::Pruned { reason }, self.clock.now(), &mut *self.launcher);
        }
    }

    /// After nobody works on a run any more.
    fn close(
        &mut self,
        queue: &mut Queue,
        attempt: Attempt,
        ending: Option<Ending>,
        limits: &Limits,
        observer: &mut dyn Observer,
    ) -> Result<(), CoordinateError> {
        let number = attempt.job;
        let Some(ending) = ending else {
            // The other process finished, or died: look again what there is to do.
            queue.again(number);
            return Ok(());
        };
        let concluded = if ending == Ending::Busy { Ok(None) } else { attempt.conclude(&ending) };
        let outcome = match concluded {
            Ok(Some(outcome)) => outcome,
            Ok(None) => return self.follow(queue, attempt, observer),
            Err(error) => failed(unusable(&attempt, error)),
        };
        let lines = events::read_all(&attempt.folder.events()).map_err(|error| unusable(&attempt, error))?;
        self.take(queue, number, &attempt.folder, &lines)?;
        // A run that never began has no file that could say why.
        if let (Ending::Cancelled(reason), true, false) = (&ending, lines.is_empty(), self.is_stopping()) {
            observer.notice(reason);
        }
        if !self.is_stopping()
            && let Some(reason) = self.begin_again(queue, &attempt, &ending, &outcome, limits)
        {
            observer.retries(queue.job(number), &reason);
            return Ok(());
        }
        self.end(queue, number, outcome, observer)?;
        self.give_up_after(limits, observer);
        Ok(())
    }

    /// Puts a run back that may be begun once more; says why.
    fn begin_again(
        &self,
        queue: &mut Queue,
        attempt: &Attempt,
        ending: &Ending,
        outcome: &RunOutcome,
        limits: &Limits,
    ) -> Option<String> {
        let job = queue.job(attempt.job);
        let (count, reason) = match (outcome, ending) {
            (RunOutcome::Failed { message, kind: FailureKind::Run }, ending)
                if job.retries < limits.retries && !matches!(ending, Ending::Refused(_)) =>
            {
                (Again::Failed, message.clone())
            }
            (RunOutcome::Interrupted, Ending::Lost(reason)) if job.losses < limits.losses => {
                (Again::Lost, reason.clone())
            }
            (RunOutcome::TimedOut, _)
                if attempt.asked.is_none()
                    && self.launcher.is_detached()
                    && job.limits_used + 1 < limits.time_limits =>
            {
                (Again::TimedOut, "its time was up, and it goes on with another job".to_owned())
            }
            _ => return None,
        };
        queue.begin_again(attempt.job, count);
        Some(reason)
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
        let launcher = &mut *self.launcher;
        for attempt in &mut self.attempts {
            let over = |since: Duration, limit: Duration| now.saturating_sub(since) > limit;
            match (&attempt.asked, limits.timeout) {
                (Some((_, asked)), _) if over(*asked, limits.grace) && !attempt.killed => attempt.kill(launcher),
                // What waits has not begun.
                (None, _) if attempt.waits.is_some() => {}
                (None, Some(limit)) if over(attempt.begun, limit) => {
                    attempt.ask(Why::TimedOut { limit }, now, launcher);
                }
                (None, _) if over(attempt.heard, limits.stall) => {
                    attempt.ask(Why::Stalled { silent: limits.stall }, now, launcher);
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

/// Who is at a run that is not done.
enum Found {
    /// It is done after all.
    Done(RunOutcome),
    /// A worker of an earlier coordinator.
    Worker(WorkerId),
    /// Nobody, or another coordinator's worker: its lock says so.
    Nobody,
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
