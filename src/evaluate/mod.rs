//! What a set of probabilities is worth: pure functions of (label, probability).
//!
//! A label is true for class 1, the second of the experiment's classes; a probability is that of class 1; an image is
//! called class 1 when its probability is at least the threshold, 0.5. Every function names its source.

mod confusion;
mod evaluation;
mod interval;
mod mcnemar;
mod quantile;
mod roc;

pub use confusion::{ClassMetrics, Confusion};
pub use evaluation::{EvaluateError, Evaluation, THRESHOLD, Verdict, brier, format_p, log_loss};
pub use interval::{Interval, wilson};
pub use mcnemar::{binomial_cumulative, mcnemar_exact};
pub use quantile::normal_quantile;
pub use roc::{RocPoint, auc, roc};
