//! Adam, AdamW and plain SGD over all parameters of a network, with a state that can be saved by name.

use std::collections::HashMap;

use burn::module::{AutodiffModule, ModuleMapper, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Tensor, TensorData};

use crate::config::OptimizerKind;
use crate::model::NamedTensor;
use crate::model::kernels::{AdamStep, Kernels, Moving, contiguous};

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-7;

/// First and second moment of one parameter, flattened.
#[derive(Debug, Clone)]
struct Moments<B: AutodiffBackend> {
    first: Tensor<B::InnerBackend, 1>,
    second: Tensor<B::InnerBackend, 1>,
}

/// An optimiser and what it remembers from step to step.
///
/// Adam is that of Kingma and Ba (2015) as Keras writes it: the bias corrections go into the step size, and epsilon
/// (1e-7) is added to the uncorrected root. AdamW takes its weight decay off the weights (Loshchilov and Hutter 2019);
/// SGD's is part of the gradient.
#[derive(Debug)]
pub struct Optimizer<B: AutodiffBackend> {
    kind: OptimizerKind,
    weight_decay: f64,
    steps: u64,
    /// By the parameter's path in the network.
    moments: HashMap<String, Moments<B>>,
}

impl<B: AutodiffBackend<InnerBackend: Kernels>> Optimizer<B> {
    /// An optimiser before its first step.
    pub fn new(kind: OptimizerKind, weight_decay: f64) -> Self {
        Self { kind, weight_decay, steps: 0, moments: HashMap::new() }
    }

    /// One step against the gradients.
    pub fn step<M: AutodiffModule<B>>(&mut self, module: M, gradients: GradientsParams, learning_rate: f64) -> M {
        self.steps += 1;
        module.map(&mut Step { optimizer: self, gradients, learning_rate, path: Vec::new() })
    }

    /// What must be saved to go on with the same bits, besides the number of steps.
    pub fn state(&self) -> Vec<NamedTensor> {
        let mut names: Vec<&String> = self.moments.keys().collect();
        names.sort();
        let mut tensors = Vec::new();
        for name in names {
            let moments = &self.moments[name];
            for (which, tensor) in [("first", &moments.first), ("second", &moments.second)] {
                let data = tensor.to_data();
                tensors.push(NamedTensor {
                    name: format!("{which}.{name}"),
                    shape: data.shape.to_vec(),
                    values: data.into_vec().unwrap_or_default(),
                });
            }
        }
        tensors
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Takes up a saved state.
    pub fn restore(&mut self, steps: u64, tensors: Vec<NamedTensor>, device: &B::Device) {
        self.steps = steps;
        let mut tensors: HashMap<String, NamedTensor> =
            tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
        let names: Vec<String> =
            tensors.keys().filter_map(|name| name.strip_prefix("first.")).map(str::to_owned).collect();
        for name in names {
            let mut take = |which: &str| {
                let found = tensors.remove(&format!("{which}.{name}"))?;
                let length = found.values.len();
                Some(Tensor::from_data(TensorData::new(found.values, [length]), device))
            };
            if let (Some(first), Some(second)) = (take("first"), take("second")) {
                self.moments.insert(name, Moments { first, second });
            }
        }
    }

    fn updated(
        &mut self,
        name: String,
        value: Tensor<B::InnerBackend, 1>,
        gradient: Tensor<B::InnerBackend, 1>,
        learning_rate: f64,
    ) -> Tensor<B::InnerBackend, 1> {
        match self.kind {
            OptimizerKind::Sgd => {
                let gradient = match self.weight_decay {
                    0.0 => gradient,
                    decay => gradient + value.clone() * decay,
                };
                value - gradient * learning_rate
            }
            OptimizerKind::Adam => self.adam(name, value, gradient, learning_rate, 1.0),
            OptimizerKind::Adamw => {
                self.adam(name, value, gradient, learning_rate, 1.0 - learning_rate * self.weight_decay)
            }
        }
    }

    /// One step of Adam; the value is multiplied with `keep` beforehand.
    fn adam(
        &mut self,
        name: String,
        value: Tensor<B::InnerBackend, 1>,
        gradient: Tensor<B::InnerBackend, 1>,
        learning_rate: f64,
        keep: f64,
    ) -> Tensor<B::InnerBackend, 1> {
        let moments = self
            .moments
            .remove(&name)
            .unwrap_or_else(|| Moments { first: Tensor::zeros_like(&gradient), second: Tensor::zeros_like(&gradient) });
        let t = self.steps as f64;
        let size = learning_rate * (1.0 - BETA_2.powf(t)).sqrt() / (1.0 - BETA_1.powf(t));
        let step = AdamStep { beta_1: BETA_1, beta_2: BETA_2, epsilon: EPSILON, size, keep };
        let parameter = Moving { value, first: moments.first, second: moments.second };
        let Moving { value, first, second } = B::InnerBackend::adam(parameter, gradient, step);
        self.moments.insert(name, Moments { first, second });
        value
    }
}

struct Step<'a, B: AutodiffBackend> {
    optimizer: &'a mut Optimizer<B>,
    gradients: GradientsParams,
    learning_rate: f64,
    path: Vec<String>,
}

impl<B: AutodiffBackend<InnerBackend: Kernels>> ModuleMapper<B> for Step<'_, B> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let (id, tensor, mapper): (ParamId, _, _) = param.consume();
        let Some(gradient) = self.gradients.remove::<B::InnerBackend, D>(id) else {
            return Param::from_mapped_value(id, tensor, mapper);
        };
        let dims = tensor.dims();
        let length = dims.iter().product::<usize>();
        let updated = self.optimizer.updated(
            self.path.join("."),
            tensor.inner().reshape([length]),
            contiguous(gradient).reshape([length]),
            self.learning_rate,
        );
        let tensor = Tensor::from_inner(updated.reshape(dims)).require_grad();
        Param::from_mapped_value(id, tensor, mapper)
    }

    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }
}
