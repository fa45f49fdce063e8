//! One step of training: forward, loss, backward, update.

use burn::optim::GradientsParams;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Tensor, TensorData};

use super::loss::{binary_cross_entropy, binary_cross_entropy_f64, labels_tensor};
use super::optimizer::Optimizer;
use crate::model::kernels::Kernels;
use crate::model::{DropoutKey, Network};

/// A network on its way, with the optimiser that moves it.
#[derive(Debug)]
pub struct Learner<B: AutodiffBackend> {
    /// `None` only while a step fails.
    pub network: Option<Network<B>>,
    /// The optimiser and its state.
    pub optimizer: Optimizer<B>,
}

/// What one step is made with besides the images.
#[derive(Debug, Clone, Copy)]
pub struct StepSettings<'a> {
    /// True for class 1, `[batch]`.
    pub labels: &'a [bool],
    /// Weight of each class in the loss.
    pub class_weights: [f64; 2],
    /// Random numbers of the dropout.
    pub dropout: DropoutKey,
    /// Learning rate.
    pub learning_rate: f64,
}

/// What a step finds out.
#[derive(Debug, Clone, PartialEq)]
pub struct Stepped {
    /// Mean loss before the update. If it is not finite, nothing was updated.
    pub loss: f64,
    /// Logits before the update, `[batch]`.
    pub logits: Vec<f32>,
}

impl<B: AutodiffBackend<InnerBackend: Kernels> + Kernels> Learner<B> {
    /// A step on images `[batch, height, width, 3]`; `None` once an earlier step has failed.
    pub fn step(&mut self, images: Tensor<B::InnerBackend, 4>, settings: StepSettings) -> Option<Stepped> {
        let network = self.network.take()?;
        let logits = network.forward(Tensor::from_inner(images), Some(settings.dropout));
        let values: Vec<f32> = logits.clone().inner().into_data().convert::<f32>().into_vec().unwrap_or_default();
        let loss = weighted_loss_f64(&values, settings.labels, settings.class_weights);
        if loss.is_finite() {
            self.network = Some(self.updated(network, logits, settings));
        }
        Some(Stepped { loss, logits: values })
    }

    /// The same step without a look at what came out, so that a device need not wait for the host: the logits before the update,
    /// `[batch]`, still on the device. Whoever reads them must look whether they are finite; if not, the network is lost.
    pub fn step_ahead(
        &mut self,
        images: Tensor<B::InnerBackend, 4>,
        settings: StepSettings,
    ) -> Option<Tensor<B::InnerBackend, 1>> {
        let network = self.network.take()?;
        let logits = network.forward(Tensor::from_inner(images), Some(settings.dropout));
        let unread = logits.clone().inner();
        self.network = Some(self.updated(network, logits, settings));
        Some(unread)
    }

    fn updated(&mut self, network: Network<B>, logits: Tensor<B, 1>, settings: StepSettings) -> Network<B> {
        let gradients = weighted_loss(logits, settings.labels, settings.class_weights).backward();
        let gradients = GradientsParams::from_grads(gradients, &network);
        self.optimizer.step(network, gradients, settings.learning_rate)
    }
}

/// Mean of the images' losses, each times the weight of its class.
fn weighted_loss<B: AutodiffBackend>(logits: Tensor<B, 1>, labels: &[bool], weights: [f64; 2]) -> Tensor<B, 1> {
    let device = logits.device();
    let losses = binary_cross_entropy(logits, labels_tensor(labels, &device));
    if weights == [1.0, 1.0] {
        return losses.mean();
    }
    let weights: Vec<f32> = labels.iter().map(|&label| weights[usize::from(label)] as f32).collect();
    let length = weights.len();
    (losses * Tensor::from_data(TensorData::new(weights, [length]), &device)).mean()
}

/// The same of logits on the host.
pub(super) fn weighted_loss_f64(logits: &[f32], labels: &[bool], weights: [f64; 2]) -> f64 {
    let losses = logits.iter().zip(labels);
    let sum: f64 = losses
        .map(|(&logit, &label)| weights[usize::from(label)] * binary_cross_entropy_f64(f64::from(logit), label))
        .sum();
    sum / logits.len() as f64
}
