//! Pages that need nothing but themselves: no network, no script. Verdict first, then figures, plots, and how to repeat it.

mod runs;
mod style;

pub use runs::{comparison, list, run};
pub use style::page;
