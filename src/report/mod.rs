//! What the store knows, for a person to read: the summary of a run, tables, and the progress view.

pub mod audit;
pub mod compare;
pub mod comparison;
pub mod export;
pub mod html;
pub mod plot;
pub mod progress;
pub mod prospect;
pub mod summary;
pub mod sweep_view;
pub mod table;

pub use table::Format;
