//! The backward pass: gradients of a convolution's input, weights and bias.
//!
//! Work is cut by sizes only, and sums run in a fixed order, so the same bits come out whatever the number of threads.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::geometry::{Geometry, Plan};
use super::pooled;
use super::simd::{InstructionSet, Simd, Work};
use super::tile::{ROWS, WIDEST, Walk, piece, sized, tile};

/// Memory that the parts of a weight gradient may take before they are added up, in values (8 MiB).
const PARTS_LEN: usize = 2 << 20;

/// Values of a weight gradient that one task adds up over its parts.
const SUM_CHUNK: usize = 1 << 13;

/// The most parts of a weight gradient.
const MOST_PARTS: usize = 16;

/// What the backward pass knows of the forward pass: the gradient of its output, and the output itself.
#[derive(Debug, Clone, Copy)]
pub struct Upstream<'a> {
    /// Gradient of the output, `[batch, rows, columns, filters]`.
    pub gradient: &'a [f32],
    /// The output, which tells where the ReLU let something through; not read without a ReLU.
    pub output: &'a [f32],
    /// Where in its window each output came from; not read without a pool.
    pub places: &'a [u8],
}

impl Upstream<'_> {
    fn check(&self, geometry: &Geometry) {
        assert_eq!(self.gradient.len(), geometry.output_len(), "gradient");
        assert!(!geometry.relu || self.output.len() == geometry.output_len(), "output");
        assert!(geometry.pool == 1 || self.places.len() == geometry.output_len(), "places");
    }
}

/// Gradient of the input, `[batch, height, width, channels]`, given the weights, `[kernel, kernel, channels, filters]`.
///
/// # Panics
/// When a length does not fit the geometry.
pub fn input_gradient(geometry: Geometry, set: InstructionSet, upstream: Upstream, weights: &[f32]) -> Vec<f32> {
    upstream.check(&geometry);
    assert_eq!(weights.len(), geometry.weights_len(), "weights");
    if upstream.gradient.is_empty() {
        return vec![0.0; geometry.input_len()];
    }
    let mut gradient = Vec::with_capacity(geometry.input_len());
    let images = gradient.spare_capacity_mut()[..geometry.input_len()].par_chunks_exact_mut(geometry.image());
    if geometry.pool > 1 {
        let packed = &pooled::Packed::new(&geometry, weights, set.tile().1);
        images.enumerate().for_each(|(index, gradient)| {
            set.run(pooled::InputGradient { geometry, upstream, index, packed, gradient });
        });
    } else {
        let plan = Plan::new(geometry, set);
        let packed = plan.pack_backward(weights);
        images.enumerate().for_each(|(index, gradient)| {
            set.run(InputGradient { plan: &plan, upstream, index, packed: &packed, gradient });
        });
    }
    // SAFETY: every image has written all its values.
    unsafe { gradient.set_len(geometry.input_len()) };
    gradient
}

