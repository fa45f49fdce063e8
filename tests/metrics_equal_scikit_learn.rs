//! Promise: metrics are those of scikit-learn, statsmodels and SciPy, to 1e-12.
//!
//! The figures were computed once by `reference/metrics.py`.

use emo_runner::evaluate::{
    Confusion, auc, binomial_cumulative, brier, log_loss, mcnemar_exact, normal_quantile, roc, wilson,
};
use serde_json::Value;

fn reference() -> Value {
    serde_json::from_str(include_str!("reference/metrics.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

#[track_caller]
fn close(what: &str, ours: f64, theirs: f64) {
    assert!((ours - theirs).abs() <= 1e-12 * theirs.abs().max(1.0), "{what}: {ours} is not {theirs}");
}

/// Labels, probabilities and figures of every case.
fn cases() -> Vec<(String, Vec<bool>, Vec<f64>, Value)> {
    let reference = reference();
    let case = |case: &Value| {
        let labels = numbers(&case["labels"]).iter().map(|&label| label == 1.0).collect();
        (case["name"].as_str().unwrap().to_owned(), labels, numbers(&case["probabilities"]), case.clone())
    };
    reference["cases"].as_array().unwrap().iter().map(case).collect()
}

#[test]
fn confusion_precision_recall_and_f1() {
    for (name, labels, probabilities, figures) in cases() {
        let confusion = Confusion::count(&labels, &probabilities, 0.5);
        let c = [confusion.true_negative, confusion.false_positive, confusion.false_negative, confusion.true_positive];
        assert_eq!(c.map(|count| count as f64).to_vec(), numbers(&figures["confusion"]), "{name}");
        close(&name, confusion.accuracy().unwrap(), figures["accuracy"].as_f64().unwrap());
        for class in 0..2 {
            let ours = confusion.class(class);
            for (key, value) in [("precision", ours.precision), ("recall", ours.recall)] {
                match figures[key][class].as_f64() {
                    Some(theirs) => close(&format!("{name} {key}"), value.unwrap(), theirs),
                    None => assert_eq!(value, None, "{name} {key} {class}"),
                }
            }
            close(&format!("{name} f1"), ours.f1.unwrap(), figures["f1"][class].as_f64().unwrap());
            assert_eq!(ours.support as f64, numbers(&figures["support"])[class]);
        }
    }
}

#[test]
fn auc_log_loss_and_brier() {
    for (name, labels, probabilities, figures) in cases() {
        close(&name, auc(&labels, &probabilities).unwrap(), figures["auc"].as_f64().unwrap());
        close(&name, log_loss(&labels, &probabilities), figures["log_loss"].as_f64().unwrap());
        close(&name, brier(&labels, &probabilities), figures["brier"].as_f64().unwrap());
    }
}

#[test]
fn roc_points_are_scikit_learns_without_the_collinear_ones() {
    for (name, labels, probabilities, figures) in cases() {
        let ours = roc(&labels, &probabilities);
        let (fpr, tpr) = (numbers(&figures["fpr"]), numbers(&figures["tpr"]));
        let thresholds = figures["thresholds"].as_array().unwrap();
        for point in &ours {
            let known = (0..fpr.len()).any(|i| {
                (fpr[i] - point.false_positive_rate).abs() < 1e-12
                    && (tpr[i] - point.true_positive_rate).abs() < 1e-12
                    && thresholds[i].as_f64() == point.threshold
            });
            assert!(known, "{name}: {point:?} is not a point of scikit-learn's curve");
        }
        let area = |points: &[(f64, f64)]| -> f64 {
            points.windows(2).map(|w| (w[1].0 - w[0].0) * (w[1].1 + w[0].1) / 2.0).sum()
        };
        let ours: Vec<(f64, f64)> = ours.iter().map(|p| (p.false_positive_rate, p.true_positive_rate)).collect();
        let theirs: Vec<(f64, f64)> = fpr.into_iter().zip(tpr).collect();
        close(&name, area(&ours), area(&theirs));
        assert_eq!((ours[0], ours[ours.len() - 1]), ((0.0, 0.0), (1.0, 1.0)));
    }
}

#[test]
fn wilson_intervals_and_normal_quantiles() {
    for row in reference()["wilson"].as_array().unwrap() {
        let row = numbers(row);
        let ours = wilson(row[0] as u64, row[1] as u64, row[2]).unwrap();
        close("low", ours.low, row[3]);
        close("high", ours.high, row[4]);
    }
    for row in reference()["quantiles"].as_array().unwrap() {
        let row = numbers(row);
        close("quantile", normal_quantile(row[0]), row[1]);
    }
}

#[test]
fn exact_mcnemar() {
    for row in reference()["mcnemar"].as_array().unwrap() {
        let row = numbers(row);
        let ours = mcnemar_exact(row[0] as u64, row[1] as u64);
        assert!((ours - row[2]).abs() <= 1e-11 * row[2], "{row:?}: {ours}");
    }
    assert_eq!(binomial_cumulative(3, 3), 1.0);
}
