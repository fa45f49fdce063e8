//! What a set of probabilities is worth: pure functions of (label, probability).
//!
//! A label is true for class 1, the second of the experiment's classes; a probability is that of class 1; an image is
//! called class 1 when its probability is at least the threshold, 0.5. Every function names its source.

mod calibration;
mod confusion;
mod delong;
mod evaluation;
mod interval;
mod labels;
mod mcnemar;
mod paired;
mod power;
mod precision_recall;
mod quantile;
mod repeats;
mod roc;
mod selection;
mod tuned;

pub use calibration::{BINS, Bin, expected_calibration_error, reliability};
pub use confusion::{ClassMetrics, Confusion};
pub use delong::{AucDifference, AucEstimate, auc_difference, auc_estimate};
pub use evaluation::{EvaluateError, Evaluation, THRESHOLD, Verdict, brier, format_p, log_loss};
pub use interval::{Interval, paired_difference, wilson};
pub use labels::{Ceiling, Suspect, label_ceiling, suspects};
pub use mcnemar::{binomial_cumulative, mcnemar_exact};
pub use paired::PairedComparison;
pub use power::{detectable_difference, mcnemar_power, smallest_significant};
pub use precision_recall::{PrecisionRecallPoint, average_precision, precision_recall, youden_threshold};
pub use quantile::{normal_quantile, two_sided_p};
pub use repeats::{Mean, MeanDifference, corrected_resampled_t, expected_maximum, holm, mean_of_repeats};
pub use roc::{RocPoint, auc, roc};
pub use selection::{BestOfChance, best_of_chance, selection_adjusted_p};
pub use tuned::Tuned;
