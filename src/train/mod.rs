//! One run on one backend: data in, events out. Knows no database.
//!
//! [`worker`] is the process that does a run, [`training`] the loop, [`learner`] a step
//! of it, [`checkpoint`] what survives the process.

pub mod backend;
pub mod checkpoint;
pub mod environment;
pub mod folder;
pub mod gpu;
pub mod interrupt;
pub mod learner;
pub mod loss;
pub mod optimizer;
pub mod predict;
pub mod probe;
pub mod resident;
pub mod training;
pub mod worker;

/// Version of everything that decides a result's bits: random streams, augmentation, kernels, optimisers. It is part
/// of a run's identity; raise it whenever the same file and seed would give other numbers.
pub const NUMERICS_VERSION: u32 = 3;
