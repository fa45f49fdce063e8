//! The training loop: batch, forward, loss, backward, step, log.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use burn::module::AutodiffModule;
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use thiserror::Error;

use super::checkpoint::{self, CheckpointError, Place, Running};
use super::folder::RunFolder;
use super::gpu;
use super::interrupt::Interrupt;
use super::learner::{Learner, StepSettings, Stepped, weighted_loss_f64};
use super::loss::{binary_cross_entropy_f64, probability};
use super::optimizer::Optimizer;
use super::resident::Resident;
use crate::config::{ClassWeights, EarlyStopping, Experiment, Monitor, Schedule};
use crate::data::batches::{Augmentation, Batches};
use crate::data::cache::Dataset;
use crate::data::split::Split;
use crate::data::tensor::{images_tensor, reclaim};
use crate::evaluate::auc;
use crate::events::{Epoch, Event, Part, Progress, Score, Writer};
use crate::model::kernels::Kernels;
use crate::model::{DropoutKey, Network, TooSmall, weights};
use crate::random::{Purpose, Stream};

/// Time between two progress events.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// Everything that one training needs.
#[derive(Debug)]
pub struct Training<'a, B: AutodiffBackend> {
    /// What was asked for.
    pub experiment: &'a Experiment,
    /// The decoded images.
    pub dataset: &'a Dataset,
    /// Which image goes where.
    pub split: &'a Split,
    /// Where the computation happens.
    pub device: B::Device,
    /// The images, where they lie on the device: then batches are made there, and nothing is read back before an epoch is over.
    pub resident: Option<Resident<B::InnerBackend>>,
    /// Where the run keeps its files.
    pub folder: &'a RunFolder,
    /// Threads that prepare batches.
    pub threads: usize,
    /// Raised when the run should stop.
    pub interrupt: &'a Interrupt,
}

/// How training ended.
#[derive(Debug)]
pub enum Outcome<B: Backend> {
    /// All epochs, or as many as early stopping allowed.
    Trained {
        /// The trained network, for inference.
        network: Box<Network<B>>,
        /// Every epoch.
        place: Place,
        /// Why it ended before the last epoch, if it did.
        stopped_early: Option<String>,
    },
    /// A loss was not finite.
    Diverged {
        /// Epoch, from 1.
        epoch: usize,
        /// Step, from 1.
        step: usize,
        /// The loss.
        loss: f64,
    },
    /// Somebody asked to stop; the state is saved.
    Interrupted {
        /// Complete epochs.
        epochs_done: usize,
        /// Steps of the next one.
        steps_done: usize,
    },
}

