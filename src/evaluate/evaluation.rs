//! One summary of a run on its test set: the struct that every summary and table reads.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::calibration::{BINS, expected_calibration_error};
use super::confusion::{ClassMetrics, Confusion};
use super::delong::auc_estimate;
use super::interval::{Interval, wilson};
use super::mcnemar::mcnemar_exact;
use super::precision_recall::average_precision;
use super::roc::{RocPoint, auc, roc};
use super::tuned::Tuned;

/// An image is called class 1 at this probability of class 1 or more.
pub const THRESHOLD: f64 = 0.5;

const CONFIDENCE: f64 = 0.95;
const ALPHA: f64 = 0.05;

/// What a run is worth on its test set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Counts at threshold 0.5.
    pub confusion: Confusion,
    /// Share of images called right.
    pub accuracy: f64,
    /// Wilson's 95 % interval for the accuracy.
    pub accuracy_interval: Interval,
    /// The class that the naive classifier always answers: the more frequent one of the training set.
    pub naive_class: usize,
    /// The naive classifier's accuracy on the same test set.
    pub naive_accuracy: f64,
    /// Images that only the run called right.
    pub only_run_right: u64,
    /// Images that only the naive classifier called right.
    pub only_naive_right: u64,
    /// Exact two-sided McNemar p of the run against the naive classifier.
    pub p_naive: f64,
    /// Metrics of class 0 and class 1.
    pub classes: [ClassMetrics; 2],
    /// Area under the ROC curve; `None` when the test set has only one class.
    pub auc: Option<f64>,
    /// DeLong's 95 % interval for the area, on the scale of log-odds; `None` when a class has fewer than two images.
    #[serde(default)]
    pub auc_interval: Option<Interval>,
    /// Average precision of class 1; `None` without class 1.
    #[serde(default)]
    pub average_precision: Option<f64>,
    /// Expected calibration error in 15 bins.
    #[serde(default)]
    pub calibration_error: Option<f64>,
    /// ROC curve; empty when the test set has only one class.
    pub roc: Vec<RocPoint>,
    /// Mean binary cross-entropy of the probabilities, in nats.
    pub log_loss: f64,
    /// Brier score: mean squared error of the probabilities.
    pub brier: f64,
    /// At the threshold that is best on the validation set; `None` without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuned: Option<Tuned>,
}

/// Why labels and probabilities cannot be evaluated.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum EvaluateError {
    /// No images.
    #[error("The test set is empty, so there is nothing to evaluate.")]
    Empty,
    /// Not one probability for each label.
    #[error("There are {labels} labels but {probabilities} probabilities; each image needs one of both.")]
    Lengths {
        /// Number of labels.
        labels: usize,
        /// Number of probabilities.
        probabilities: usize,
    },
    /// A probability that is none.
    #[error("The probability of image number {index} is {value}; it must lie between 0 and 1.")]
    Probability {
        /// Which image, from 0.
        index: usize,
        /// The value.
        value: f64,
    },
}

/// How a run compares with the naive classifier, at the 5 % level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// More often right than the naive classifier.
    BetterThanNaive,
    /// No difference that this test set can show.
    NotDistinguishable,
    /// Less often right than the naive classifier.
    WorseThanNaive,
}

impl Evaluation {
    /// Evaluates probabilities of class 1 against labels; `naive_class` is the training set's more frequent class.
    ///
    /// # Errors
    /// [`EvaluateError`] when there are no images, lengths differ or a probability is not in [0, 1].
    pub fn of(labels: &[bool], probabilities: &[f64], naive_class: usize) -> Result<Self, EvaluateError> {
        check(labels, probabilities)?;
        let confusion = Confusion::count(labels, probabilities, THRESHOLD);
        let (total, correct) = (confusion.total(), confusion.correct());
        let naive_correct = confusion.support()[naive_class.min(1)];
        let (only_run_right, only_naive_right) = confusion.against_naive(naive_class);
        Ok(Self {
            confusion,
            accuracy: correct as f64 / total as f64,
            accuracy_interval: wilson(correct, total, CONFIDENCE).ok_or(EvaluateError::Empty)?,
            naive_class,
            naive_accuracy: naive_correct as f64 / total as f64,
            only_run_right,
            only_naive_right,
            p_naive: mcnemar_exact(only_run_right, only_naive_right),
            classes: [confusion.class(0), confusion.class(1)],
            auc: auc(labels, probabilities),
            auc_interval: auc_estimate(labels, probabilities).map(|estimate| estimate.interval(CONFIDENCE)),
            average_precision: average_precision(labels, probabilities),
            calibration_error: Some(expected_calibration_error(labels, probabilities, BINS)),
            roc: roc(labels, probabilities),
            log_loss: log_loss(labels, probabilities),
            brier: brier(labels, probabilities),
            tuned: None,
        })
    }

    /// The same with what a threshold is worth that was chosen on validation images.
    #[must_use]
    pub fn with_threshold(mut self, labels: &[bool], probabilities: &[f64], threshold: Option<f64>) -> Self {
        self.tuned = threshold.and_then(|threshold| Tuned::of(labels, probabilities, threshold, self.naive_class));
        self
    }

    /// The comparison with the naive classifier, at the 5 % level.
    pub fn verdict(&self) -> Verdict {
        if self.p_naive >= ALPHA {
            Verdict::NotDistinguishable
        } else if self.only_run_right > self.only_naive_right {
            Verdict::BetterThanNaive
        } else {
            Verdict::WorseThanNaive
        }
    }

