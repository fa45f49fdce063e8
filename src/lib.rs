//! Experiments with small image classifiers: one TOML file in, an honest verdict out.
//!
//! Imports run one way: `cli` → `ui` → `schedule`, `report` → `store`, `train` → `model`, `data`, `evaluate` → `config`. The
//! event vocabulary and the random streams stand beside that ladder, because many rungs speak them.

#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod cli;
pub mod config;
pub mod data;
pub mod evaluate;
pub mod events;
pub mod model;
pub mod random;
pub mod report;
pub mod schedule;
pub mod store;
pub mod train;
pub mod ui;
