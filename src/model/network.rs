//! The VGG-like network: blocks of convolutions and a max-pool, then dense layers, then one logit.

use burn::module::{Module, Param, ParamId};
use burn::nn::conv::Conv2d;
use burn::nn::{BatchNorm, BatchNormConfig, Linear, PaddingConfig2d};
use burn::tensor::activation;
use burn::tensor::backend::Backend;
use burn::tensor::module::max_pool2d;
use burn::tensor::{Tensor, TensorData};

use super::fold::{Group, groups};
use super::initialize::{Fan, draw};
use super::kernels::{Kernels, Window, convolve, convolve_transposed};
use super::shapes::{Shapes, TooSmall, shapes};
use crate::config::{Activation, Experiment, ImageSize, Initializer, Model, Padding};
use crate::random::{Purpose, Stream};

/// Which random numbers the dropout of one training step uses.
#[derive(Debug, Clone, Copy)]
pub struct DropoutKey {
    /// Seed of the experiment.
    pub seed: u64,
    /// Epoch, counted from 0.
    pub epoch: u64,
    /// Step in the epoch, counted from 0.
    pub step: u64,
}

/// Convolutions, then one max-pool.
#[derive(Module, Debug)]
struct Block<B: Backend> {
    convolutions: Vec<Convolution<B>>,
    /// Which of them are computed as one.
    #[module(skip)]
    groups: Vec<Group>,
    pool: usize,
}

/// A convolution with its activation and, if asked for, batch normalisation between the two.
#[derive(Module, Debug)]
struct Convolution<B: Backend> {
    conv: Conv2d<B>,
    norm: Option<BatchNorm<B>>,
    #[module(skip)]
    padding: Padding,
    #[module(skip)]
    activation: Activation,
}

/// The network of design section 2, as far as the configuration does not say otherwise.
#[derive(Module, Debug)]
pub struct Network<B: Backend> {
    blocks: Vec<Block<B>>,
    dense: Vec<Linear<B>>,
    output: Linear<B>,
    dropout: f64,
}

impl<B: Kernels> Network<B> {
    /// The network of an experiment with its first weights.
    ///
    /// # Errors
    /// [`TooSmall`] when the images leave nothing for some layer.
    pub fn new(experiment: &Experiment, device: &B::Device) -> Result<Self, TooSmall> {
        let shapes = shapes(experiment.model(), experiment.data().image_size())?;
        let groups = groups(experiment, &shapes.layers);
        Ok(Builder { seed: experiment.seed(), parameter: 0, device }.network(experiment.model(), &shapes, groups))
    }

    /// Logits of a batch: images `[batch, height, width, 3]` with values in [0, 1] become `[batch]`.
    ///
    /// With a dropout key the network is in training mode; without, nothing is dropped.
    pub fn forward(&self, images: Tensor<B, 4>, dropout: Option<DropoutKey>) -> Tensor<B, 1> {
        let mut x = images;
        for block in &self.blocks {
            x = block.forward(x);
        }
        // Flattened as Keras does it, channels last, so that weights mean the same in both.
        let mut x: Tensor<B, 2> = x.flatten(1, 3);
        for (layer, dense) in self.dense.iter().enumerate() {
            x = activation::relu(dense.forward(x));
            if let Some(key) = dropout.filter(|_| self.dropout > 0.0) {
                let mask = dropout_mask(key, layer, x.dims(), self.dropout, &x.device());
                x = x * mask;
            }
        }
        self.output.forward(x).flatten(0, 1)
    }
}

impl<B: Kernels> Block<B> {
    fn forward(&self, mut x: Tensor<B, 4>) -> Tensor<B, 4> {
        for (index, group) in self.groups.iter().enumerate() {
            let pool = if index + 1 == self.groups.len() { self.pool } else { 1 };
            let convolutions = &self.convolutions[group.first..group.first + group.count];
            x = match convolutions {
                [convolution] => convolution.forward(x, pool),
                folded => {
                    let (weights, bias) = fold(folded);
                    convolve(x, weights, bias, Window { stride: group.stride, relu: false, pool })
                }
            };
        }
        x
    }
}

