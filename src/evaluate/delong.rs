//! How sure an area under the ROC curve is, and whether two of them differ.
//!
//! DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating characteristic
//! curves" (1988), by the fast algorithm of Sun and Xu, "Fast implementation of DeLong's algorithm" (2014): mid-ranks in
//! n log n steps instead of all pairs.

use serde::{Deserialize, Serialize};

use super::interval::Interval;
use super::quantile::{normal_quantile, two_sided_p};

/// An area under the ROC curve and the variance of its estimate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AucEstimate {
    /// The area.
    pub auc: f64,
    /// DeLong's variance of it.
    pub variance: f64,
    /// Images of class 0 and 1.
    pub images: [usize; 2],
}

/// Two areas on the same images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AucDifference {
    /// The second area less the first.
    pub difference: f64,
    /// Interval of the difference.
    pub interval: Interval,
    /// Two-sided p of "the areas are equal".
    pub p: f64,
}

/// Structural components: for each image of a class the share of the other class that it is rightly ordered with.
struct Components {
    positives: Vec<f64>,
    negatives: Vec<f64>,
}

impl Components {
    fn new(labels: &[bool], scores: &[f64]) -> Option<Self> {
        if labels.len() != scores.len() || scores.iter().any(|score| score.is_nan()) {
            return None;
        }
        let of = |class: bool| -> Vec<f64> {
            scores.iter().zip(labels).filter(|&(_, &label)| label == class).map(|(&score, _)| score).collect()
        };
        let (positives, negatives) = (of(true), of(false));
        if positives.len() < 2 || negatives.len() < 2 {
            return None;
        }
        let all = mid_ranks(scores);
        let among = |class: bool, own: Vec<f64>, others: usize| -> Vec<f64> {
            let overall = all.iter().zip(labels).filter(|&(_, &label)| label == class).map(|(&rank, _)| rank);
            overall.zip(mid_ranks(&own)).map(|(overall, own)| (overall - own) / others as f64).collect()
        };
        let (m, n) = (positives.len(), negatives.len());
        let negatives = among(false, negatives, m).into_iter().map(|share| 1.0 - share).collect();
        Some(Self { positives: among(true, positives, n), negatives })
    }

    fn auc(&self) -> f64 {
        mean(&self.positives)
    }

    /// Covariance of two areas on the same images; with itself, the variance.
    fn covariance(&self, other: &Self) -> f64 {
        covariance(&self.positives, &other.positives) / self.positives.len() as f64
            + covariance(&self.negatives, &other.negatives) / self.negatives.len() as f64
    }
}

/// Ranks from 1, ties sharing the mean of theirs.
fn mid_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for tied in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = start as f64 + 0.5 * (tied.len() as f64 + 1.0);
        tied.iter().for_each(|&index| ranks[index] = rank);
        start += tied.len();
    }
    ranks
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn covariance(a: &[f64], b: &[f64]) -> f64 {
    let (mean_a, mean_b) = (mean(a), mean(b));
    a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum::<f64>() / (a.len() as f64 - 1.0)
}

/// The area under the ROC curve with its variance. `None` unless both classes have at least two images, as many labels as
/// scores, and no score is NaN.
///
/// ```
/// use emo_runner::evaluate::auc_estimate;
/// let labels = [false, false, true, true, false, true];
/// let estimate = auc_estimate(&labels, &[0.1, 0.4, 0.35, 0.8, 0.3, 0.9]).unwrap();
/// assert!((estimate.auc - 8.0 / 9.0).abs() < 1e-12);
/// ```
pub fn auc_estimate(labels: &[bool], scores: &[f64]) -> Option<AucEstimate> {
    let components = Components::new(labels, scores)?;
    let images = [components.negatives.len(), components.positives.len()];
    Some(AucEstimate { auc: components.auc(), variance: components.covariance(&components), images })
}

impl AucEstimate {
    /// Interval at a `confidence` such as 0.95, on the scale of log-odds, so that it stays inside (0, 1) where the area is near
    /// an end (Pepe, "The statistical evaluation of medical tests", 2003, section 5.2).
    ///
    /// An area of exactly 0 or 1 has no variance to go by. Its far end is then that of Clopper and Pearson for the smaller
    /// class, as if each of its images were one trial, which is the cautious choice.
    pub fn interval(&self, confidence: f64) -> Interval {
        let z = normal_quantile(0.5 + confidence / 2.0);
        let AucEstimate { auc, variance, images } = *self;
        if auc <= 0.0 || auc >= 1.0 {
            let smaller = images[0].min(images[1]) as f64;
            let far = ((1.0 - confidence) / 2.0).powf(1.0 / smaller);
            return if auc >= 1.0 { Interval { low: far, high: 1.0 } } else { Interval { low: 0.0, high: 1.0 - far } };
        }
        let centre = (auc / (1.0 - auc)).ln();
        let half = z * variance.sqrt() / (auc * (1.0 - auc));
        let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
        Interval { low: logistic(centre - half), high: logistic(centre + half) }
    }
}

/// Whether two scores of the same images have different areas: the second less the first, its normal interval and p. `None` as
/// for [`auc_estimate`].
pub fn auc_difference(labels: &[bool], first: &[f64], second: &[f64], confidence: f64) -> Option<AucDifference> {
    let (a, b) = (Components::new(labels, first)?, Components::new(labels, second)?);
    let difference = b.auc() - a.auc();
    let variance = (a.covariance(&a) + b.covariance(&b) - 2.0 * a.covariance(&b)).max(0.0);
    let error = variance.sqrt();
    let half = normal_quantile(0.5 + confidence / 2.0) * error;
    // The same order of all pairs leaves nothing to be unsure of: then the areas are equal.
    let p = if error > 1e-15 { two_sided_p(difference / error) } else { f64::from(u8::from(difference.abs() < 1e-12)) };
    Some(AucDifference { difference, interval: Interval { low: difference - half, high: difference + half }, p })
}
