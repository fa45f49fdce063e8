//! Promise: a batch made on a device, as GPUs make theirs, is the batch that the CPU makes, within a thousandth.

use burn::backend::Flex;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use emo_runner::config::{Augment, Fill, ImageSize};
use emo_runner::data::augment::{Parameters, warp};
use emo_runner::random::{Purpose, Stream};
use emo_runner::train::resident::Resident;

const FILLS: [Fill; 4] = [Fill::Nearest, Fill::Constant, Fill::Reflect, Fill::Wrap];

/// Smooth pictures: where a place is rounded otherwise the value changes little.
fn pictures(size: ImageSize, count: usize) -> Vec<Vec<u8>> {
    let wave = |picture: usize, row: usize, column: usize, channel: usize| {
        let phase = (row * (channel + 2) + column * (3 - channel)) as f64 * 0.11 + picture as f64;
        (127.0 + 120.0 * phase.sin()) as u8
    };
    let pixels = |picture: usize| {
        let places = (0..size.height).flat_map(move |row| (0..size.width).map(move |column| (row, column)));
        places.flat_map(move |(row, column)| (0..3).map(move |channel| wave(picture, row, column, channel))).collect()
    };
    (0..count).map(pixels).collect()
}

fn values<B: Backend>(batch: Tensor<B, 4>) -> Vec<f32> {
    batch.into_data().convert::<f32>().into_vec().unwrap()
}

fn on_cpu(pictures: &[Vec<u8>], chosen: &[usize], parameters: &[Parameters], fill: Fill, size: ImageSize) -> Vec<f32> {
    let mut out = vec![0.0; chosen.len() * size.height * size.width * 3];
    for ((&picture, parameters), out) in
        chosen.iter().zip(parameters).zip(out.chunks_exact_mut(size.height * size.width * 3))
    {
        warp(&pictures[picture], size, parameters, fill, out);
    }
    out
}

fn draws(size: ImageSize, count: u64) -> Vec<Parameters> {
    let ranges: Augment = toml::from_str(
        "rotation = 40.0\nwidth_shift = 0.4\nheight_shift = 0.4\nshear = 20.0\nzoom = 0.5\nhorizontal_flip = true",
    )
    .unwrap();
    let draw = |image| Parameters::draw(&ranges, size, &mut Stream::new(5, Purpose::Augment, 1, image));
    (0..count).map(draw).collect()
}

/// How many values differ by more than a thousandth, and the mean difference of the others.
fn differences(a: &[f32], b: &[f32]) -> (usize, f64) {
    assert_eq!(a.len(), b.len());
    let all = a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs()));
    let (near, far): (Vec<f64>, Vec<f64>) = all.partition(|&difference| difference <= 1e-3);
    (far.len(), near.iter().sum::<f64>() / near.len() as f64)
}

fn check<B: Backend>() {
    for size in [[40, 56], [33, 17], [1, 9], [9, 1], [2, 2]].map(ImageSize::from) {
        let pictures = pictures(size, 6);
        let numbers: Vec<usize> = (0..pictures.len()).collect();
        let resident = Resident::<B>::of(&numbers, |picture| &pictures[picture], size, &B::Device::default());
        let chosen = [4, 0, 5, 5, 2, 1, 3];
        let plain = vec![Parameters::IDENTITY; chosen.len()];
        let cpu = on_cpu(&pictures, &chosen, &plain, Fill::Nearest, size);
        assert_eq!(values(resident.batch(&chosen, None)), cpu, "pixels are what they are, to the bit");
        for fill in FILLS {
            let kept = values(resident.batch(&chosen, Some((&plain, fill))));
            assert_eq!(differences(&kept, &cpu).0, 0, "{fill} {size}: no variation");
            let flipped = vec![Parameters { flip: true, ..Parameters::IDENTITY }; chosen.len()];
            let device = values(resident.batch(&chosen, Some((&flipped, fill))));
            let flipped = on_cpu(&pictures, &chosen, &flipped, fill, size);
            assert_eq!(differences(&device, &flipped).0, 0, "{fill} {size}: mirrored");
            let varied = draws(size, chosen.len() as u64);
            let device = values(resident.batch(&chosen, Some((&varied, fill))));
            let (far, mean) = differences(&device, &on_cpu(&pictures, &chosen, &varied, fill, size));
            // A place on the border may be taken for outside: a pixel here and there, where fill modes jump.
            let few = 3 * (device.len() / 3 / 200).max(3);
            assert!(far <= few && mean < 1e-4, "{fill} {size}: {far} of {} values, {mean}", device.len());
        }
    }
}

#[test]
fn a_batch_of_the_device_is_that_of_the_cpu() {
    check::<Flex>();
}

#[cfg(feature = "ndarray")]
#[test]
fn the_same_on_the_reference_backend() {
    check::<burn::backend::NdArray>();
}

#[cfg(feature = "cuda")]
#[test]
#[ignore = "needs an NVIDIA GPU"]
fn the_same_on_a_gpu() {
    check::<burn::backend::Cuda>();
}
