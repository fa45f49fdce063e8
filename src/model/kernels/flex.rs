//! Our kernels as operations of burn's flex backend, with their backward passes.

use std::borrow::Cow;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorData, TensorMetadata, TensorPrimitive};
use rayon::prelude::*;

use super::extension::{AdamStep, Kernels, Moving, Window};
use super::{Convolved, Geometry, InstructionSet, Upstream, forward, input_gradient, weight_gradient};

/// Parameters that one task of the optimiser updates.
const ADAM_CHUNK: usize = 1 << 14;

impl Kernels for Flex {
    const ON_HOST: bool = true;

    fn convolve(input: FlexTensor, weights: FlexTensor, bias: FlexTensor, window: Window) -> FlexTensor {
        let geometry = geometry(&input, &weights, window);
        output(geometry, convolved(geometry, &input, &weights, &bias).values)
    }

    fn convolve_transposed(input: FlexTensor, weights: FlexTensor, stride: usize) -> FlexTensor {
        let geometry = transposed_geometry(&input, &weights, stride);
        let upstream = Upstream { gradient: &values(&input), output: &[], places: &[] };
        image(geometry, input_gradient(geometry, InstructionSet::detect(), upstream, &values(&weights)))
    }

    fn contiguous(tensor: FlexTensor) -> FlexTensor {
        match values(&tensor) {
            Cow::Borrowed(_) => tensor,
            Cow::Owned(values) => FlexTensor::from_data(TensorData::new(values, tensor.shape())),
        }
    }

    fn adam(parameter: Moving<Self>, gradient: Tensor<Self, 1>, step: AdamStep) -> Moving<Self> {
        let [mut value, mut first, mut second] =
            [parameter.value, parameter.first, parameter.second].map(|tensor| tensor.into_primitive().tensor());
        for tensor in [&mut value, &mut first, &mut second] {
            if tensor.as_slice::<f32>().is_none_or(|slice| slice.len() * 4 != tensor.bytes().len()) {
                *tensor = tensor.to_contiguous();
            }
        }
        let gradient = gradient.into_primitive().tensor();
        let gradient = values(&gradient);
        let chunks = value.storage_mut::<f32>().par_chunks_mut(ADAM_CHUNK);
        let chunks = chunks.zip(first.storage_mut::<f32>().par_chunks_mut(ADAM_CHUNK));
        let chunks = chunks.zip(second.storage_mut::<f32>().par_chunks_mut(ADAM_CHUNK));
        chunks.zip(gradient.par_chunks(ADAM_CHUNK)).for_each(|(((value, first), second), gradient)| {
            adam(value, first, second, gradient, step);
        });
        let [value, first, second] =
            [value, first, second].map(|tensor| Tensor::from_primitive(TensorPrimitive::Float(tensor)));
        Moving { value, first, second }
    }
}

fn adam(value: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32], step: AdamStep) {
    let [beta_1, beta_2, epsilon, size, keep] =
        [step.beta_1, step.beta_2, step.epsilon, step.size, step.keep].map(|constant| constant as f32);
    let [new_1, new_2] = [1.0 - step.beta_1, 1.0 - step.beta_2].map(|constant| constant as f32);
    for (((value, first), second), &gradient) in value.iter_mut().zip(first).zip(second).zip(gradient) {
        *first = *first * beta_1 + gradient * new_1;
        *second = *second * beta_2 + gradient * gradient * new_2;
        *value = *value * keep - *first * size / (second.sqrt() + epsilon);
    }
}

/// The convolution on the autodiff backend: parents are input, weights and bias.
#[derive(Debug)]
struct Convolution;

/// What its backward pass needs.
#[derive(Debug, Clone)]
struct ConvolutionState {
    geometry: Geometry,
    input: FlexTensor,
    weights: FlexTensor,
    output: Option<FlexTensor>,
    places: Vec<u8>,
}

impl Backward<Flex, 3> for Convolution {
    type State = ConvolutionState;

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<Flex>(&ops.node);
        let ConvolutionState { geometry, input, weights, output, places } = ops.state;
        let [input_node, weights_node, bias_node] = ops.parents;
        let set = InstructionSet::detect();
        let gradient = values(&gradient);
        let output = output.as_ref().map(values).unwrap_or_default();
        let upstream = Upstream { gradient: &gradient, output: &output, places: &places };
        if weights_node.is_some() || bias_node.is_some() {
            let (by_weights, by_bias) = weight_gradient(geometry, set, upstream, &values(&input));
            if let Some(node) = weights_node {
                gradients.register::<Flex>(node.id, tensor(by_weights, weights_shape(geometry)));
            }
            if let Some(node) = bias_node {
                gradients.register::<Flex>(node.id, tensor(by_bias, [geometry.filters]));
            }
        }
        // Memory that is needed no more, before more is taken.
        drop(input);
        if let Some(node) = input_node {
            let by_input = input_gradient(geometry, set, upstream, &values(&weights));
            gradients.register::<Flex>(node.id, image(geometry, by_input));
        }
    }
}

/// The transposed convolution on the autodiff backend: parents are input and weights.
#[derive(Debug)]
struct Transposed;

