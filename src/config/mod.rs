//! The experiment file: TOML text in, a checked [`Experiment`] out. Knows nobody else.
//!
//! The types in [`experiment`] carry the documentation, defaults and ranges of every key; the JSON Schema made from
//! them ([`schema`]) is what a file is checked against, so there is one list of keys and ranges. [`document`] remembers
//! where each key stands, [`error`] shows problems there.

mod axes;
mod backend;
mod check;
mod document;
mod error;
mod experiment;
mod kinds;
mod load;
pub mod settings;
mod source;
mod suggest;
mod sweep;
mod sweep_file;
mod units;

pub use axes::{Dimension, Point, Scale, Words, word};
pub use backend::Backend;
pub use document::Document;
pub use error::{ConfigError, Problem};
pub use experiment::{Augment, Data, EarlyStopping, Experiment, ImageSize, Model, Resources, Split, Train};
pub use kinds::{
    Activation, BackendKind, ClassWeights, Fill, Initializer, Interpolation, Monitor, Objective, OptimizerKind,
    Padding, PrunerKind, Schedule, SearchMethod,
};
pub use load::{Loaded, load, load_sweep, parse, schema};
pub use settings::{Settings, SlurmSettings};
pub use source::{Source, UnknownBuiltin};
pub use sweep::{Pruner, Sweep};
pub use sweep_file::SweepFile;
pub use units::{parse_size, parse_time};
