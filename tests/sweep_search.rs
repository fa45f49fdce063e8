//! Promise: a search finds the same points whatever `--jobs` is and whether it was stopped, and a pruner stops what is worse.

mod support;

use rustix::process::{Pid, Signal, kill_process};
use support::{Lab, SMALL};

fn lab(sweep: &str) -> Lab {
    let lab = Lab::new();
    lab.write("x.toml", &format!("{SMALL}\n[split]\nvalidation = 0.25\n{sweep}"));
    lab
}

const TPE: &str = r#"
[sweep]
method = "tpe"
trials = 16
parallel = 3
[sweep.axes]
"train.learning_rate" = { log_uniform = [1e-5, 1e-1] }
"model.dropout" = { uniform = [0.0, 0.8] }
"model.activation" = ["linear", "relu"]
"#;

fn points(lab: &Lab, store: &str) -> Vec<(String, f64)> {
    let sql = lab.sql(store);
    let mut statement = sql.prepare("SELECT point, validation_auc FROM runs ORDER BY point").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(|row| row.unwrap()).collect()
}

#[test]
fn tpe_chooses_the_same_points_for_one_job_and_three_and_after_a_stop() {
    let lab = lab(TPE);
    lab.ok(&["sweep", "x.toml", "--jobs", "1", "--db", "one/emo.db"]);
    lab.ok(&["sweep", "x.toml", "--jobs", "3", "--db", "three/emo.db"]);
    let expected = points(&lab, "one/emo.db");
    assert_eq!(expected.len(), 16);
    assert_eq!(points(&lab, "three/emo.db"), expected);
    let mut program = lab.start(&["sweep", "x.toml", "--jobs", "2"]);
    lab.wait_for("results", "completed");
    kill_process(Pid::from_raw(program.id() as i32).unwrap(), Signal::INT).unwrap();
    program.wait().unwrap();
    lab.ok(&["sweep", "x.toml", "--jobs", "2"]);
    assert_eq!(points(&lab, "results/emo.db"), expected);
    let (_, err) = lab.expect(0, &["sweep", "x.toml"]);
    assert!(err.contains("16 runs"), "{err}");
    assert_eq!(lab.run_folders("results").len(), 16);
}

#[test]
fn asha_prunes_what_is_worse_and_keeps_its_history() {
    let sweep = r#"
[sweep]
objective = "val_loss"
[sweep.pruner]
kind = "asha"
min_epochs = 1
reduction = 2
[sweep.axes]
"train.learning_rate" = [3e-3, 1e-9, 2e-9, 3e-9]
"#;
    let lab = lab(sweep);
    let arguments = ["sweep", "x.toml", "--jobs", "1", "--set", "train.epochs=500"];
    let (out, _) = lab.expect(0, &arguments);
    assert!(out.contains("pruned"), "{out}");
    let sql = lab.sql("results/emo.db");
    let (pruned, least, most): (i64, i64, i64) = sql
        .query_row("SELECT count(*), min(epochs), max(epochs) FROM run_summary WHERE status = 'pruned'", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    assert_eq!(pruned, 3);
    assert!(least >= 1 && most < 500, "{least} to {most} epochs");
    let message: String =
        sql.query_row("SELECT message FROM runs WHERE status = 'pruned' LIMIT 1", [], |row| row.get(0)).unwrap();
    assert!(message.contains("is not among the best"), "{message}");
    // A pruned run is done as far as the sweep goes.
    lab.ok(&arguments);
    let attempts: i64 = sql.query_row("SELECT sum(attempt) FROM runs", [], |row| row.get(0)).unwrap();
    assert_eq!(attempts, 4);
}

#[test]
fn json_events_tell_a_script_everything() {
    let lab = lab("[sweep]\nrepeats = 2\n");
    let out = lab.ok(&["sweep", "x.toml", "--json"]);
    let events: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!((kinds[0], *kinds.last().unwrap()), ("plan", "done"));
    assert_eq!(kinds.iter().filter(|&&kind| kind == "epoch").count(), 8);
    assert_eq!(kinds.iter().filter(|&&kind| kind == "ended").count(), 2);
    assert_eq!(events.last().unwrap()["comparison"]["points"][0]["completed"], 2);
}
