//! The same probabilities called at another threshold than 0.5.

use serde::{Deserialize, Serialize};

use super::confusion::Confusion;
use super::interval::{Interval, wilson};
use super::mcnemar::mcnemar_exact;

/// What the test set says of a threshold that was chosen on validation images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tuned {
    /// Images with at least this probability are called class 1.
    pub threshold: f64,
    /// Counts at that threshold.
    pub confusion: Confusion,
    /// Share of images called right.
    pub accuracy: f64,
    /// Wilson's 95 % interval for it.
    pub accuracy_interval: Interval,
    /// Exact two-sided McNemar p against the naive classifier.
    pub p_naive: f64,
}

impl Tuned {
    /// Calls images at a threshold; `naive_class` is the training set's more frequent class. `None` without images.
    pub fn of(labels: &[bool], probabilities: &[f64], threshold: f64, naive_class: usize) -> Option<Self> {
        let confusion = Confusion::count(labels, probabilities, threshold);
        let (only_run, only_naive) = confusion.against_naive(naive_class);
        Some(Self {
            threshold,
            confusion,
            accuracy: confusion.accuracy()?,
            accuracy_interval: wilson(confusion.correct(), confusion.total(), 0.95)?,
            p_naive: mcnemar_exact(only_run, only_naive),
        })
    }
}
