//! What contradicting labels say: the accuracy that they allow, and which of them are probably wrong.

use serde::{Deserialize, Serialize};

use super::interval::{Interval, wilson};

/// The accuracy that no classifier can pass on average, as far as pictures with two labels tell.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ceiling {
    /// Pairs of labels of the same picture, no label in two pairs.
    pub pairs: usize,
    /// Share of pairs that disagree.
    pub disagreement: f64,
    /// Share of labels that are wrong.
    pub label_error: f64,
    /// `1 - label_error`.
    pub accuracy: f64,
    /// 95 % interval of the accuracy.
    pub interval: Interval,
}

/// The ceiling that disagreeing labels of the same pictures imply. `groups` has the labels of class 0 and 1 of each picture that
/// has several.
///
/// If each label is wrong with probability e, whatever the picture, two labels of one picture disagree with probability
/// d = 2 e (1 - e), so e = (1 - sqrt(1 - 2 d)) / 2. A group of n labels counts as floor(n / 2) pairs, its disagreement being that of
/// its pairs on average; the interval is Wilson's of d, through the same formula. `None` with fewer than five pairs.
///
/// ```
/// // 130 pictures of snakes that look alike, 90 called Negative, 40 Positive.
/// let ceiling = emo_runner::evaluate::label_ceiling(&[[90, 40]]).unwrap();
/// assert!((ceiling.accuracy - 0.69).abs() < 0.01);
/// ```
pub fn label_ceiling(groups: &[[usize; 2]]) -> Option<Ceiling> {
    let (mut pairs, mut disagreeing) = (0, 0.0);
    for &[zeros, ones] in groups.iter().filter(|group| group[0] + group[1] > 1) {
        let n = zeros + ones;
        let disagreement = 2.0 * (zeros * ones) as f64 / (n * (n - 1)) as f64;
        pairs += n / 2;
        disagreeing += (n / 2) as f64 * disagreement;
    }
    if pairs < 5 {
        return None;
    }
    let error = |disagreement: f64| 0.5 * (1.0 - (1.0 - 2.0 * disagreement.min(0.5)).sqrt());
    let disagreement = disagreeing / pairs as f64;
    let interval = wilson((disagreeing.round() as u64).min(pairs as u64), pairs as u64, 0.95)?;
    let label_error = error(disagreement);
    Some(Ceiling {
        pairs,
        disagreement,
        label_error,
        accuracy: 1.0 - label_error,
        interval: Interval { low: 1.0 - error(interval.high), high: 1.0 - error(interval.low) },
    })
}

/// A label that is probably wrong.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Suspect {
    /// Which image.
    pub image: usize,
    /// Probability of the label that it has.
    pub probability: f64,
}

/// Labels that are probably wrong, the least believable first, by confident learning (Northcutt, Jiang, Chuang, "Confident learning",
/// 2021, pruning by noise rate). `probabilities` are of class 1 and must come from networks that were not trained on the image.
///
/// An image counts as surely of a class when its probability of it reaches the mean of that of the images that carry its label.
/// Of the images with one label, the share that is surely of the other class says how many labels are wrong; as many are
/// suspected, those with the least probable label first, and none that the probability agrees with.
pub fn suspects(labels: &[bool], probabilities: &[f64]) -> Vec<Suspect> {
    let mean = |class: bool| {
        let own: Vec<f64> = labels
            .iter()
            .zip(probabilities)
            .filter(|&(&label, _)| label == class)
            .map(|(_, &p)| of(p, class))
            .collect();
        own.iter().sum::<f64>() / own.len().max(1) as f64
    };
    let thresholds = [mean(false), mean(true)];
    let mut found: Vec<Suspect> =
        [false, true].into_iter().flat_map(|class| suspects_of(class, labels, probabilities, thresholds)).collect();
    found.sort_by(|a, b| a.probability.total_cmp(&b.probability));
    found
}

fn suspects_of(class: bool, labels: &[bool], probabilities: &[f64], thresholds: [f64; 2]) -> Vec<Suspect> {
    let mut images: Vec<usize> = (0..labels.len()).filter(|&image| labels[image] == class).collect();
    let mut sure = [0_usize; 2];
    for &image in &images {
        let reaches = [false, true].map(|side| of(probabilities[image], side) >= thresholds[usize::from(side)]);
        match reaches {
            [true, true] => sure[usize::from(probabilities[image] > 0.5)] += 1,
            [false, false] => {}
            [_, one] => sure[usize::from(one)] += 1,
        }
    }
    let (own, other) = (sure[usize::from(class)], sure[usize::from(!class)]);
    if other == 0 {
        return Vec::new();
    }
    let wrong = (images.len() as f64 * other as f64 / (own + other) as f64).round() as usize;
    images.sort_by(|&a, &b| of(probabilities[a], class).total_cmp(&of(probabilities[b], class)));
    let suspect = |&image: &usize| Suspect { image, probability: of(probabilities[image], class) };
    images.iter().take(wrong).map(suspect).filter(|suspect| suspect.probability < 0.5).collect()
}

/// Probability of a class.
fn of(probability: f64, class: bool) -> f64 {
    if class { probability } else { 1.0 - probability }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, Stream};

    #[test]
    fn planted_label_noise_is_found_again() {
        for (seed, noise) in [(1, 0.05), (2, 0.2), (3, 0.35)] {
            let mut stream = Stream::new(seed, Purpose::Synthesis, 0, 0);
            let mut group = || {
                let truth = stream.chance(0.5);
                let mut counts = [0; 2];
                (0..2).for_each(|_| counts[usize::from(truth != stream.chance(noise))] += 1);
                counts
            };
            let groups: Vec<[usize; 2]> = (0..3000).map(|_| group()).collect();
            let ceiling = label_ceiling(&groups).unwrap();
            assert!((ceiling.accuracy - (1.0 - noise)).abs() < 0.03, "{ceiling:?}");
            assert!(ceiling.interval.low < 1.0 - noise && 1.0 - noise < ceiling.interval.high, "{ceiling:?}");
        }
    }

    #[test]
    fn agreeing_labels_allow_everything_and_few_say_nothing() {
        assert_eq!(label_ceiling(&[[2, 0]; 4]), None);
        let ceiling = label_ceiling(&[[2, 0]; 50]).unwrap();
        assert_eq!((ceiling.accuracy, ceiling.interval.high), (1.0, 1.0));
        assert!(ceiling.interval.low > 0.95);
        assert_eq!(label_ceiling(&[[1, 1]; 50]).unwrap().accuracy, 0.5);
    }

    #[test]
    fn the_least_believable_label_comes_first() {
        let labels = [true, true, true, false, false, false];
        let found = suspects(&labels, &[0.9, 0.8, 0.02, 0.1, 0.95, 0.2]);
        assert_eq!(found.iter().map(|suspect| suspect.image).collect::<Vec<_>>(), [2, 4]);
    }
}
