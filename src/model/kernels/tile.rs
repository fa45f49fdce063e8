//! The innermost loop: a small tile of a matrix product, kept in registers.

use super::simd::Simd;

/// Rows of a tile: with [`Simd::VECTORS`] vectors a row, the sums, one row of `b` and one value of `a` fill the registers.
pub(super) const ROWS: usize = 6;

/// The most values in a row of a tile, over all instruction sets.
pub(super) const WIDEST: usize = 64;

/// How a tile walks through its operands: `outer` times `inner` products.
#[derive(Clone, Copy)]
pub(super) struct Walk {
    pub outer: usize,
    pub inner: usize,
    /// Values between one product and the next, and between the beginnings of two inner walks, in `a`.
    pub a_step: usize,
    pub a_outer: usize,
    /// The same in `b`.
    pub b_step: usize,
    pub b_outer: usize,
}

/// `sum[r][v] = first[v] + sum over the walk of a[r] * b[v]`, one product after the other.
///
/// # Safety
/// Every address of the walk must be valid: from each of `a` one value, from `b` `V` vectors.
#[inline(always)]
pub(super) unsafe fn tile<S: Simd, const R: usize, const V: usize>(
    a: [*const f32; R],
    b: *const f32,
    walk: Walk,
    first: [S::V; V],
) -> [[S::V; V]; R] {
    let mut sum = [first; R];
    for outer in 0..walk.outer {
        // SAFETY: the caller promises that the walk stays inside both operands.
        unsafe {
            let mut b = b.add(outer * walk.b_outer);
            let mut offset = outer * walk.a_outer;
            for _ in 0..walk.inner {
                let row: [S::V; V] = std::array::from_fn(|v| S::load(b.add(v * S::LANES)));
                for r in 0..R {
                    let value = S::splat(*a[r].add(offset));
                    for v in 0..V {
                        sum[r][v] = S::multiply_add(value, row[v], sum[r][v]);
                    }
                }
                b = b.add(walk.b_step);
                offset += walk.a_step;
            }
        }
    }
    sum
}

/// Cuts `length` into as few pieces of at most [`ROWS`] as possible, all nearly the same: (start, length) of piece `k`.
#[inline(always)]
pub(super) fn piece(length: usize, k: usize) -> (usize, usize) {
    let pieces = length.div_ceil(ROWS);
    let (size, longer) = (length / pieces, length % pieces);
    (k * size + k.min(longer), size + usize::from(k < longer))
}

/// Values in a row of a tile for a matrix with `columns`: the width that pads least, the widest of several.
pub(super) fn width(columns: usize, (vectors, lanes): (usize, usize)) -> usize {
    let widths = [vectors, vectors / 2, vectors / 4].into_iter().filter(|&v| v > 0).map(|v| v * lanes);
    widths.min_by_key(|&width| columns.div_ceil(width) * width).unwrap_or(lanes)
}

/// Calls `$call::<S, R, V>` with `R` and `V` for `rows` and `width`.
macro_rules! sized {
    ($set:ident, $rows:expr, $width:expr, $call:ident $arguments:tt) => {
        match ($rows, $width / $set::LANES) {
            (1, 1) => $call::<$set, 1, 1> $arguments,
            (2, 1) => $call::<$set, 2, 1> $arguments,
            (3, 1) => $call::<$set, 3, 1> $arguments,
            (4, 1) => $call::<$set, 4, 1> $arguments,
            (5, 1) => $call::<$set, 5, 1> $arguments,
            (6, 1) => $call::<$set, 6, 1> $arguments,
            (1, 2) => $call::<$set, 1, 2> $arguments,
            (2, 2) => $call::<$set, 2, 2> $arguments,
            (3, 2) => $call::<$set, 3, 2> $arguments,
            (4, 2) => $call::<$set, 4, 2> $arguments,
            (5, 2) => $call::<$set, 5, 2> $arguments,
            (6, 2) => $call::<$set, 6, 2> $arguments,
            (1, 4) => $call::<$set, 1, 4> $arguments,
            (2, 4) => $call::<$set, 2, 4> $arguments,
            (3, 4) => $call::<$set, 3, 4> $arguments,
            (4, 4) => $call::<$set, 4, 4> $arguments,
            (5, 4) => $call::<$set, 5, 4> $arguments,
            (6, 4) => $call::<$set, 6, 4> $arguments,
            _ => unreachable!("pieces have 1 to 6 rows, tiles 1, 2 or 4 vectors"),
        }
    };
}
pub(super) use sized;
