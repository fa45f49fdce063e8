//! The forward pass: convolution, bias, ReLU and max-pool of one image after the other.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::geometry::{Geometry, Plan};
use super::simd::{InstructionSet, Simd, Work};
use super::tile::{ROWS, WIDEST, Walk, piece, sized, tile};

/// Output of a convolution, and for each pooled value the place in its window where it came from.
#[derive(Debug)]
pub struct Convolved {
    /// `[batch, rows, columns, filters]`.
    pub values: Vec<f32>,
    /// Row times pool plus column; empty without a pool.
    pub places: Vec<u8>,
}

/// Convolves `input`, `[batch, height, width, channels]`, with `weights`, `[kernel, kernel, channels, filters]`.
///
/// # Panics
/// When a length does not fit the geometry.
pub fn forward(geometry: Geometry, set: InstructionSet, input: &[f32], weights: &[f32], bias: &[f32]) -> Convolved {
    assert_eq!(input.len(), geometry.input_len(), "input");
    assert_eq!(weights.len(), geometry.weights_len(), "weights");
    assert_eq!(bias.len(), geometry.filters, "bias");
    let plan = Plan::new(geometry, set);
    let packed = plan.pack_forward(weights);
    let mut padded_bias = bias.to_vec();
    padded_bias.resize(plan.padded_filters(), 0.0);
    let mut values = Vec::with_capacity(geometry.output_len());
    let mut places = vec![0; if geometry.pool > 1 { geometry.output_len() } else { 0 }];
    let length = geometry.output_len() / geometry.batch.max(1);
    if length == 0 {
        return Convolved { values, places };
    }
    let image = |index: usize, out: &mut [MaybeUninit<f32>], places: &mut [u8]| {
        let input = &input[index * geometry.image()..(index + 1) * geometry.image()];
        set.run(Image { plan: &plan, input, packed: &packed, bias: &padded_bias, out, places });
    };
    let out = &mut values.spare_capacity_mut()[..geometry.output_len()];
    if geometry.pool > 1 {
        let parts = out.par_chunks_exact_mut(length).zip(places.par_chunks_exact_mut(length));
        parts.enumerate().for_each(|(index, (out, places))| image(index, out, places));
    } else {
        out.par_chunks_exact_mut(length).enumerate().for_each(|(index, out)| image(index, out, &mut []));
    }
    // SAFETY: every image has written all its values: each tile of filters at each place.
    unsafe { values.set_len(geometry.output_len()) };
    Convolved { values, places }
}

/// One image.
struct Image<'a> {
    plan: &'a Plan,
    input: &'a [f32],
    packed: &'a [f32],
    bias: &'a [f32],
    out: &'a mut [MaybeUninit<f32>],
    places: &'a mut [u8],
}