    /// The verdict in words: `not distinguishable from always answering "Positive", p = 0.25`.
    pub fn sentence(&self, classes: &[String; 2]) -> String {
        let relation = match self.verdict() {
            Verdict::BetterThanNaive => "better than",
            Verdict::NotDistinguishable => "not distinguishable from",
            Verdict::WorseThanNaive => "worse than",
        };
        let class = &classes[self.naive_class.min(1)];
        format!("{relation} always answering \"{class}\", {}", format_p(self.p_naive))
    }
}

/// A p value as one writes it: `p = 0.25`, `p = 0.0031`, `p < 0.0001`.
pub fn format_p(p: f64) -> String {
    if p < 1e-4 {
        return "p < 0.0001".to_owned();
    }
    let decimals = (1.0 - p.log10().floor()).clamp(2.0, 5.0) as usize;
    format!("p = {p:.decimals$}")
}

/// Mean binary cross-entropy in nats; probabilities are kept one rounding error away from 0 and 1, as scikit-learn does.
pub fn log_loss(labels: &[bool], probabilities: &[f64]) -> f64 {
    let loss = |(&label, &p): (&bool, &f64)| {
        let p = p.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
        if label { -p.ln() } else { -(-p).ln_1p() }
    };
    labels.iter().zip(probabilities).map(loss).sum::<f64>() / labels.len() as f64
}

/// Brier score (1950) in its two-class form: mean of (probability - label)².
pub fn brier(labels: &[bool], probabilities: &[f64]) -> f64 {
    let square = |(&label, &p): (&bool, &f64)| (p - f64::from(u8::from(label))).powi(2);
    labels.iter().zip(probabilities).map(square).sum::<f64>() / labels.len() as f64
}

fn check(labels: &[bool], probabilities: &[f64]) -> Result<(), EvaluateError> {
    if labels.len() != probabilities.len() {
        return Err(EvaluateError::Lengths { labels: labels.len(), probabilities: probabilities.len() });
    }
    if labels.is_empty() {
        return Err(EvaluateError::Empty);
    }
    match probabilities.iter().position(|p| !(0.0..=1.0).contains(p)) {
        Some(index) => Err(EvaluateError::Probability { index, value: probabilities[index] }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Labels and probabilities with the published run's confusion matrix (design section 1).
    fn published() -> Evaluation {
        let mut labels = Vec::new();
        let mut probabilities = Vec::new();
        for (count, label, probability) in [(29, false, 0.4), (125, false, 0.6), (20, true, 0.4), (151, true, 0.6)] {
            labels.extend(std::iter::repeat_n(label, count));
            probabilities.extend(std::iter::repeat_n(probability, count));
        }
        Evaluation::of(&labels, &probabilities, 1).unwrap()
    }

    #[test]
    fn the_published_run_is_not_distinguishable_from_the_naive_classifier() {
        let evaluation = published();
        assert_eq!((evaluation.only_run_right, evaluation.only_naive_right), (29, 20));
        assert_eq!(evaluation.verdict(), Verdict::NotDistinguishable);
        let classes = ["Negative".to_owned(), "Positive".to_owned()];
        assert_eq!(evaluation.sentence(&classes), "not distinguishable from always answering \"Positive\", p = 0.25");
    }

    #[test]
    fn p_values_are_written_with_two_digits() {
        let texts: Vec<String> = [1.0, 0.253, 0.0312, 0.00123, 0.00002].map(format_p).to_vec();
        assert_eq!(texts, ["p = 1.00", "p = 0.25", "p = 0.031", "p = 0.0012", "p < 0.0001"]);
    }

    #[test]
    fn what_is_no_probability_is_refused() {
        assert_eq!(Evaluation::of(&[], &[], 0), Err(EvaluateError::Empty));
        assert!(matches!(Evaluation::of(&[true], &[f64::NAN], 0), Err(EvaluateError::Probability { index: 0, .. })));
        assert!(matches!(Evaluation::of(&[true], &[1.5], 0), Err(EvaluateError::Probability { .. })));
        assert!(matches!(Evaluation::of(&[true], &[], 0), Err(EvaluateError::Lengths { .. })));
    }

    fn scored() -> impl Strategy<Value = (Vec<bool>, Vec<f64>)> {
        prop::collection::vec((any::<bool>(), (0u32..50).prop_map(|n| f64::from(n) / 50.0)), 2..80)
            .prop_map(|pairs| pairs.into_iter().unzip())
    }

    proptest! {
        #[test]
        fn auc_does_not_change_under_a_monotone_map((labels, scores) in scored()) {
            let mapped: Vec<f64> = scores.iter().map(|s| s.powi(3) * 0.5).collect();
            prop_assert_eq!(auc(&labels, &scores), auc(&labels, &mapped));
        }

        #[test]
        fn auc_turns_over_with_the_scores((labels, scores) in scored()) {
            let turned: Vec<f64> = scores.iter().map(|s| 1.0 - s).collect();
            if let (Some(a), Some(b)) = (auc(&labels, &scores), auc(&labels, &turned)) {
                prop_assert!((a + b - 1.0).abs() < 1e-12);
            }
        }

        #[test]
        fn auc_is_the_area_under_the_roc_points((labels, scores) in scored()) {
            if let Some(area) = auc(&labels, &scores) {
                let points = roc(&labels, &scores);
                let trapezoids: f64 = points
                    .windows(2)
                    .map(|w| {
                        (w[1].false_positive_rate - w[0].false_positive_rate)
                            * (w[1].true_positive_rate + w[0].true_positive_rate) / 2.0
                    })
                    .sum();
                prop_assert!((area - trapezoids).abs() < 1e-12);
            }
        }

        #[test]
        fn mcnemar_does_not_care_which_run_is_first(b in 0u64..500, c in 0u64..500) {
            prop_assert_eq!(mcnemar_exact(b, c), mcnemar_exact(c, b));
        }
    }
}
