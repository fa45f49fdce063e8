//! The backward pass of a convolution under a max-pool.
//!
//! Of every pool's window only one place sends a gradient back, and under a ReLU often none. So the sums run over lists of
//! those places: a quarter of the products that the convolution had for a pool of 2, about an eighth with a ReLU.
//! Lists and sums follow the order of places and filters, so the same bits come out whatever the number of threads.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::backward::Upstream;
use super::geometry::Geometry;
use super::simd::{Simd, Work};

/// Pooled places that are listed at a time: what they read of an image stays in the second-level cache.
const BLOCK: usize = 48;

/// Vectors of a kernel's row in one tile, the widest first.
const WIDTHS: [usize; 5] = [12, 6, 4, 2, 1];

/// Vectors in a tile of the input gradient: a tile of all filters' weights should stay in the first-level cache.
const MOST_INPUT: usize = 6;

/// One gradient that comes through the pool.
#[derive(Clone, Copy, Default)]
struct Entry {
    gradient: f32,
    /// Where the other factor begins: of the weights' gradient in the image, of the input's in the tile's weights.
    offset: u32,
}

/// A part of the kernel whose sums stay in registers: `rows` kernel rows, of each `vectors` vectors.
#[derive(Clone, Copy)]
struct Cut {
    row: usize,
    rows: usize,
    /// First value of the kernel's row.
    start: usize,
    vectors: usize,
    /// Values in the last vector.
    tail: usize,
}

impl Cut {
    /// Values in the tile, those that fill up the last vectors included.
    fn len(&self, lanes: usize) -> usize {
        self.rows * self.vectors * lanes
    }
}

/// Cuts some rows of the kernel into tiles of at most `most` vectors a row.
fn cuts(geometry: &Geometry, kernel_rows: Range<usize>, lanes: usize, most: usize) -> Vec<Cut> {
    let mut cuts = Vec::new();
    let mut start = 0;
    while start < geometry.run() {
        let left = (geometry.run() - start).div_ceil(lanes);
        let vectors = WIDTHS.into_iter().find(|&width| width <= left.min(most)).unwrap_or(1);
        let tail = (geometry.run() - start - (vectors - 1) * lanes).min(lanes);
        // As many rows as leave registers for the operands.
        let tall = match vectors {
            1 | 2 => 7,
            4 => 3,
            _ => 1,
        };
        let mut row = kernel_rows.start;
        while row < kernel_rows.end {
            let rows = tall.min(kernel_rows.end - row);
            cuts.push(Cut { row, rows, start, vectors, tail });
            row += rows;
        }
        start += vectors * lanes;
    }
    cuts
}

/// Calls `$call::<S, K, V>` with `K` and `V` for the rows and vectors of a cut.
macro_rules! cut {
    ($set:ident, $cut:expr, $call:ident $arguments:tt) => {
        match ($cut.rows, $cut.vectors) {
            (1, 1) => $call::<$set, 1, 1> $arguments,
            (2, 1) => $call::<$set, 2, 1> $arguments,
            (3, 1) => $call::<$set, 3, 1> $arguments,
            (4, 1) => $call::<$set, 4, 1> $arguments,
            (5, 1) => $call::<$set, 5, 1> $arguments,
            (6, 1) => $call::<$set, 6, 1> $arguments,
            (7, 1) => $call::<$set, 7, 1> $arguments,
            (1, 2) => $call::<$set, 1, 2> $arguments,
            (2, 2) => $call::<$set, 2, 2> $arguments,
            (3, 2) => $call::<$set, 3, 2> $arguments,
            (4, 2) => $call::<$set, 4, 2> $arguments,
            (5, 2) => $call::<$set, 5, 2> $arguments,
            (6, 2) => $call::<$set, 6, 2> $arguments,
            (7, 2) => $call::<$set, 7, 2> $arguments,
            (1, 4) => $call::<$set, 1, 4> $arguments,
            (2, 4) => $call::<$set, 2, 4> $arguments,
            (3, 4) => $call::<$set, 3, 4> $arguments,
            (1, 6) => $call::<$set, 1, 6> $arguments,
            (1, 12) => $call::<$set, 1, 12> $arguments,
            _ => unreachable!("cuts have these sizes only"),
        }
    };
}

