//! Confidence intervals.

use serde::{Deserialize, Serialize};

use super::quantile::normal_quantile;

/// A closed interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Wilson's score interval for a share of `successes` in `n` (Wilson 1927), at a `confidence` such as 0.95.
///
/// `None` when `n` is 0, when there are more successes than trials, or when the confidence is not inside (0, 1).
///
/// ```
/// let interval = emo_runner::evaluate::wilson(180, 325, 0.95).unwrap();
/// assert!((interval.low - 0.4994).abs() < 1e-4 && (interval.high - 0.6070).abs() < 1e-4);
/// ```
pub fn wilson(successes: u64, n: u64, confidence: f64) -> Option<Interval> {
    if n == 0 || successes > n || !(0.0..1.0).contains(&confidence) || confidence == 0.0 {
        return None;
    }
    let z = normal_quantile(0.5 + confidence / 2.0);
    let (count, p) = (n as f64, successes as f64 / n as f64);
    let z2 = z * z;
    let centre = (p + z2 / (2.0 * count)) / (1.0 + z2 / count);
    let half = z / (1.0 + z2 / count) * (p * (1.0 - p) / count + z2 / (4.0 * count * count)).sqrt();
    // At 0 and n successes the ends are exactly 0 and 1; rounding must not move them.
    let low = if successes == 0 { 0.0 } else { centre - half };
    let high = if successes == n { 1.0 } else { centre + half };
    Some(Interval { low, high })
}

/// Interval for the difference of two accuracies on the same `n` images, of which `only_first` are called right by the first only
/// and `only_second` by the second only: second less first (Agresti and Min, "Simple improved confidence intervals for comparing
/// matched proportions", 2005: Wald's interval after half an image is added to each of the four cells).
///
/// `None` when there are more disagreements than images, no images, or the confidence is not inside (0, 1).
///
/// ```
/// let interval = emo_runner::evaluate::paired_difference(20, 34, 326, 0.95).unwrap();
/// assert!((interval.low - -0.0014).abs() < 1e-3 && (interval.high - 0.0868).abs() < 1e-3);
/// ```
pub fn paired_difference(only_first: u64, only_second: u64, n: u64, confidence: f64) -> Option<Interval> {
    if n == 0 || only_first.checked_add(only_second)? > n || !(confidence > 0.0 && confidence < 1.0) {
        return None;
    }
    let images = n as f64 + 2.0;
    let (first, second) = ((only_first as f64 + 0.5) / images, (only_second as f64 + 0.5) / images);
    let difference = second - first;
    let half = normal_quantile(0.5 + confidence / 2.0) * ((first + second - difference * difference) / images).sqrt();
    Some(Interval { low: (difference - half).max(-1.0), high: (difference + half).min(1.0) })
}