impl Backward<Flex, 2> for Transposed {
    type State = (Geometry, FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        // Transposed, its input is the gradient of the convolution's output, and its output that of the input.
        let gradient = gradients.consume::<Flex>(&ops.node);
        let (geometry, input, weights) = ops.state;
        let [input_node, weights_node] = ops.parents;
        let gradient = values(&gradient);
        if let Some(node) = input_node {
            let bias = vec![0.0; geometry.filters];
            let by_input = forward(geometry, InstructionSet::detect(), &gradient, &values(&weights), &bias);
            gradients.register::<Flex>(node.id, output(geometry, by_input.values));
        }
        if let Some(node) = weights_node {
            let upstream = Upstream { gradient: &values(&input), output: &[], places: &[] };
            let (by_weights, _) = weight_gradient(geometry, InstructionSet::detect(), upstream, &gradient);
            gradients.register::<Flex>(node.id, tensor(by_weights, weights_shape(geometry)));
        }
    }
}

impl Kernels for Autodiff<Flex> {
    fn convolve(
        input: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        window: Window,
    ) -> FloatTensor<Self> {
        let geometry = geometry(&input.primitive, &weights.primitive, window);
        let values = Flex::contiguous(weights.primitive);
        let result = convolved(geometry, &input.primitive, &values, &bias.primitive);
        let out = output(geometry, result.values);
        let nodes = [input.node, weights.node, bias.node];
        match Convolution.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let state = ConvolutionState {
                    geometry,
                    input: input.primitive,
                    weights: values,
                    output: window.relu.then(|| out.clone()),
                    places: result.places,
                };
                prepared.finish(state, out)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        }
    }

    fn convolve_transposed(input: FloatTensor<Self>, weights: FloatTensor<Self>, stride: usize) -> FloatTensor<Self> {
        let geometry = transposed_geometry(&input.primitive, &weights.primitive, stride);
        let [input_values, weights_values] = [input.primitive, weights.primitive].map(Flex::contiguous);
        let out = Flex::convolve_transposed(input_values.clone(), weights_values.clone(), stride);
        let nodes = [input.node, weights.node];
        match Transposed.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((geometry, input_values, weights_values), out),
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        }
    }
}

/// Values of a tensor in row-major order, copied only where it is a view that is not.
fn values(tensor: &FlexTensor) -> Cow<'_, [f32]> {
    match tensor.as_slice::<f32>() {
        Some(values) => Cow::Borrowed(values),
        None => Cow::Owned(gather(tensor)),
    }
}

/// Values of a view in row-major order: burn's own way steps through every index, which takes ten times as long.
fn gather(tensor: &FlexTensor) -> Vec<f32> {
    let (layout, storage) = (tensor.layout(), tensor.storage::<f32>());
    let shape: Vec<usize> = tensor.shape().to_vec();
    let strides: Vec<isize> = layout.strides().to_vec();
    let Some((&length, outer)) = shape.split_last() else { return storage.to_vec() };
    let step = strides[outer.len()];
    let mut values = Vec::with_capacity(shape.iter().product());
    let mut index = vec![0; outer.len()];
    for _ in 0..outer.iter().product::<usize>() {
        let place: isize = index.iter().zip(&strides).map(|(&index, &stride)| index as isize * stride).sum();
        let start = layout.start_offset() as isize + place;
        values.extend((0..length as isize).map(|k| storage[(start + k * step) as usize]));
        for (index, &length) in index.iter_mut().zip(outer).rev() {
            *index += 1;
            if *index < length {
                break;
            }
            *index = 0;
        }
    }
    values
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

fn output(geometry: Geometry, values: Vec<f32>) -> FlexTensor {
    let [rows, columns] = geometry.output();
    tensor(values, [geometry.batch, rows, columns, geometry.filters])
}

fn image(geometry: Geometry, values: Vec<f32>) -> FlexTensor {
    tensor(values, [geometry.batch, geometry.height, geometry.width, geometry.channels])
}

fn weights_shape(geometry: Geometry) -> [usize; 4] {
    [geometry.kernel, geometry.kernel, geometry.channels, geometry.filters]
}

fn convolved(geometry: Geometry, input: &FlexTensor, weights: &FlexTensor, bias: &FlexTensor) -> Convolved {
    forward(geometry, InstructionSet::detect(), &values(input), &values(weights), &values(bias))
}

fn geometry(input: &FlexTensor, weights: &FlexTensor, window: Window) -> Geometry {
    let [batch, height, width, channels] = input.shape().dims();
    let [kernel, _, _, filters] = weights.shape().dims();
    let Window { stride, relu, pool } = window;
    Geometry { batch, height, width, channels, kernel, stride, filters, relu, pool }
}

/// The convolution whose output has the shape of `input`.
fn transposed_geometry(input: &FlexTensor, weights: &FlexTensor, stride: usize) -> Geometry {
    let [batch, rows, columns, filters] = input.shape().dims();
    let [kernel, _, channels, _] = weights.shape().dims();
    let [height, width] = [rows, columns].map(|length| (length - 1) * stride + kernel);
    Geometry { batch, height, width, channels, kernel, stride, filters, relu: false, pool: 1 }
}
