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

/// Prints a line to stderr. That nobody reads it any more (`2>&1 | head`) is no reason to stop.
pub fn tell(text: impl std::fmt::Display) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
