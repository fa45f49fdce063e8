//! The images in a device's own memory: uploaded once, batches cut out and warped there.
//!
//! The warp is that of [`augment`](crate::data::augment), in operations of burn, so that it runs on every backend and is held
//! against the one of the CPU in `tests/device_warp.rs`. Places are computed in f32 here, so samples differ by some 1e-4.

use burn::tensor::backend::Backend;
use burn::tensor::{ElementConversion, Int, Tensor, TensorData};

use crate::config::{Fill, ImageSize};
use crate::data::augment::Parameters;
use crate::data::cache::Dataset;

/// Bytes of one upload: some drivers take no more than 4 GiB, and the host holds each twice.
const UPLOAD: usize = 256 << 20;

/// All images of a data set, a pixel in each element of `[images, height · width]`: red in its lowest byte, then green and blue.
#[derive(Debug)]
pub struct Resident<B: Backend> {
    table: Tensor<B, 2, Int>,
    size: ImageSize,
    device: B::Device,
}

/// Bytes that [`Resident::upload`] will take on the device.
pub fn resident_bytes(images: usize, size: ImageSize) -> u64 {
    4 * (images * size.height * size.width) as u64
}

impl<B: Backend> Resident<B> {
    /// Brings the decoded images to the device.
    pub fn upload(dataset: &Dataset, device: &B::Device) -> Self {
        let images: Vec<usize> = (0..dataset.len()).collect();
        Self::of(&images, |image| dataset.pixels(image), dataset.size(), device)
    }

    /// The same for images `[height, width, 3]` wherever they lie.
    pub fn of<'a>(images: &[usize], pixels: impl Fn(usize) -> &'a [u8], size: ImageSize, device: &B::Device) -> Self {
        let area = size.height * size.width;
        let packed = |pixel: &[u8; 3]| i32::from_le_bytes([pixel[0], pixel[1], pixel[2], 0]);
        let parts = images.chunks((UPLOAD / 4 / area.max(1)).max(1)).map(|images| {
            let values: Vec<i32> =
                images.iter().flat_map(|&image| pixels(image).as_chunks::<3>().0.iter().map(packed)).collect();
            Tensor::from_data(TensorData::new(values, [images.len(), area]), device)
        });
        Self { table: Tensor::cat(parts.collect(), 0), size, device: device.clone() }
    }

    /// A batch `[images, height, width, 3]` with values in [0, 1], each image varied by its parameters; without parameters as it
    /// is.
    pub fn batch(&self, images: &[usize], variation: Option<(&[Parameters], Fill)>) -> Tensor<B, 4> {
        let numbers: Vec<i32> = images.iter().map(|&image| image as i32).collect();
        let numbers = Tensor::from_data(TensorData::new(numbers, [images.len()]), &self.device);
        let pixels = self.table.clone().select(0, numbers);
        let channels = match variation {
            Some((parameters, fill)) => self.warped(pixels, parameters, fill),
            None => [0, 8, 16].map(|shift| channel(pixels.clone(), shift)),
        };
        let ImageSize { height, width } = self.size;
        Tensor::<B, 2>::stack::<3>(channels.map(|values| values * SCALE).to_vec(), 2).reshape([
            images.len(),
            height,
            width,
            3,
        ])
    }

    /// Channels `[images, height · width]` of the warped images, 0 to 255.
    fn warped(&self, pixels: Tensor<B, 2, Int>, parameters: &[Parameters], fill: Fill) -> [Tensor<B, 2>; 3] {
        let ImageSize { height, width } = self.size;
        let (y, x) = self.places(parameters);
        let outside = (fill == Fill::Constant).then(|| outside(&y, height).bool_or(outside(&x, width)));
        let (rows, columns) = (Neighbours::of(y, height, fill), Neighbours::of(x, width, fill));
        let corners = [(&rows.first, &columns.first), (&rows.first, &columns.second)]
            .into_iter()
            .chain([(&rows.second, &columns.first), (&rows.second, &columns.second)])
            .map(|(row, column)| {
                let index = row.clone() * (width as i32) + column.clone();
                pixels.clone().gather(1, index.reshape([parameters.len(), height * width]))
            });
        let corners: Vec<Tensor<B, 2, Int>> = corners.collect();
        let flat = |weights: Tensor<B, 3>| weights.reshape([parameters.len(), height * width]);
        let weights = |y: &Tensor<B, 3>, x: &Tensor<B, 3>| flat(y.clone() * x.clone());
        let weights = [
            weights(&rows.before(), &columns.before()),
            weights(&rows.before(), &columns.after),
            weights(&rows.after, &columns.before()),
            weights(&rows.after, &columns.after),
        ];
        [0, 8, 16].map(|shift| {
            let part = |corner: usize| channel(corners[corner].clone(), shift) * weights[corner].clone();
            let value = (part(0) + part(1)) + (part(2) + part(3));
            match &outside {
                Some(outside) => value.mask_fill(outside.clone().reshape([parameters.len(), height * width]), 0.0),
                None => value,
            }
        })
    }

    /// Rows and columns that are read, `[images, height, width]`.
    fn places(&self, parameters: &[Parameters]) -> (Tensor<B, 3>, Tensor<B, 3>) {
        let ImageSize { height, width } = self.size;
        let maps: Vec<f32> = parameters
            .iter()
            .map(|parameters| parameters.places(self.size))
            .flat_map(|places| places.row.into_iter().chain(places.column))
            .map(|value| value as f32)
            .collect();
        let maps = Tensor::<B, 2>::from_data(TensorData::new(maps, [parameters.len(), 6]), &self.device);
        let line = |length: usize| Tensor::<B, 1, Int>::arange(0..length as i64, &self.device).float();
        let (row, column) = (line(height).reshape([1, height, 1]), line(width).reshape([1, 1, width]));
        let coefficient = |place: usize| maps.clone().narrow(1, place, 1).reshape([parameters.len(), 1, 1]);
        let place = |first: usize| {
            row.clone() * coefficient(first) + (column.clone() * coefficient(first + 1) + coefficient(first + 2))
        };
        (place(0), place(3))
    }
}

