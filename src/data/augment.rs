//! Random variation of training images: one affine warp with bilinear sampling for each image.
//!
//! Semantics are exactly those of Keras's `ImageDataGenerator` (keras.src.legacy.preprocessing.image, Keras 3.15): an
//! output pixel, its place taken from the image's centre, reads the input at `rotation · shift · shear · zoom` of that
//! place, then the result may be mirrored. Fill modes are those of `scipy.ndimage.affine_transform` with `order=1`.
//!
//! Keras has two habits that its users' results contain, so ours do too. The shift along the columns is drawn from
//! `height_shift_range` and the height, the shift along the rows from the width's (keras-team/tf-keras issue 310). And on
//! images that are not square the centre lies at column `height / 2`, row `width / 2`.

use crate::config::{Augment, Fill, ImageSize};
use crate::random::Stream;

const SCALE: f32 = 1.0 / 255.0;

/// One image's variation. An output pixel reads the input at the shifted, zoomed, turned place, so a positive shift moves
/// the picture up or to the left, and a zoom above 1 makes it smaller.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameters {
    /// Degrees; Keras's `theta`.
    pub rotation: f64,
    /// Pixels along the rows' axis, that is up or down; Keras's `ty`.
    pub shift_rows: f64,
    /// Pixels along the columns' axis, that is left or right; Keras's `tx`.
    pub shift_columns: f64,
    /// Degrees.
    pub shear: f64,
    /// Factor along the rows' axis; Keras's `zy`.
    pub zoom_rows: f64,
    /// Factor along the columns' axis; Keras's `zx`.
    pub zoom_columns: f64,
    /// Mirrored left to right, after the warp.
    pub flip: bool,
}

impl Parameters {
    /// No variation.
    pub const IDENTITY: Self = Self {
        rotation: 0.0,
        shift_rows: 0.0,
        shift_columns: 0.0,
        shear: 0.0,
        zoom_rows: 1.0,
        zoom_columns: 1.0,
        flip: false,
    };

    /// Uniform draws within the ranges: rotation and shear in ± degrees; shifts in ± shares of the size, or in ± pixels
    /// where the range is 1 or more; zoom in 1 ± zoom for each axis; flip with probability 1/2.
    ///
    /// Every call takes seven numbers from the stream, in one order, whether their ranges are used or not.
    pub fn draw(ranges: &Augment, size: ImageSize, stream: &mut Stream) -> Self {
        let mut around = |middle: f64, range: f64| {
            let unit = stream.range(-1.0, 1.0);
            if range == 0.0 { middle } else { middle + unit * range }
        };
        let pixels = |range: f64, length: usize| if range < 1.0 { range * length as f64 } else { range };
        Self {
            rotation: around(0.0, ranges.rotation()),
            shift_columns: around(0.0, pixels(ranges.height_shift(), size.height)),
            shift_rows: around(0.0, pixels(ranges.width_shift(), size.width)),
            shear: around(0.0, ranges.shear()),
            zoom_columns: around(1.0, ranges.zoom()),
            zoom_rows: around(1.0, ranges.zoom()),
            flip: stream.chance(0.5) && ranges.horizontal_flip(),
        }
    }

    /// Whether [`warp`] only rescales the image.
    pub fn is_identity(&self) -> bool {
        *self == Self::IDENTITY
    }

    /// Whether every pixel stays where it is, the flip aside.
    fn keeps_places(&self) -> bool {
        Self { flip: false, ..*self }.is_identity()
    }

    /// Where an output pixel reads the input: rows of `place = matrix · (row, column, 1)`, in pixels of an image of `size`.
    pub fn places(&self, size: ImageSize) -> Affine {
        let Affine { row, column } = self.affine(size);
        // Column c of the mirrored image is column width - 1 - c of the other.
        let last = size.width.saturating_sub(1) as f64;
        let mirrored = |m: [f64; 3]| if self.flip { [m[0], -m[1], m[2] + m[1] * last] } else { m };
        Affine { row: mirrored(row), column: mirrored(column) }
    }

