//! What the network asks of a backend beyond burn's own operations.
//!
//! Every method has a default out of burn's operations, which the GPU and reference backends use; the CPU backend has
//! its own. Images are channels-last, `[batch, height, width, channels]`; weights are `[kernel, kernel, channels,
//! filters]`.

use burn::tensor::backend::Backend;
use burn::tensor::module::{conv_transpose2d, conv2d, max_pool2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions, FloatTensor};
use burn::tensor::{Tensor, TensorPrimitive, activation};

/// How a convolution without padding moves over its images, and what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Pixels from one place to the next.
    pub stride: usize,
    /// Negative sums become 0.
    pub relu: bool,
    /// Side of the max-pool that follows; 1 for none.
    pub pool: usize,
}

/// Constants of one step of Adam (Kingma and Ba 2015).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamStep {
    /// Decay of the first moment.
    pub beta_1: f64,
    /// Decay of the second moment.
    pub beta_2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Learning rate times both bias corrections.
    pub size: f64,
    /// What the value is multiplied with beforehand: 1 less the decoupled weight decay.
    pub keep: f64,
}

/// A parameter, flattened, with its moments.
#[derive(Debug, Clone)]
pub struct Moving<B: Backend> {
    /// The parameter.
    pub value: Tensor<B, 1>,
    /// Mean of the gradients.
    pub first: Tensor<B, 1>,
    /// Mean of their squares.
    pub second: Tensor<B, 1>,
}

/// A backend that the network runs on.
pub trait Kernels: Backend {
    /// Whether tensors lie in the host's memory, so that it can be taken back without a copy.
    const ON_HOST: bool = false;

    /// Convolution with bias, then ReLU and max-pool as the window says.
    fn convolve(
        input: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        window: Window,
    ) -> FloatTensor<Self> {
        let options = ConvOptions::new([window.stride; 2], [0, 0], [1, 1], 1);
        let weights = wrap::<Self, 4>(weights).permute([3, 2, 0, 1]);
        let bias = Tensor::<Self, 1>::from_primitive(TensorPrimitive::Float(bias));
        let mut x = conv2d(wrap::<Self, 4>(input).permute([0, 3, 1, 2]), weights, Some(bias), options);
        if window.relu {
            x = activation::relu(x);
        }
        if window.pool > 1 {
            x = max_pool2d(x, [window.pool; 2], [window.pool; 2], [0, 0], [1, 1], false);
        }
        x.permute([0, 2, 3, 1]).into_primitive().tensor()
    }

    /// The transposed convolution, `[batch, rows, columns, filters]` to `[batch, height, width, channels]`.
    fn convolve_transposed(input: FloatTensor<Self>, weights: FloatTensor<Self>, stride: usize) -> FloatTensor<Self> {
        let options = ConvTransposeOptions::new([stride; 2], [0, 0], [0, 0], [1, 1], 1);
        let weights = wrap::<Self, 4>(weights).permute([3, 2, 0, 1]);
        let x = conv_transpose2d(wrap::<Self, 4>(input).permute([0, 3, 1, 2]), weights, None, options);
        x.permute([0, 2, 3, 1]).into_primitive().tensor()
    }

    /// The same values in row-major order, where the backend keeps views that are not.
    fn contiguous(tensor: FloatTensor<Self>) -> FloatTensor<Self> {
        tensor
    }

    /// One step of Adam against a gradient.
    fn adam(parameter: Moving<Self>, gradient: Tensor<Self, 1>, step: AdamStep) -> Moving<Self> {
        let squared = gradient.clone() * gradient.clone();
        let first = parameter.first * step.beta_1 + gradient * (1.0 - step.beta_1);
        let second = parameter.second * step.beta_2 + squared * (1.0 - step.beta_2);
        let value = parameter.value * step.keep - first.clone() * step.size / (second.clone().sqrt() + step.epsilon);
        Moving { value, first, second }
    }
}

fn wrap<B: Backend, const D: usize>(tensor: FloatTensor<B>) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(tensor))
}

/// [`Kernels::convolve`] on tensors.
pub fn convolve<B: Kernels>(
    input: Tensor<B, 4>,
    weights: Tensor<B, 4>,
    bias: Tensor<B, 1>,
    window: Window,
) -> Tensor<B, 4> {
    let [input, weights] = [input, weights].map(|tensor| tensor.into_primitive().tensor());
    wrap(B::convolve(input, weights, bias.into_primitive().tensor(), window))
}

/// [`Kernels::contiguous`] on tensors.
pub fn contiguous<B: Kernels, const D: usize>(tensor: Tensor<B, D>) -> Tensor<B, D> {
    wrap(B::contiguous(tensor.into_primitive().tensor()))
}

/// [`Kernels::convolve_transposed`] on tensors.
pub fn convolve_transposed<B: Kernels>(input: Tensor<B, 4>, weights: Tensor<B, 4>, stride: usize) -> Tensor<B, 4> {
    let [input, weights] = [input, weights].map(|tensor| tensor.into_primitive().tensor());
    wrap(B::convolve_transposed(input, weights, stride))
}

#[cfg(feature = "ndarray")]
mod ndarray {
    use burn::backend::{Autodiff, NdArray};

    impl super::Kernels for NdArray<f32> {}
    impl super::Kernels for Autodiff<NdArray<f32>> {}
    // In f64 for tests against exact results.
    impl super::Kernels for NdArray<f64> {}
    impl super::Kernels for Autodiff<NdArray<f64>> {}
}

#[cfg(feature = "cuda")]
mod cuda {
    use burn::backend::{Autodiff, Cuda};

    impl super::Kernels for Cuda {}
    impl super::Kernels for Autodiff<Cuda> {}
}
