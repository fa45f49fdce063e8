//! Promise: `plan` says before any computation what experiments cost and what their test sets can show.

mod support;

use support::{Lab, SMALL};

#[test]
fn a_test_set_says_what_it_can_show() {
    let lab = Lab::new();
    let text = "[data]\nsource = \"builtin:faces\"\n[split]\ntest = 0.2\n";
    lab.write("faces.toml", text);
    let out = lab.ok(&["plan", "faces.toml", "--set", "data.image_size=[100,100]"]);
    assert!(out.contains("always answering \"Positive\" is right on 172, 52.8 %"), "{out}");
    assert!(out.contains("189 right, 58.0 %"), "{out}");
    assert!(out.contains("need 5.2 points"), "{out}");
    assert!(out.contains("split.folds = 5 tests all 1630 images"), "{out}");
    assert!(out.contains("by timing one training step now"), "{out}");
    assert!(!lab.path("results").join("emo.db").exists(), "it only looks");
}

#[test]
fn choosing_among_many_on_the_test_set_is_told() {
    let lab = Lab::new();
    let many = format!(
        "{SMALL}[sweep]\nmethod = \"random\"\ntrials = 50\n[sweep.axes]\n\"train.learning_rate\" = {{ log_uniform = [1e-4, 1e-2] }}\n"
    );
    lab.write("many.toml", &many);
    let out = lab.ok(&["plan", "many.toml"]);
    assert!(out.contains("50 points, 50 runs") && out.contains("the best of 50 points on the test set"), "{out}");
    let out = lab.ok(&["plan", "many.toml", "--set", "split.validation=0.25"]);
    assert!(!out.contains("Choosing"), "{out}");
    let plan = lab.json(&["plan", "many.toml", "--set", "split.folds=5"]);
    assert_eq!(plan["studies"][0]["runs"], 250);
    assert_eq!(plan["studies"][0]["test"], serde_json::json!([20, 20]), "all images, each once");
    assert!(plan["seconds"].as_f64().unwrap() > 0.0 && plan["memory_bytes"].as_u64().unwrap() > 1_000_000);
}

#[test]
fn finished_runs_tell_the_time() {
    let lab = Lab::new();
    lab.ok(&["run", "small.toml"]);
    let out = lab.ok(&["plan", "small.toml"]);
    assert!(out.contains("1 run, 1 done already"), "{out}");
    let out = lab.ok(&["plan", "small.toml", "--set", "train.epochs=400"]);
    assert!(out.contains("by the runs in the store"), "{out}");
    let (_, err) = lab.expect(3, &["plan", "small.toml", "--set", "data.source=nowhere"]);
    assert!(err.contains("nowhere"), "{err}");
}

#[test]
fn a_warning_is_said_once() {
    let lab = Lab::new();
    lab.write("pictures/stray.png", "not in a class");
    let (_, err) = lab.expect(0, &["plan", "small.toml"]);
    assert_eq!(err.matches("files outside the class folders are ignored").count(), 1, "{err}");
}
