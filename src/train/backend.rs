//! Which backend a run computes on: the one place that names burn's backends.

use std::sync::OnceLock;

use burn::backend::{Autodiff, Flex};
use thiserror::Error;

use super::gpu;
use crate::config::{BackendKind, Experiment};

/// The CPU backend with gradients.
pub type Cpu = Autodiff<Flex>;

/// The reference CPU backend with gradients.
#[cfg(feature = "ndarray")]
pub type NdArray = Autodiff<burn::backend::NdArray>;

/// NVIDIA GPUs with gradients.
#[cfg(feature = "cuda")]
pub type Cuda = Autodiff<burn::backend::Cuda>;

/// A backend that this build or this machine does not have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BackendError {
    /// Not compiled in.
    #[error(
        "This build of emo-runner has no `{0}` backend. Build it with `cargo build --release --features {0}`, or set \
         `backend = \"cpu\"`."
    )]
    NotBuilt(BackendKind),
    /// Compiled in, but the machine lacks something.
    #[error("The `{backend}` backend cannot be used on this machine: {reason}. Set `backend = \"cpu\"` to go without.")]
    NotUsable {
        /// The backend.
        backend: BackendKind,
        /// What is missing.
        reason: String,
    },
}

/// Whether this build has a backend.
pub fn is_built(backend: BackendKind) -> bool {
    match backend {
        BackendKind::Cpu | BackendKind::Auto => true,
        BackendKind::Ndarray => cfg!(feature = "ndarray"),
        BackendKind::Cuda => cfg!(feature = "cuda"),
    }
}

/// Where runs are to work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Place {
    /// On this machine.
    #[default]
    Here,
    /// On nodes of a cluster, which have GPUs though this machine need not.
    Elsewhere,
}

/// Whether this build and machine can use a backend, and the GPU of it that is named, as far as can be told without starting it.
///
/// # Errors
/// [`BackendError`] says what is missing.
pub fn check(backend: BackendKind, device: Option<usize>, place: Place) -> Result<(), BackendError> {
    if !is_built(backend) {
        return Err(BackendError::NotBuilt(backend));
    }
    if backend != BackendKind::Cuda || place == Place::Elsewhere {
        return Ok(());
    }
    let reason = gpu::missing().or_else(|| {
        let gpus = device.map(|_| gpu::devices().len())?;
        let none = device.filter(|&device| device >= gpus)?;
        Some(format!("there is no GPU {none}: {gpus} can be used here, counted from 0"))
    });
    reason.map_or(Ok(()), |reason| Err(BackendError::NotUsable { backend, reason }))
}

/// An experiment with what `backend = "auto"` stands for: a GPU where build and machine have one, or where the job of a cluster is to
/// have one.
pub fn settled(experiment: Experiment, place: Place) -> Experiment {
    if experiment.backend() != BackendKind::Auto {
        return experiment;
    }
    // Asked once: all runs of a sweep mean the same by it.
    static HERE: OnceLock<bool> = OnceLock::new();
    let here = || check(BackendKind::Cuda, None, place).is_ok() && !gpu::devices().is_empty();
    let gpu = match place {
        Place::Here => *HERE.get_or_init(here),
        Place::Elsewhere => is_built(BackendKind::Cuda) && experiment.resources().gpus().is_some_and(|gpus| gpus > 0),
    };
    experiment.on(if gpu { BackendKind::Cuda } else { BackendKind::Cpu })
}

/// Starts a backend and multiplies two small matrices on it: the proof that it works.
///
/// # Errors
/// What went wrong, as far as it did not end the process.
pub fn probe(backend: BackendKind) -> Result<String, BackendError> {
    check(backend, None, Place::Here)?;
    match backend {
        BackendKind::Cpu | BackendKind::Auto => Ok(multiply::<Flex>()),
        #[cfg(feature = "ndarray")]
        BackendKind::Ndarray => Ok(multiply::<burn::backend::NdArray>()),
        #[cfg(feature = "cuda")]
        BackendKind::Cuda => Ok(multiply::<burn::backend::Cuda>()),
        #[allow(unreachable_patterns, reason = "reachable in builds without one of the features")]
        other => Err(BackendError::NotBuilt(other)),
    }
}

fn multiply<B: burn::tensor::backend::Backend>() -> String {
    let device = B::Device::default();
    let ones = burn::tensor::Tensor::<B, 2>::ones([16, 16], &device);
    let sum = ones.clone().matmul(ones).sum().into_data().convert::<f32>().into_vec::<f32>();
    let correct = sum.is_ok_and(|values| values == [4096.0]);
    format!("{}: {}", B::name(&device), if correct { "works" } else { "computes wrong results" })
}