/// Why training cannot go on.
#[derive(Debug, Error)]
pub enum TrainError {
    /// The image leaves nothing for a layer.
    #[error(transparent)]
    TooSmall(#[from] TooSmall),
    /// The state cannot be saved or taken up.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The GPU.
    #[error("The device failed: {0}. The same command goes on from the last checkpoint.")]
    Device(String),
    /// The event file.
    #[error("The event file of the run cannot be written: {0}. Free some space or choose another results folder.")]
    Events(#[from] std::io::Error),
}

/// What ends an epoch before its last step.
enum Stop {
    Diverged { step: usize, loss: f64 },
    Interrupted,
    Failed(TrainError),
}

/// A network on its way.
struct State<B: AutodiffBackend> {
    learner: Learner<B>,
    place: Place,
}

impl<B: AutodiffBackend<InnerBackend: Kernels> + Kernels> Training<'_, B> {
    /// Trains from the checkpoint, if there is one, else from the first weights.
    ///
    /// # Errors
    /// When the network does not fit the images or a file cannot be written; see [`TrainError`].
    pub fn run(&self, events: &mut Writer) -> Result<Outcome<B::InnerBackend>, TrainError> {
        let train = self.experiment.train();
        let mut state = self.begin(events)?;
        let mut stopped_early = None;
        while state.place.history.len() < train.epochs() {
            if let Some(outcome) = self.epoch(&mut state, events)? {
                return Ok(outcome);
            }
            stopped_early = train.early_stopping().and_then(|rule| stop_early(rule, &state.place.history));
            if stopped_early.is_some() {
                break;
            }
        }
        if let Some(rule) = train.early_stopping() {
            stopped_early = stopped_early.or_else(|| stop_early(rule, &state.place.history));
        }
        let network = state.learner.network.map(|network| network.valid());
        let network =
            network.map_or_else(|| Network::new(self.experiment, &self.device).map_err(TrainError::from), Ok)?;
        Ok(Outcome::Trained { network: Box::new(network), place: state.place, stopped_early })
    }

    fn begin(&self, events: &mut Writer) -> Result<State<B>, TrainError> {
        let train = self.experiment.train();
        let mut network = Network::new(self.experiment, &self.device)?;
        let mut optimizer = Optimizer::new(train.optimizer(), train.weight_decay());
        let mut place = Place::default();
        if self.folder.checkpoint().exists() {
            (network, place) = checkpoint::load(&self.folder.checkpoint(), network, &mut optimizer, &self.device)?;
            // The process may have died between the checkpoint and the event that tells of it.
            for epoch in &place.history {
                events.write(Event::Epoch(epoch.clone()))?;
            }
        }
        Ok(State { learner: Learner { network: Some(network), optimizer }, place })
    }

    /// One epoch with its evaluation and checkpoint; an outcome only if training ends here.
    fn epoch(&self, state: &mut State<B>, events: &mut Writer) -> Result<Option<Outcome<B::InnerBackend>>, TrainError> {
        let epoch = state.place.history.len();
        let before = state.place.seconds;
        let started = Instant::now();
        match self.train_epoch(state, events, epoch) {
            ControlFlow::Continue(()) => {}
            ControlFlow::Break(Stop::Failed(error)) => return Err(error),
            ControlFlow::Break(Stop::Diverged { step, loss }) => {
                return Ok(Some(Outcome::Diverged { epoch: epoch + 1, step: step + 1, loss }));
            }
            ControlFlow::Break(Stop::Interrupted) => return self.stop(state, before, started).map(Some),
        }
        let Some(network) = state.learner.network.as_ref().map(|network| network.valid()) else { return Ok(None) };
        let (part, indices) = self.held_out();
        let Some(logits) = self.logits(&network, indices)? else {
            return self.stop(state, before, started).map(Some);
        };
        let labels = self.labels(indices);
        let held_out = score(&logits, &labels);
        if !held_out.loss.is_finite() {
            let step = state.place.current.steps;
            return Ok(Some(Outcome::Diverged { epoch: epoch + 1, step, loss: held_out.loss }));
        }
        let current = std::mem::take(&mut state.place.current);
        let seconds = started.elapsed().as_secs_f64();
        let done = Epoch {
            epoch: epoch + 1,
            train: Score { loss: current.mean_loss(), accuracy: current.accuracy() },
            held_out_part: part,
            held_out,
            held_out_auc: auc(&labels, &logits.iter().map(|&logit| probability(logit)).collect::<Vec<_>>()),
            learning_rate: self.learning_rate(epoch),
            seconds,
            images_per_second: current.images_per_second(),
            weights_hash: weights::fingerprint(&weights::collect(&network)),
        };
        state.place.history.push(done.clone());
        state.place.seconds = before + seconds;
        self.save(state)?;
        events.write(Event::Epoch(done))?;
        events.sync()?;
        Ok(None)
    }

    fn stop(
        &self,
        state: &mut State<B>,
        seconds_before: f64,
        started: Instant,
    ) -> Result<Outcome<B::InnerBackend>, TrainError> {
        state.place.seconds = seconds_before + started.elapsed().as_secs_f64();
        self.save(state)?;
        Ok(Outcome::Interrupted { epochs_done: state.place.history.len(), steps_done: state.place.current.steps })
    }

    fn save(&self, state: &State<B>) -> Result<(), TrainError> {
        if let Some(network) = &state.learner.network {
            checkpoint::save(&self.folder.checkpoint(), network, &state.learner.optimizer, &state.place)?;
        }
        Ok(())
    }

    /// The steps of an epoch that are not done yet.
    fn train_epoch(&self, state: &mut State<B>, events: &mut Writer, epoch: usize) -> ControlFlow<Stop> {
        let mut order = self.split.train.clone();
        Stream::new(self.experiment.seed(), Purpose::Shuffle, epoch as u64, 0).shuffle(&mut order);
        let batches = self.batches(&order, Some(epoch));
        match &self.resident {
            Some(resident) => self.train_ahead(resident, &batches, state, events, epoch),
            None => self.train_in_step(&batches, state, events, epoch),
        }
    }

    /// Batches of images, varied if an epoch of training is named.
    fn batches<'a>(&'a self, order: &'a [usize], epoch: Option<usize>) -> Batches<'a> {
        let ranges = self.experiment.augment();
        let varied = epoch.filter(|_| !ranges.is_identity());
        Batches {
            dataset: self.dataset,
            order,
            batch_size: self.experiment.train().batch_size(),
            augmentation: varied.map(|epoch| Augmentation {
                ranges,
                seed: self.experiment.seed(),
                epoch: epoch as u64,
            }),
            threads: self.threads,
        }
    }

    /// What the steps of an epoch share, and the dropout of one of them.
    fn settings<'a>(&self, labels: &'a [bool], class_weights: [f64; 2], epoch: usize, step: usize) -> StepSettings<'a> {
        let dropout = DropoutKey { seed: self.experiment.seed(), epoch: epoch as u64, step: step as u64 };
        StepSettings { labels, class_weights, dropout, learning_rate: self.learning_rate(epoch) }
    }

    /// Batches from threads of the host; the loss is looked at before each update.
    fn train_in_step(
        &self,
        batches: &Batches<'_>,
        state: &mut State<B>,
        events: &mut Writer,
        epoch: usize,
    ) -> ControlFlow<Stop> {
        let class_weights = self.class_weights();
        let mut clock = Instant::now();
        let mut progress = ProgressClock::new(epoch, batches.steps());
        batches.for_each(state.place.current.steps, |batch| {
            if self.interrupt.is_raised() {
                return ControlFlow::Break(Stop::Interrupted);
            }
            let images = images_tensor::<B::InnerBackend>(batch.pixels, self.dataset.size(), &self.device);
            let settings = self.settings(&batch.labels, class_weights, epoch, batch.step);
            let Some(Stepped { loss, logits }) = state.learner.step(images.clone(), settings) else {
                return ControlFlow::Break(Stop::Interrupted);
            };
            if !loss.is_finite() {
                return ControlFlow::Break(Stop::Diverged { step: batch.step, loss });
            }
            let current = &mut state.place.current;
            current.add(batch.step, loss, &logits, &batch.labels);
            current.seconds += clock.elapsed().as_secs_f64();
            clock = Instant::now();
            progress.tell(self.experiment, events, current.steps, Some(current), current.images_per_second())?;
            ControlFlow::Continue(reclaim(images, B::InnerBackend::ON_HOST))
        })
    }

    /// Batches made on the device, which is never waited for: losses are read when the epoch is over, or when asked to stop.
    fn train_ahead(
        &self,
        resident: &Resident<B::InnerBackend>,
        batches: &Batches<'_>,
        state: &mut State<B>,
        events: &mut Writer,
        epoch: usize,
    ) -> ControlFlow<Stop> {
        let class_weights = self.class_weights();
        let clock = Instant::now();
        let mut progress = ProgressClock::new(epoch, batches.steps());
        let mut unread = Vec::new();
        let mut images = 0;
        for step in state.place.current.steps..batches.steps() {
            if self.interrupt.is_raised() {
                self.read(state, unread, class_weights, clock)?;
                return ControlFlow::Break(Stop::Interrupted);
            }
            let chosen = batches.images(step);
            let variation = batches.variation(chosen);
            let batch =
                resident.batch(chosen, variation.as_deref().map(|drawn| (drawn, self.experiment.augment().fill())));
            let labels = self.labels(chosen);
            let Some(logits) = state.learner.step_ahead(batch, self.settings(&labels, class_weights, epoch, step))
            else {
                return ControlFlow::Break(Stop::Interrupted);
            };
            unread.push(Unread { step, labels, logits });
            if let Some(failure) = gpu::failure() {
                return ControlFlow::Break(Stop::Failed(TrainError::Device(failure)));
            }
            images += chosen.len();
            let speed = images as f64 / clock.elapsed().as_secs_f64().max(1e-9);
            progress.tell(self.experiment, events, step + 1, None, speed)?;
        }
        self.read(state, unread, class_weights, clock)
    }

    /// Takes the outcome of steps that nobody has looked at yet. The first loss that is not finite ends the run.
    fn read(
        &self,
        state: &mut State<B>,
        unread: Vec<Unread<B::InnerBackend>>,
        class_weights: [f64; 2],
        clock: Instant,
    ) -> ControlFlow<Stop> {
        if unread.is_empty() {
            return ControlFlow::Continue(());
        }
        let (steps, logits): (Vec<_>, Vec<_>) =
            unread.into_iter().map(|unread| ((unread.step, unread.labels), unread.logits)).unzip();
        let logits = match read_logits(logits) {
            Ok(logits) => logits,
            Err(reason) => return ControlFlow::Break(Stop::Failed(TrainError::Device(reason))),
        };
        let mut rest = logits.as_slice();
        for (step, labels) in steps {
            let (logits, after) = rest.split_at(labels.len());
            rest = after;
            let loss = weighted_loss_f64(logits, &labels, class_weights);
            if !loss.is_finite() {
                return ControlFlow::Break(Stop::Diverged { step, loss });
            }
            state.place.current.add(step, loss, logits, &labels);
        }
        state.place.current.seconds += clock.elapsed().as_secs_f64();
        ControlFlow::Continue(())
    }

    /// Weight of each class in the loss; balanced is images / (2 x images of the class), as scikit-learn has it.
    fn class_weights(&self) -> [f64; 2] {
        match self.experiment.train().class_weights() {
            ClassWeights::None => [1.0, 1.0],
            ClassWeights::Balanced => {
                let labels = self.labels(&self.split.train);
                let positive = labels.iter().filter(|&&label| label).count();
                [labels.len() - positive, positive].map(|count| labels.len() as f64 / (2 * count.max(1)) as f64)
            }
        }
    }

    /// Learning rate of an epoch, counted from 0.
    fn learning_rate(&self, epoch: usize) -> f64 {
        let train = self.experiment.train();
        let base = train.learning_rate();
        match train.schedule() {
            Schedule::Constant => base,
            Schedule::Cosine => {
                let share = epoch as f64 / train.epochs() as f64;
                base * 0.5 * (1.0 + (std::f64::consts::PI * share).cos())
            }
            Schedule::Step => base * train.step_factor().powi((epoch / train.step_every()) as i32),
        }
    }

    /// The set that is measured after every epoch: validation where there is one, else the test set.
    fn held_out(&self) -> (Part, &[usize]) {
        if self.split.validation.is_empty() {
            (Part::Test, &self.split.test)
        } else {
            (Part::Validation, &self.split.validation)
        }
    }

    fn labels(&self, indices: &[usize]) -> Vec<bool> {
        indices.iter().map(|&index| self.dataset.label(index) == 1).collect()
    }

    /// Logits of images without augmentation and dropout; `None` when asked to stop.
    ///
    /// # Errors
    /// When the device fails.
    pub fn logits(
        &self,
        network: &Network<B::InnerBackend>,
        indices: &[usize],
    ) -> Result<Option<Vec<f64>>, TrainError> {
        let batches = self.batches(indices, None);
        if let Some(resident) = &self.resident {
            let mut logits = Vec::with_capacity(batches.steps());
            for step in 0..batches.steps() {
                if self.interrupt.is_raised() {
                    return Ok(None);
                }
                logits.push(network.forward(resident.batch(batches.images(step), None), None));
            }
            let values = if logits.is_empty() { Ok(Vec::new()) } else { read_logits(logits) };
            return values.map(|values| Some(values.into_iter().map(f64::from).collect())).map_err(TrainError::Device);
        }
        let mut logits = Vec::with_capacity(indices.len());
        let flow = batches.for_each(0, |batch| {
            if self.interrupt.is_raised() {
                return ControlFlow::Break(());
            }
            let images = images_tensor::<B::InnerBackend>(batch.pixels, self.dataset.size(), &self.device);
            let values = network.forward(images.clone(), None).into_data().convert::<f32>();
            logits.extend(values.into_vec::<f32>().unwrap_or_default().into_iter().map(f64::from));
            ControlFlow::Continue(reclaim(images, B::InnerBackend::ON_HOST))
        });
        Ok(flow.is_continue().then_some(logits))
    }
}