/// Weights and bias of linear convolutions as one, see [`super::fold`].
fn fold<B: Kernels>(convolutions: &[Convolution<B>]) -> (Tensor<B, 4>, Tensor<B, 1>) {
    let mut parts = convolutions.iter().map(|convolution| (convolution.parameters(), convolution.conv.stride[0]));
    let Some(((mut weights, mut bias), mut stride)) = parts.next() else {
        unreachable!("a group has at least one convolution");
    };
    for ((next_weights, next_bias), next_stride) in parts {
        let [_, _, middle, filters] = next_weights.dims();
        let sums: Tensor<B, 2> = next_weights.clone().sum_dims_squeeze::<2, _>(&[0, 1]);
        bias = next_bias + bias.reshape([1, middle]).matmul(sums).reshape([filters]);
        weights = convolve_transposed(next_weights.permute([3, 0, 1, 2]), weights, stride).permute([1, 2, 3, 0]);
        stride *= next_stride;
    }
    (weights, bias)
}

impl<B: Kernels> Convolution<B> {
    /// Weights as `[kernel, kernel, channels, filters]`, and the bias.
    fn parameters(&self) -> (Tensor<B, 4>, Tensor<B, 1>) {
        let weights = self.conv.weight.val();
        let bias = self.conv.bias.as_ref().map(|bias| bias.val());
        let bias = bias.unwrap_or_else(|| Tensor::zeros([weights.dims()[0]], &weights.device()));
        (weights.permute([2, 3, 1, 0]), bias)
    }

    /// The convolution, what follows it, and a max-pool of side `pool`; images are channels-last.
    fn forward(&self, input: Tensor<B, 4>, pool: usize) -> Tensor<B, 4> {
        let x = match self.padding {
            Padding::Valid => input,
            Padding::Same => pad_same(input, self.conv.kernel_size, self.conv.stride),
        };
        let (weights, bias) = self.parameters();
        let stride = self.conv.stride[0];
        if self.norm.is_none() && matches!(self.activation, Activation::Linear | Activation::Relu) {
            return convolve(x, weights, bias, Window { stride, relu: self.activation == Activation::Relu, pool });
        }
        let x = convolve(x, weights, bias, Window { stride, relu: false, pool: 1 }).permute([0, 3, 1, 2]);
        let x = match &self.norm {
            Some(norm) => norm.forward(x),
            None => x,
        };
        let x = activate(x, self.activation);
        let x = if pool > 1 { max_pool2d(x, [pool; 2], [pool; 2], [0, 0], [1, 1], false) } else { x };
        x.permute([0, 2, 3, 1])
    }
}

/// Zero padding as TensorFlow means "same": the output has ceil(length / stride) pixels, an odd pixel goes last.
fn pad_same<B: Backend>(input: Tensor<B, 4>, kernel: [usize; 2], stride: [usize; 2]) -> Tensor<B, 4> {
    let [_, height, width, _] = input.dims();
    let split = |length: usize, axis: usize| {
        let needed = (length.div_ceil(stride[axis]) - 1) * stride[axis] + kernel[axis];
        let total = needed.saturating_sub(length);
        (total / 2, total - total / 2)
    };
    let ((top, bottom), (left, right)) = (split(height, 0), split(width, 1));
    if top + bottom + left + right == 0 {
        return input;
    }
    input.pad([(top, bottom), (left, right), (0, 0)], 0.0)
}

fn activate<B: Backend>(x: Tensor<B, 4>, activation: Activation) -> Tensor<B, 4> {
    match activation {
        Activation::Linear => x,
        Activation::Relu => activation::relu(x),
        Activation::LeakyRelu => activation::leaky_relu(x, 0.2),
        Activation::Elu => activation::elu(x, 1.0),
        Activation::Gelu => activation::gelu(x),
        Activation::Silu => activation::silu(x),
        Activation::Tanh => activation::tanh(x),
        Activation::Sigmoid => activation::sigmoid(x),
    }
}

