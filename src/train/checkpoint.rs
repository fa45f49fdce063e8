//! What survives the process: weights, optimiser, and the place in training, in one safetensors file.
//!
//! There is no random state to save: every random number is a function of (seed, purpose, epoch, item), so the place
//! is the random state.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use burn::module::AutodiffModule;
use burn::tensor::backend::AutodiffBackend;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::folder::write_atomically;
use super::optimizer::Optimizer;
use crate::events::Epoch;
use crate::model::kernels::Kernels;
use crate::model::{NamedTensor, Network, WeightsError, weights};

const WEIGHTS: &str = "weights.";
const OPTIMIZER: &str = "optimizer.";
const PLACE: &str = "place";

/// Where training stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// The complete epochs.
    pub history: Vec<Epoch>,
    /// The epoch that is under way.
    pub current: Running,
    /// Steps of the optimiser so far.
    pub optimizer_steps: u64,
    /// Seconds of training and evaluation so far.
    pub seconds: f64,
}

/// Sums over the steps done of the epoch under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// Steps done.
    pub steps: usize,
    /// Images seen.
    pub images: usize,
    /// Sum of the images' losses.
    pub loss: f64,
    /// Images called right.
    pub correct: usize,
    /// Seconds spent training.
    pub seconds: f64,
}

impl Running {
    /// Takes the outcome of a step, counted from 0, with the mean loss of its images.
    pub fn add(&mut self, step: usize, loss: f64, logits: &[f32], labels: &[bool]) {
        self.steps = step + 1;
        self.images += logits.len();
        self.loss += loss * logits.len() as f64;
        self.correct += logits.iter().zip(labels).filter(|&(&logit, &label)| (logit >= 0.0) == label).count();
    }

    /// Mean loss so far; 0 before the first image.
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.images.max(1) as f64
    }

    /// Accuracy so far; 0 before the first image.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.images.max(1) as f64
    }

    /// Images a second so far.
    pub fn images_per_second(&self) -> f64 {
        if self.seconds > 0.0 { self.images as f64 / self.seconds } else { 0.0 }
    }
}

/// Why a checkpoint cannot be written or taken up.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// The disk.
    #[error("The checkpoint {path} cannot be written: {error}. Free some space or choose another results folder.")]
    Write {
        /// The file.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// The tensors.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Not what was written.
    #[error("The checkpoint {path} is damaged: {reason}. Delete it and repeat the command: the run begins anew.")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Writes the state of training, whole or not at all.
///
/// # Errors
/// [`CheckpointError::Write`] when the disk refuses.
pub fn save<B: AutodiffBackend<InnerBackend: Kernels>>(
    path: &Path,
    network: &Network<B>,
    optimizer: &Optimizer<B>,
    place: &Place,
) -> Result<(), CheckpointError> {
    let mut tensors = prefixed(WEIGHTS, weights::collect(&network.valid()));
    tensors.extend(prefixed(OPTIMIZER, optimizer.state()));
    let place = Place { optimizer_steps: optimizer.steps(), ..place.clone() };
    let error = |error| CheckpointError::Write { path: path.display().to_string(), error };
    let place = serde_json::to_string(&place).map_err(|reason| error(reason.into()))?;
    let bytes = weights::to_safetensors(&tensors, HashMap::from([(PLACE.to_owned(), place)]))?;
    write_atomically(path, &bytes).map_err(error)
}

/// Takes a saved state up: the network and the optimiser as they were, and the place.
///
/// # Errors
/// When the file is damaged or is of another network.
pub fn load<B: AutodiffBackend<InnerBackend: Kernels>>(
    path: &Path,
    network: Network<B>,
    optimizer: &mut Optimizer<B>,
    device: &B::Device,
) -> Result<(Network<B>, Place), CheckpointError> {
    let damaged = |reason: String| CheckpointError::Damaged { path: path.display().to_string(), reason };
    let (tensors, metadata) = weights::read_safetensors(path).map_err(|error| match error {
        WeightsError::Unreadable { reason, .. } => damaged(reason),
        error => error.into(),
    })?;
    let text = metadata.get(PLACE).ok_or_else(|| damaged("it does not say where training stood".to_owned()))?;
    let place: Place = serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
    let network = weights::restore(network, without_prefix(WEIGHTS, &tensors))?;
    optimizer.restore(place.optimizer_steps, without_prefix(OPTIMIZER, &tensors), device);
    Ok((network, place))
}

fn prefixed(prefix: &str, tensors: Vec<NamedTensor>) -> Vec<NamedTensor> {
    tensors.into_iter().map(|tensor| NamedTensor { name: format!("{prefix}{}", tensor.name), ..tensor }).collect()
}

fn without_prefix(prefix: &str, tensors: &[NamedTensor]) -> Vec<NamedTensor> {
    let named = |tensor: &NamedTensor| {
        let name = tensor.name.strip_prefix(prefix)?.to_owned();
        Some(NamedTensor { name, ..tensor.clone() })
    };
    tensors.iter().filter_map(named).collect()
}