/// Gradients of the weights, `[kernel, kernel, channels, filters]`, and of the bias, `[filters]`, given the input.
///
/// # Panics
/// When a length does not fit the geometry.
pub fn weight_gradient(
    geometry: Geometry,
    set: InstructionSet,
    upstream: Upstream,
    input: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    upstream.check(&geometry);
    assert_eq!(input.len(), geometry.input_len(), "input");
    if upstream.gradient.is_empty() {
        return (vec![0.0; geometry.weights_len()], vec![0.0; geometry.filters]);
    }
    let plan = Plan::new(geometry, set);
    let padded = plan.padded_filters();
    // One more row than the kernel has: the bias.
    let length = (geometry.depth() + 1) * padded;
    let groups = (PARTS_LEN / length).clamp(1, MOST_PARTS.min(geometry.batch));
    // With many groups each does a whole gradient; with few, a task does one row of the kernel.
    let cuts = if groups >= 8 { 1 } else { geometry.kernel };
    let rows = geometry.kernel.div_ceil(cuts);
    let mut parts = vec![0.0; groups * length];
    let mut tasks = Vec::with_capacity(groups * cuts);
    for (group, part) in parts.chunks_exact_mut(length).enumerate() {
        let images = geometry.batch * group / groups..geometry.batch * (group + 1) / groups;
        let (weights, bias) = part.split_at_mut(length - padded);
        let mut bias = Some(bias);
        for (cut, weights) in weights.chunks_mut(rows * geometry.run() * padded).enumerate() {
            let kernel_rows = cut * rows..(cut * rows + rows).min(geometry.kernel);
            let images = images.clone();
            tasks.push((images, kernel_rows, weights, bias.take()));
        }
    }
    tasks.into_par_iter().for_each(|(images, kernel_rows, weights, bias)| match geometry.pool {
        1 => set.run(WeightGradient { plan: &plan, upstream, input, images, kernel_rows, weights, bias }),
        _ => set.run(pooled::WeightGradient { geometry, upstream, input, images, kernel_rows, weights, padded, bias }),
    });
    let (sum, others) = parts.split_at_mut(length);
    sum.par_chunks_mut(SUM_CHUNK).enumerate().for_each(|(chunk, sum)| {
        for part in others.chunks_exact(length) {
            for (sum, value) in sum.iter_mut().zip(&part[chunk * SUM_CHUNK..]) {
                *sum += value;
            }
        }
    });
    let unpad = |rows: &[f32]| {
        let mut values = Vec::with_capacity(rows.len() / padded * geometry.filters);
        rows.chunks_exact(padded).for_each(|row| values.extend_from_slice(&row[..geometry.filters]));
        values
    };
    let (weights, bias) = sum.split_at(length - padded);
    (unpad(weights), unpad(bias))
}

/// The input gradient of one image.
struct InputGradient<'a> {
    plan: &'a Plan,
    upstream: Upstream<'a>,
    index: usize,
    packed: &'a [f32],
    gradient: &'a mut [MaybeUninit<f32>],
}

impl Work for InputGradient<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Plan { geometry, run_tile, run_tiles, .. } = *self.plan;
        let padded = self.plan.padded_filters();
        let rows = geometry.output()[0];
        let columns = geometry.columns();
        let block = self.plan.block_rows();
        let mut scratch = vec![0.0; block * columns * padded];
        let mut begun = 0;
        for first in (0..rows).step_by(block) {
            let count = block.min(rows - first);
            spread(self.plan, self.upstream, self.index, first, count, &mut scratch);
            // Rows begin at 0 just before they are added to, while they are in the cache.
            let end = ((first + count - 1) * geometry.stride + geometry.kernel) * geometry.row();
            self.gradient[begun..end].fill(MaybeUninit::new(0.0));
            begun = end;
            // SAFETY: all values up to `end` have been written.
            let gradient = unsafe { self.gradient[..end].assume_init_mut() };
            for t in 0..geometry.kernel * run_tiles {
                let (kernel_row, start) = (t / run_tiles, t % run_tiles * run_tile);
                let weights = &self.packed[t * padded * run_tile..(t + 1) * padded * run_tile];
                let wide = run_tile.min(geometry.run() - start);
                for row in 0..count {
                    let line = (first + row) * geometry.stride + kernel_row;
                    let gradient = &mut gradient[line * geometry.row() + start..(line + 1) * geometry.row()];
                    let place = row * columns;
                    // SAFETY: the caller promises the instruction set; the slices hold what the row needs.
                    unsafe { gradient_row::<S>(self.plan, &scratch, count, place, weights, wide, gradient) };
                }
            }
        }
        self.gradient[begun..].fill(MaybeUninit::new(0.0));
    }
}

