//! Sizes of a convolution with its pool, and how its operands are laid out for the tiles.

use super::simd::InstructionSet;
use super::tile::width;

/// A convolution without padding over `[batch, height, width, channels]`, then perhaps a ReLU and a max-pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Images.
    pub batch: usize,
    /// Of the input, in pixels.
    pub height: usize,
    /// Of the input, in pixels.
    pub width: usize,
    /// Of the input.
    pub channels: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// Pixels from one place of the kernel to the next.
    pub stride: usize,
    /// Channels of the output.
    pub filters: usize,
    /// Negative sums become 0.
    pub relu: bool,
    /// Side of the max-pool; 1 for none.
    pub pool: usize,
}

impl Geometry {
    /// Rows and columns of the convolution's output before the pool.
    pub fn convolved(&self) -> [usize; 2] {
        [self.height, self.width].map(|length| (length - self.kernel) / self.stride + 1)
    }

    /// Rows and columns of the output. Convolved rows and columns that do not fill a pool are never computed.
    pub fn output(&self) -> [usize; 2] {
        self.convolved().map(|length| length / self.pool)
    }

    /// Values of the input.
    pub fn input_len(&self) -> usize {
        self.batch * self.image()
    }

    /// Values of the output.
    pub fn output_len(&self) -> usize {
        let [rows, columns] = self.output();
        self.batch * rows * columns * self.filters
    }

    /// Values of the weights, `[kernel, kernel, channels, filters]`.
    pub fn weights_len(&self) -> usize {
        self.depth() * self.filters
    }

    /// Values of one input image.
    pub(super) fn image(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Values of one input row.
    pub(super) fn row(&self) -> usize {
        self.width * self.channels
    }

    /// Inputs of one row of the kernel: they lie one after the other.
    pub(super) fn run(&self) -> usize {
        self.kernel * self.channels
    }

    /// Inputs of one output.
    pub(super) fn depth(&self) -> usize {
        self.kernel * self.run()
    }

    /// Convolved columns that are computed.
    pub(super) fn columns(&self) -> usize {
        self.output()[1] * self.pool
    }

    /// Where the inputs of a convolved place begin in its image.
    pub(super) fn patch(&self, row: usize, column: usize) -> usize {
        (row * self.width + column) * self.stride * self.channels
    }
}

/// A [`Geometry`] cut into the tiles of an instruction set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub geometry: Geometry,
    /// Filters in a tile.
    pub filter_tile: usize,
    /// Tiles that hold all filters, the last one filled up with zeros.
    pub filter_tiles: usize,
    /// Values of a kernel's row in a tile of the input gradient.
    pub run_tile: usize,
    /// Tiles that hold a kernel's row.
    pub run_tiles: usize,
}

impl Plan {
    pub fn new(geometry: Geometry, set: InstructionSet) -> Self {
        let filter_tile = width(geometry.filters, set.tile());
        let run_tile = width(geometry.run(), set.tile());
        Self {
            geometry,
            filter_tile,
            filter_tiles: geometry.filters.div_ceil(filter_tile),
            run_tile,
            run_tiles: geometry.run().div_ceil(run_tile),
        }
    }

    /// Filters, filled up to whole tiles.
    pub fn padded_filters(&self) -> usize {
        self.filter_tiles * self.filter_tile
    }

    /// Weights as the forward pass reads them: `[filter tile][depth][filter]`.
    pub fn pack_forward(&self, weights: &[f32]) -> Vec<f32> {
        let (depth, filters, tile) = (self.geometry.depth(), self.geometry.filters, self.filter_tile);
        let mut packed = vec![0.0; self.filter_tiles * depth * tile];
        for (t, packed) in packed.chunks_exact_mut(depth * tile).enumerate() {
            let first = t * tile;
            let count = tile.min(filters - first);
            for (to, from) in packed.chunks_exact_mut(tile).zip(weights.chunks_exact(filters)) {
                to[..count].copy_from_slice(&from[first..first + count]);
            }
        }
        packed
    }

    /// Weights as the input gradient reads them: `[kernel row][run tile][filter][value of the run]`.
    pub fn pack_backward(&self, weights: &[f32]) -> Vec<f32> {
        let Geometry { filters, .. } = self.geometry;
        let (run, tile, padded) = (self.geometry.run(), self.run_tile, self.padded_filters());
        let mut packed = vec![0.0; self.geometry.kernel * self.run_tiles * padded * tile];
        for (k, from) in weights.chunks_exact(filters).enumerate() {
            let (row, place) = (k / run, k % run);
            let first = (row * self.run_tiles + place / tile) * padded * tile + place % tile;
            for (filter, &value) in from.iter().enumerate() {
                packed[first + filter * tile] = value;
            }
        }
        packed
    }

    /// Convolved rows that the backward pass treats at a time: about 96 places, so that their gradients stay in the
    /// first-level cache.
    pub fn block_rows(&self) -> usize {
        (96 * 64 / (self.geometry.columns() * self.filter_tile.max(1)).max(1)).max(1)
    }
}