    /// The same before the flip.
    fn affine(&self, size: ImageSize) -> Affine {
        let rotation = self.rotation.to_radians();
        let shear = self.shear.to_radians();
        let rotate = [[rotation.cos(), -rotation.sin(), 0.0], [rotation.sin(), rotation.cos(), 0.0]];
        let shift = [[1.0, 0.0, self.shift_columns], [0.0, 1.0, self.shift_rows]];
        let shear = [[1.0, -shear.sin(), 0.0], [0.0, shear.cos(), 0.0]];
        let zoom = [[self.zoom_columns, 0.0, 0.0], [0.0, self.zoom_rows, 0.0]];
        let [x, y] = product(product(product(rotate, shift), shear), zoom);
        // Keras takes the height's middle for x and the width's for y.
        let centre = [size.height as f64 / 2.0 - 0.5, size.width as f64 / 2.0 - 0.5];
        let offset = |m: [f64; 3], middle: f64| m[2] + middle - m[0] * centre[0] - m[1] * centre[1];
        Affine { row: [y[1], y[0], offset(y, centre[1])], column: [x[1], x[0], offset(x, centre[0])] }
    }
}

/// Input place = matrix · (row, column, 1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    /// The row that is read.
    pub row: [f64; 3],
    /// The column that is read.
    pub column: [f64; 3],
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
/// `src` is `[height, width, 3]` in u8, `dst` the same shape in f32. What lies outside the image is filled as `fill` says.
/// The result depends on nothing but the arguments.
pub fn warp(src: &[u8], size: ImageSize, parameters: &Parameters, fill: Fill, dst: &mut [f32]) {
    let rows = dst.chunks_exact_mut((size.width * 3).max(1));
    if parameters.keeps_places() {
        for (src, dst) in src.chunks_exact((size.width * 3).max(1)).zip(rows) {
            rescale_row(src, parameters.flip, dst);
        }
    } else {
        let image = Image { pixels: src, size, fill, affine: parameters.affine(size), flip: parameters.flip };
        for (row, dst) in rows.enumerate() {
            image.warp_row(row, dst);
        }
    }
}

fn rescale_row(src: &[u8], flip: bool, dst: &mut [f32]) {
    if flip {
        for (src, dst) in src.as_chunks::<3>().0.iter().rev().zip(dst.as_chunks_mut::<3>().0) {
            *dst = src.map(|value| f32::from(value) * SCALE);
        }
    } else {
        for (&value, dst) in src.iter().zip(dst) {
            *dst = f32::from(value) * SCALE;
        }
    }
}

/// Output pixels whose places are computed together, in loops that the compiler can vectorise.
const BLOCK: usize = 32;

struct Image<'a> {
    pixels: &'a [u8],
    size: ImageSize,
    fill: Fill,
    affine: Affine,
    flip: bool,
}

