//! What choosing the best of many does to its number.

use serde::{Deserialize, Serialize};
use statrs::distribution::{Binomial, DiscreteCDF};

/// Accuracy of the best of several classifiers that are right by chance only.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BestOfChance {
    /// Its mean.
    pub mean: f64,
    /// Its 95th percentile.
    pub high: f64,
}

/// The best accuracy of `models` classifiers that are right on each of `images` images with probability `rate`, independently of each
/// other: the maximum of binomial numbers, exactly. Runs on the same images help each other less than that, so it is on the careful side.
/// `None` without models or images, or when the rate is no probability.
///
/// ```
/// let best = emo_runner::evaluate::best_of_chance(50, 325, 0.53).unwrap();
/// assert!((best.mean - 0.592).abs() < 0.0005 && (best.high - 0.615).abs() < 0.0005);
/// ```
pub fn best_of_chance(models: usize, images: u64, rate: f64) -> Option<BestOfChance> {
    let chance = Binomial::new(rate, images).ok().filter(|_| models > 0 && images > 0)?;
    // P(best <= k) = P(one <= k)^models, and the mean is the sum of P(best > k) over all k.
    let at_most = |k: u64| (models as f64 * (-chance.sf(k)).ln_1p()).exp();
    let mean = (0..images).map(|k| 1.0 - at_most(k)).sum::<f64>() / images as f64;
    let high = (0..images).find(|&k| at_most(k) >= 0.95).unwrap_or(images);
    Some(BestOfChance { mean, high: high as f64 / images as f64 })
}

/// Probability that the best of `models` such classifiers is right on `right` images or more: the p-value of a result that was
/// chosen for being the best (Šidák 1967).
pub fn selection_adjusted_p(models: usize, images: u64, rate: f64, right: u64) -> Option<f64> {
    let chance = Binomial::new(rate, images).ok().filter(|_| models > 0 && images > 0)?;
    let one = if right == 0 { 1.0 } else { chance.sf(right - 1) };
    Some(-(models as f64 * (-one).ln_1p()).exp_m1())
}
