//! A run becomes a process, and its events become rows. Takes plain values; knows nothing of the command line.

pub mod coordinator;
pub mod identity;
pub mod launcher;
pub mod reconcile;
pub mod replay;
pub mod results;

pub use coordinator::{Coordinator, Observer, RunOutcome, RunRequest};
pub use identity::run_key;
pub use results::Results;
