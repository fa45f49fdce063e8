//! Promise: what is said about the sureness of a number equals pROC, SciPy, statsmodels and scikit-learn, and holds in simulation.
//! The figures in `reference/honest.json` were made by `reference/honest.py`, those of doubted labels by `reference/labels.py` with cleanlab.

use emo_runner::evaluate::{
    BINS, PairedComparison, auc, auc_difference, auc_estimate, average_precision, best_of_chance,
    corrected_resampled_t, detectable_difference, expected_calibration_error, expected_maximum, holm, mcnemar_exact,
    mcnemar_power, mean_of_repeats, paired_difference, precision_recall, reliability, selection_adjusted_p,
    smallest_significant, suspects, wilson, youden_threshold,
};
use emo_runner::random::{Purpose, Stream};
use proptest::prelude::*;
use serde_json::Value;

fn reference() -> Value {
    serde_json::from_str(include_str!("reference/honest.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

#[track_caller]
fn close(ours: f64, theirs: f64, tolerance: f64) {
    assert!((ours - theirs).abs() <= tolerance * theirs.abs().max(1.0), "{ours} is not {theirs}");
}

#[track_caller]
fn all_close(ours: &[f64], theirs: &[f64], tolerance: f64) {
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).for_each(|(&ours, &theirs)| close(ours, theirs, tolerance));
}

fn labels(case: &Value) -> Vec<bool> {
    numbers(&case["labels"]).into_iter().map(|label| label == 1.0).collect()
}

#[test]
fn areas_and_their_differences_equal_proc() {
    for case in reference()["cases"].as_array().unwrap() {
        let (labels, first, second) = (labels(case), numbers(&case["first"]), numbers(&case["second"]));
        for (scores, index) in [(&first, 0), (&second, 1)] {
            let estimate = auc_estimate(&labels, scores).unwrap();
            close(estimate.auc, case["proc"]["auc"][index].as_f64().unwrap(), 1e-12);
            close(estimate.variance, case["proc"]["variance"][index].as_f64().unwrap(), 1e-12);
        }
        let difference = auc_difference(&labels, &first, &second, 0.95).unwrap();
        close(difference.p, case["proc"]["p"].as_f64().unwrap(), 1e-9);
    }
}

#[test]
fn precision_recall_and_calibration_equal_scikit_learn() {
    for case in reference()["cases"].as_array().unwrap() {
        let (labels, scores) = (labels(case), numbers(&case["second"]));
        close(average_precision(&labels, &scores).unwrap(), case["average_precision"].as_f64().unwrap(), 1e-12);
        let curve: Vec<_> = precision_recall(&labels, &scores).into_iter().rev().collect();
        all_close(&curve.iter().map(|p| p.precision).collect::<Vec<_>>(), &numbers(&case["precision"]), 1e-12);
        all_close(&curve.iter().map(|p| p.recall).collect::<Vec<_>>(), &numbers(&case["recall"]), 1e-12);
        all_close(&curve.iter().map(|p| p.threshold).collect::<Vec<_>>(), &numbers(&case["thresholds"]), 0.0);
        close(expected_calibration_error(&labels, &scores, BINS), case["ece"].as_f64().unwrap(), 1e-12);
        let bins: Vec<_> = reliability(&labels, &scores, BINS).into_iter().filter(|bin| bin.images > 0).collect();
        all_close(&bins.iter().map(|bin| bin.frequency).collect::<Vec<_>>(), &numbers(&case["frequency"]), 1e-12);
        all_close(&bins.iter().map(|bin| bin.probability).collect::<Vec<_>>(), &numbers(&case["probability"]), 1e-12);
        let threshold = youden_threshold(&labels, &scores).unwrap();
        let recall = |class: bool| {
            let of_class = || labels.iter().zip(&scores).filter(|&(&label, _)| label == class);
            let right = of_class().filter(|&(_, &score)| (score >= threshold) == class).count();
            right as f64 / of_class().count() as f64
        };
        close(recall(true) + recall(false) - 1.0, case["youden"].as_f64().unwrap(), 1e-12);
    }
}

#[test]
fn repeats_folds_and_many_comparisons_equal_scipy_and_statsmodels() {
    let reference = reference();
    for pair in reference["t_intervals"].as_array().unwrap() {
        let interval = mean_of_repeats(&numbers(&pair[0]), 0.95).unwrap().interval.unwrap();
        all_close(&[interval.low, interval.high], &numbers(&pair[1]), 1e-9);
    }
    for row in reference["corrected"].as_array().unwrap() {
        let found = corrected_resampled_t(&numbers(&row[0]), row[1].as_f64().unwrap(), 0.95).unwrap();
        let theirs: Vec<f64> = (2..6).map(|index| row[index].as_f64().unwrap()).collect();
        all_close(&[found.interval.low, found.interval.high, found.t, found.p], &theirs, 1e-9);
    }
    for pair in reference["holm"].as_array().unwrap() {
        all_close(&holm(&numbers(&pair[0])), &numbers(&pair[1]), 1e-12);
    }
    for pair in reference["maxima"].as_array().unwrap() {
        close(expected_maximum(pair[0].as_u64().unwrap() as usize), pair[1].as_f64().unwrap(), 1e-9);
    }
}

#[test]
fn what_a_test_set_can_show_and_what_choosing_does_equal_scipy() {
    let reference = reference();
    for row in reference["powers"].as_array().unwrap() {
        let [images, disagreement, difference, power] = numbers(row)[..] else { panic!("{row}") };
        close(mcnemar_power(images as u64, disagreement, difference, 0.05).unwrap(), power, 1e-9);
    }
    for row in reference["smallest"].as_array().unwrap() {
        assert_eq!(smallest_significant(row[0].as_u64().unwrap(), 0.05), row[1].as_u64(), "{row}");
    }
    assert_eq!(smallest_significant(5, 0.05), None, "5 of 5 have p = 0.0625");
    for row in reference["selected"].as_array().unwrap() {
        let [models, images, rate, right, mean, high, p] = numbers(row)[..] else { panic!("{row}") };
        let best = best_of_chance(models as usize, images as u64, rate).unwrap();
        all_close(&[best.mean, best.high], &[mean, high], 1e-9);
        close(selection_adjusted_p(models as usize, images as u64, rate, right as u64).unwrap(), p, 1e-9);
    }
    let found = detectable_difference(325, 0.2, 0.05, 0.8).unwrap();
    close(mcnemar_power(325, 0.2, found, 0.05).unwrap(), 0.8, 1e-4);
    assert_eq!(detectable_difference(20, 0.2, 0.05, 0.8), None, "four disagreements show nothing");
}

#[test]
fn doubted_labels_equal_cleanlab() {
    let reference: Value = serde_json::from_str(include_str!("reference/labels.json")).unwrap();
    for case in reference["cases"].as_array().unwrap() {
        let found = suspects(&labels(case), &numbers(&case["probabilities"]));
        let found: Vec<f64> = found.iter().map(|suspect| suspect.image as f64).collect();
        assert_eq!(found, numbers(&case["found"]));
    }
}

#[test]
fn one_value_has_no_interval_and_perfect_order_has_one_anyway() {
    assert_eq!(mean_of_repeats(&[0.7], 0.95).unwrap().interval, None);
    assert_eq!(mean_of_repeats(&[], 0.95), None);
    assert_eq!(corrected_resampled_t(&[0.1], 0.25, 0.95), None);
    let labels: Vec<bool> = (0..40).map(|image| image >= 20).collect();
    let scores: Vec<f64> = (0..40).map(f64::from).collect();
    let interval = auc_estimate(&labels, &scores).unwrap().interval(0.95);
    // Clopper and Pearson for 20 of 20: 0.025^(1/20).
    close(interval.low, 0.8316, 1e-4);
    assert_eq!(interval.high, 1.0);
    assert_eq!(auc_difference(&labels, &scores, &scores, 0.95).unwrap().p, 1.0);
    assert_eq!(auc_estimate(&[true, false], &[0.1, 0.2]), None, "one image of a class says nothing of its spread");
}

/// Share of `draws` simulations in which `covers` says yes.
fn coverage(draws: u64, mut covers: impl FnMut(&mut Stream) -> bool) -> f64 {
    let hits = (0..draws).filter(|&draw| covers(&mut Stream::new(5, Purpose::Synthesis, 0, draw))).count();
    hits as f64 / draws as f64
}

#[track_caller]
fn about_95(share: f64) {
    assert!((share - 0.95).abs() < 0.01, "covered in {:.2} % of the draws", share * 100.0);
}

const DRAWS: u64 = 20_000;

#[test]
fn accuracy_intervals_cover_the_truth_in_95_of_100_draws() {
    for accuracy in [0.53, 0.8] {
        about_95(coverage(DRAWS, |stream| {
            let right = (0..325).filter(|_| stream.chance(accuracy)).count() as u64;
            let interval = wilson(right, 325, 0.95).unwrap();
            (interval.low..=interval.high).contains(&accuracy)
        }));
    }
}

#[test]
fn area_intervals_cover_the_truth_in_95_of_100_draws() {
    // Two normal distributions a distance d apart have the area Phi(d / sqrt 2).
    for (distance, area) in [(0.358_286_95, 0.6), (1.812_387_6, 0.9)] {
        let labels: Vec<bool> = (0..300).map(|image| image % 2 == 1).collect();
        about_95(coverage(DRAWS, |stream| {
            let score = |&label: &bool| stream.normal() + if label { distance } else { 0.0 };
            let scores: Vec<f64> = labels.iter().map(score).collect();
            let interval = auc_estimate(&labels, &scores).unwrap().interval(0.95);
            (interval.low..=interval.high).contains(&area)
        }));
    }
}

#[test]
fn intervals_of_differences_cover_the_truth_in_95_of_100_draws() {
    // 10 % of the images are right for the first only, 15 % for the second only: a difference of 5 points.
    about_95(coverage(DRAWS, |stream| {
        let (mut first, mut second) = (0, 0);
        for _ in 0..325 {
            let drawn = stream.uniform();
            first += u64::from(drawn < 0.10);
            second += u64::from((0.10..0.25).contains(&drawn));
        }
        let interval = paired_difference(first, second, 325, 0.95).unwrap();
        (interval.low..=interval.high).contains(&0.05)
    }));
    let labels: Vec<bool> = (0..300).map(|image| image % 2 == 1).collect();
    about_95(coverage(DRAWS, |stream| {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for &label in &labels {
            let shared = stream.normal() + if label { 1.0 } else { 0.0 };
            first.push(shared + 0.7 * stream.normal());
            second.push(shared + 0.7 * stream.normal());
        }
        let interval = auc_difference(&labels, &first, &second, 0.95).unwrap().interval;
        (interval.low..=interval.high).contains(&0.0)
    }));
}

#[test]
fn equally_good_classifiers_are_told_apart_in_5_of_100_draws() {
    let labels: Vec<bool> = (0..300).map(|image| image % 2 == 1).collect();
    let (mut by_accuracy, mut by_area) = (0, 0);
    for draw in 0..1000 {
        let mut stream = Stream::new(6, Purpose::Synthesis, 0, draw);
        let mut scores = || -> Vec<f64> {
            labels
                .iter()
                .map(|&label| 0.5 + 0.1 * (stream.normal() + if label { 0.5 } else { -0.5 }))
                .map(|p| p.clamp(0.0, 1.0))
                .collect()
        };
        let (first, second) = (scores(), scores());
        let comparison = PairedComparison::of(&labels, &first, &second).unwrap();
        by_accuracy += u32::from(comparison.p < 0.05);
        by_area += u32::from(comparison.auc_difference.unwrap().p < 0.05);
    }
    // The exact test keeps below 5 %, as whole numbers of images allow.
    assert!((35..=65).contains(&by_accuracy) && (35..=65).contains(&by_area), "{by_accuracy} and {by_area} of 1,000");
}

#[test]
fn means_of_repeats_cover_the_truth_in_95_of_100_draws() {
    about_95(coverage(DRAWS, |stream| {
        let values: Vec<f64> = (0..5).map(|_| 0.75 + 0.02 * stream.normal()).collect();
        let interval = mean_of_repeats(&values, 0.95).unwrap().interval.unwrap();
        (interval.low..=interval.high).contains(&0.75)
    }));
}

proptest! {
    #[test]
    fn areas_do_not_change_under_monotone_maps(
        pairs in prop::collection::vec((any::<bool>(), 0u16..1000), 6..80)
    ) {
        let labels: Vec<bool> = pairs.iter().map(|pair| pair.0).collect();
        let scores: Vec<f64> = pairs.iter().map(|pair| f64::from(pair.1) / 1000.0).collect();
        let mapped: Vec<f64> = scores.iter().map(|score| (3.0 * score).exp()).collect();
        prop_assert_eq!(auc(&labels, &scores), auc(&labels, &mapped));
        prop_assert_eq!(auc_estimate(&labels, &scores), auc_estimate(&labels, &mapped));
        if let (Some(estimate), Some(exact)) = (auc_estimate(&labels, &scores), auc(&labels, &scores)) {
            prop_assert!((estimate.auc - exact).abs() < 1e-12);
        }
    }

    #[test]
    fn comparing_the_other_way_round_changes_signs_only(
        only_first in 0u64..200, only_second in 0u64..200, both in 0u64..500
    ) {
        prop_assert_eq!(mcnemar_exact(only_first, only_second), mcnemar_exact(only_second, only_first));
        let n = only_first + only_second + both + 1;
        let there = paired_difference(only_first, only_second, n, 0.95).unwrap();
        let back = paired_difference(only_second, only_first, n, 0.95).unwrap();
        prop_assert!((there.low + back.high).abs() < 1e-12 && (there.high + back.low).abs() < 1e-12);
    }

    #[test]
    fn adjusted_p_values_are_never_smaller_and_keep_their_order(p in prop::collection::vec(0.0f64..1.0, 1..30)) {
        let adjusted = holm(&p);
        for (index, &value) in p.iter().enumerate() {
            prop_assert!(adjusted[index] >= value && adjusted[index] <= 1.0);
            for (other, &smaller) in p.iter().enumerate() {
                prop_assert!(smaller > value || adjusted[other] <= adjusted[index]);
            }
        }
    }
}
