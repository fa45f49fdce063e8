//! The training loop: batch, forward, loss, backward, step, log.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use burn::module::AutodiffModule;
use burn::tensor::backend::{AutodiffBackend, Backend};
use thiserror::Error;

use super::checkpoint::{self, CheckpointError, Place};
use super::folder::RunFolder;
use super::interrupt::Interrupt;
use super::learner::{Learner, StepSettings, Stepped};
use super::loss::{binary_cross_entropy_f64, probability};
use super::optimizer::Optimizer;
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
        let Some(logits) = self.logits(&network, indices) else {
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
        let seed = self.experiment.seed();
        let mut order = self.split.train.clone();
        Stream::new(seed, Purpose::Shuffle, epoch as u64, 0).shuffle(&mut order);
        let augment = self.experiment.augment();
        let ranges = Augmentation { ranges: augment, seed, epoch: epoch as u64 };
        let batches = Batches {
            dataset: self.dataset,
            order: &order,
            batch_size: self.experiment.train().batch_size(),
            augmentation: (!augment.is_identity()).then_some(ranges),
            threads: self.threads,
        };
        let steps = batches.steps();
        let class_weights = self.class_weights();
        let learning_rate = self.learning_rate(epoch);
        let mut clock = Instant::now();
        let mut last_progress = Instant::now();
        batches.for_each(state.place.current.steps, |batch| {
            if self.interrupt.is_raised() {
                return ControlFlow::Break(Stop::Interrupted);
            }
            let images = images_tensor::<B::InnerBackend>(batch.pixels, self.dataset.size(), &self.device);
            let settings = StepSettings {
                labels: &batch.labels,
                class_weights,
                dropout: DropoutKey { seed, epoch: epoch as u64, step: batch.step as u64 },
                learning_rate,
            };
            let Some(Stepped { loss, logits }) = state.learner.step(images.clone(), settings) else {
                return ControlFlow::Break(Stop::Interrupted);
            };
            if !loss.is_finite() {
                return ControlFlow::Break(Stop::Diverged { step: batch.step, loss });
            }
            let current = &mut state.place.current;
            current.steps = batch.step + 1;
            current.images += logits.len();
            current.loss += loss * logits.len() as f64;
            current.correct += correct(&logits, &batch.labels);
            current.seconds += clock.elapsed().as_secs_f64();
            clock = Instant::now();
            if last_progress.elapsed() >= PROGRESS_EVERY {
                last_progress = Instant::now();
                if let Err(error) = events.write(Event::Progress(Progress {
                    epoch: epoch + 1,
                    epochs: self.experiment.train().epochs(),
                    step: current.steps,
                    steps,
                    loss: current.mean_loss(),
                    accuracy: current.accuracy(),
                    images_per_second: current.images_per_second(),
                })) {
                    return ControlFlow::Break(Stop::Failed(error.into()));
                }
            }
            ControlFlow::Continue(reclaim(images))
        })
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
    pub fn logits(&self, network: &Network<B::InnerBackend>, indices: &[usize]) -> Option<Vec<f64>> {
        let batches = Batches {
            dataset: self.dataset,
            order: indices,
            batch_size: self.experiment.train().batch_size(),
            augmentation: None,
            threads: self.threads,
        };
        let mut logits = Vec::with_capacity(indices.len());
        let flow = batches.for_each(0, |batch| {
            if self.interrupt.is_raised() {
                return ControlFlow::Break(());
            }
            let images = images_tensor::<B::InnerBackend>(batch.pixels, self.dataset.size(), &self.device);
            let values = network.forward(images.clone(), None).into_data().convert::<f32>();
            logits.extend(values.into_vec::<f32>().unwrap_or_default().into_iter().map(f64::from));
            ControlFlow::Continue(reclaim(images))
        });
        flow.is_continue().then_some(logits)
    }
}

fn correct(logits: &[f32], labels: &[bool]) -> usize {
    logits.iter().zip(labels).filter(|&(&logit, &label)| (logit >= 0.0) == label).count()
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
