//! What a run shows while it runs: a bar on a terminal, plain lines elsewhere. Reads events and nothing else.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::summary::epoch_line;
use super::{on_one_line, tell};
use crate::events::{DataSummary, Event, Line, Started};
use crate::schedule::Job;
use crate::schedule::coordinator::{Observer, Stopping};
use crate::train::folder::RunFolder;

/// Broken images that are named one by one.
const NAMED: usize = 10;

/// The progress view of one run, on stderr.
#[derive(Debug)]
pub struct ProgressView {
    bar: ProgressBar,
    epochs: usize,
    quiet: bool,
}

impl ProgressView {
    /// A view of a run of `epochs` epochs; a quiet one shows nothing.
    pub fn new(epochs: usize, quiet: bool) -> Self {
        let shown = std::io::stderr().is_terminal() && !quiet;
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { bar: ProgressBar::with_draw_target(None, target), epochs, quiet }
    }

    fn say(&self, text: &str) {
        if !self.quiet {
            self.bar.suspend(|| tell(text));
        }
    }

    fn show(&self, done: usize, total: usize, unit: &str, message: String) {
        if self.bar.length() != Some(total as u64) || self.bar.is_finished() {
            let template = format!("{{bar:30}} {{pos}}/{{len}} {unit}  {{msg}}");
            if let Ok(style) = ProgressStyle::with_template(&template) {
                self.bar.set_style(style);
            }
            self.bar.reset();
            self.bar.set_length(total as u64);
        }
        self.bar.set_position(done as u64);
        self.bar.set_message(message);
    }

    fn started(&self, started: &Started) {
        if let Some((epochs, steps)) = started.resumed_from {
            self.say(&format!("Going on from the checkpoint after {epochs} epochs and {steps} steps."));
        }
    }

    fn data(&self, data: &DataSummary) {
        let sum = |counts: [usize; 2]| counts[0] + counts[1];
        let [zero, one] = &data.classes;
        let validation = match sum(data.validation) {
            0 => String::new(),
            images => format!(", {images} validation"),
        };
        self.say(&format!(
            "Data: {} training{validation}, {} test images ({} {zero}, {} {one}){}",
            sum(data.train),
            sum(data.test),
            data.train[0] + data.validation[0] + data.test[0],
            data.train[1] + data.validation[1] + data.test[1],
            if data.from_cache { ", from the cache" } else { "" }
        ));
        if !data.broken.is_empty() {
            self.say(&format!("warning: {} images cannot be used and are left out:", data.broken.len()));
            for (name, reason) in data.broken.iter().take(NAMED) {
                self.say(&format!("  {}: {reason}", on_one_line(name)));
            }
            if data.broken.len() > NAMED {
                self.say(&format!("  and {} more; `emo-runner data describe` lists all", data.broken.len() - NAMED));
            }
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for ProgressView {
    fn begins(&mut self, _job: &Job, folder: &RunFolder, by_another: bool) {
        let id = folder.id();
        if by_another {
            self.say(&format!("Another process is working on run {id} already; following it."));
        } else {
            self.say(&format!("Run {id} in {}", folder.path().display()));
        }
    }

    fn line(&mut self, _job: &Job, line: &Line) {
        match &line.event {
            Event::Started(started) => self.started(started),
            Event::Decoding { done, total } => self.show(*done, *total, "images decoded", String::new()),
            Event::Data(data) => self.data(data),
            Event::Model { layers, parameters, folded } => {
                self.say(&format!("Network: {} layers, {} parameters", layers.len(), thousands(*parameters)));
                for folded in folded {
                    self.say(&format!("Folded:  {folded}"));
                }
            }
            Event::Progress(progress) => {
                let left = progress.steps - progress.step.min(progress.steps);
                let done = progress.steps_done();
                let epochs_left = progress.epochs.saturating_sub(progress.epoch);
                let eta = self.eta(progress.steps, left, epochs_left).filter(|_| progress.images_per_second > 0.0);
                let message = format!(
                    "epoch {}/{}  {}{}",
                    progress.epoch,
                    progress.epochs,
                    progress.figures(),
                    eta.map(|eta| format!("  ETA {}", super::summary::duration(eta.as_secs_f64()))).unwrap_or_default()
                );
                self.show(done, progress.steps.saturating_mul(progress.epochs), "steps", message);
            }
            Event::Epoch(epoch) => self.say(&epoch_line(epoch, self.epochs)),
            Event::Completed(_)
            | Event::Diverged { .. }
            | Event::Interrupted { .. }
            | Event::TimedOut { .. }
            | Event::Pruned { .. }
            | Event::Failed { .. } => self.finish(),
        }
    }

    fn stopping(&mut self, why: Stopping) {
        if why == Stopping::Asked {
            self.say("Saving and stopping; press Ctrl-C again to stop now.");
        }
    }
}

impl ProgressView {
    /// Time left, from the bar's own rate of steps.
    fn eta(&self, steps: usize, left: usize, epochs_left: usize) -> Option<Duration> {
        let rate = self.bar.per_sec();
        let remaining = left.saturating_add(epochs_left.saturating_mul(steps)) as f64;
        (rate > 0.0).then(|| Duration::from_secs_f64((remaining / rate).min(1e7)))
    }
}

/// `1,539,393`.
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
