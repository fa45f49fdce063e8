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

use std::borrow::Cow;

pub use table::Format;

/// Prints a line to stderr. That nobody reads it any more (`2>&1 | head`) is no reason to stop.
pub fn tell(text: impl std::fmt::Display) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr().lock(), "{}", harmless(&text.to_string()));
}

/// Text without characters that a terminal obeys: names of files come from anywhere.
pub fn harmless(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(obeyed) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| if obeyed(c) { out.extend(c.escape_default()) } else { out.push(c) });
    out.into()
}

/// A name of a file, on one line.
pub fn on_one_line(name: &str) -> Cow<'_, str> {
    let name = harmless(name);
    if name.contains(['\n', '\t']) { name.replace('\n', "\\n").replace('\t', "\\t").into() } else { name }
}
