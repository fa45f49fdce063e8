//! The network, built from its configuration.
//!
//! [`shapes`] says what a configuration amounts to before anything is allocated, [`network`] is the network itself,
//! [`initialize`] draws its first weights, [`weights`] reads and writes them as safetensors.

pub mod initialize;
pub mod network;
pub mod shapes;
pub mod weights;

pub use network::{DropoutKey, Network};
pub use shapes::{LayerShape, Shapes, TooSmall};
pub use weights::{NamedTensor, WeightsError};
