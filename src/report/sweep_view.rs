//! What a sweep shows while it runs: a line for each worker on a terminal, a line for each end elsewhere, JSON for scripts.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{IsTerminal, Write};
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

use super::summary::{duration, percent};
use super::tell;
use crate::config::Objective;
use crate::events::{Event, Line};
use crate::schedule::coordinator::{Answer, Observer, Stopping};
use crate::schedule::{Job, Queue, RunOutcome};
use crate::store::{RunSummary, Store};
use crate::train::folder::RunFolder;

/// Slurm's reasons for waiting that somebody must look into.
const NEEDS_CARE: [&str; 8] =
    ["Held", "held", "Never", "BadConstraints", "Limit", "ReqNodeNotAvail", "PartitionDown", "PartitionInactive"];

/// For people, on stderr.
#[derive(Debug)]
pub struct SweepView {
    bars: MultiProgress,
    total: ProgressBar,
    workers: HashMap<usize, ProgressBar>,
    /// Jobs that wait elsewhere, and why.
    waiting: HashMap<usize, String>,
    /// Reasons for waiting that were told.
    told: HashSet<String>,
    /// Shares of the running jobs that are done.
    shares: HashMap<usize, f64>,
    quiet: bool,
    objective: Objective,
    /// The best value so far, and where.
    best: Option<(f64, String)>,
    begun: Instant,
    /// Work done in this call.
    done: f64,
    failures: usize,
    ended: usize,
}

impl SweepView {
    /// A view; a quiet one shows nothing.
    pub fn new(objective: Objective, quiet: bool) -> Self {
        let shown = std::io::stderr().is_terminal() && !quiet;
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bars = MultiProgress::with_draw_target(target);
        let total = bars.add(ProgressBar::new(0));
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            total.set_style(style);
        }
        Self {
            bars,
            total,
            workers: HashMap::new(),
            waiting: HashMap::new(),
            told: HashSet::new(),
            shares: HashMap::new(),
            quiet,
            objective,
            best: None,
            begun: Instant::now(),
            done: 0.0,
            failures: 0,
            ended: 0,
        }
    }

    fn say(&self, text: &str) {
        if !self.quiet {
            self.bars.suspend(|| tell(text));
        }
    }

    /// Removes the lines that move.
    pub fn finish(&mut self) {
        self.workers.drain().for_each(|(_, bar)| bar.finish_and_clear());
        self.total.finish_and_clear();
    }

    fn worker(&mut self, job: &Job) -> &ProgressBar {
        let (bars, total) = (&self.bars, &self.total);
        self.workers.entry(job.number).or_insert_with(|| {
            let bar = bars.insert_before(total, ProgressBar::new(1));
            if let Ok(style) = ProgressStyle::with_template("{bar:20} {msg}") {
                bar.set_style(style);
            }
            bar
        })
    }

    /// Seconds left: what is to do at the speed so far.
    fn eta(&self, queue: &Queue) -> Option<f64> {
        let running = |job: &&Job| self.shares.contains_key(&job.number);
        let jobs = || queue.jobs().iter();
        let share = |job: &Job| self.shares.get(&job.number).copied().unwrap_or(0.0) * job.work();
        let partly: f64 = jobs().filter(running).map(share).sum();
        let all: f64 = jobs().filter(|job| job.outcome.is_none()).map(Job::work).sum();
        let speed = (self.done + partly) / self.begun.elapsed().as_secs_f64();
        (speed > 0.0).then(|| (all - partly) / speed)
    }

    fn counts(&self, queue: &Queue) -> String {
        let all = queue.jobs().len() + queue.to_come();
        let done = queue.jobs().iter().filter(|job| job.outcome.is_some()).count();
        let mut text = format!("{done} of {all} done, {} running", self.workers.len());
        if let Some(reason) = self.most_wait_for() {
            text += &format!(", {} waiting ({reason})", self.waiting.len());
        }
        if self.failures > 0 {
            text += &format!(", {} failed", self.failures);
        }
        if let Some(eta) = self.eta(queue) {
            text += &format!(", ETA {}", duration(eta));
        }
        if let Some((value, title)) = &self.best {
            text += &format!("; best {} {value:.4}: {title}", self.objective);
        }
        text
    }

    /// The reason for which most jobs wait.
    fn most_wait_for(&self) -> Option<&str> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        self.waiting.values().for_each(|reason| *counts.entry(reason).or_default() += 1);
        let most = counts.into_iter().max_by_key(|&(_, count)| count)?.0;
        Some(if most.is_empty() { "submitted" } else { most })
    }

    fn ended_line(&mut self, job: &Job, outcome: &RunOutcome, run: Option<&RunSummary>) -> String {
        self.ended += 1;
        let id = job.id.as_deref().map(|id| format!("  run {id}")).unwrap_or_default();
        let mut text = format!("{:11}  {}", outcome.word(), job.title());
        if let (RunOutcome::Completed { .. }, Some(run)) = (outcome, run) {
            let ceiling = run.ceiling.map(|ceiling| format!(", ceiling {}", percent(ceiling))).unwrap_or_default();
            let naive =
                run.naive_accuracy.map(|naive| format!(" (naive {}{ceiling})", percent(naive))).unwrap_or_default();
            text +=
                &run.accuracy.map(|accuracy| format!("  accuracy {}{naive}", percent(accuracy))).unwrap_or_default();
            text += &run.auc.map(|auc| format!("  AUC {auc:.3}")).unwrap_or_default();
            text += &run.seconds.map(|seconds| format!("  {}", duration(seconds))).unwrap_or_default();
        }
        text += &id;
        match outcome {
            RunOutcome::Failed { message, .. } => {
                let first = message.lines().next().unwrap_or_default();
                text += &format!("\n             {first}");
            }
            RunOutcome::Pruned { .. } | RunOutcome::Interrupted | RunOutcome::TimedOut => {
                if let Some(message) = run.and_then(|run| run.message.as_deref()) {
                    text += &format!("\n             {message}");
                }
            }
            _ => {}
        }
        text
    }
}

