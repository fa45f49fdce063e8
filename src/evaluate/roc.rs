//! The ROC curve and the area under it.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

/// One point of a ROC curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RocPoint {
    /// Images with at least this probability are called class 1; `None` for the point (0, 0), above every score.
    pub threshold: Option<f64>,
    /// Share of class 0 called 1.
    pub false_positive_rate: f64,
    /// Share of class 1 called 1: its recall.
    pub true_positive_rate: f64,
}

/// Images of each class at one score.
pub(super) struct Group {
    pub(super) score: f64,
    pub(super) negatives: u64,
    pub(super) positives: u64,
}

/// Distinct scores, highest first, with the images at each.
pub(super) fn groups(labels: &[bool], probabilities: &[f64]) -> Vec<Group> {
    let mut pairs: Vec<(f64, bool)> = probabilities.iter().copied().zip(labels.iter().copied()).collect();
    pairs.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap_or(Ordering::Equal));
    let mut groups: Vec<Group> = Vec::new();
    for (score, label) in pairs {
        let (negative, positive) = (u64::from(!label), u64::from(label));
        match groups.last_mut() {
            Some(group) if group.score == score => {
                group.negatives += negative;
                group.positives += positive;
            }
            _ => groups.push(Group { score, negatives: negative, positives: positive }),
        }
    }
    groups
}

/// The ROC curve from (0, 0) to (1, 1): a point for each distinct score, points on a straight line between their
/// neighbours dropped (Fawcett, "An introduction to ROC analysis", 2006). Empty when a class is missing.
pub fn roc(labels: &[bool], probabilities: &[f64]) -> Vec<RocPoint> {
    let groups = groups(labels, probabilities);
    let negatives: u64 = groups.iter().map(|group| group.negatives).sum();
    let positives: u64 = groups.iter().map(|group| group.positives).sum();
    if negatives == 0 || positives == 0 {
        return Vec::new();
    }
    let mut corners: Vec<(Option<f64>, u64, u64)> = vec![(None, 0, 0)];
    let (mut false_positives, mut true_positives) = (0, 0);
    for group in &groups {
        false_positives += group.negatives;
        true_positives += group.positives;
        let point = (Some(group.score), false_positives, true_positives);
        while let [.., before, last] = corners[..]
            && collinear(before, last, point)
        {
            corners.pop();
        }
        corners.push(point);
    }
    let rate = |count: u64, all: u64| count as f64 / all as f64;
    let point = |(threshold, false_positives, true_positives)| RocPoint {
        threshold,
        false_positive_rate: rate(false_positives, negatives),
        true_positive_rate: rate(true_positives, positives),
    };
    corners.into_iter().map(point).collect()
}

/// Whether three points lie on one line, exactly.
fn collinear(a: (Option<f64>, u64, u64), b: (Option<f64>, u64, u64), c: (Option<f64>, u64, u64)) -> bool {
    let step = |from: u64, to: u64| u128::from(to - from);
    step(a.1, b.1) * step(b.2, c.2) == step(a.2, b.2) * step(b.1, c.1)
}

/// Area under the ROC curve: the probability that a random image of class 1 scores higher than one of class 0, ties
/// counted half (Hanley and McNeil 1982). `None` when a class is missing.
pub fn auc(labels: &[bool], probabilities: &[f64]) -> Option<f64> {
    let (mut negatives, mut positives, mut doubled_wins) = (0u64, 0u64, 0u128);
    // From the lowest score up, each class-1 image beats every class-0 image seen and half of those at its score.
    for group in groups(labels, probabilities).iter().rev() {
        doubled_wins += u128::from(group.positives) * u128::from(2 * negatives + group.negatives);
        negatives += group.negatives;
        positives += group.positives;
    }
    let doubled_pairs = 2 * u128::from(negatives) * u128::from(positives);
    (doubled_pairs > 0).then(|| doubled_wins as f64 / doubled_pairs as f64)
}