/// Adds what one convolved row sends to one tile of one input row.
///
/// # Safety
/// The processor must have the instruction set; `scratch` must hold a block of `rows` rows.
#[inline(always)]
unsafe fn gradient_row<S: Simd>(
    plan: &Plan,
    scratch: &[f32],
    rows: usize,
    place: usize,
    weights: &[f32],
    wide: usize,
    gradient: &mut [f32],
) {
    let geometry = plan.geometry;
    let columns = geometry.columns();
    let step = geometry.stride * geometry.channels;
    let walk = Walk {
        outer: plan.filter_tiles,
        inner: plan.filter_tile,
        a_step: 1,
        a_outer: rows * columns * plan.filter_tile,
        b_step: plan.run_tile,
        b_outer: plan.filter_tile * plan.run_tile,
    };
    for k in 0..columns.div_ceil(ROWS) {
        let (first, count) = piece(columns, k);
        let from = &scratch[(place + first) * plan.filter_tile..];
        let to = &mut gradient[first * step..(first + count - 1) * step + wide];
        // SAFETY: `from` begins at the first place and reaches to the end of the block in every filter tile.
        unsafe { sized!(S, count, plan.run_tile, gradient_tile(walk, plan.filter_tile, from, weights, step, wide, to)) }
    }
}

/// # Safety
/// As for [`gradient_row`]; `to` must reach from the first place's first value to the last place's last.
#[inline(always)]
unsafe fn gradient_tile<S: Simd, const R: usize, const V: usize>(
    walk: Walk,
    a_row: usize,
    from: &[f32],
    weights: &[f32],
    step: usize,
    wide: usize,
    to: &mut [f32],
) {
    // SAFETY: as promised by the caller; whole vectors are only written where the tile is as wide as they are.
    unsafe {
        let a: [*const f32; R] = std::array::from_fn(|r| from.as_ptr().add(r * a_row));
        let sum = tile::<S, R, V>(a, weights.as_ptr(), walk, [S::splat(0.0); V]);
        for (r, sum) in sum.iter().enumerate() {
            let place = to.as_mut_ptr().add(r * step);
            if wide == V * S::LANES {
                for (v, &sum) in sum.iter().enumerate() {
                    let place = place.add(v * S::LANES);
                    S::store(place, S::add(S::load(place), sum));
                }
                continue;
            }
            let mut line = [0.0; WIDEST];
            for (v, &sum) in sum.iter().enumerate() {
                S::store(line.as_mut_ptr().add(v * S::LANES), sum);
            }
            for (to, value) in to[r * step..][..wide].iter_mut().zip(line) {
                *to += value;
            }
        }
    }
}

/// Some rows of the kernel's gradient, summed over some images.
struct WeightGradient<'a> {
    plan: &'a Plan,
    upstream: Upstream<'a>,
    input: &'a [f32],
    images: Range<usize>,
    kernel_rows: Range<usize>,
    /// `[kernel row][run][padded filters]`.
    weights: &'a mut [f32],
    /// One task of a group does the bias.
    bias: Option<&'a mut [f32]>,
}

impl Work for WeightGradient<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(mut self) {
        let geometry = self.plan.geometry;
        let padded = self.plan.padded_filters();
        let rows = geometry.output()[0];
        let block = self.plan.block_rows();
        let mut scratch = vec![0.0; block * geometry.columns() * padded];
        for index in self.images.clone() {
            for first in (0..rows).step_by(block) {
                let count = block.min(rows - first);
                spread(self.plan, self.upstream, index, first, count, &mut scratch);
                if let Some(bias) = &mut self.bias {
                    add_bias(self.plan, &scratch, count, bias);
                }
                // SAFETY: the caller promises the instruction set.
                unsafe { self.block::<S>(index, first, count, &scratch) };
            }
        }
    }
}

