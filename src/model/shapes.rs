//! Layer shapes and parameter counts of a configuration, without building the network.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::config::{ImageSize, Model, Padding};

/// One layer as `show` and the store describe it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerShape {
    /// `conv1_2`, `pool1`, `dense1`, `output`: block and place in the block.
    pub name: String,
    /// Output: height, width, channels of a convolution or pool; units of a dense layer.
    pub output: Vec<usize>,
    /// Trainable parameters.
    pub parameters: usize,
}

/// The whole network's shapes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shapes {
    /// Layers from input to output; activations, batch normalisation and dropout are part of their layer.
    pub layers: Vec<LayerShape>,
    /// Length of the flattened output of the last pool.
    pub features: usize,
    /// Trainable parameters of the whole network.
    pub parameters: usize,
}

/// The image leaves no pixel for some layer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("An image of {size} pixels is too small for this network: nothing is left for layer `{layer}`. {}", self.way_out())]
pub struct TooSmall {
    /// The image size of the experiment.
    pub size: ImageSize,
    /// The first layer whose output would be empty.
    pub layer: String,
    /// The smallest image that passes through.
    pub smallest: ImageSize,
}

impl TooSmall {
    /// What to do about it.
    pub fn help(&self) -> String {
        if self.smallest.height > ImageSize::LONGEST {
            return "use fewer layers, or smaller strides and pools".to_owned();
        }
        format!(
            "set data.image_size to [{}, {}] or more, or use fewer layers",
            self.smallest.height, self.smallest.width
        )
    }

    fn way_out(&self) -> String {
        if self.smallest.height > ImageSize::LONGEST {
            return format!("No image of up to {0}x{0} pixels passes through it.", ImageSize::LONGEST);
        }
        format!("The smallest image that passes through it is {} pixels.", self.smallest)
    }
}

/// One step that shrinks the image.
struct Window {
    name: String,
    size: usize,
    stride: usize,
    padding: Padding,
    /// Filters of a convolution; `None` for a pool.
    filters: Option<usize>,
}

impl Window {
    /// Output length for an input length; 0 when the window does not fit.
    fn output(&self, input: usize) -> usize {
        match self.padding {
            Padding::Same => input.div_ceil(self.stride),
            Padding::Valid if input < self.size => 0,
            Padding::Valid => (input - self.size) / self.stride + 1,
        }
    }

    /// Smallest input length that gives `output`.
    fn smallest_input(&self, output: usize) -> usize {
        match self.padding {
            Padding::Same => (output - 1).saturating_mul(self.stride).saturating_add(1),
            Padding::Valid => (output - 1).saturating_mul(self.stride).saturating_add(self.size),
        }
    }
}

fn windows(model: &Model) -> Vec<Window> {
    let mut windows = Vec::new();
    for (block, convolutions) in model.conv().iter().enumerate() {
        for (place, &filters) in convolutions.iter().enumerate() {
            windows.push(Window {
                name: format!("conv{}_{}", block + 1, place + 1),
                size: model.kernel(),
                stride: model.stride(),
                padding: model.padding(),
                filters: Some(filters),
            });
        }
        windows.push(Window {
            name: format!("pool{}", block + 1),
            size: model.pool(),
            stride: model.pool(),
            padding: Padding::Valid,
            filters: None,
        });
    }
    windows
}

/// Shapes of `model` on RGB images of `size`.
///
/// # Errors
/// [`TooSmall`] names the first layer that gets no pixel and the smallest image that would do.
pub fn shapes(model: &Model, size: ImageSize) -> Result<Shapes, TooSmall> {
    let windows = windows(model);
    let (mut height, mut width, mut channels) = (size.height, size.width, 3);
    let mut layers = Vec::new();
    for window in &windows {
        (height, width) = (window.output(height), window.output(width));
        if height == 0 || width == 0 {
            return Err(too_small(&windows, size, &window.name));
        }
        let parameters = window.filters.map_or(0, |filters| {
            let norm = if model.batch_norm() { 2 * filters } else { 0 };
            (window.size * window.size * channels + 1) * filters + norm
        });
        channels = window.filters.unwrap_or(channels);
        layers.push(LayerShape { name: window.name.clone(), output: vec![height, width, channels], parameters });
    }
    let features = height * width * channels;
    let mut inputs = features;
    for (place, &units) in model.dense().iter().enumerate() {
        layers.push(dense(format!("dense{}", place + 1), inputs, units));
        inputs = units;
    }
    layers.push(dense("output".to_owned(), inputs, 1));
    let parameters = layers.iter().map(|layer| layer.parameters).sum();
    Ok(Shapes { layers, features, parameters })
}

fn dense(name: String, inputs: usize, units: usize) -> LayerShape {
    LayerShape { name, output: vec![units], parameters: (inputs + 1) * units }
}

fn too_small(windows: &[Window], size: ImageSize, layer: &str) -> TooSmall {
    let smallest = windows.iter().rev().fold(1, |output, window| window.smallest_input(output));
    TooSmall { size, layer: layer.to_owned(), smallest: ImageSize { height: smallest, width: smallest } }
}
