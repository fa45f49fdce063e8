//! The one place where pixels become tensors.

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};

use crate::config::ImageSize;

/// A batch's pixels as `[images, height, width, 3]`, without a copy on the CPU.
pub fn images_tensor<B: Backend>(pixels: Vec<f32>, size: ImageSize, device: &B::Device) -> Tensor<B, 4> {
    let images = pixels.len() / (size.height * size.width * 3);
    Tensor::from_data(TensorData::new(pixels, [images, size.height, size.width, 3]), device)
}

/// The pixels' memory back, where `on_host` says that the backend keeps tensors there and nothing else holds this one: no copy then.
pub fn reclaim<B: Backend>(images: Tensor<B, 4>, on_host: bool) -> Option<Vec<f32>> {
    if on_host { images.into_data().into_vec().ok() } else { None }
}