/// Inverted dropout (Srivastava et al. 2014): 0 with probability `rate`, else 1 / (1 - rate). Shape `[batch, units]`.
fn dropout_mask<B: Backend>(
    key: DropoutKey,
    layer: usize,
    [batch, units]: [usize; 2],
    rate: f64,
    device: &B::Device,
) -> Tensor<B, 2> {
    let mut stream = Stream::new(key.seed, Purpose::Dropout, key.epoch, (key.step << 16) + layer as u64);
    let keep = (1.0 / (1.0 - rate)) as f32;
    let mask: Vec<f32> = (0..batch * units).map(|_| if stream.chance(rate) { 0.0 } else { keep }).collect();
    Tensor::from_data(TensorData::new(mask, [batch, units]), device)
}

/// Builds layers one after the other; the place of a parameter in that order is its stream of random numbers.
struct Builder<'a, B: Backend> {
    seed: u64,
    parameter: u64,
    device: &'a B::Device,
}

impl<B: Backend> Builder<'_, B> {
    fn network(mut self, model: &Model, shapes: &Shapes, groups: Vec<Vec<Group>>) -> Network<B> {
        let mut channels = 3;
        let mut blocks = Vec::new();
        for (filters, groups) in model.conv().iter().zip(groups) {
            let mut convolutions = Vec::new();
            for &filters in filters {
                convolutions.push(self.convolution(model, channels, filters));
                channels = filters;
            }
            blocks.push(Block { convolutions, groups, pool: model.pool() });
        }
        let mut inputs = shapes.features;
        let mut dense = Vec::new();
        for &units in model.dense() {
            dense.push(self.linear(Initializer::HeNormal, inputs, units));
            inputs = units;
        }
        let output = self.linear(Initializer::GlorotUniform, inputs, 1);
        Network { blocks, dense, output, dropout: model.dropout() }
    }

    fn convolution(&mut self, model: &Model, channels: usize, filters: usize) -> Convolution<B> {
        let kernel = model.kernel();
        let area = kernel * kernel;
        let fan = Fan { input: area * channels, output: area * filters };
        let weight = self.weight(model.initializer(), fan, [filters, channels, kernel, kernel]);
        let conv = Conv2d {
            weight,
            bias: Some(self.zeros(filters)),
            stride: [model.stride(); 2],
            kernel_size: [kernel; 2],
            dilation: [1, 1],
            groups: 1,
            padding: PaddingConfig2d::Valid,
        };
        // Keras's momentum 0.99 and epsilon 1e-3; burn's momentum is the weight of the new value.
        let norm = model
            .batch_norm()
            .then(|| BatchNormConfig::new(filters).with_momentum(0.01).with_epsilon(1e-3).init(self.device));
        Convolution { conv, norm, padding: model.padding(), activation: model.activation() }
    }

    fn linear(&mut self, initializer: Initializer, inputs: usize, units: usize) -> Linear<B> {
        let fan = Fan { input: inputs, output: units };
        Linear { weight: self.weight(initializer, fan, [inputs, units]), bias: Some(self.zeros(units)) }
    }

    fn weight<const D: usize>(&mut self, initializer: Initializer, fan: Fan, shape: [usize; D]) -> Param<Tensor<B, D>> {
        let values = draw(initializer, fan, shape.iter().product(), self.seed, self.parameter);
        self.parameter += 1;
        self.param(values, shape)
    }

    fn zeros(&self, length: usize) -> Param<Tensor<B, 1>> {
        self.param(vec![0.0; length], [length])
    }

    fn param<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Param<Tensor<B, D>> {
        let tensor = Tensor::from_data(TensorData::new(values, shape), self.device).require_grad();
        Param::initialized(ParamId::new(), tensor)
    }
}

/// Memory that one training step needs at least, in bytes: pixels, every layer's output and its gradient, and four
/// copies of the parameters (weights, gradients, two moments).
pub fn training_bytes(shapes: &Shapes, size: ImageSize, batch: usize) -> u64 {
    let outputs: usize = shapes.layers.iter().map(|layer| layer.output.iter().product::<usize>()).sum();
    let image = size.height * size.width * 3 + 2 * outputs;
    4 * (image as u64 * batch as u64 + 4 * shapes.parameters as u64)
}
