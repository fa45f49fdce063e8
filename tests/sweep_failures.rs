//! Promise: what goes wrong in one run is told and stays in that run; the sweep goes on.

mod support;

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use support::{Lab, SMALL, workers_of};

/// Three runs long enough to be disturbed.
fn lab() -> Lab {
    let lab = Lab::new();
    let long = SMALL.replace("epochs = 4", "epochs = 40").replace("batch_size = 8", "batch_size = 2");
    lab.write("three.toml", &format!("{long}\n[sweep]\nrepeats = 3\n"));
    lab
}

fn first_worker(lab: &Lab) -> Pid {
    lab.wait_for("results", "epoch");
    Pid::from_raw(workers_of(lab)[0]).unwrap()
}

fn statuses(lab: &Lab) -> Vec<String> {
    let sql = lab.sql("results/emo.db");
    let mut statement = sql.prepare("SELECT status FROM runs ORDER BY seed").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(|row| row.unwrap()).collect()
}

fn message(lab: &Lab, status: &str) -> String {
    let sql = lab.sql("results/emo.db");
    sql.query_row("SELECT message FROM runs WHERE status = ?1 LIMIT 1", [status], |row| row.get(0)).unwrap()
}

#[test]
fn a_killed_worker_is_a_failed_run_and_the_others_go_on() {
    let lab = lab();
    let program = lab.start_piped(&["sweep", "three.toml", "--jobs", "1"]);
    kill_process(first_worker(&lab), Signal::KILL).unwrap();
    let (code, out, err) = lab.finish(program);
    assert_eq!(code, Some(1));
    assert_eq!(statuses(&lab), ["failed", "completed", "completed"]);
    assert!(
        message(&lab, "failed").contains("killed (signal 9)") && message(&lab, "failed").contains("worker started")
    );
    assert!(err.contains("1 of the runs went wrong") && err.contains("emo-runner show"), "{err}");
    assert!(out.contains("2 of 3"), "{out}");
    lab.ok(&["sweep", "three.toml"]);
    assert_eq!(statuses(&lab), ["completed"; 3]);
}

#[test]
fn a_retry_goes_on_from_the_checkpoint() {
    let lab = lab();
    let program = lab.start_piped(&["sweep", "three.toml", "--jobs", "1", "--retries", "1"]);
    kill_process(first_worker(&lab), Signal::KILL).unwrap();
    let (code, _, err) = lab.finish(program);
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("again") && err.contains("goes on"), "{err}");
    assert_eq!(statuses(&lab), ["completed"; 3]);
}

#[test]
fn a_run_that_gives_no_sign_of_life_is_ended() {
    let lab = lab();
    let program = lab.start_piped(&["sweep", "three.toml", "--jobs", "1", "--stall", "1s", "--grace", "200ms"]);
    kill_process(first_worker(&lab), Signal::STOP).unwrap();
    let (code, _, _) = lab.finish(program);
    assert_eq!(code, Some(1));
    assert_eq!(statuses(&lab), ["failed", "completed", "completed"]);
    assert!(message(&lab, "failed").contains("no sign of life for 1 s"));
}

#[test]
fn a_run_that_takes_too_long_is_saved_and_goes_on_next_time() {
    let lab = lab();
    let slow = ["sweep", "three.toml", "--jobs", "1", "--set", "train.epochs=20000", "--set", "sweep.repeats=1"];
    let begun = Instant::now();
    lab.expect(1, &[&slow[..], &["--timeout", "1s"]].concat());
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(statuses(&lab), ["timed_out"]);
    assert!(message(&lab, "timed_out").contains("not done after 1 s"));
    lab.expect(1, &[&slow[..], &["--timeout", "1s"]].concat());
    let resumed =
        lab.events("results").iter().filter(|line| line["event"] == "started").nth(1).unwrap()["resumed_from"][0]
            .clone();
    assert!(resumed.as_u64().unwrap() > 0);
}

#[test]
fn nonsense_in_a_run_folder_stays_there() {
    let lab = lab();
    let plan = lab.json(&["sweep", "three.toml", "--dry-run"]);
    let folder = |run: usize| lab.path("results/runs").join(&plan["runs"][run]["run_key"].as_str().unwrap()[..10]);
    for run in 0..2 {
        fs::create_dir_all(folder(run)).unwrap();
    }
    // Events that are none are no events; a checkpoint that is none is not trained on from.
    fs::write(folder(0).join("events.jsonl"), b"\x00\xff nonsense\n{}\n").unwrap();
    fs::write(folder(1).join("checkpoint.safetensors"), vec![b'x'; 5000]).unwrap();
    let (_, err) = lab.expect(1, &["sweep", "three.toml", "--retries", "1"]);
    assert_eq!(statuses(&lab), ["completed", "failed", "completed"]);
    assert!(err.contains("checkpoint.safetensors"), "{err}");
    fs::remove_file(folder(1).join("checkpoint.safetensors")).unwrap();
    lab.ok(&["sweep", "three.toml"]);
    assert_eq!(statuses(&lab), ["completed"; 3]);
}

#[test]
fn a_disk_that_is_full_fails_the_run_and_says_so() {
    let lab = lab();
    // A limit on the size of files stands for a full disk: the checkpoint and the events grow past it.
    let script = "ulimit -f 4; trap '' XFSZ; exec \"$0\" sweep three.toml --jobs 1";
    let output = std::process::Command::new("bash")
        .args(["-c", script, env!("CARGO_BIN_EXE_emo-runner")])
        .current_dir(lab.path(""))
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && !err.contains("panicked"), "{err}");
    lab.ok(&["sweep", "three.toml"]);
    assert_eq!(statuses(&lab), ["completed"; 3]);
}

#[test]
fn fail_fast_stops_everything_and_saves_it() {
    let lab = lab();
    let program = lab.start_piped(&["sweep", "three.toml", "--jobs", "2", "--fail-fast"]);
    kill_process(first_worker(&lab), Signal::KILL).unwrap();
    let (code, _, err) = lab.finish(program);
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("Stopping after 1 failed run"), "{err}");
    assert!(!statuses(&lab).contains(&"running".to_owned()));
    assert!(err.contains("are not done; the same command goes on"), "{err}");
    lab.ok(&["sweep", "three.toml"]);
    assert_eq!(statuses(&lab), ["completed"; 3]);
}

#[test]
fn a_diverging_run_is_told_and_not_done_again() {
    let lab = lab();
    let wild = ["sweep", "three.toml", "--set", "train.learning_rate=10", "--set", "train.optimizer=sgd"];
    let (_, err) = lab.expect(1, &wild);
    assert!(err.contains("diverged"), "{err}");
    assert_eq!(statuses(&lab), ["diverged"; 3]);
    lab.expect(1, &wild);
    sleep(Duration::from_millis(1));
    let attempts: i64 =
        lab.sql("results/emo.db").query_row("SELECT sum(attempt) FROM runs", [], |row| row.get(0)).unwrap();
    assert_eq!(attempts, 3);
}
