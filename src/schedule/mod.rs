//! A sweep becomes runs, a run becomes a process, and its events become rows. Takes plain values; knows nothing of the
//! command line.

pub mod attempt;
pub mod coordinator;
pub mod devices;
pub mod estimate;
pub mod identity;
pub mod launcher;
pub mod local;
pub mod plan;
pub mod prune;
pub mod queue;
pub mod reconcile;
pub mod replay;
pub mod results;
pub mod search;
pub mod slurm;
pub mod wake;

pub use coordinator::{Coordinator, Limits, Observer, RunOutcome};
pub use identity::run_key;
pub use queue::{Job, Queue};
pub use results::Results;