impl WeightGradient<'_> {
    /// Adds what `count` convolved rows from `first` on of an image say about the weights.
    ///
    /// # Safety
    /// The processor must have the instruction set; `scratch` must hold a block of `count` rows.
    #[inline(always)]
    unsafe fn block<S: Simd>(&mut self, index: usize, first: usize, count: usize, scratch: &[f32]) {
        let Plan { geometry, filter_tile, filter_tiles, .. } = *self.plan;
        let (columns, run, padded) = (geometry.columns(), geometry.run(), self.plan.padded_filters());
        let image = &self.input[index * geometry.image()..(index + 1) * geometry.image()];
        let walk = Walk {
            outer: count,
            inner: columns,
            a_step: geometry.stride * geometry.channels,
            a_outer: geometry.stride * geometry.row(),
            b_step: filter_tile,
            b_outer: columns * filter_tile,
        };
        // From the first place's value to the last place's.
        let reach = (count - 1) * walk.a_outer + (columns - 1) * walk.a_step;
        for (cut, kernel_row) in self.kernel_rows.clone().enumerate() {
            for t in 0..filter_tiles {
                let gradients = &scratch[t * count * columns * filter_tile..(t + 1) * count * columns * filter_tile];
                for k in 0..run.div_ceil(ROWS) {
                    let (start, values) = piece(run, k);
                    let at = (first * geometry.stride + kernel_row) * geometry.row() + start;
                    let from = &image[at..at + reach + values];
                    let to = (cut * run + start) * padded + t * filter_tile;
                    let to = &mut self.weights[to..to + (values - 1) * padded + filter_tile];
                    // SAFETY: `from`, `gradients` and `to` are cut to what the tile reads and writes.
                    unsafe { sized!(S, values, filter_tile, weight_tile(walk, from, gradients, padded, to)) }
                }
            }
        }
    }
}

/// # Safety
/// `from` must reach over the walk and `R` values more, `gradients` over the walk, `to` over `R` rows of `V` vectors.
#[inline(always)]
unsafe fn weight_tile<S: Simd, const R: usize, const V: usize>(
    walk: Walk,
    from: &[f32],
    gradients: &[f32],
    padded: usize,
    to: &mut [f32],
) {
    // SAFETY: as promised by the caller.
    unsafe {
        let a: [*const f32; R] = std::array::from_fn(|r| from.as_ptr().add(r));
        let sum = tile::<S, R, V>(a, gradients.as_ptr(), walk, [S::splat(0.0); V]);
        for (r, sum) in sum.iter().enumerate() {
            for (v, &sum) in sum.iter().enumerate() {
                let place = to.as_mut_ptr().add(r * padded + v * S::LANES);
                S::store(place, S::add(S::load(place), sum));
            }
        }
    }
}

/// Gradients of the sums before the ReLU: rows `first` to `first + count` of an image as
/// `[filter tile][row and column][filter]`, zero for the filters that fill up the last tile.
#[inline(always)]
fn spread(plan: &Plan, upstream: Upstream, index: usize, first: usize, count: usize, scratch: &mut [f32]) {
    let Plan { geometry, filter_tile, filter_tiles, .. } = *plan;
    let ([rows, columns], filters) = (geometry.output(), geometry.filters);
    let start = (index * rows + first) * columns * filters;
    let range = start..start + count * columns * filters;
    for (t, scratch) in scratch.chunks_exact_mut(count * columns * filter_tile).take(filter_tiles).enumerate() {
        let tile = t * filter_tile..filters.min((t + 1) * filter_tile);
        let gradients = upstream.gradient[range.clone()].chunks_exact(filters);
        for (to, from) in scratch.chunks_exact_mut(filter_tile).zip(gradients) {
            to[..tile.len()].copy_from_slice(&from[tile.clone()]);
            to[tile.len()..].fill(0.0);
        }
        if geometry.relu {
            let outputs = upstream.output[range.clone()].chunks_exact(filters);
            for (to, outputs) in scratch.chunks_exact_mut(filter_tile).zip(outputs) {
                for (to, &output) in to.iter_mut().zip(&outputs[tile.clone()]) {
                    *to = if output > 0.0 { *to } else { 0.0 };
                }
            }
        }
    }
}

/// Adds a block's gradients to the gradient of the bias.
#[inline(always)]
fn add_bias(plan: &Plan, scratch: &[f32], rows: usize, bias: &mut [f32]) {
    let tile = plan.filter_tile;
    let length = rows * plan.geometry.columns() * tile;
    for (bias, gradients) in bias.chunks_exact_mut(tile).zip(scratch.chunks_exact(length)) {
        for gradients in gradients.chunks_exact(tile) {
            for (bias, gradient) in bias.iter_mut().zip(gradients) {
                *bias += gradient;
            }
        }
    }
}
