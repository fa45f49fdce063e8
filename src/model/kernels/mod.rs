//! Convolution for the CPU: forward and backward passes of our own, as an extension of burn's flex backend.
//!
//! Tensors are channels-last, so that the inputs of a kernel's row lie one after the other and no patch is ever copied:
//! all three passes are matrix products whose operand is read where it lies ([`tile`]). The only unsafe code of the
//! product outside the memory-mapped cache is in this folder: vectors of the processor and unchecked addresses in the
//! innermost loop; every caller cuts slices to what a tile touches first.

#![expect(unsafe_code, reason = "vectors and unchecked addresses in the innermost loop; see the note of each use")]

mod backward;
mod extension;
mod flex;
mod forward;
mod geometry;
mod pooled;
mod simd;
mod tile;

pub use backward::{Upstream, input_gradient, weight_gradient};
pub use extension::{AdamStep, Kernels, Moving, Window, contiguous, convolve, convolve_transposed};
pub use forward::{Convolved, forward};
pub use geometry::Geometry;
pub use simd::InstructionSet;
