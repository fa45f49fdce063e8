//! The process that does one run: its folder in, events out.
//!
//! It holds the run's lock while it lives, ends after saving when asked to, and also when its coordinator dies.

use std::fmt::Write as _;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use burn::tensor::backend::{AutodiffBackend, Backend};
use thiserror::Error;

use super::backend::{self, BackendError, Place};
use super::environment::{environment, peak_memory};
use super::folder::{Lock, RunFolder, RunSpec, write_atomically};
use super::gpu;
use super::interrupt::Interrupt;
use super::loss::probability;
use super::resident::Resident;
use super::training::{Outcome, TrainError, Training};
use crate::config::{BackendKind, ConfigError, Experiment, load};
use crate::data::cache::Dataset;
use crate::data::duplicates::{labels_of_groups, leaked};
use crate::data::error::DataError;
use crate::data::source::OpenSource;
use crate::data::split::{Shares, Split, split};
use crate::evaluate::{EvaluateError, Evaluation, label_ceiling, youden_threshold};
use crate::events::{Completed, DataSummary, Epoch, Event, FailureKind, ImageRow, Part, Prediction, Started, Writer};
use crate::model::kernels::Kernels;
use crate::model::{Network, WeightsError, fold, shapes, weights};

/// Exit code of a worker that found its run taken by another.
pub const BUSY: u8 = 75;

/// Exit code of a worker that could not read or write its run's folder.
pub const FOLDER: u8 = 74;

/// Time between two decoding events.
const DECODING_EVERY: Duration = Duration::from_millis(200);

/// Why a worker could not even begin; everything later is an event.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// Another process works on the run.
    #[error("Another process works on run {0} or has done it.")]
    Busy(String),
    /// The folder.
    #[error("The folder of the run, {path}, cannot be used: {error}")]
    Folder {
        /// The folder.
        path: String,
        /// What the system said.
        error: io::Error,
    },
}

/// Why a run failed.
#[derive(Debug, Error)]
enum RunError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error(transparent)]
    Train(#[from] TrainError),
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(
        "The run needs about {needs} MiB of GPU memory, and {name} has {free} MiB free. Use a smaller train.batch_size or \
         data.image_size, or wait until others are done."
    )]
    GpuMemory { needs: u64, free: u64, name: String },
    #[error("A file of the run cannot be written: {0}. Free some space or choose another results folder.")]
    Io(#[from] io::Error),
}

/// Does the run in `folder`, from its beginning or from its checkpoint. If another process holds it, waits for that as long
/// as `patience` lasts.
///
/// # Errors
/// [`WorkerError`] when it cannot begin. A failure later on is an event and `Ok`.
pub fn work(folder: &RunFolder, patience: Duration) -> Result<(), WorkerError> {
    let unusable = |error| WorkerError::Folder { path: folder.path().display().to_string(), error };
    let spec = folder.read_spec().map_err(unusable)?;
    let interrupt = Interrupt::on_signals().map_err(unusable)?;
    let Some(_lock) = patient_lock(folder, patience).map_err(unusable)? else {
        return Err(WorkerError::Busy(spec.id));
    };
    stop_with_parent().map_err(unusable)?;
    // Another coordinator may have had it done since ours looked.
    if is_over(folder).map_err(unusable)? {
        return Err(WorkerError::Busy(spec.id));
    }
    let events = Mutex::new(Writer::open(&folder.events()).map_err(unusable)?);
    let begun = Instant::now();
    // A panic in a library is a failed run with a message, as any other failure is.
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| attempt(folder, &spec, &interrupt, &events)));
    let event = match result {
        Ok(Ok(Event::Interrupted { .. })) if interrupt.time_is_up() => timed_out(&spec, begun.elapsed()),
        Ok(Ok(event)) => event,
        Ok(Err(error)) => failed(&error),
        Err(panic) => Event::Failed { message: panic_message(&*panic), kind: FailureKind::Run },
    };
    let mut events = events.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    events.write(event).and_then(|()| events.sync()).map_err(unusable)
}

/// The run's lock, if it is or becomes free in time. Whoever looks after the store holds it for a moment.
fn patient_lock(folder: &RunFolder, patience: Duration) -> io::Result<Option<Lock>> {
    let begun = Instant::now();
    loop {
        match folder.try_lock()? {
            None if begun.elapsed() < patience => std::thread::sleep(Duration::from_millis(100)),
            lock => return Ok(lock),
        }
    }
}

