//! Promise: a threshold other than 0.5 is chosen on validation images only, and the test set says what it is worth.

mod support;

use std::fs;

use support::Lab;

#[test]
fn the_test_set_says_what_the_validation_sets_threshold_is_worth() {
    let lab = Lab::new();
    lab.pictures("pictures", 60);
    let out = lab.ok(&["run", "small.toml", "--set", "split.validation=0.25"]);
    assert!(out.contains("Tuned ") && out.contains("the best on the validation set"), "{out}");
    let run = lab.json(&["show", "best"]);
    let tuned = &run["evaluation"]["tuned"];
    let threshold = tuned["threshold"].as_f64().unwrap();
    let file = lab.path("results/runs").join(run["summary"]["id"].as_str().unwrap()).join("predictions.csv");
    let mut reader = csv::Reader::from_path(file).unwrap();
    let rows: Vec<(usize, f64)> =
        reader.records().map(Result::unwrap).map(|row| (row[1].parse().unwrap(), row[2].parse().unwrap())).collect();
    let right = rows.iter().filter(|row| (row.1 >= threshold) == (row.0 == 1)).count();
    assert_eq!(tuned["accuracy"].as_f64().unwrap(), right as f64 / rows.len() as f64);
    assert_eq!(run["summary"]["tuned_accuracy"], tuned["accuracy"]);
}

#[test]
fn without_validation_images_there_is_no_other_threshold() {
    let lab = Lab::new();
    assert!(!lab.ok(&["run", "small.toml"]).contains("Tuned"));
    assert!(lab.json(&["show", "best"])["evaluation"]["tuned"].is_null());
    assert!(fs::read_dir(lab.path("results/runs")).unwrap().count() == 1);
}