/// The gradient of one image that comes through the pool.
struct Arriving<'a> {
    geometry: Geometry,
    gradient: &'a [f32],
    output: &'a [f32],
    places: &'a [u8],
    /// Of each place in a pool's window, what its patch begins after the window's first.
    shifts: Vec<usize>,
}

impl<'a> Arriving<'a> {
    fn new(geometry: Geometry, upstream: Upstream<'a>, index: usize) -> Self {
        assert!(u32::try_from(geometry.image()).is_ok(), "places in an image have 32 bits");
        let length = geometry.output_len() / geometry.batch;
        let range = index * length..(index + 1) * length;
        let pool = geometry.pool;
        Self {
            geometry,
            gradient: &upstream.gradient[range.clone()],
            output: if geometry.relu { &upstream.output[range.clone()] } else { &[] },
            places: &upstream.places[range],
            shifts: (0..pool * pool).map(|place| geometry.patch(place / pool, place % pool)).collect(),
        }
    }

    /// Pooled places of the image.
    fn len(&self) -> usize {
        self.gradient.len() / self.geometry.filters
    }

    /// Where the patch of a pooled place's window begins.
    fn patch(&self, place: usize) -> usize {
        let ([_, columns], pool) = (self.geometry.output(), self.geometry.pool);
        self.geometry.patch(place / columns * pool, place % columns * pool)
    }

    /// Calls `take(filter, gradient, place in the window)` for every filter at a pooled place; the gradient is 0 where the
    /// ReLU lets nothing through.
    #[inline(always)]
    fn each(&self, place: usize, mut take: impl FnMut(usize, f32, usize)) {
        let range = place * self.geometry.filters..(place + 1) * self.geometry.filters;
        let sources = self.gradient[range.clone()].iter().zip(&self.places[range.clone()]);
        if self.geometry.relu {
            for (filter, ((&gradient, &from), &output)) in sources.zip(&self.output[range]).enumerate() {
                take(filter, if output > 0.0 { gradient } else { 0.0 }, usize::from(from));
            }
        } else {
            for (filter, (&gradient, &from)) in sources.enumerate() {
                take(filter, gradient, usize::from(from));
            }
        }
    }
}

/// Some rows of the kernel's gradient, summed over some images.
pub(super) struct WeightGradient<'a> {
    pub geometry: Geometry,
    pub upstream: Upstream<'a>,
    pub input: &'a [f32],
    pub images: Range<usize>,
    pub kernel_rows: Range<usize>,
    /// `[kernel row][run][padded filters]`.
    pub weights: &'a mut [f32],
    pub padded: usize,
    /// One task of a group does the bias.
    pub bias: Option<&'a mut [f32]>,
}

impl Work for WeightGradient<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(mut self) {
        let geometry = self.geometry;
        let line = geometry.run().div_ceil(S::LANES) * S::LANES;
        let length = self.kernel_rows.len() * line;
        let cuts = cuts(&geometry, self.kernel_rows.clone(), S::LANES, WIDTHS[0]);
        let mut sums = vec![0.0; geometry.filters * length];
        let mut lists = vec![Entry::default(); geometry.filters * BLOCK];
        let mut counts = vec![0; geometry.filters];
        for index in self.images.clone() {
            let arriving = Arriving::new(geometry, self.upstream, index);
            let image = &self.input[index * geometry.image()..(index + 1) * geometry.image()];
            for first in (0..arriving.len()).step_by(BLOCK) {
                let places = first..(first + BLOCK).min(arriving.len());
                list_by_filter(&arriving, places, &mut lists, &mut counts);
                if let Some(bias) = &mut self.bias {
                    for ((bias, list), &count) in bias.iter_mut().zip(lists.chunks_exact(BLOCK)).zip(&counts) {
                        *bias += list[..count].iter().map(|entry| entry.gradient).sum::<f32>();
                    }
                }
                for cut in &cuts {
                    let row = (cut.row - self.kernel_rows.start) * line + cut.start;
                    let image = &image[cut.row * geometry.row() + cut.start..];
                    for (filter, (list, &count)) in lists.chunks_exact(BLOCK).zip(&counts).enumerate() {
                        let sums = &mut sums[filter * length + row..];
                        // SAFETY: entries hold places whose patches lie in the image, and sums are cut as the kernel is.
                        unsafe {
                            cut!(S, cut, weight_tile(&list[..count], image, geometry.row(), cut.tail, sums, line))
                        }
                    }
                }
            }
        }
        for (filter, sums) in sums.chunks_exact(length).enumerate() {
            let values = sums.chunks_exact(line).flat_map(|line| &line[..geometry.run()]);
            for (to, &value) in self.weights[filter..].iter_mut().step_by(self.padded).zip(values) {
                *to = value;
            }
        }
    }
}

