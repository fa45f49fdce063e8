//! Promise: `compare` says in words which of two runs is better on the same images, and refuses what is not paired.

mod support;

use support::{Lab, SMALL};

/// A run that learns the pictures and one that does not, on the same split.
fn lab() -> Lab {
    let lab = Lab::new();
    lab.pictures("pictures", 60);
    lab.write("good.toml", &SMALL.replace("\"small\"", "\"good\"").replace("epochs = 4", "epochs = 12"));
    lab.write("bad.toml", &SMALL.replace("\"small\"", "\"bad\"").replace("[train]", "[train]\nlearning_rate = 1e-9"));
    lab.ok(&["run", "good.toml"]);
    lab.ok(&["run", "bad.toml"]);
    lab
}

#[test]
fn the_better_run_is_named_with_the_interval() {
    let lab = lab();
    let out = lab.ok(&["compare", "bad", "good"]);
    let first = out.lines().next().unwrap();
    assert!(
        first.starts_with("good (") && first.contains(") is better than bad (") && first.contains("95 % interval"),
        "{out}"
    );
    assert!(out.contains("They disagree most on"), "{out}");
    let turned = lab.ok(&["compare", "good", "bad"]);
    assert_eq!(turned.lines().next().unwrap(), first, "the order of the arguments changes no words");
    let pairs = lab.json(&["compare", "bad", "good"]);
    let comparison = &pairs[0]["comparison"];
    assert_eq!(comparison["images"], 24);
    let only = |index: usize| comparison["only_right"][index].as_f64().unwrap();
    assert_eq!(comparison["difference"].as_f64().unwrap(), (only(1) - only(0)) / 24.0);
}

#[test]
fn equal_runs_cannot_be_told_apart() {
    let lab = lab();
    lab.ok(&["run", "good.toml", "--force"]);
    let ids: Vec<String> = lab
        .json(&["report", "--where", "name = 'good'"])
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["id"].as_str().unwrap().to_owned())
        .collect();
    let out = lab.ok(&["compare", &ids[0], &ids[1]]);
    assert!(out.contains("cannot be told apart") && out.contains("p = 1.00"), "{out}");
}

#[test]
fn other_seeds_on_one_split_cannot_be_told_apart_and_an_untrained_run_can() {
    let lab = lab();
    for (name, seed, more) in
        [("one", "1", "train.epochs=12"), ("two", "2", "train.epochs=12"), ("idle", "3", "train.learning_rate=1e-9")]
    {
        let (name, seed) = (format!("name={name}"), format!("seed={seed}"));
        lab.ok(&["run", "good.toml", "--set", &name, "--set", &seed, "--set", "split.seed=7", "--set", more]);
    }
    let out = lab.ok(&["compare", "one", "two"]);
    assert!(out.contains("cannot be told apart"), "{out}");
    assert!(out.contains("Always answering the more frequent class is right on 50.0 % of these images"), "{out}");
    assert!(lab.ok(&["compare", "one", "idle"]).contains(" is better than idle "), "{out}");
}

#[test]
fn several_runs_are_adjusted_for_their_number() {
    let lab = lab();
    lab.ok(&["run", "good.toml", "--set", "name=third", "--set", "train.epochs=11"]);
    let out = lab.ok(&["compare", "bad", "good", "third"]);
    assert!(out.contains("(Holm over 3 pairs)"), "{out}");
    for pair in lab.json(&["compare", "bad", "good", "third"]).as_array().unwrap() {
        assert!(pair["p_adjusted"].as_f64().unwrap() >= pair["comparison"]["p"].as_f64().unwrap());
    }
    assert_eq!(lab.ok(&["compare", "bad", "good", "third", "--format", "csv"]).lines().count(), 4);
}

#[test]
fn other_images_are_refused_with_the_reason() {
    let lab = lab();
    lab.ok(&["run", "good.toml", "--set", "seed=9", "--set", "name=elsewhere"]);
    let (_, err) = lab.expect(2, &["compare", "good", "elsewhere"]);
    assert!(err.contains("tested on different images") && err.contains("in common of 24"), "{err}");
    lab.expect(2, &["compare", "good"]);
}

#[test]
fn repeats_are_taken_together_and_many_p_values_adjusted() {
    let lab = lab();
    for seed in ["8", "9"] {
        lab.ok(&["run", "good.toml", "--set", &format!("seed={seed}")]);
    }
    let points = lab.json(&["report", "--points"]);
    let good = points["points"].as_array().unwrap().iter().find(|point| point["name"] == "good").unwrap().clone();
    assert_eq!(good["runs"], 3);
    let runs = lab.json(&["report"]);
    let raw: Vec<f64> = runs.as_array().unwrap().iter().map(|run| run["p_naive"].as_f64().unwrap()).collect();
    let adjusted: Vec<f64> =
        runs.as_array().unwrap().iter().map(|run| run["p_naive_adjusted"].as_f64().unwrap()).collect();
    assert_eq!(adjusted, emo_runner::evaluate::holm(&raw));
    assert!(lab.ok(&["report"]).contains("the tutorial, as published"));
}