impl Image<'_> {
    fn warp_row(&self, row: usize, dst: &mut [f32]) {
        let base = |m: [f64; 3]| m[0] * row as f64 + m[2];
        let (first, direction) = if self.flip { (self.size.width as f64 - 1.0, -1.0) } else { (0.0, 1.0) };
        for (block, dst) in dst.chunks_mut(3 * BLOCK).enumerate() {
            let first = first + direction * (block * BLOCK) as f64;
            let line = |m: [f64; 3]| Line { base: base(m), step: m[1], first, direction };
            self.warp_block(line(self.affine.row), line(self.affine.column), dst);
        }
    }

    /// At most `BLOCK` neighbouring pixels of a row. A coordinate rises or falls all along the row, rounding included, so
    /// its first and its last value say whether the whole block is in the image and needs no filling.
    fn warp_block(&self, y: Line, x: Line, dst: &mut [f32]) {
        let last = (dst.len() / 3) as i32 - 1;
        let (height, width) = (Axis::new(self.size.height), Axis::new(self.size.width));
        let (y_ends, x_ends) = ([y.at(0), y.at(last)], [x.at(0), x.at(last)]);
        let inside = height.holds(y_ends) && width.holds(x_ends);
        let (mut ys, mut xs) = (y.block(), x.block());
        match self.fill {
            // `Axis::split` goes to the nearest pixel by itself.
            Fill::Nearest => {}
            _ if inside => {}
            Fill::Constant if height.misses(y_ends) || width.misses(x_ends) => return dst.fill(0.0),
            Fill::Constant => {}
            Fill::Reflect => {
                ys = ys.map(|y| height.reflect(y));
                xs = xs.map(|x| width.reflect(x));
            }
            Fill::Wrap => {
                ys = ys.map(|y| height.wrap(y));
                xs = xs.map(|x| width.wrap(x));
            }
        }
        self.sample(&height.split(&ys), &width.split(&xs), dst);
        if self.fill == Fill::Constant && !inside {
            for ((dst, y), x) in dst.as_chunks_mut::<3>().0.iter_mut().zip(ys).zip(xs) {
                if !(height.holds([y]) && width.holds([x])) {
                    *dst = [0.0; 3];
                }
            }
        }
    }

    /// Bilinear samples. The corners are gathered pixel by pixel; the arithmetic then runs along the block.
    fn sample(&self, y: &Split, x: &Split, dst: &mut [f32]) {
        let stride = self.size.width * 3;
        let mut corners = [[0u32; BLOCK]; 4];
        for (k, (&top, &left)) in y.low.iter().zip(&x.low).enumerate() {
            let at = top as usize * stride + left as usize * 3;
            [corners[0][k], corners[1][k]] = pair(self.pixels, at);
            [corners[2][k], corners[3][k]] = pair(self.pixels, at + stride);
        }
        let weights = weights(y, x);
        let channels = [0, 8, 16].map(|shift| blend(&corners, &weights, shift));
        for (k, dst) in dst.as_chunks_mut::<3>().0.iter_mut().enumerate().take(BLOCK) {
            *dst = [channels[0][k], channels[1][k], channels[2][k]];
        }
    }
}

/// One channel, the byte at bit `shift` of each corner, brought to [0, 1].
#[inline(always)]
fn blend(corners: &[[u32; BLOCK]; 4], weights: &[[f32; BLOCK]; 4], shift: u32) -> [f32; BLOCK] {
    let mut values = [0.0; BLOCK];
    for (k, value) in values.iter_mut().enumerate() {
        let part = |corner: usize| f32::from((corners[corner][k] >> shift) as u8) * weights[corner][k];
        *value = ((part(0) + part(1)) + (part(2) + part(3))) * SCALE;
    }
    values
}

/// One source coordinate, row or column, along a block of output columns that runs from `first` in `direction` 1 or -1.
#[derive(Clone, Copy)]
struct Line {
    base: f64,
    step: f64,
    first: f64,
    direction: f64,
}

impl Line {
    fn at(self, k: i32) -> f64 {
        self.base + self.step * (self.first + self.direction * f64::from(k))
    }

    fn block(self) -> [f64; BLOCK] {
        std::array::from_fn(|k| self.at(k as i32))
    }
}

/// 2^52, from where on f64 holds integers only: adding it rounds to an integer and leaves that in the low bits. Unlike a
/// conversion, which has to saturate, it takes no branches.
const INTEGERS: f64 = (1u64 << 52) as f64;

/// Bounds of one axis of the source image.
struct Axis {
    /// Pixels.
    length: f64,
    /// The last pixel's coordinate.
    last: f64,
    /// The last pixel that has a neighbour after it.
    last_pair: f64,
}

/// For every pixel of a block the first of its two source pixels on one axis, and the weight of the second.
struct Split {
    low: [u32; BLOCK],
    after: [f32; BLOCK],
}

impl Axis {
    fn new(length: usize) -> Self {
        let length = length.max(1);
        Self { length: length as f64, last: (length - 1) as f64, last_pair: length.saturating_sub(2) as f64 }
    }

    /// Whether all coordinates are in the image.
    fn holds<const N: usize>(&self, coordinates: [f64; N]) -> bool {
        coordinates.iter().all(|coordinate| (0.0..=self.last).contains(coordinate))
    }