/// A step whose outcome is still on the device.
struct Unread<B: Backend> {
    step: usize,
    labels: Vec<bool>,
    logits: Tensor<B, 1>,
}

/// Waits for the device, once for all of them.
fn read_logits<B: Backend>(logits: Vec<Tensor<B, 1>>) -> Result<Vec<f32>, String> {
    let data = Tensor::cat(logits, 0).try_into_data();
    // What went wrong first says more than that nothing came back.
    let data = data.map_err(|error| gpu::failure().unwrap_or_else(|| format!("{error:?}")))?;
    if let Some(failure) = gpu::failure() {
        return Err(failure);
    }
    data.convert::<f32>().into_vec().map_err(|error| format!("{error:?}"))
}

/// When the eye was last told where training stands.
struct ProgressClock {
    last: Instant,
    epoch: usize,
    steps: usize,
}

impl ProgressClock {
    fn new(epoch: usize, steps: usize) -> Self {
        Self { last: Instant::now(), epoch, steps }
    }

    fn tell(
        &mut self,
        experiment: &Experiment,
        events: &mut Writer,
        step: usize,
        score: Option<&Running>,
        images_per_second: f64,
    ) -> ControlFlow<Stop> {
        if self.last.elapsed() < PROGRESS_EVERY {
            return ControlFlow::Continue(());
        }
        self.last = Instant::now();
        let progress = Progress {
            epoch: self.epoch + 1,
            epochs: experiment.train().epochs(),
            step,
            steps: self.steps,
            loss: score.map(Running::mean_loss),
            accuracy: score.map(Running::accuracy),
            images_per_second,
        };
        match events.write(Event::Progress(progress)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(Stop::Failed(error.into())),
        }
    }
}

fn score(logits: &[f64], labels: &[bool]) -> Score {
    let pairs = || logits.iter().zip(labels);
    let loss: f64 = pairs().map(|(&logit, &label)| binary_cross_entropy_f64(logit, label)).sum();
    let correct = pairs().filter(|&(&logit, &label)| (logit >= 0.0) == label).count();
    Score { loss: loss / logits.len() as f64, accuracy: correct as f64 / logits.len() as f64 }
}

/// The reason to stop after the last epoch of `history`, if the rule gives one.
fn stop_early(rule: EarlyStopping, history: &[Epoch]) -> Option<String> {
    let better = |a: &Epoch, b: &Epoch| match rule.monitor() {
        Monitor::ValLoss => a.held_out.loss < b.held_out.loss,
        Monitor::ValAccuracy => a.held_out.accuracy > b.held_out.accuracy,
    };
    let best = history.iter().reduce(|best, epoch| if better(epoch, best) { epoch } else { best })?;
    let without_progress = history.len() - best.epoch;
    (without_progress >= rule.patience()).then(|| {
        format!("{} has not improved for {without_progress} epochs, since epoch {}", rule.monitor(), best.epoch)
    })
}
