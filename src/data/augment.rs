//! Random variation of training images: one affine warp with bilinear sampling for each image.
//!
//! Semantics are exactly those of Keras's `ImageDataGenerator` (keras.src.legacy.preprocessing.image, Keras 3.15): the
//! output pixel at (x, y), taken from the image's centre, reads the input at `rotation · shift · shear · zoom` of that
//! place, then the result may be mirrored. Fill modes are those of `scipy.ndimage.affine_transform` with `order=1`.
//!
//! Keras has two habits that its users' results contain, so ours do too: the shift along x (the columns) is drawn from
//! `height_shift_range` times the height and the shift along y from the width's, and on images that are not square the
//! centre lies at column `height / 2`, row `width / 2` (keras-team/tf-keras issue 310).

use crate::config::{Augment, Fill, ImageSize};
use crate::random::Stream;

const SCALE: f32 = 1.0 / 255.0;

/// One image's variation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameters {
    /// Degrees.
    pub rotation: f64,
    /// Pixels along x; Keras's `tx`.
    pub shift_x: f64,
    /// Pixels along y; Keras's `ty`.
    pub shift_y: f64,
    /// Degrees.
    pub shear: f64,
    /// Factor along x, Keras's `zx`; above 1 the image gets smaller.
    pub zoom_x: f64,
    /// Factor along y; Keras's `zy`.
    pub zoom_y: f64,
    /// Mirrored left to right, after the warp.
    pub flip: bool,
}

impl Parameters {
    /// No variation.
    pub const IDENTITY: Self = Self {
        rotation: 0.0,
        shift_x: 0.0,
        shift_y: 0.0,
        shear: 0.0,
        zoom_x: 1.0,
        zoom_y: 1.0,
        flip: false,
    };

    /// Uniform draws within the ranges: rotation and shear in ± degrees, shifts in ± shares of the size, zoom in
    /// 1 ± zoom for each axis, flip with probability 1/2. Every range costs one number, whether it is used or not.
    pub fn draw(ranges: &Augment, size: ImageSize, stream: &mut Stream) -> Self {
        let mut around = |middle: f64, range: f64| {
            let unit = stream.range(-1.0, 1.0);
            if range == 0.0 { middle } else { middle + unit * range }
        };
        Self {
            rotation: around(0.0, ranges.rotation()),
            shift_x: around(0.0, ranges.height_shift() * size.height as f64),
            shift_y: around(0.0, ranges.width_shift() * size.width as f64),
            shear: around(0.0, ranges.shear()),
            zoom_x: around(1.0, ranges.zoom()),
            zoom_y: around(1.0, ranges.zoom()),
            flip: stream.chance(0.5) && ranges.horizontal_flip(),
        }
    }

    /// Whether the warp, the flip aside, leaves the image as it is.
    fn keeps_places(&self) -> bool {
        Self { flip: false, ..*self } == Self::IDENTITY
    }

    /// Where an output pixel reads the input.
    fn affine(&self, size: ImageSize) -> Affine {
        let rotation = self.rotation.to_radians();
        let shear = self.shear.to_radians();
        let rotate = [[rotation.cos(), -rotation.sin(), 0.0], [rotation.sin(), rotation.cos(), 0.0]];
        let shift = [[1.0, 0.0, self.shift_x], [0.0, 1.0, self.shift_y]];
        let shear = [[1.0, -shear.sin(), 0.0], [0.0, shear.cos(), 0.0]];
        let zoom = [[self.zoom_x, 0.0, 0.0], [0.0, self.zoom_y, 0.0]];
        let [x, y] = product(product(product(rotate, shift), shear), zoom);
        // Keras takes the height's middle for x and the width's for y.
        let centre = [size.height as f64 / 2.0 - 0.5, size.width as f64 / 2.0 - 0.5];
        let offset = |m: [f64; 3], middle: f64| m[2] + middle - m[0] * centre[0] - m[1] * centre[1];
        Affine { row: [y[1], y[0], offset(y, centre[1])], column: [x[1], x[0], offset(x, centre[0])] }
    }
}

/// Input place = matrix · (row, column, 1).
#[derive(Debug, Clone, Copy)]
struct Affine {
    row: [f64; 3],
    column: [f64; 3],
}

type Matrix = [[f64; 3]; 2];

/// Product of two affine maps, both with (0, 0, 1) as third row.
fn product(a: Matrix, b: Matrix) -> Matrix {
    let mut out = [[0.0; 3]; 2];
    for (row, out) in a.iter().zip(&mut out) {
        for (k, value) in out.iter_mut().enumerate() {
            *value = row[0] * b[0][k] + row[1] * b[1][k] + if k == 2 { row[2] } else { 0.0 };
        }
    }
    out
}

/// Warps an image and brings it to [0, 1].
///
/// `source` is `[height, width, 3]` in u8, `out` the same shape in f32. What lies outside the image is filled as `fill`
/// says. The result depends on nothing but the arguments.
pub fn warp(source: &[u8], size: ImageSize, parameters: &Parameters, fill: Fill, out: &mut [f32]) {
    if parameters.keeps_places() {
        for (out, &value) in out.iter_mut().zip(source) {
            *out = f32::from(value) * SCALE;
        }
    } else {
        let affine = parameters.affine(size);
        let image = Image { pixels: source, size, fill };
        for (row, out) in out.chunks_exact_mut(size.width * 3).enumerate() {
            image.warp_row(&affine, row, out);
        }
    }
    if parameters.flip {
        for row in out.chunks_exact_mut(size.width * 3) {
            mirror(row);
        }
    }
}

