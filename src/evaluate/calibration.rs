//! Whether a probability of 80 % is right in 80 of 100 cases.

use serde::{Deserialize, Serialize};

/// Bins of the expected calibration error.
pub const BINS: usize = 15;

/// Images whose probability of class 1 falls into one bin.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Lower end of the bin; the upper end is that of the next one, and belongs to it.
    pub low: f64,
    /// Images in it.
    pub images: usize,
    /// Their mean probability of class 1; 0 for an empty bin.
    pub probability: f64,
    /// Share of them that is class 1; 0 for an empty bin.
    pub frequency: f64,
}

/// The reliability diagram: `bins` bins of equal width over [0, 1], the last one closed (Niculescu-Mizil and Caruana, "Predicting
/// good probabilities with supervised learning", 2005).
pub fn reliability(labels: &[bool], probabilities: &[f64], bins: usize) -> Vec<Bin> {
    let mut sums = vec![(0_usize, 0.0_f64, 0_usize); bins];
    for (&label, &probability) in labels.iter().zip(probabilities) {
        let bin = ((probability * bins as f64) as usize).min(bins.saturating_sub(1));
        if let Some((images, sum, positives)) = sums.get_mut(bin) {
            *images += 1;
            *sum += probability;
            *positives += usize::from(label);
        }
    }
    let bin = |(index, &(images, sum, positives)): (usize, &(usize, f64, usize))| {
        let count = images.max(1) as f64;
        let low = index as f64 / bins as f64;
        Bin { low, images, probability: sum / count, frequency: positives as f64 / count }
    };
    sums.iter().enumerate().map(bin).collect()
}

/// Expected calibration error: mean distance of probability and frequency over the bins, weighted by their images (Naeini et al.,
/// "Obtaining well calibrated probabilities using Bayesian binning", 2015). 0 without images.
pub fn expected_calibration_error(labels: &[bool], probabilities: &[f64], bins: usize) -> f64 {
    let images = labels.len().max(1) as f64;
    let distance = |bin: &Bin| bin.images as f64 / images * (bin.probability - bin.frequency).abs();
    reliability(labels, probabilities, bins).iter().map(distance).sum()
}
