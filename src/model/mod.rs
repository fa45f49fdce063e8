//! The network, built from its configuration.
//!
//! [`shapes`] says what a configuration amounts to before anything is allocated, [`network`] is the network itself,
//! [`initialize`] draws its first weights, [`fold`] says which
//! convolutions are computed as one, [`kernels`] computes them on the CPU, [`weights`] reads and writes them as safetensors.

pub mod fold;
pub mod initialize;
pub mod kernels;
pub mod network;
pub mod shapes;
pub mod weights;

pub use network::{DropoutKey, Network};
pub use shapes::{LayerShape, Shapes, TooSmall};
pub use weights::{NamedTensor, WeightsError};
