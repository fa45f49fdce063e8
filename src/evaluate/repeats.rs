//! What several runs say together: repeats with other seeds, folds of cross-validation, many comparisons at once.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::interval::Interval;

/// A mean over runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// Standard deviation of single values, with n - 1.
    pub deviation: f64,
    /// Interval of the mean; `None` for a single value.
    pub interval: Option<Interval>,
}

/// A mean difference and whether it may be chance.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MeanDifference {
    /// The mean difference.
    pub difference: f64,
    /// Its interval.
    pub interval: Interval,
    /// Student's t.
    pub t: f64,
    /// Two-sided p of "the mean difference is 0".
    pub p: f64,
}

/// Mean of the values of independent repeats with Student's t-interval (Student 1908) at a `confidence` such as 0.95. `None`
/// without values or for a confidence outside (0, 1).
pub fn mean_of_repeats(values: &[f64], confidence: f64) -> Option<Mean> {
    let (mean, variance) = moments(values)?;
    let half = half_width(values.len(), (variance / values.len() as f64).sqrt(), confidence);
    let interval = half.map(|half| Interval { low: mean - half, high: mean + half });
    (confidence > 0.0 && confidence < 1.0).then_some(Mean { mean, deviation: variance.sqrt(), interval })
}

/// The corrected resampled t-test (Nadeau and Bengio, "Inference for the generalization error", 2003) on the differences of two
/// methods over the folds of cross-validation.
///
/// Folds share most of their training images, so their differences are not independent; the variance is raised by
/// `test / train`, the images of a fold's test set over those of its training set. `None` for fewer than two folds.
pub fn corrected_resampled_t(differences: &[f64], test_over_train: f64, confidence: f64) -> Option<MeanDifference> {
    let (difference, variance) = moments(differences)?;
    let folds = differences.len();
    let error = ((1.0 / folds as f64 + test_over_train) * variance).sqrt();
    let half = half_width(folds, error, confidence)?;
    let interval = Interval { low: difference - half, high: difference + half };
    if error == 0.0 {
        let (t, p) = if difference == 0.0 { (0.0, 1.0) } else { (f64::INFINITY.copysign(difference), 0.0) };
        return Some(MeanDifference { difference, interval, t, p });
    }
    let t = difference / error;
    let student = StudentsT::new(0.0, 1.0, folds as f64 - 1.0).ok()?;
    Some(MeanDifference { difference, interval, t, p: (2.0 * student.sf(t.abs())).min(1.0) })
}

/// Mean and variance with n - 1; the variance of a single value is 0.
fn moments(values: &[f64]) -> Option<(f64, f64)> {
    if values.is_empty() {
        return None;
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((mean, if values.len() > 1 { squares / (values.len() as f64 - 1.0) } else { 0.0 }))
}

fn half_width(values: usize, error: f64, confidence: f64) -> Option<f64> {
    if values < 2 || !(confidence > 0.0 && confidence < 1.0) {
        return None;
    }
    let student = StudentsT::new(0.0, 1.0, values as f64 - 1.0).ok()?;
    Some(student.inverse_cdf(0.5 + confidence / 2.0) * error)
}

/// Holm's adjustment of the p-values of several comparisons (Holm, "A simple sequentially rejective multiple test procedure",
/// 1979), in the order given: an adjusted p below 0.05 stands against all of them together.
///
/// ```
/// assert_eq!(emo_runner::evaluate::holm(&[0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
/// ```
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut largest = 0.0_f64;
    for (rank, &index) in order.iter().enumerate() {
        largest = largest.max((p[index] * (p.len() - rank) as f64).min(1.0));
        adjusted[index] = largest;
    }
    adjusted
}

/// By how much the best of `n` equally good results looks better than it is, in standard deviations of a result: the expected
/// maximum of `n` standard normal numbers (Tippett 1925), by integrating `1 - F^n` and `F^n` with Simpson's rule.
pub fn expected_maximum(n: usize) -> f64 {
    const STEPS: usize = 4000;
    const END: f64 = 10.0;
    if n < 2 {
        return 0.0;
    }
    let step = END / STEPS as f64;
    let tail = |z: f64| {
        // P(max > z) - P(max < -z), without cancellation for large n.
        let upper = 0.5 * libm::erfc(z / std::f64::consts::SQRT_2);
        -(n as f64 * (-upper).ln_1p()).exp_m1() - upper.powf(n as f64)
    };
    let weight = |index: usize| if index == 0 || index == STEPS { 1.0 } else { 2.0 + 2.0 * (index % 2) as f64 };
    (0..=STEPS).map(|index| weight(index) * tail(index as f64 * step)).sum::<f64>() * step / 3.0
}
