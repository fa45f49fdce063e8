//! The precision-recall curve, average precision, and the threshold that balances both classes best.

use serde::{Deserialize, Serialize};

use super::roc::groups;

/// One point of a precision-recall curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PrecisionRecallPoint {
    /// Images with at least this probability are called class 1.
    pub threshold: f64,
    /// Share of the images called 1 that is class 1.
    pub precision: f64,
    /// Share of class 1 called 1.
    pub recall: f64,
}

/// The precision-recall curve: a point for each distinct probability, highest threshold first. Empty without class 1.
pub fn precision_recall(labels: &[bool], probabilities: &[f64]) -> Vec<PrecisionRecallPoint> {
    let groups = groups(labels, probabilities);
    let all: u64 = groups.iter().map(|group| group.positives).sum();
    if all == 0 {
        return Vec::new();
    }
    let (mut called, mut right) = (0, 0);
    let point = |group: &super::roc::Group| {
        called += group.negatives + group.positives;
        right += group.positives;
        let (precision, recall) = (right as f64 / called as f64, right as f64 / all as f64);
        PrecisionRecallPoint { threshold: group.score, precision, recall }
    };
    groups.iter().map(point).collect()
}

/// Average precision: the precision at each threshold weighted by the recall that it adds, without interpolation, as
/// scikit-learn has it (Davis and Goadrich, "The relationship between precision-recall and ROC curves", 2006, on why not to
/// interpolate). `None` without class 1.
pub fn average_precision(labels: &[bool], probabilities: &[f64]) -> Option<f64> {
    let curve = precision_recall(labels, probabilities);
    let mut before = 0.0;
    let area = curve.iter().map(|point| {
        let added = point.recall - before;
        before = point.recall;
        added * point.precision
    });
    (!curve.is_empty()).then(|| area.sum())
}

/// The threshold with the largest sum of both classes' recalls (Youden, "Index for rating diagnostic tests", 1950), half-way to the
/// next lower probability; the highest of several equally good ones. Choose it on validation data, never on the test set.
/// `None` when a class is missing.
pub fn youden_threshold(labels: &[bool], probabilities: &[f64]) -> Option<f64> {
    let groups = groups(labels, probabilities);
    let negatives: u64 = groups.iter().map(|group| group.negatives).sum();
    let positives: u64 = groups.iter().map(|group| group.positives).sum();
    if negatives == 0 || positives == 0 {
        return None;
    }
    // Compared as whole numbers, so that equal ones are equal.
    let (mut best, mut index, mut right, mut wrong) = (i128::MIN, 0, 0_u64, 0_u64);
    for (place, group) in groups.iter().enumerate() {
        right += group.positives;
        wrong += group.negatives;
        let value = i128::from(right) * i128::from(negatives) - i128::from(wrong) * i128::from(positives);
        if value > best {
            (best, index) = (value, place);
        }
    }
    let above = groups[index].score;
    let middle = groups.get(index + 1).map(|below| (below.score, f64::midpoint(above, below.score)));
    // Between neighbouring numbers there is none.
    Some(middle.filter(|(below, middle)| middle > below).map_or(above, |(_, middle)| middle))
}
