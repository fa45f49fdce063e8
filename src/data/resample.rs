//! Images brought to another size, bit for bit as Pillow does it, and hence Keras's `load_img`.
//!
//! Bilinear is a convolution with a triangle that gets wider as the image gets smaller, so it is antialiased. As in
//! Pillow's `Resample.c`, weights are whole numbers of 2⁻²², rows come first, then columns, and values between the two are
//! rounded to 8 bits.

use image::RgbImage;

use crate::config::{ImageSize, Interpolation};

const BITS: u32 = 22;

/// Brings an image to `size`, whatever its aspect.
pub fn resize(image: &RgbImage, size: ImageSize, interpolation: Interpolation) -> RgbImage {
    // Sizes in an experiment end at 8,192.
    let (width, height) = (size.width as u32, size.height as u32);
    match interpolation {
        Interpolation::Bilinear => {
            let image = if image.width() == width { image } else { &resize_rows(image, width) };
            if image.height() == height { image.clone() } else { resize_columns(image, height) }
        }
        Interpolation::Nearest => {
            let columns = nearest(image.width(), width);
            let rows = nearest(image.height(), height);
            RgbImage::from_fn(width, height, |x, y| *image.get_pixel(columns[x as usize], rows[y as usize]))
        }
    }
}

/// For each new place the old one in which its centre lies. Pillow adds up the steps, so that is what decides where a
/// centre falls on an edge.
fn nearest(from: u32, to: u32) -> Vec<u32> {
    let step = f64::from(from) / f64::from(to);
    let places = std::iter::successors(Some(step * 0.5), |place| Some(place + step));
    places.take(to as usize).map(|place| (place as u32).min(from.saturating_sub(1))).collect()
}

/// The old places that a new one is made of.
struct Taps {
    first: usize,
    /// They add up to about 2²².
    weights: Vec<i32>,
}

fn taps(from: u32, to: u32) -> Vec<Taps> {
    let scale = f64::from(from) / f64::from(to);
    // Half the width of the triangle.
    let support = scale.max(1.0);
    let taps = |place: u32| {
        let centre = (f64::from(place) + 0.5) * scale;
        // Conversion cuts off towards zero, and negative values to zero.
        let first = (centre - support + 0.5) as u32;
        let end = ((centre + support + 0.5) as u32).min(from);
        let triangle = |at: u32| {
            // Pillow multiplies by the inverse.
            let distance = (f64::from(at) - centre + 0.5) * (1.0 / support);
            (1.0 - distance.abs()).max(0.0)
        };
        let weights: Vec<f64> = (first..end).map(triangle).collect();
        let sum: f64 = weights.iter().sum();
        let whole = |weight: f64| (weight / sum * f64::from(1 << BITS) + 0.5) as i32;
        Taps { first: first as usize, weights: weights.into_iter().map(whole).collect() }
    };
    (0..to).map(taps).collect()
}

fn to_u8(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

const HALF: i32 = 1 << (BITS - 1);

fn resize_rows(image: &RgbImage, width: u32) -> RgbImage {
    let taps = taps(image.width(), width);
    let mut out = RgbImage::new(width, image.height());
    let rows = image.as_raw().chunks_exact(image.width() as usize * 3);
    for (row, out) in rows.zip(out.chunks_exact_mut(width as usize * 3)) {
        for (taps, out) in taps.iter().zip(out.chunks_exact_mut(3)) {
            let mut sums = [HALF; 3];
            for (&weight, pixel) in taps.weights.iter().zip(row[taps.first * 3..].chunks_exact(3)) {
                for (sum, &value) in sums.iter_mut().zip(pixel) {
                    *sum += weight * i32::from(value);
                }
            }
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = to_u8(sum);
            }
        }
    }
    out
}

fn resize_columns(image: &RgbImage, height: u32) -> RgbImage {
    let length = image.width() as usize * 3;
    let mut out = RgbImage::new(image.width(), height);
    let mut sums = vec![HALF; length];
    for (taps, out) in taps(image.height(), height).iter().zip(out.chunks_exact_mut(length)) {
        sums.fill(HALF);
        for (&weight, row) in taps.weights.iter().zip(image.as_raw()[taps.first * length..].chunks_exact(length)) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += weight * i32::from(value);
            }
        }
        for (out, &sum) in out.iter_mut().zip(&sums) {
            *out = to_u8(sum);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn one_colour_stays_one_colour_at_any_size() {
        for value in [0, 1, 127, 254, 255] {
            let image = RgbImage::from_pixel(37, 19, Rgb([value; 3]));
            for size in [(1, 1), (19, 37), (7, 100), (64, 64)] {
                let size = ImageSize { height: size.0, width: size.1 };
                for interpolation in [Interpolation::Bilinear, Interpolation::Nearest] {
                    let out = resize(&image, size, interpolation);
                    assert_eq!(out.dimensions(), (size.width as u32, size.height as u32));
                    assert!(out.as_raw().iter().all(|&new| new == value));
                }
            }
        }
    }
}