impl Observer for SweepView {
    fn waits(&mut self, job: &Job, reason: &str) {
        // One that was put back works no more.
        if let Some(bar) = self.workers.remove(&job.number) {
            bar.finish_and_clear();
            self.bars.remove(&bar);
            self.shares.remove(&job.number);
            self.say(&format!("put back     {}  {reason}", job.title()));
        }
        self.waiting.insert(job.number, reason.to_owned());
        if NEEDS_CARE.iter().any(|word| reason.contains(word)) && self.told.insert(reason.to_owned()) {
            self.say(&format!("waits        {}  Slurm says {reason}: it may not begin by itself", job.title()));
        }
    }

    fn notice(&mut self, text: &str) {
        self.say(&format!("slurm        {text}"));
    }

    fn asks(&mut self, jobs: usize) -> bool {
        let can_ask = !self.quiet && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        if can_ask {
            let jobs = if jobs == 1 { "job".to_owned() } else { format!("{jobs} jobs") };
            self.say(&format!("Leave the {jobs} in Slurm (l), cancel (c), or go on watching (w)? Ctrl-C leaves."));
        }
        can_ask
    }

    fn answer(&mut self) -> Option<Answer> {
        let stdin = std::io::stdin();
        let mut ready = [PollFd::new(&stdin, PollFlags::IN)];
        let none = Timespec { tv_sec: 0, tv_nsec: 0 };
        if !matches!(poll(&mut ready, Some(&none)), Ok(number) if number > 0) {
            return None;
        }
        let mut line = String::new();
        // The end of input is no answer but the same as going away.
        match stdin.read_line(&mut line) {
            Ok(0) | Err(_) => Some(Answer::Leave),
            Ok(_) => match line.trim().to_ascii_lowercase().as_str() {
                "c" | "cancel" => Some(Answer::Cancel),
                "w" | "watch" => Some(Answer::Watch),
                "l" | "leave" => Some(Answer::Leave),
                _ => {
                    self.say("Please type l, c or w and Enter.");
                    None
                }
            },
        }
    }

    fn begins(&mut self, job: &Job, folder: &RunFolder, by_another: bool) {
        self.waiting.remove(&job.number);
        if by_another {
            self.say(&format!("elsewhere    {}  run {}: another process works on it", job.title(), folder.id()));
        } else {
            self.shares.insert(job.number, 0.0);
            let title = job.title();
            self.worker(job).set_message(format!("{title}  starting"));
        }
    }

    fn line(&mut self, job: &Job, line: &Line) {
        let title = job.title();
        match &line.event {
            Event::Started(started) => {
                if let Some((epochs, steps)) = started.resumed_from {
                    self.say(&format!("goes on      {title}  from epoch {epochs} and step {steps}"));
                }
            }
            Event::Decoding { done, total } => {
                self.worker(job).set_message(format!("{title}  decoding {done} of {total} images"));
            }
            Event::Progress(progress) => {
                let all = progress.epochs.saturating_mul(progress.steps).max(1);
                let done = progress.steps_done();
                self.shares.insert(job.number, done as f64 / all as f64);
                let bar = self.worker(job);
                bar.set_length(all as u64);
                bar.set_position(done as u64);
                bar.set_message(format!(
                    "{title}  epoch {}/{}  {}",
                    progress.epoch,
                    progress.epochs,
                    progress.figures()
                ));
            }
            Event::Epoch(epoch) => {
                let epochs = job.run.experiment.train().epochs();
                self.shares.insert(job.number, epoch.epoch as f64 / epochs as f64);
                let bar = self.worker(job);
                bar.set_length(epochs as u64);
                bar.set_position(epoch.epoch as u64);
                bar.set_message(format!(
                    "{title}  epoch {}/{epochs}  loss {:.4}  accuracy {:.3}  {} {:.3}  {:.0} images/s",
                    epoch.epoch,
                    epoch.train.loss,
                    epoch.train.accuracy,
                    epoch.held_out_part.name(),
                    epoch.held_out.accuracy,
                    epoch.images_per_second
                ));
            }
            _ => {}
        }
    }