/// Lists of the gradients of each filter at some pooled places, with where their patches begin.
#[inline(always)]
fn list_by_filter(arriving: &Arriving, places: Range<usize>, lists: &mut [Entry], counts: &mut [usize]) {
    counts.fill(0);
    for place in places {
        let patch = arriving.patch(place);
        arriving.each(place, |filter, gradient, from| {
            let count = &mut counts[filter];
            lists[filter * BLOCK + *count] = Entry { gradient, offset: (patch + arriving.shifts[from]) as u32 };
            *count += usize::from(gradient != 0.0);
        });
    }
}

/// `sums[k][v] += gradient * image[offset + k row + v]` over a list.
///
/// # Safety
/// The processor must have the instruction set; the offsets must leave `K` rows of `V` vectors, the last of `tail` values, in
/// the image; `sums` must hold `K` lines of `V` vectors.
#[inline(always)]
unsafe fn weight_tile<S: Simd, const K: usize, const V: usize>(
    list: &[Entry],
    image: &[f32],
    row: usize,
    tail: usize,
    sums: &mut [f32],
    line: usize,
) {
    // SAFETY: as promised by the caller.
    unsafe {
        let place = |sums: *mut f32, k: usize, v: usize| sums.add(k * line + v * S::LANES);
        let sums = sums.as_mut_ptr();
        let mut sum: [[S::V; V]; K] = std::array::from_fn(|k| std::array::from_fn(|v| S::load(place(sums, k, v))));
        for entry in list {
            let gradient = S::splat(entry.gradient);
            let from = image.as_ptr().add(entry.offset as usize);
            for (k, sum) in sum.iter_mut().enumerate() {
                let from = from.add(k * row);
                for (v, sum) in sum.iter_mut().enumerate() {
                    let from = from.add(v * S::LANES);
                    let value = if v + 1 < V { S::load(from) } else { S::load_first(from, tail) };
                    *sum = S::multiply_add(gradient, value, *sum);
                }
            }
        }
        for (k, sum) in sum.iter().enumerate() {
            for (v, &sum) in sum.iter().enumerate() {
                S::store(place(sums, k, v), sum);
            }
        }
    }
}

/// The weights as the input gradient under a pool reads them: of each cut `[filter][row][vectors]`.
pub(super) struct Packed {
    cuts: Vec<Cut>,
    /// Of each cut, where its weights begin.
    starts: Vec<usize>,
    weights: Vec<f32>,
}

impl Packed {
    /// Packs `[kernel, kernel, channels, filters]` for vectors of `lanes` values.
    pub fn new(geometry: &Geometry, weights: &[f32], lanes: usize) -> Self {
        let cuts = cuts(geometry, 0..geometry.kernel, lanes, MOST_INPUT);
        let (run, filters) = (geometry.run(), geometry.filters);
        let mut starts = Vec::with_capacity(cuts.len());
        let mut packed = Vec::new();
        for cut in &cuts {
            starts.push(packed.len());
            let wide = (cut.vectors - 1) * lanes + cut.tail;
            packed.resize(packed.len() + filters * cut.len(lanes), 0.0);
            let tile = &mut packed[starts[starts.len() - 1]..];
            for row in 0..cut.rows {
                for value in 0..wide {
                    let from = ((cut.row + row) * run + cut.start + value) * filters;
                    let to = row * cut.vectors * lanes + value;
                    let column = tile[to..].iter_mut().step_by(cut.len(lanes));
                    column.zip(&weights[from..from + filters]).for_each(|(to, &from)| *to = from);
                }
            }
        }
        Self { cuts, starts, weights: packed }
    }
}

/// Entries of one place of the convolution, and where its patch begins.
struct Patch {
    entries: Range<usize>,
    start: usize,
}

