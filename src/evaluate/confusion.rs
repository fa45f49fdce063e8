//! The confusion matrix and what follows from it.

use serde::{Deserialize, Serialize};

/// Counts of a two-class confusion matrix; class 1 is "positive".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// Class 0 called 0.
    pub true_negative: u64,
    /// Class 0 called 1.
    pub false_positive: u64,
    /// Class 1 called 0.
    pub false_negative: u64,
    /// Class 1 called 1.
    pub true_positive: u64,
}

/// Precision, recall and F1 of one class; `None` where the quotient is 0/0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClassMetrics {
    /// Share of the images called this class that are of it.
    pub precision: Option<f64>,
    /// Share of the images of this class that are called so.
    pub recall: Option<f64>,
    /// Harmonic mean of both, 2 TP / (2 TP + FP + FN).
    pub f1: Option<f64>,
    /// Images of this class.
    pub support: u64,
}

impl Confusion {
    /// Counts images by label and call; an image is called class 1 at `probability >= threshold`.
    pub fn count(labels: &[bool], probabilities: &[f64], threshold: f64) -> Self {
        let mut confusion = Self::default();
        for (&label, &probability) in labels.iter().zip(probabilities) {
            let cell = match (label, probability >= threshold) {
                (false, false) => &mut confusion.true_negative,
                (false, true) => &mut confusion.false_positive,
                (true, false) => &mut confusion.false_negative,
                (true, true) => &mut confusion.true_positive,
            };
            *cell += 1;
        }
        confusion
    }

    /// All images.
    pub fn total(&self) -> u64 {
        self.true_negative + self.false_positive + self.false_negative + self.true_positive
    }

    /// Images called right.
    pub fn correct(&self) -> u64 {
        self.true_negative + self.true_positive
    }

    /// Share of images called right; `None` without images.
    pub fn accuracy(&self) -> Option<f64> {
        ratio(self.correct(), self.total())
    }

    /// Images of class 0 and class 1.
    pub fn support(&self) -> [u64; 2] {
        [self.true_negative + self.false_positive, self.false_negative + self.true_positive]
    }

    /// Images that only these calls got right, and images that only always answering `naive_class` got right.
    ///
    /// The naive classifier is right on one class, so the two can disagree only where the other class is called.
    pub fn against_naive(&self, naive_class: usize) -> (u64, u64) {
        match naive_class {
            0 => (self.true_positive, self.false_positive),
            _ => (self.true_negative, self.false_negative),
        }
    }

    /// Metrics of class 0, or of class 1 for every other number.
    pub fn class(&self, class: usize) -> ClassMetrics {
        let (hits, false_alarms, misses) = match class {
            0 => (self.true_negative, self.false_negative, self.false_positive),
            _ => (self.true_positive, self.false_positive, self.false_negative),
        };
        ClassMetrics {
            precision: ratio(hits, hits + false_alarms),
            recall: ratio(hits, hits + misses),
            f1: ratio(2 * hits, 2 * hits + false_alarms + misses),
            support: hits + misses,
        }
    }
}

fn ratio(numerator: u64, denominator: u64) -> Option<f64> {
    (denominator > 0).then(|| numerator as f64 / denominator as f64)
}