    fn retries(&mut self, job: &Job, message: &str) {
        let first = message.lines().next().unwrap_or_default();
        self.say(&format!("again        {}  {first}", job.title()));
    }

    fn ended(&mut self, job: &Job, outcome: &RunOutcome, store: &Store) {
        self.waiting.remove(&job.number);
        if let Some(bar) = self.workers.remove(&job.number) {
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
        if self.shares.remove(&job.number).is_some() {
            self.done += job.work();
        }
        self.failures += usize::from(outcome.is_failure());
        let run = job.id.as_deref().and_then(|id| store.summary(id).ok().flatten());
        if let (RunOutcome::Completed { .. }, Some(value)) = (outcome, run.as_ref().and_then(|run| self.value(run)))
            && self.best.as_ref().is_none_or(|(best, _)| self.objective.better(value, *best))
        {
            self.best = Some((value, job.title()));
        }
        let text = self.ended_line(job, outcome, run.as_ref());
        self.say(&text);
    }

    fn looks(&mut self, queue: &Queue) {
        let counts = self.counts(queue);
        self.total.set_message(counts);
    }

    fn stopping(&mut self, why: Stopping) {
        match why {
            Stopping::Asked => self.say("Saving and stopping; press Ctrl-C again to stop now."),
            Stopping::Now => {}
            Stopping::Left(jobs) => {
                let jobs = if jobs == 1 { "1 job goes on".to_owned() } else { format!("{jobs} jobs go on") };
                self.say(&format!("{jobs} in Slurm; the same command picks up what is there."));
            }
            Stopping::Failures(number) => {
                self.say(&format!("Stopping after {number} failed runs; what ran is saved."));
            }
        }
    }

    fn pauses(&mut self) {
        self.say("Paused; `fg` goes on.");
    }
}

impl SweepView {
    fn value(&self, run: &RunSummary) -> Option<f64> {
        match self.objective {
            Objective::ValLoss => run.validation_loss,
            Objective::ValAccuracy => run.validation_accuracy,
            Objective::ValAuc => run.validation_auc,
        }
    }
}

/// For scripts: a JSON object a line on stdout.
#[derive(Debug, Default)]
pub struct SweepEvents;

impl SweepEvents {
    /// Writes one object; a reader that has gone away is no error.
    pub fn write(value: &Value) {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{value}").and_then(|()| out.flush());
    }
}

impl Observer for SweepEvents {
    fn waits(&mut self, job: &Job, reason: &str) {
        let reason = if reason.is_empty() { "submitted" } else { reason };
        Self::write(&json!({ "event": "waits", "run": job.id, "reason": reason }));
    }

    fn notice(&mut self, text: &str) {
        Self::write(&json!({ "event": "notice", "text": text }));
    }

    fn begins(&mut self, job: &Job, folder: &RunFolder, by_another: bool) {
        Self::write(&json!({
            "event": "begins", "run": folder.id(), "name": job.run.experiment.name(), "point": job.run.label(),
            "elsewhere": by_another
        }));
    }

    fn line(&mut self, job: &Job, line: &Line) {
        if let (Event::Epoch(epoch), Some(id)) = (&line.event, &job.id) {
            Self::write(&json!({ "event": "epoch", "run": id, "epoch": epoch }));
        }
    }

    fn retries(&mut self, job: &Job, message: &str) {
        Self::write(&json!({ "event": "retries", "run": job.id, "failures": job.retries, "message": message }));
    }

    fn ended(&mut self, job: &Job, outcome: &RunOutcome, store: &Store) {
        let run = job.id.as_deref().and_then(|id| store.summary(id).ok().flatten());
        let message = match outcome {
            RunOutcome::Failed { message, .. } => Some(message.as_str()),
            _ => None,
        };
        Self::write(&json!({
            "event": "ended", "run": job.id, "name": job.run.experiment.name(), "point": job.run.label(),
            "status": outcome.word(), "message": message, "summary": run
        }));
    }

    fn stopping(&mut self, why: Stopping) {
        let because = match why {
            Stopping::Failures(_) => "failures",
            Stopping::Left(_) => "left",
            Stopping::Asked | Stopping::Now => "asked",
        };
        Self::write(&json!({ "event": "stopping", "because": because }));
    }
}
