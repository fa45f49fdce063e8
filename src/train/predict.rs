//! A trained network applied to images, with the same preparation as in training.

use std::path::Path;

use burn::tensor::backend::AutodiffBackend;
use thiserror::Error;

use super::backend::{self, BackendError, Place};
use super::loss::probability;
use crate::config::{BackendKind, Experiment, Fill, ImageSize, Interpolation};
use crate::data::augment::{Parameters, warp};
use crate::data::decode::{DecodeError, decode};
use crate::data::tensor::images_tensor;
use crate::model::kernels::Kernels;
use crate::model::{Network, TooSmall, WeightsError, weights};

/// Why there is no classifier.
#[derive(Debug, Error)]
pub enum PredictError {
    /// The weights cannot be read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The network does not fit the images that it was trained on.
    #[error(transparent)]
    TooSmall(#[from] TooSmall),
    /// The backend is not there.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// Probabilities of class 1 from pixels: `[images, height, width, 3]` in [0, 1].
type Infer = Box<dyn Fn(Vec<f32>) -> Vec<f64>>;

/// A network with its weights, ready for images.
pub struct Classifier {
    experiment: Experiment,
    infer: Infer,
}

impl std::fmt::Debug for Classifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Classifier").field("experiment", &self.experiment.name()).finish_non_exhaustive()
    }
}

/// An image as the network takes it: `[height, width, 3]` in [0, 1].
pub type Prepared = Result<Vec<f32>, DecodeError>;

impl Classifier {
    /// The network of an experiment with the weights of a `model.safetensors`. What was trained on a GPU is computed on the CPU where
    /// there is none.
    ///
    /// # Errors
    /// [`PredictError`].
    pub fn load(experiment: Experiment, weights: &Path) -> Result<Self, PredictError> {
        let backend = backend::check(experiment.backend(), None, Place::Here);
        let elsewhere = experiment.backend() == BackendKind::Cuda && backend.is_err();
        if elsewhere {
            tracing::info!("the run was trained on a GPU that is not here; the CPU computes");
        }
        let experiment = if elsewhere { experiment.on(BackendKind::Cpu) } else { backend.map(|()| experiment)? };
        let infer = match experiment.backend() {
            BackendKind::Cpu | BackendKind::Auto => network::<backend::Cpu>(&experiment, weights)?,
            #[cfg(feature = "ndarray")]
            BackendKind::Ndarray => network::<backend::NdArray>(&experiment, weights)?,
            #[cfg(feature = "cuda")]
            BackendKind::Cuda => network::<backend::Cuda>(&experiment, weights)?,
            #[allow(unreachable_patterns, reason = "reachable in builds without one of the features")]
            other => return Err(BackendError::NotBuilt(other).into()),
        };
        Ok(Self { experiment, infer })
    }

    /// How images are prepared for it.
    pub fn preparation(&self) -> Preparation {
        let data = self.experiment.data();
        Preparation { size: data.image_size(), interpolation: data.interpolation() }
    }

    /// Probability of class 1 of each image that could be prepared.
    pub fn probabilities(&self, images: &[Prepared]) -> Vec<Option<f64>> {
        let pixels: Vec<f32> = images.iter().filter_map(|image| image.as_ref().ok()).flatten().copied().collect();
        let found = if pixels.is_empty() { Vec::new() } else { (self.infer)(pixels) };
        let mut found = found.into_iter();
        images.iter().map(|image| image.as_ref().ok().and_then(|_| found.next())).collect()
    }
}

/// How images are brought to the network's size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preparation {
    size: ImageSize,
    interpolation: Interpolation,
}

impl Preparation {
    /// Decodes an image file and brings it to size, as for training.
    ///
    /// # Errors
    /// [`DecodeError`], about this file.
    pub fn prepare(self, bytes: &[u8]) -> Prepared {
        let decoded = decode(bytes, self.size, self.interpolation)?;
        let mut pixels = vec![0.0; decoded.pixels.len()];
        warp(&decoded.pixels, self.size, &Parameters::IDENTITY, Fill::Nearest, &mut pixels);
        Ok(pixels)
    }
}

fn network<B: AutodiffBackend<InnerBackend: Kernels>>(
    experiment: &Experiment,
    weights: &Path,
) -> Result<Infer, PredictError> {
    let device = Default::default();
    let (tensors, _) = weights::read_safetensors(weights)?;
    let network = weights::restore(Network::<B::InnerBackend>::new(experiment, &device)?, tensors)?;
    let size = experiment.data().image_size();
    Ok(Box::new(move |pixels| {
        let logits = network.forward(images_tensor::<B::InnerBackend>(pixels, size, &device), None);
        let logits = logits.into_data().convert::<f32>().into_vec::<f32>().unwrap_or_default();
        logits.into_iter().map(|logit| probability(f64::from(logit))).collect()
    }))
}