/// What a job says that was told to save because its time is nearly up.
fn timed_out(spec: &RunSpec, worked: Duration) -> Event {
    let limit = spec.time_limit.map_or(worked.as_secs_f64(), |limit| limit as f64);
    let reason = match spec.time_limit {
        Some(limit) => {
            format!("the time limit of {limit} s was nearly up, and it saved (resources.time sets the limit)")
        }
        None => format!("the time limit of the job was nearly up after {:.0} s, and it saved", worked.as_secs_f64()),
    };
    Event::TimedOut { limit, reason: Some(reason) }
}

/// Whether the run has its result: then there is nothing to do.
fn is_over(folder: &RunFolder) -> io::Result<bool> {
    let lines = crate::events::read_all(&folder.events())?;
    Ok(lines.iter().any(|line| matches!(line.event, Event::Completed(_) | Event::Diverged { .. })))
}

/// Asks the kernel for SIGTERM when the coordinator dies, so that nothing trains on unseen.
fn stop_with_parent() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
    Ok(())
}

fn failed(error: &RunError) -> Event {
    let kind = match error {
        RunError::Data(_) => FailureKind::Data,
        _ => FailureKind::Run,
    };
    tracing::error!(%error, "the run failed");
    Event::Failed { message: error.to_string(), kind }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    if let Some(failure) = gpu::failure() {
        return format!(
            "The GPU cannot be used: {failure} `emo-runner doctor` tries it; backend = \"cpu\" goes without."
        );
    }
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    format!("The worker panicked: {text}. This is a bug; its log has the details.")
}

fn attempt(
    folder: &RunFolder,
    spec: &RunSpec,
    interrupt: &Interrupt,
    events: &Mutex<Writer>,
) -> Result<Event, RunError> {
    let experiment = load(&folder.experiment(), &[])?.experiment;
    let lines = crate::events::read_all(&folder.events())?;
    let attempt = 1 + lines.iter().filter(|line| matches!(line.event, Event::Started(_))).count();
    emit(
        events,
        Event::Started(Started {
            run_key: spec.run_key.clone(),
            point_key: spec.point_key.clone(),
            attempt,
            resumed_from: last_place(folder),
            experiment: experiment.to_toml(),
            point: spec.point.clone(),
            environment: environment(experiment.backend(), spec),
        }),
    )?;
    tracing::info!(run = %spec.id, attempt, threads = spec.threads, "worker started");
    backend::check(experiment.backend(), None, Place::Here)?;
    let dataset = decode(&experiment, &spec.cache, events)?;
    let split = make_split(&experiment, &dataset)?;
    emit(events, Event::Data(summary(&experiment, &dataset, &split)))?;
    let run = Run { folder, spec, experiment: &experiment, dataset: &dataset, split: &split, interrupt, events };
    run.on_backend()
}

fn interrupted(epochs_done: usize, steps_done: usize) -> Event {
    Event::Interrupted { epochs_done, steps_done, reason: None }
}

/// Epochs and steps of the checkpoint, if there is a readable one.
fn last_place(folder: &RunFolder) -> Option<(usize, usize)> {
    let (_, metadata) = weights::read_safetensors(&folder.checkpoint()).ok()?;
    let place: super::checkpoint::Place = serde_json::from_str(metadata.get("place")?).ok()?;
    Some((place.history.len(), place.current.steps))
}

fn emit(events: &Mutex<Writer>, event: Event) -> io::Result<()> {
    events.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).write(event)
}

fn decode(experiment: &Experiment, cache: &Path, events: &Mutex<Writer>) -> Result<Dataset, RunError> {
    let data = experiment.data();
    let source = OpenSource::open(data.source(), data.classes())?;
    let last = Mutex::new(Instant::now());
    let progress = |done: usize, total: usize| {
        let mut last = last.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if done == total || last.elapsed() >= DECODING_EVERY {
            *last = Instant::now();
            // Progress is for the eye; a full disk shows at the next event that matters.
            let _ = emit(events, Event::Decoding { done, total });
        }
    };
    Ok(Dataset::load(&source, data.image_size(), data.interpolation(), data.skip_broken(), cache, &progress)?)
}

fn make_split(experiment: &Experiment, dataset: &Dataset) -> Result<Split, DataError> {
    let labels: Vec<usize> = (0..dataset.len()).map(|index| dataset.label(index)).collect();
    let settings = experiment.split();
    let groups = settings.keep_duplicates_together().then(|| dataset.duplicate_groups());
    let fold = (settings.folds() > 0).then_some((settings.fold(), settings.folds()));
    let shares = Shares { test: settings.test(), validation: settings.validation(), fold };
    split(&labels, groups.as_deref(), experiment.split_seed(), shares)
}