    /// Whether everything between the two coordinates is outside, on the same side.
    fn misses(&self, ends: [f64; 2]) -> bool {
        ends.iter().all(|&end| end < 0.0) || ends.iter().all(|&end| end > self.last)
    }

    /// Half-sample symmetric, `d c b a | a b c d | d c b a`: scipy's "reflect".
    fn reflect(&self, coordinate: f64) -> f64 {
        if (0.0..=self.last).contains(&coordinate) {
            return coordinate;
        }
        let period = 2.0 * self.length;
        let shifted = match coordinate + 0.5 {
            near if near >= -period && near < 0.0 => near + period,
            near if near >= 0.0 && near < period => near,
            far => far.rem_euclid(period),
        };
        let folded = if shifted > self.length { period - shifted } else { shifted };
        folded - 0.5
    }

    /// scipy's "wrap", whose period is one pixel less than the length, so that the first and the last pixel coincide: a
    /// whole number of periods before the first pixel reads the last, after the last it reads the first.
    fn wrap(&self, coordinate: f64) -> f64 {
        if self.last == 0.0 {
            0.0
        } else if coordinate < 0.0 {
            coordinate + self.last * (whole(-coordinate / self.last) + 1.0)
        } else if coordinate > self.last {
            coordinate - self.last * whole(coordinate / self.last)
        } else {
            coordinate
        }
    }

    /// Coordinates outside go to the nearest pixel.
    fn split(&self, coordinates: &[f64; BLOCK]) -> Split {
        let mut split = Split { low: [0; BLOCK], after: [0.0; BLOCK] };
        for ((&coordinate, low), after) in coordinates.iter().zip(&mut split.low).zip(&mut split.after) {
            let coordinate = if coordinate > 0.0 { coordinate } else { 0.0 };
            let coordinate = if coordinate < self.last { coordinate } else { self.last };
            let nearest = (coordinate + INTEGERS) - INTEGERS;
            let floor = if nearest > coordinate { nearest - 1.0 } else { nearest };
            let first = if floor < self.last_pair { floor } else { self.last_pair };
            *low = (first + INTEGERS).to_bits() as u32;
            *after = (coordinate - first) as f32;
        }
        split
    }
}

/// Without a fraction. `f64::trunc` would be a library call on processors before SSE 4.1.
fn whole(value: f64) -> f64 {
    value as i64 as f64
}

/// Weights of the corners: upper left, upper right, lower left, lower right.
#[inline(always)]
fn weights(y: &Split, x: &Split) -> [[f32; BLOCK]; 4] {
    let rest = |after: &[f32; BLOCK]| after.map(|after| 1.0 - after);
    let times = |a: &[f32; BLOCK], b: &[f32; BLOCK]| std::array::from_fn(|k| a[k] * b[k]);
    let (up, left) = (rest(&y.after), rest(&x.after));
    [times(&up, &left), times(&up, &x.after), times(&y.after, &left), times(&y.after, &x.after)]
}

/// The pixel at byte `at` and the one after it, red in the lowest byte. Bytes past the image's end only ever have weight 0.
#[inline(always)]
fn pair(pixels: &[u8], at: usize) -> [u32; 2] {
    match pixels.get(at..at + 6).and_then(|pair| Some((pair.first_chunk()?, pair.last_chunk()?))) {
        Some((&first, &second)) => [u32::from_le_bytes(first), u32::from_le_bytes(second) >> 8],
        None => pair_at_end(pixels, at),
    }
}

