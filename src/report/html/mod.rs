//! Pages that need nothing but themselves: no network, no script. Verdict first, then figures, plots, and how to repeat it.

mod runs;
mod style;

pub use runs::{comparison, comparison_body, list, p_value, points_table, run, run_body, share};
pub use style::{STYLE, page};