fn summary(experiment: &Experiment, dataset: &Dataset, split: &Split) -> DataSummary {
    let mut parts = vec![Part::Train; dataset.len()];
    for (indices, part) in [(&split.validation, Part::Validation), (&split.test, Part::Test)] {
        for &index in indices {
            parts[index] = part;
        }
    }
    let images: Vec<ImageRow> = (0..dataset.len())
        .map(|index| ImageRow {
            name: dataset.name(index).to_owned(),
            label: dataset.label(index),
            part: parts[index],
            content_hash: blake3::Hash::from_bytes(*dataset.content_hash(index)).to_hex().to_string(),
        })
        .collect();
    let mut hasher = blake3::Hasher::new();
    for image in &images {
        hasher.update(image.part.name().as_bytes());
        hasher.update(image.name.as_bytes());
        hasher.update(b"\n");
    }
    let groups = dataset.duplicate_groups();
    let labels: Vec<usize> = (0..dataset.len()).map(|index| dataset.label(index)).collect();
    let count = |indices: &[usize]| {
        let positive = indices.iter().filter(|&&index| labels[index] == 1).count();
        [indices.len() - positive, positive]
    };
    DataSummary {
        fingerprint: dataset.fingerprint().to_string(),
        split_hash: hasher.finalize().to_hex().to_string(),
        classes: experiment.data().classes().clone(),
        train: count(&split.train),
        validation: count(&split.validation),
        test: count(&split.test),
        leaked: leaked(&groups, &split.train, &split.test).len(),
        ceiling: label_ceiling(&labels_of_groups(&groups, &labels)),
        from_cache: dataset.from_cache(),
        broken: dataset.broken().iter().map(|broken| (broken.name.clone(), broken.reason.clone())).collect(),
        images,
    }
}

/// A run whose data are ready.
struct Run<'a> {
    folder: &'a RunFolder,
    spec: &'a RunSpec,
    experiment: &'a Experiment,
    dataset: &'a Dataset,
    split: &'a Split,
    interrupt: &'a Interrupt,
    events: &'a Mutex<Writer>,
}

