//! Two runs on the same test images.

use serde::{Deserialize, Serialize};

use super::delong::{AucDifference, auc_difference};
use super::evaluation::THRESHOLD;
use super::interval::{Interval, paired_difference};
use super::mcnemar::mcnemar_exact;
use super::roc::auc;

const CONFIDENCE: f64 = 0.95;

/// What the same images say about two runs. Differences are the second less the first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairedComparison {
    /// Images.
    pub images: usize,
    /// Accuracy of the first and the second.
    pub accuracy: [f64; 2],
    /// Difference of the accuracies.
    pub difference: f64,
    /// Its 95 % interval, see [`paired_difference`].
    pub interval: Interval,
    /// Images that only the first, only the second called right.
    pub only_right: [u64; 2],
    /// Exact McNemar p of "both are equally often right".
    pub p: f64,
    /// Area under the ROC curve of the first and the second; `None` when a class is missing.
    pub auc: Option<[f64; 2]>,
    /// Difference of the areas by DeLong; `None` when a class has fewer than two images.
    pub auc_difference: Option<AucDifference>,
}

impl PairedComparison {
    /// Compares probabilities of class 1 for the same images. `None` without images or with unequal lengths.
    pub fn of(labels: &[bool], first: &[f64], second: &[f64]) -> Option<Self> {
        if labels.is_empty() || labels.len() != first.len() || labels.len() != second.len() {
            return None;
        }
        let images = labels.len();
        let right = |scores: &[f64], image: usize| (scores[image] >= THRESHOLD) == labels[image];
        let count = |wanted: &dyn Fn(usize) -> bool| (0..images).filter(|&image| wanted(image)).count() as u64;
        let only_first = count(&|image| right(first, image) && !right(second, image));
        let only_second = count(&|image| !right(first, image) && right(second, image));
        let accuracy = [first, second].map(|scores| count(&|image| right(scores, image)) as f64 / images as f64);
        Some(Self {
            images,
            accuracy,
            difference: (only_second as f64 - only_first as f64) / images as f64,
            interval: paired_difference(only_first, only_second, images as u64, CONFIDENCE)?,
            only_right: [only_first, only_second],
            p: mcnemar_exact(only_first, only_second),
            auc: auc(labels, first).zip(auc(labels, second)).map(|(first, second)| [first, second]),
            auc_difference: auc_difference(labels, first, second, CONFIDENCE),
        })
    }
}
