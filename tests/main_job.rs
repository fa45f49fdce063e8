//! Promise: one command gives a trained network, an honest verdict, and a row in SQLite.

mod support;

use support::{Lab, SMALL};

#[test]
fn one_command_trains_tests_and_keeps_everything() {
    let lab = Lab::new();
    let (out, err) = lab.expect(0, &["run", "small.toml"]);
    for part in ["small, run ", "Accuracy", "95 % interval", "Naive", "always answering", "AUC", "called Positive"] {
        assert!(out.contains(part), "{part} is missing in:\n{out}");
    }
    assert!(err.contains("epoch 4/4"), "{err}");
    let folder = &lab.run_folders("results")[0];
    for file in ["model.safetensors", "history.csv", "predictions.csv", "experiment.toml", "events.jsonl", "worker.log"]
    {
        assert!(folder.join(file).exists(), "{file}");
    }
    let sql = lab.sql("results/emo.db");
    let count = |query: &str| sql.query_row(query, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM runs WHERE status = 'completed'"), 1);
    assert_eq!(count("SELECT count(*) FROM epochs"), 4);
    assert_eq!(count("SELECT count(*) FROM predictions"), 8);
    assert_eq!(count("SELECT sum(images) FROM confusion"), 8);
    assert_eq!(count("SELECT count(*) FROM images"), 40);
    assert_eq!(count("SELECT count(*) FROM splits WHERE part = 'test'"), 8);
    assert!(count("SELECT count(*) FROM roc_points") >= 2);
    assert!(count("SELECT count(*) FROM metrics") >= 12);
}

#[test]
fn a_completed_run_is_not_computed_again_unless_forced() {
    let lab = Lab::new();
    let first = lab.ok(&["run", "small.toml"]);
    let (second, err) = lab.expect(0, &["run", "small.toml"]);
    assert_eq!(first, second);
    assert!(err.contains("completed already"), "{err}");
    assert_eq!(lab.run_folders("results").len(), 1);
    lab.ok(&["run", "small.toml", "--force"]);
    assert_eq!(lab.run_folders("results").len(), 2);
}

#[test]
fn name_description_tags_and_place_of_the_data_do_not_make_another_run() {
    let lab = Lab::new();
    lab.ok(&["run", "small.toml"]);
    std::fs::rename(lab.path("pictures"), lab.path("moved")).unwrap();
    lab.write("other.toml", &SMALL.replace("\"small\"", "\"other\"").replace("pictures", "moved"));
    let (_, err) = lab.expect(0, &["run", "other.toml"]);
    assert!(err.contains("completed already"), "{err}");
    lab.ok(&["run", "other.toml", "--set", "seed=8"]);
    assert_eq!(lab.run_folders("results").len(), 2);
}

#[test]
fn a_second_experiment_on_the_same_data_decodes_nothing() {
    let lab = Lab::new();
    lab.ok(&["run", "small.toml"]);
    let (_, err) = lab.expect(0, &["run", "small.toml", "--set", "seed=8"]);
    assert!(err.contains("from the cache"), "{err}");
}

#[test]
fn the_network_learns_what_can_be_learned() {
    let lab = Lab::new();
    lab.pictures("many", 60);
    let run = lab.json(&["run", "small.toml", "--set", "data.source=many", "--set", "train.epochs=30"]);
    let accuracy = run["evaluation"]["accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.9, "{accuracy}");
}

#[test]
fn a_loss_that_is_not_finite_ends_the_run_as_diverged() {
    let lab = Lab::new();
    let arguments = ["run", "small.toml", "--set", "train.optimizer=sgd", "--set", "train.learning_rate=10"];
    let epochs = ["--set", "train.epochs=2000", "--set", "model.activation=linear", "--set", "model.dropout=0"];
    let (out, err) = lab.expect(1, &[&arguments[..], &epochs[..]].concat());
    assert!(out.contains("diverged") && err.contains("learning_rate"), "{out}{err}");
    assert!(lab.ok(&["report"]).contains("diverged"));
}

#[test]
fn every_optimizer_schedule_activation_and_padding_can_be_trained() {
    let lab = Lab::new();
    let variants: [&[&str]; 7] = [
        &["model.activation=relu", "model.padding=same", "train.optimizer=adamw", "train.weight_decay=0.01"],
        &["model.activation=gelu", "train.schedule=cosine", "train.class_weights=balanced"],
        &["model.activation=leaky_relu", "train.schedule=step", "train.step_every=2", "train.optimizer=sgd"],
        &["model.activation=elu", "model.batch_norm=true", "model.initializer=he_normal"],
        &["model.activation=silu", "augment.fill=reflect", "augment.zoom=0.2"],
        &["model.activation=tanh", "split.validation=0.25", "split.keep_duplicates_together=true"],
        &["model.activation=sigmoid", "model.dense=[]", "data.interpolation=nearest"],
    ];
    for variant in variants {
        let mut arguments = vec!["run", "small.toml"];
        for setting in variant {
            arguments.extend(["--set", setting]);
        }
        let run = lab.json(&arguments);
        assert_eq!(run["summary"]["status"], "completed", "{variant:?}");
        assert_eq!(run["epochs"].as_array().unwrap().len(), 4);
    }
}

#[test]
fn early_stopping_looks_at_the_validation_set_and_says_why_it_stopped() {
    let lab = Lab::new();
    lab.write(
        "stop.toml",
        &(SMALL.replace("epochs = 4", "epochs = 50").replace("batch_size = 8", "batch_size = 8\nlearning_rate = 1e-9")
            + "early_stopping = { monitor = \"val_accuracy\", patience = 3 }\n[split]\nvalidation = 0.25\n"),
    );
    let run = lab.json(&["run", "stop.toml"]);
    assert!(run["epochs"].as_array().unwrap().len() < 10);
    assert!(run["summary"]["message"].as_str().unwrap().contains("val_accuracy has not improved for 3 epochs"));
    assert_eq!(run["epochs"][0]["held_out_part"], "validation");
}