#[cold]
fn pair_at_end(pixels: &[u8], at: usize) -> [u32; 2] {
    let pixel = |at| u32::from_le_bytes(std::array::from_fn(|k| pixels.get(at + k).copied().unwrap_or(0)));
    [pixel(at), pixel(at + 3)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    const SIZE: ImageSize = ImageSize { height: 400, width: 500 };

    type Field = fn(&Parameters) -> f64;

    fn ranges(toml: &str) -> Augment {
        toml::from_str(toml).unwrap()
    }

    fn draws(ranges: &Augment, count: u64) -> Vec<Parameters> {
        (0..count).map(|image| Parameters::draw(ranges, SIZE, &mut stream(image))).collect()
    }

    fn stream(image: u64) -> Stream {
        Stream::new(21, Purpose::Augment, 3, image)
    }

    const ALL: &str =
        "rotation = 40.0\nwidth_shift = 0.1\nheight_shift = 0.2\nshear = 0.3\nzoom = 0.4\nhorizontal_flip = true";

    #[test]
    fn draws_are_uniform_in_their_ranges() {
        let draws = draws(&ranges(ALL), 20_000);
        let fields: [(Field, f64, f64); 6] = [
            (|p| p.rotation, 0.0, 40.0),
            (|p| p.shift_rows, 0.0, 50.0),
            (|p| p.shift_columns, 0.0, 80.0),
            (|p| p.shear, 0.0, 0.3),
            (|p| p.zoom_rows, 1.0, 0.4),
            (|p| p.zoom_columns, 1.0, 0.4),
        ];
        for (field, (value, middle, range)) in fields.into_iter().enumerate() {
            let mut tenths = [0; 10];
            for draw in &draws {
                let unit = (value(draw) - middle) / range;
                assert!((-1.0 - 1e-12..1.0 + 1e-12).contains(&unit), "field {field}: {unit}");
                tenths[((unit + 1.0) * 5.0).clamp(0.0, 9.0) as usize] += 1;
            }
            // Chi-squared with 9 degrees of freedom passes 40 once in 130,000 times.
            let chi: f64 = tenths.iter().map(|&count| (f64::from(count) - 2000.0).powi(2) / 2000.0).sum();
            assert!(chi < 40.0, "field {field}: {tenths:?}");
        }
        let flips = draws.iter().filter(|draw| draw.flip).count();
        assert!((9_600..10_400).contains(&flips), "{flips}");
    }

    #[test]
    fn the_axes_are_drawn_apart() {
        let draws = draws(&ranges(ALL), 20_000);
        let mean = |value: Field| draws.iter().map(value).sum::<f64>() / draws.len() as f64;
        // In units of the ranges' product, where independent draws have a deviation of 1/3 / sqrt(20,000) = 0.0024.
        assert!(mean(|p| (p.zoom_rows - 1.0) * (p.zoom_columns - 1.0) / 0.16).abs() < 0.012);
        assert!(mean(|p| p.shift_rows * p.shift_columns / 4000.0).abs() < 0.012);
        assert!(mean(|p| p.rotation / 40.0 * if p.flip { 1.0 } else { -1.0 }).abs() < 0.02);
    }

    #[test]
    fn a_draw_depends_on_its_stream_alone() {
        let ranges = ranges(ALL);
        let forward = draws(&ranges, 50);
        let backward: Vec<_> = (0..50).rev().map(|image| Parameters::draw(&ranges, SIZE, &mut stream(image))).collect();
        assert!(forward.iter().eq(backward.iter().rev()));
    }

    #[test]
    fn a_range_that_is_not_used_changes_no_other_draw() {
        let (mut all, mut zoom, mut none) = (stream(5), stream(5), stream(5));
        let with_all = Parameters::draw(&ranges(ALL), SIZE, &mut all);
        let with_zoom = Parameters::draw(&ranges("zoom = 0.4"), SIZE, &mut zoom);
        let with_none = Parameters::draw(&ranges(""), SIZE, &mut none);
        let Parameters { zoom_rows, zoom_columns, .. } = with_all;
        assert_eq!(with_zoom, Parameters { zoom_rows, zoom_columns, ..Parameters::IDENTITY });
        assert!(with_none.is_identity());
        let next = all.bits();
        assert_eq!([zoom.bits(), none.bits()], [next; 2]);
    }

    #[test]
    fn a_shift_of_one_or_more_is_in_pixels() {
        for draw in draws(&ranges("width_shift = 1.0\nheight_shift = 0.5"), 1000) {
            assert!(draw.shift_rows.abs() <= 1.0 && draw.shift_columns.abs() <= 200.0);
        }
    }
}