const SCALE: f32 = 1.0 / 255.0;

/// One byte of each packed pixel.
fn channel<B: Backend>(pixels: Tensor<B, 2, Int>, shift: i32) -> Tensor<B, 2> {
    pixels.bitwise_right_shift_scalar(shift.elem()).bitwise_and_scalar(255.elem()).float()
}

/// Whether a coordinate lies outside an axis of so many pixels.
fn outside<B: Backend>(coordinate: &Tensor<B, 3>, length: usize) -> Tensor<B, 3, burn::tensor::Bool> {
    coordinate.clone().lower_elem(0.0).bool_or(coordinate.clone().greater_elem((length - 1) as f32))
}

/// The two source pixels on one axis that a coordinate lies between, and the weight of the second.
struct Neighbours<B: Backend> {
    first: Tensor<B, 3, Int>,
    second: Tensor<B, 3, Int>,
    after: Tensor<B, 3>,
}

impl<B: Backend> Neighbours<B> {
    fn of(coordinate: Tensor<B, 3>, length: usize, fill: Fill) -> Self {
        let last = (length - 1) as f32;
        let coordinate = match fill {
            // What is outside is made black later.
            Fill::Nearest | Fill::Constant => coordinate,
            Fill::Reflect => reflect(coordinate, length as f32),
            Fill::Wrap => wrap(coordinate, last),
        };
        let coordinate = coordinate.clamp(0.0, last);
        let first = coordinate.clone().floor().clamp_max((last - 1.0).max(0.0));
        let after = coordinate - first.clone();
        let first = first.int();
        Self { second: (first.clone() + 1).clamp_max(last as i32), first, after }
    }

    /// Weight of the first.
    fn before(&self) -> Tensor<B, 3> {
        self.after.clone().neg() + 1.0
    }
}

/// Half-sample symmetric, as `augment` has it: with the period 2 · length, both halves of it mirrored.
fn reflect<B: Backend>(coordinate: Tensor<B, 3>, length: f32) -> Tensor<B, 3> {
    let turned = (coordinate + 0.5).remainder_scalar(2.0 * length);
    (turned - length).abs().neg() + (length - 0.5)
}

/// scipy's "wrap", as `augment` has it: the period is one pixel less than the length.
fn wrap<B: Backend>(coordinate: Tensor<B, 3>, last: f32) -> Tensor<B, 3> {
    if last == 0.0 {
        return coordinate * 0.0;
    }
    let periods = coordinate.clone().abs() / last;
    let before = coordinate.clone() + (periods.clone().floor() + 1.0) * last;
    let after = coordinate.clone() - periods.floor() * last;
    let inside = coordinate.clone();
    let above = inside.mask_where(coordinate.clone().greater_elem(last), after);
    above.mask_where(coordinate.lower_elem(0.0), before)
}
