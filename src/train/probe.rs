//! How fast this machine trains a network, from one step on noise.

use std::time::Instant;

use burn::tensor::backend::AutodiffBackend;

use super::backend;
use super::learner::{Learner, StepSettings};
use super::optimizer::Optimizer;
use crate::config::{BackendKind, Experiment};
use crate::data::tensor::images_tensor;
use crate::model::kernels::Kernels;
use crate::model::{DropoutKey, Network};
use crate::random::{Purpose, Stream};

/// Images of the step: enough to be like a full batch, few enough to be quick.
const IMAGES: usize = 16;

/// Seconds that one image takes in a training step, with all threads, without its augmentation. The second of two steps is timed.
/// `None` where the backend is not in this build or the network does not fit the images.
pub fn seconds_per_image(experiment: &Experiment) -> Option<f64> {
    match experiment.backend() {
        BackendKind::Cpu | BackendKind::Auto => timed::<backend::Cpu>(experiment),
        #[cfg(feature = "ndarray")]
        BackendKind::Ndarray => timed::<backend::NdArray>(experiment),
        #[cfg(feature = "cuda")]
        BackendKind::Cuda => timed::<backend::Cuda>(experiment),
        #[allow(unreachable_patterns, reason = "reachable in builds without one of the features")]
        _ => None,
    }
}

fn timed<B: AutodiffBackend<InnerBackend: Kernels> + Kernels>(experiment: &Experiment) -> Option<f64> {
    let train = experiment.train();
    let images = train.batch_size().min(IMAGES);
    let device = B::Device::default();
    let network = Network::<B>::new(experiment, &device).ok()?;
    let mut learner =
        Learner { network: Some(network), optimizer: Optimizer::new(train.optimizer(), train.weight_decay()) };
    let size = experiment.data().image_size();
    let mut stream = Stream::new(0, Purpose::Synthesis, 0, 0);
    let pixels: Vec<f32> = (0..images * size.height * size.width * 3).map(|_| stream.uniform() as f32).collect();
    let labels: Vec<bool> = (0..images).map(|image| image % 2 == 1).collect();
    let mut seconds = None;
    for step in 0..2 {
        let tensor = images_tensor::<B::InnerBackend>(pixels.clone(), size, &device);
        let started = Instant::now();
        let settings = StepSettings {
            labels: &labels,
            class_weights: [1.0, 1.0],
            dropout: DropoutKey { seed: 0, epoch: 0, step },
            learning_rate: train.learning_rate(),
        };
        learner.step(tensor, settings)?;
        seconds = Some(started.elapsed().as_secs_f64() / images as f64);
    }
    seconds
}
