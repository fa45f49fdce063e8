//! The VGG-like network: blocks of convolutions and a max-pool, then dense layers, then one logit.

use burn::module::{Module, Param, ParamId};
use burn::nn::conv::Conv2d;
use burn::nn::{BatchNorm, BatchNormConfig, Linear, PaddingConfig2d};
use burn::tensor::activation;
use burn::tensor::backend::Backend;
use burn::tensor::module::max_pool2d;
use burn::tensor::{Tensor, TensorData};

use super::initialize::{Fan, draw};
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

impl<B: Backend> Network<B> {
    /// The network of an experiment with its first weights.
    ///
    /// # Errors
    /// [`TooSmall`] when the images leave nothing for some layer.
    pub fn new(experiment: &Experiment, device: &B::Device) -> Result<Self, TooSmall> {
        let shapes = shapes(experiment.model(), experiment.data().image_size())?;
        Ok(Builder { seed: experiment.seed(), parameter: 0, device }.network(experiment.model(), &shapes))
    }

    /// Logits of a batch: images `[batch, height, width, 3]` with values in [0, 1] become `[batch]`.
    ///
    /// With a dropout key the network is in training mode; without, nothing is dropped.
    pub fn forward(&self, images: Tensor<B, 4>, dropout: Option<DropoutKey>) -> Tensor<B, 1> {
        let mut x = images.permute([0, 3, 1, 2]);
        for block in &self.blocks {
            for convolution in &block.convolutions {
                x = convolution.forward(x);
            }
            let window = [block.pool, block.pool];
            x = max_pool2d(x, window, window, [0, 0], [1, 1], false);
        }
        // Flattened as Keras does it, channels last, so that weights mean the same in both.
        let mut x: Tensor<B, 2> = x.permute([0, 2, 3, 1]).flatten(1, 3);
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

impl<B: Backend> Convolution<B> {
    fn forward(&self, input: Tensor<B, 4>) -> Tensor<B, 4> {
        let x = match self.padding {
            Padding::Valid => input,
            Padding::Same => pad_same(input, self.conv.kernel_size, self.conv.stride),
        };
        let x = self.conv.forward(x);
        let x = match &self.norm {
            Some(norm) => norm.forward(x),
            None => x,
        };
        activate(x, self.activation)
    }
}

/// Zero padding as TensorFlow means "same": the output has ceil(length / stride) pixels, an odd pixel goes last.
fn pad_same<B: Backend>(input: Tensor<B, 4>, kernel: [usize; 2], stride: [usize; 2]) -> Tensor<B, 4> {
    let [_, _, height, width] = input.dims();
    let split = |length: usize, axis: usize| {
        let needed = (length.div_ceil(stride[axis]) - 1) * stride[axis] + kernel[axis];
        let total = needed.saturating_sub(length);
        (total / 2, total - total / 2)
    };
    let ((top, bottom), (left, right)) = (split(height, 0), split(width, 1));
    if top + bottom + left + right == 0 {
        return input;
    }
    input.pad((left, right, top, bottom), 0.0)
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
    fn network(mut self, model: &Model, shapes: &Shapes) -> Network<B> {
        let mut channels = 3;
        let mut blocks = Vec::new();
        for filters in model.conv() {
            let mut convolutions = Vec::new();
            for &filters in filters {
                convolutions.push(self.convolution(model, channels, filters));
                channels = filters;
            }
            blocks.push(Block { convolutions, pool: model.pool() });
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