/// The input gradient of one image.
pub(super) struct InputGradient<'a> {
    pub geometry: Geometry,
    pub upstream: Upstream<'a>,
    pub index: usize,
    pub packed: &'a Packed,
    pub gradient: &'a mut [MaybeUninit<f32>],
}

impl Work for InputGradient<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let geometry = self.geometry;
        let ([_, columns], pool) = (geometry.output(), geometry.pool);
        let arriving = Arriving::new(geometry, self.upstream, self.index);
        let mut entries = vec![Entry::default(); geometry.filters * BLOCK];
        let mut patches = Vec::with_capacity(BLOCK * pool * pool);
        let mut begun = 0;
        for first in (0..arriving.len()).step_by(BLOCK) {
            let last = (first + BLOCK).min(arriving.len()) - 1;
            // Rows begin at 0 just before they are added to, while they are in the cache.
            let end = ((last / columns * pool + pool - 1) * geometry.stride + geometry.kernel) * geometry.row();
            self.gradient[begun.min(end)..end].fill(MaybeUninit::new(0.0));
            begun = begun.max(end);
            // SAFETY: all values up to `end` have been written.
            let gradient = unsafe { self.gradient[..end].assume_init_mut() };
            list_by_place(&arriving, first..last + 1, &mut entries, &mut patches);
            for (cut, &start) in self.packed.cuts.iter().zip(&self.packed.starts) {
                let weights = &self.packed.weights[start..start + geometry.filters * cut.len(S::LANES)];
                let gradient = &mut gradient[cut.row * geometry.row() + cut.start..];
                for patch in &patches {
                    let list = &entries[patch.entries.clone()];
                    let to = &mut gradient[patch.start..];
                    // SAFETY: patches lie in the image, and an entry's filter is one of the tile's.
                    unsafe { cut!(S, cut, input_tile(list, weights, cut.tail, to, geometry.row())) }
                }
            }
        }
        self.gradient[begun..].fill(MaybeUninit::new(0.0));
    }
}

/// Lists of the gradients at each place of the convolution under some pooled places, with their filters.
#[inline(always)]
fn list_by_place(arriving: &Arriving, places: Range<usize>, entries: &mut [Entry], patches: &mut Vec<Patch>) {
    let mut ends = vec![0; arriving.shifts.len()];
    let mut filled = 0;
    patches.clear();
    for place in places {
        ends.fill(0);
        arriving.each(place, |_, gradient, from| ends[from] += usize::from(gradient != 0.0));
        let patch = arriving.patch(place);
        for (end, shift) in ends.iter_mut().zip(&arriving.shifts) {
            let count = std::mem::replace(end, filled);
            if count > 0 {
                patches.push(Patch { entries: filled..filled + count, start: patch + shift });
                filled += count;
            }
        }
        arriving.each(place, |filter, gradient, from| {
            if gradient != 0.0 {
                entries[ends[from]] = Entry { gradient, offset: filter as u32 };
                ends[from] += 1;
            }
        });
    }
}

/// `to[k row + v] += sum over a list of gradient * weights[filter][k][v]`.
///
/// # Safety
/// The processor must have the instruction set; filters must have weights; `to` must hold `K` rows with `V` vectors, the last
/// of `tail` values.
#[inline(always)]
unsafe fn input_tile<S: Simd, const K: usize, const V: usize>(
    list: &[Entry],
    weights: &[f32],
    tail: usize,
    to: &mut [f32],
    row: usize,
) {
    // SAFETY: as promised by the caller.
    unsafe {
        let mut sum = [[S::splat(0.0); V]; K];
        for entry in list {
            let gradient = S::splat(entry.gradient);
            let from = weights.as_ptr().add(entry.offset as usize * (K * V * S::LANES));
            for (k, sum) in sum.iter_mut().enumerate() {
                for (v, sum) in sum.iter_mut().enumerate() {
                    *sum = S::multiply_add(gradient, S::load(from.add((k * V + v) * S::LANES)), *sum);
                }
            }
        }
        for (k, sum) in sum.iter().enumerate() {
            let to = to.as_mut_ptr().add(k * row);
            for (v, &sum) in sum.iter().enumerate() {
                let to = to.add(v * S::LANES);
                if v + 1 < V {
                    S::store(to, S::add(S::load(to), sum));
                } else {
                    S::store_first(to, tail, S::add(S::load_first(to, tail), sum));
                }
            }
        }
    }
}
