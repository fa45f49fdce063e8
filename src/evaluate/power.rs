//! What a test set can show before anything is trained.

use statrs::distribution::{Binomial, Discrete, DiscreteCDF};

use super::mcnemar::mcnemar_exact;

/// Images by which one classifier must be right more often than another for an exact McNemar test below `alpha`, when they
/// disagree on `disagreements` images. `None` when even disagreements in one direction only would not do.
///
/// ```
/// // 325 images, disagreement on 20 % of them: 17 images, 5.2 points.
/// assert_eq!(emo_runner::evaluate::smallest_significant(65, 0.05), Some(17));
/// ```
pub fn smallest_significant(disagreements: u64, alpha: f64) -> Option<u64> {
    let significant = |fewer: u64| mcnemar_exact(disagreements - fewer, fewer) < alpha;
    if !significant(0) {
        return None;
    }
    // p grows with the smaller count: the largest one that is still significant.
    let (mut low, mut high) = (0, disagreements / 2 + 1);
    while high - low > 1 {
        let middle = u64::midpoint(low, high);
        if significant(middle) { low = middle } else { high = middle }
    }
    Some(disagreements - 2 * low)
}

/// Probability that an exact McNemar test of two classifiers comes out below `alpha` on `images` images, when they disagree on a
/// share `disagreement` of all possible images and the better one is right on a share `difference` more: the sum over the
/// number of disagreements of the test's exact power (Connor, "Sample size for testing differences in proportions for the paired-sample
/// design", 1987). `None` outside `0 <= difference <= disagreement <= 1`.
pub fn mcnemar_power(images: u64, disagreement: f64, difference: f64, alpha: f64) -> Option<f64> {
    if !(0.0..=1.0).contains(&disagreement) || !(0.0..=disagreement).contains(&difference) || disagreement == 0.0 {
        return None;
    }
    let number = Binomial::new(disagreement, images).ok()?;
    let better = 0.5 + 0.5 * difference / disagreement;
    let (mean, deviation) =
        (images as f64 * disagreement, (images as f64 * disagreement * (1.0 - disagreement)).sqrt());
    // Beyond ten standard deviations there is nothing to add.
    let first = (mean - 10.0 * deviation - 1.0).max(0.0) as u64;
    let last = ((mean + 10.0 * deviation + 1.0) as u64).min(images);
    let power = |disagreements: u64| {
        let Some(margin) = smallest_significant(disagreements, alpha) else { return Some(0.0) };
        let wins = Binomial::new(better, disagreements).ok()?;
        let (fewest, most) = (u64::midpoint(disagreements, margin), (disagreements - margin) / 2);
        let above = if fewest == 0 { 1.0 } else { wins.sf(fewest - 1) };
        Some(number.pmf(disagreements) * (above + wins.cdf(most)))
    };
    (first..=last).map(power).sum()
}

/// The true difference that [`mcnemar_power`] finds with probability `power`; `None` when even the largest possible one is found
/// less often.
pub fn detectable_difference(images: u64, disagreement: f64, alpha: f64, power: f64) -> Option<f64> {
    let found = |difference: f64| mcnemar_power(images, disagreement, difference, alpha);
    if found(disagreement)? < power {
        return None;
    }
    let (mut low, mut high) = (0.0, disagreement);
    while high - low > 1e-6 {
        let middle = f64::midpoint(low, high);
        if found(middle)? < power { low = middle } else { high = middle }
    }
    Some(high)
}
