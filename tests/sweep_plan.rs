//! Promise: a folder of files becomes runs: points, repeats, folds and `extends`; equal runs once; nothing twice.

mod support;

use serde_json::Value;
use support::{Lab, SMALL};

fn plan(lab: &Lab, arguments: &[&str]) -> Vec<String> {
    let plan = lab.json(&[&["sweep", "--dry-run"], arguments].concat());
    plan["runs"].as_array().unwrap().iter().map(|run| run["point"].as_str().unwrap().to_owned()).collect()
}

fn with(text: &str) -> String {
    format!("{SMALL}\n{text}")
}

#[test]
fn a_grid_has_every_combination_and_the_last_axis_moves_fastest() {
    let lab = Lab::new();
    lab.write(
        "grid.toml",
        &with("[sweep.axes]\n\"model.activation\" = [\"linear\", \"relu\"]\ntrain.epochs = [1, 2]\n"),
    );
    let expected = [
        "activation=linear, epochs=1",
        "activation=linear, epochs=2",
        "activation=relu, epochs=1",
        "activation=relu, epochs=2",
    ];
    assert_eq!(plan(&lab, &["grid.toml"]), expected);
}

#[test]
fn zipped_axes_move_together() {
    let lab = Lab::new();
    let axes =
        "[sweep.axes]\n\"seed\" = [1, 2]\n\"train.epochs\" = [1, 2, 3]\n\"train.learning_rate\" = [0.1, 0.2, 0.3]\n";
    lab.write("zip.toml", &with(&format!("[sweep]\nzip = [\"train.epochs\", \"train.learning_rate\"]\n{axes}")));
    let points = plan(&lab, &["zip.toml"]);
    assert_eq!(points.len(), 6);
    assert_eq!(points[4], "seed=2, epochs=2, learning_rate=0.2");
}

#[test]
fn random_points_are_the_same_every_time() {
    let lab = Lab::new();
    let axes = "\"train.learning_rate\" = { log_uniform = [1e-4, 1e-2] }\n\"train.epochs\" = { int = [1, 3] }\n";
    lab.write("random.toml", &with(&format!("[sweep]\nmethod = \"random\"\ntrials = 7\n[sweep.axes]\n{axes}")));
    let points = plan(&lab, &["random.toml"]);
    assert_eq!(points.len(), 7);
    assert_eq!(points, plan(&lab, &["random.toml"]));
    assert_ne!(points, plan(&lab, &["random.toml", "--set", "seed=8"]));
}

#[test]
fn repeats_change_the_seed_and_folds_test_every_image_once() {
    let lab = Lab::new();
    lab.write("folds.toml", &with("[split]\nfolds = 4\n[sweep]\nrepeats = 2\n"));
    assert_eq!(plan(&lab, &["folds.toml"])[..2], ["seed=7, fold=1", "seed=7, fold=2"]);
    lab.ok(&["sweep", "folds.toml", "--set", "train.epochs=1", "--set", "sweep.repeats=1"]);
    let sql = lab.sql("results/emo.db");
    let tested: (i64, i64) = sql
        .query_row("SELECT count(*), count(DISTINCT image_id) FROM predictions", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!(tested, (40, 40));
}

#[test]
fn a_file_extends_another_and_says_only_what_differs() {
    let lab = Lab::new();
    std::fs::create_dir(lab.path("more")).unwrap();
    lab.write("more/_base.toml", &SMALL.replace("\"pictures\"", "\"../pictures\""));
    lab.write("more/child.toml", "extends = \"_base.toml\"\n[train]\nepochs = 2\n");
    let shown = lab.json(&["run", "more/child.toml"]);
    assert_eq!(shown["summary"]["name"], "child");
    let toml = shown["experiment"].as_str().unwrap();
    assert!(toml.contains("epochs = 2") && toml.contains("batch_size = 8") && !toml.contains("extends"), "{toml}");
    // A folder's files whose names begin with an underscore are there for others.
    assert_eq!(plan(&lab, &["more"]).len(), 1);
}

#[test]
fn two_files_that_mean_the_same_run_are_one_run() {
    let lab = Lab::new();
    std::fs::create_dir(lab.path("twice")).unwrap();
    lab.write("twice/a.toml", "extends = \"../small.toml\"\n");
    lab.write("twice/b.toml", "extends = \"../small.toml\"\ndescription = \"the same\"\n[train]\nepochs = 4\n");
    let table: Value = last_line(&lab.ok(&["sweep", "twice", "--json"]));
    let points = table["comparison"]["points"].as_array().unwrap().clone();
    assert_eq!(points.len(), 2);
    assert_eq!(points[0]["ids"], points[1]["ids"]);
    assert_eq!(lab.run_folders("results").len(), 1);
}

fn last_line(text: &str) -> Value {
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

#[test]
fn a_sweep_done_twice_does_nothing_the_second_time() {
    let lab = Lab::new();
    lab.write("grid.toml", &with("[sweep]\nrepeats = 3\n"));
    lab.ok(&["sweep", "grid.toml"]);
    let (out, err) = lab.expect(0, &["sweep", "grid.toml"]);
    assert!(err.contains("3 runs, 3 done already") && out.contains("small"), "{out}{err}");
    let again: i64 =
        lab.sql("results/emo.db").query_row("SELECT sum(attempt) FROM runs", [], |row| row.get(0)).unwrap();
    assert_eq!(again, 3);
    let states = lab.json(&["sweep", "--dry-run", "grid.toml"]);
    assert!(states["runs"].as_array().unwrap().iter().all(|run| run["state"] == "completed"), "{states}");
    assert!(states["runs"][0]["seconds"].as_f64().unwrap() > 0.0);
}

#[test]
fn what_does_not_fit_is_refused_with_the_figure_before_anything_starts() {
    let lab = Lab::new();
    let (_, err) = lab.expect(1, &["sweep", "small.toml", "--memory", "50MiB"]);
    assert!(err.contains("refused") && err.contains("may have 50 MiB"), "{err}");
    assert!(lab.run_folders("results").is_empty());
}

#[test]
fn data_that_are_missing_fail_their_runs_and_no_others() {
    let lab = Lab::new();
    lab.write("axes.toml", &with("[sweep.axes]\n\"data.source\" = [\"pictures\", \"nowhere\"]\n"));
    let (out, err) = lab.expect(1, &["sweep", "axes.toml"]);
    assert!(err.contains("failed") && err.contains("nowhere"), "{err}");
    assert!(out.contains("source=pictures"), "{out}");
}