/// Reverses a row of RGB pixels.
fn mirror(row: &mut [f32]) {
    let pixels = row.len() / 3;
    for left in 0..pixels / 2 {
        let right = pixels - 1 - left;
        for channel in 0..3 {
            row.swap(left * 3 + channel, right * 3 + channel);
        }
    }
}

struct Image<'a> {
    pixels: &'a [u8],
    size: ImageSize,
    fill: Fill,
}

impl Image<'_> {
    /// One row of the output: pixels whose four neighbours are all in the image take the short way.
    fn warp_row(&self, affine: &Affine, row: usize, out: &mut [f32]) {
        let base = |m: [f64; 3]| m[0] * row as f64 + m[2];
        let line = [(base(affine.row), affine.row[1]), (base(affine.column), affine.column[1])];
        let inside = self.inside(line);
        for (column, out) in out.chunks_exact_mut(3).enumerate() {
            let place = |(start, step): (f64, f64)| start + step * column as f64;
            let (y, x) = (place(line[0]), place(line[1]));
            if inside.contains(&column) {
                self.sample_inside(y, x, out);
            } else {
                self.sample_border(y, x, out);
            }
        }
    }

    /// Columns whose source place has its whole 2x2 neighbourhood in the image.
    fn inside(&self, line: [(f64, f64); 2]) -> std::ops::Range<usize> {
        let (mut from, mut to) = (0.0f64, self.size.width as f64);
        for ((start, step), length) in line.into_iter().zip([self.size.height, self.size.width]) {
            // A margin keeps rounding in the solved inequality away from the image's edge.
            let (low, high) = (1e-6, length as f64 - 1.0 - 1e-6);
            if step == 0.0 {
                if !(low..=high).contains(&start) {
                    return 0..0;
                }
                continue;
            }
            let (a, b) = ((low - start) / step, (high - start) / step);
            from = from.max(a.min(b).ceil());
            to = to.min(a.max(b).floor() + 1.0);
        }
        if from < to { from as usize..to as usize } else { 0..0 }
    }

    fn sample_inside(&self, y: f64, x: f64, out: &mut [f32]) {
        let (top, left) = (y as usize, x as usize);
        let (down, right) = ((y - top as f64) as f32, (x - left as f64) as f32);
        let start = (top * self.size.width + left) * 3;
        let below = start + self.size.width * 3;
        let (Some(upper), Some(lower)) = (self.pixels.get(start..start + 6), self.pixels.get(below..below + 6)) else {
            return self.sample_border(y, x, out);
        };
        let weights = [(1.0 - down) * (1.0 - right), (1.0 - down) * right, down * (1.0 - right), down * right];
        for (channel, out) in out.iter_mut().enumerate() {
            let corners = [upper[channel], upper[channel + 3], lower[channel], lower[channel + 3]];
            *out = blend(corners.map(f32::from), weights);
        }
    }

    fn sample_border(&self, y: f64, x: f64, out: &mut [f32]) {
        let (Some(y), Some(x)) = (place(y, self.size.height, self.fill), place(x, self.size.width, self.fill)) else {
            out.fill(0.0);
            return;
        };
        let weights = [
            (1.0 - y.after) * (1.0 - x.after),
            (1.0 - y.after) * x.after,
            y.after * (1.0 - x.after),
            y.after * x.after,
        ];
        let at = |row: usize, column: usize| (row * self.size.width + column) * 3;
        let corners = [at(y.low, x.low), at(y.low, x.high), at(y.high, x.low), at(y.high, x.high)];
        for (channel, out) in out.iter_mut().enumerate() {
            *out = blend(corners.map(|corner| f32::from(self.pixels[corner + channel])), weights);
        }
    }
}

fn blend(corners: [f32; 4], weights: [f32; 4]) -> f32 {
    let upper = corners[0] * weights[0] + corners[1] * weights[1];
    let lower = corners[2] * weights[2] + corners[3] * weights[3];
    (upper + lower) * SCALE
}

/// Two neighbouring indices on one axis and the weight of the second.
struct Place {
    low: usize,
    high: usize,
    after: f32,
}

/// A coordinate brought into an axis of `length` pixels; `None` where the constant fill applies.
fn place(coordinate: f64, length: usize, fill: Fill) -> Option<Place> {
    let last = length as f64 - 1.0;
    let inside = (0.0..=last).contains(&coordinate);
    let coordinate = match fill {
        _ if inside => coordinate,
        Fill::Nearest => coordinate.clamp(0.0, last),
        Fill::Constant => return None,
        Fill::Reflect => reflect(coordinate, length as f64),
        Fill::Wrap => wrap(coordinate, last),
    };
    let low = (coordinate.floor() as usize).min(length - 1);
    Some(Place { low, high: (low + 1).min(length - 1), after: (coordinate - low as f64) as f32 })
}

/// Half-sample symmetric, `d c b a | a b c d | d c b a`: scipy's "reflect".
fn reflect(coordinate: f64, length: f64) -> f64 {
    let period = 2.0 * length;
    let shifted = (coordinate + 0.5).rem_euclid(period);
    let folded = if shifted > length { period - shifted } else { shifted };
    (folded - 0.5).clamp(0.0, length - 1.0)
}

/// scipy's "wrap", whose period is one pixel less than the length (first and last pixel coincide).
fn wrap(coordinate: f64, last: f64) -> f64 {
    if last <= 0.0 {
        return 0.0;
    }
    coordinate.rem_euclid(last)
}