impl Work for Image<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Plan { geometry, filter_tile, filter_tiles, .. } = *self.plan;
        let ([rows, columns], pool) = (geometry.output(), geometry.pool);
        let convolved = geometry.columns();
        let filters = geometry.filters;
        let line = convolved * filter_tile;
        let mut window = vec![MaybeUninit::new(0.0); pool * line];
        for t in 0..filter_tiles {
            let first = t * filter_tile;
            let count = filter_tile.min(filters - first);
            let depth = geometry.depth() * filter_tile;
            let weights = &self.packed[t * depth..(t + 1) * depth];
            let bias = &self.bias[first..first + filter_tile];
            let tile = FilterTile { plan: self.plan, input: self.input, weights, bias };
            for row in 0..rows {
                let start = row * columns * filters + first;
                if pool == 1 && count == filter_tile {
                    let to = &mut self.out[start..start + (columns - 1) * filters + filter_tile];
                    // SAFETY: the caller promises the instruction set.
                    unsafe { tile.row::<S>(row, to, filters, geometry.relu) };
                    continue;
                }
                for (index, to) in window.chunks_exact_mut(line).enumerate() {
                    // SAFETY: the caller promises the instruction set.
                    unsafe { tile.row::<S>(row * pool + index, to, filter_tile, false) };
                }
                // SAFETY: the window began as zeros.
                let window = unsafe { window.assume_init_ref() };
                for column in 0..columns {
                    let at = start + column * filters;
                    let (from, out) = (&window[column * pool * filter_tile..], &mut self.out[at..at + count]);
                    match pool {
                        1 => copy(from, out, geometry.relu),
                        _ => {
                            let places = &mut self.places[at..at + count];
                            maximum(from, pool, line, filter_tile, out, places, geometry.relu);
                        }
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn copy(from: &[f32], to: &mut [MaybeUninit<f32>], relu: bool) {
    for (to, &from) in to.iter_mut().zip(from) {
        // Not `max`, which would turn a NaN into 0 and hide a divergence.
        to.write(if relu && from < 0.0 { 0.0 } else { from });
    }
}

/// The largest of `pool` times `pool` vectors and where it was; the first of equals, a NaN before all.
#[inline(always)]
fn maximum(
    from: &[f32],
    pool: usize,
    line: usize,
    tile: usize,
    out: &mut [MaybeUninit<f32>],
    places: &mut [u8],
    relu: bool,
) {
    let mut best = [f32::NEG_INFINITY; WIDEST];
    let mut place = [0_u32; WIDEST];
    let (best, place) = (&mut best[..tile], &mut place[..tile]);
    best.copy_from_slice(&from[..tile]);
    for index in 1..pool * pool {
        let values = &from[index / pool * line + index % pool * tile..][..tile];
        for ((best, place), &value) in best.iter_mut().zip(place.iter_mut()).zip(values) {
            let better = value > *best || value.is_nan();
            *best = if better { value } else { *best };
            *place = if better { index as u32 } else { *place };
        }
    }
    copy(best, out, relu);
    for (to, &from) in places.iter_mut().zip(place.iter()) {
        *to = from as u8;
    }
}

/// What one tile of filters needs to convolve an image.
struct FilterTile<'a> {
    plan: &'a Plan,
    input: &'a [f32],
    weights: &'a [f32],
    bias: &'a [f32],
}

impl FilterTile<'_> {
    /// One row of the convolution; a place's values lie `to_step` after those of the place before.
    ///
    /// # Safety
    /// The processor must have the instruction set.
    #[inline(always)]
    unsafe fn row<S: Simd>(&self, row: usize, to: &mut [MaybeUninit<f32>], to_step: usize, relu: bool) {
        let (geometry, wide) = (self.plan.geometry, self.plan.filter_tile);
        let columns = geometry.columns();
        let step = geometry.stride * geometry.channels;
        for k in 0..columns.div_ceil(ROWS) {
            let (first, count) = piece(columns, k);
            let start = geometry.patch(row, first);
            // The last value that the last place reads.
            let end = start + (count - 1) * step + (geometry.kernel - 1) * geometry.row() + geometry.run();
            let patch = &self.input[start..end];
            let to = &mut to[first * to_step..][..(count - 1) * to_step + wide];
            // SAFETY: the slices cover what the tile reads and writes.
            unsafe { sized!(S, count, wide, convolve(self, patch, step, to, to_step, relu)) }
        }
    }
}

/// `R` places of a row.
///
/// # Safety
/// `patch` must reach from the first input of the first place to the last of the last, `to` likewise; the tile must be
/// `V` vectors wide.
#[inline(always)]
unsafe fn convolve<S: Simd, const R: usize, const V: usize>(
    tile_of: &FilterTile,
    patch: &[f32],
    step: usize,
    to: &mut [MaybeUninit<f32>],
    to_step: usize,
    relu: bool,
) {
    let geometry = &tile_of.plan.geometry;
    let wide = V * S::LANES;
    let walk = Walk {
        outer: geometry.kernel,
        inner: geometry.run(),
        a_step: 1,
        a_outer: geometry.row(),
        b_step: wide,
        b_outer: geometry.run() * wide,
    };
    // SAFETY: as promised by the caller.
    unsafe {
        let a: [*const f32; R] = std::array::from_fn(|r| patch.as_ptr().add(r * step));
        let first = std::array::from_fn(|v| S::load(tile_of.bias.as_ptr().add(v * S::LANES)));
        let sum = tile::<S, R, V>(a, tile_of.weights.as_ptr(), walk, first);
        for (r, sum) in sum.iter().enumerate() {
            for (v, &sum) in sum.iter().enumerate() {
                let sum = if relu { S::relu(sum) } else { sum };
                S::store(to.as_mut_ptr().cast::<f32>().add(r * to_step + v * S::LANES), sum);
            }
        }
    }
}