impl Run<'_> {
    fn on_backend(&self) -> Result<Event, RunError> {
        match self.experiment.backend() {
            BackendKind::Cpu | BackendKind::Auto => self.train::<backend::Cpu>(),
            #[cfg(feature = "ndarray")]
            BackendKind::Ndarray => self.train::<backend::NdArray>(),
            #[cfg(feature = "cuda")]
            BackendKind::Cuda => {
                gpu::listen();
                self.train::<backend::Cuda>()
            }
            #[allow(unreachable_patterns, reason = "reachable in builds without one of the features")]
            other => Err(BackendError::NotBuilt(other).into()),
        }
    }

    fn train<B: AutodiffBackend<InnerBackend: Kernels> + Kernels>(&self) -> Result<Event, RunError> {
        let shapes =
            shapes::shapes(self.experiment.model(), self.experiment.data().image_size()).map_err(TrainError::from)?;
        let folded = fold::describe(&fold::groups(self.experiment, &shapes.layers));
        emit(self.events, Event::Model { layers: shapes.layers, parameters: shapes.parameters, folded })?;
        let device = B::Device::default();
        let training = Training::<B> {
            experiment: self.experiment,
            dataset: self.dataset,
            split: self.split,
            resident: self.resident(&device)?,
            device,
            folder: self.folder,
            threads: self.spec.threads,
            interrupt: self.interrupt,
        };
        let outcome = {
            let mut events = self.events.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            training.run(&mut events)?
        };
        match outcome {
            Outcome::Trained { network, place, stopped_early } => {
                let started = Instant::now();
                let Some(logits) = training.logits(&network, &self.split.test)? else {
                    return Ok(interrupted(place.history.len(), 0));
                };
                let Some(validation) = training.logits(&network, &self.split.validation)? else {
                    return Ok(interrupted(place.history.len(), 0));
                };
                let mut completed = self.evaluate(&logits, &validation, stopped_early)?;
                completed.seconds = place.seconds + started.elapsed().as_secs_f64();
                completed.artifacts = self.write_artifacts(&network, &place.history, &completed.predictions)?;
                Ok(Event::Completed(completed))
            }
            Outcome::Diverged { epoch, step, loss } => Ok(Event::Diverged { epoch, step, loss: loss.to_string() }),
            Outcome::Interrupted { epochs_done, steps_done } => Ok(interrupted(epochs_done, steps_done)),
        }
    }

    /// The images on the GPU, if the run has one and they fit.
    fn resident<B: Backend>(&self, device: &B::Device) -> Result<Option<Resident<B>>, RunError> {
        let need = gpu::memory_need(self.experiment, self.dataset.len());
        let (BackendKind::Cuda, Some(need)) = (self.experiment.backend(), need) else { return Ok(None) };
        let Some(gpu) = gpu::own() else { return Ok(None) };
        if need.training > gpu.free {
            return Err(RunError::GpuMemory { needs: need.training >> 20, free: gpu.free >> 20, name: gpu.name });
        }
        let fits = need.keeps_images(gpu.memory, gpu.free);
        tracing::info!(gpu = gpu.name, free = gpu.free, images = need.images, fits, "images on the GPU");
        Ok(fits.then(|| Resident::upload(self.dataset, device)))
    }

    /// Metrics of the test set; the other threshold is chosen on the validation set alone.
    fn evaluate(
        &self,
        logits: &[f64],
        validation: &[f64],
        stopped_early: Option<String>,
    ) -> Result<Completed, RunError> {
        let test = &self.split.test;
        let labels =
            |indices: &[usize]| -> Vec<bool> { indices.iter().map(|&index| self.dataset.label(index) == 1).collect() };
        let probabilities = |logits: &[f64]| -> Vec<f64> { logits.iter().map(|&logit| probability(logit)).collect() };
        let threshold = youden_threshold(&labels(&self.split.validation), &probabilities(validation));
        let (labels, probabilities) = (labels(test), probabilities(logits));
        let positive = self.split.train.iter().filter(|&&index| self.dataset.label(index) == 1).count();
        let naive_class = usize::from(2 * positive >= self.split.train.len());
        let evaluation =
            Evaluation::of(&labels, &probabilities, naive_class)?.with_threshold(&labels, &probabilities, threshold);
        let predictions = test.iter().zip(probabilities).map(|(&index, probability)| Prediction {
            name: self.dataset.name(index).to_owned(),
            label: self.dataset.label(index),
            probability,
        });
        let predictions = predictions.collect();
        let peak_memory = peak_memory();
        Ok(Completed { evaluation, predictions, stopped_early, artifacts: Vec::new(), seconds: 0.0, peak_memory })
    }

    fn write_artifacts<B: Backend>(
        &self,
        network: &Network<B>,
        history: &[Epoch],
        predictions: &[Prediction],
    ) -> Result<Vec<(String, String)>, RunError> {
        let metadata = [
            ("format".to_owned(), "emo-runner".to_owned()),
            ("run".to_owned(), self.spec.id.clone()),
            ("experiment".to_owned(), self.experiment.to_toml()),
        ];
        let model = weights::to_safetensors(&weights::collect(network), metadata.into())?;
        write_atomically(&self.folder.model(), &model)?;
        write_atomically(&self.folder.history(), history_csv(history).as_bytes())?;
        write_atomically(&self.folder.predictions(), &predictions_csv(predictions)?)?;
        Ok([
            ("model.safetensors", "trained weights"),
            ("history.csv", "loss and accuracy of every epoch"),
            ("predictions.csv", "every test image with label and probability"),
            ("experiment.toml", "the resolved experiment"),
            ("checkpoint.safetensors", "weights and optimiser after the last epoch"),
            ("events.jsonl", "everything that happened"),
            ("worker.log", "the worker's log"),
        ]
        .map(|(name, what)| (name.to_owned(), what.to_owned()))
        .to_vec())
    }
}

fn history_csv(history: &[Epoch]) -> String {
    let mut text = String::from(
        "epoch,train_loss,train_accuracy,held_out_part,held_out_loss,held_out_accuracy,learning_rate,seconds,\
         images_per_second,weights_hash\n",
    );
    for epoch in history {
        let (train, held_out) = (epoch.train, epoch.held_out);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{},{},{},{},{},{},{},{:.3},{:.1},{}",
            epoch.epoch,
            train.loss,
            train.accuracy,
            epoch.held_out_part.name(),
            held_out.loss,
            held_out.accuracy,
            epoch.learning_rate,
            epoch.seconds,
            epoch.images_per_second,
            epoch.weights_hash
        );
    }
    text
}

fn predictions_csv(predictions: &[Prediction]) -> io::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for prediction in predictions {
        writer.serialize(prediction)?;
    }
    writer.into_inner().map_err(|error| io::Error::other(error.to_string()))
}
