//! Promise: `export` writes what it says where it says, and says what stands in its way. That the other tools read it is seen by
//! `tests/tools/exports.py`.

mod support;

use std::fs;
use std::net::TcpListener;

use support::Lab;

fn lab() -> Lab {
    let lab = Lab::new();
    lab.ok(&["run", "small.toml"]);
    lab
}

#[test]
fn every_format_lies_where_it_was_asked_for() {
    let lab = lab();
    let id = lab.json(&["show", "small"])["summary"]["id"].as_str().unwrap().to_owned();
    let cases: [(&str, &str, &[&str]); 7] = [
        ("csv", "csv", &["csv/runs.csv", "csv/epochs.csv", "csv/predictions.csv"]),
        ("parquet", "parquet", &["parquet/runs.parquet", "parquet/epochs.parquet", "parquet/predictions.parquet"]),
        ("json", "all.json", &["all.json"]),
        ("optuna", "study.db", &["study.db"]),
        ("safetensors", "weights", &[&format!("weights/{id}.safetensors")]),
        ("onnx", "models", &[&format!("models/{id}.onnx")]),
        ("tensorboard", "logs", &[]),
    ];
    for (format, out, files) in cases {
        let written = lab.ok(&["export", "small", "--to", format, "--out", out]);
        for line in written.lines() {
            assert!(fs::metadata(lab.path(line)).unwrap().len() > 100, "{line}");
        }
        for file in files {
            assert!(written.lines().any(|line| line == *file), "{format}: {written}");
        }
    }
    let epochs = fs::read_to_string(lab.path("csv/epochs.csv")).unwrap();
    assert_eq!(epochs.lines().count(), 5, "four epochs and their header");
    assert_eq!(
        fs::read(lab.path(&format!("weights/{id}.safetensors"))).unwrap(),
        fs::read(lab.path(&format!("results/runs/{id}/model.safetensors"))).unwrap()
    );
}

#[test]
fn what_stands_in_the_way_is_said() {
    let lab = lab();
    let (_, err) = lab.expect(2, &["export", "--to", "mlflow", "--out", "somewhere"]);
    assert!(err.contains("http://127.0.0.1:5000"), "{err}");
    // A port that nobody listens at.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (_, err) = lab.expect(1, &["export", "--to", "mlflow", "--out", &format!("http://127.0.0.1:{port}")]);
    assert!(err.contains("does not answer") && err.contains("Is it running there?"), "{err}");
    fs::write(lab.path("there.db"), "mine").unwrap();
    let (_, err) = lab.expect(2, &["export", "--to", "optuna", "--out", "there.db"]);
    assert!(err.contains("is there already"), "{err}");
    assert_eq!(fs::read_to_string(lab.path("there.db")).unwrap(), "mine");
    let (_, err) = lab.expect(1, &["export", "--to", "csv", "--out", "there.db/tables"]);
    assert!(err.contains("cannot be written"), "{err}");
    lab.expect(2, &["export", "nothing", "--to", "csv", "--out", "tables"]);
    lab.expect(1, &["export", "--where", "name = 'none'", "--to", "csv", "--out", "tables"]);
}

#[test]
fn a_run_without_weights_has_no_network_to_export() {
    let lab = Lab::new();
    let wild = ["--set", "train.learning_rate=10", "--set", "train.optimizer=sgd", "--set", "name=lost"];
    lab.expect(1, &[&["run", "small.toml"][..], &wild].concat());
    let (_, err) = lab.expect(1, &["export", "lost", "--to", "onnx", "--out", "models"]);
    assert!(err.contains("is not completed, so it has no weights"), "{err}");
    let (_, err) = lab.expect(1, &["predict", "lost", "pictures"]);
    assert!(err.contains("only a completed run can predict"), "{err}");
}
