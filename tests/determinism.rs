//! Promise: same file, same seed, same bits, whatever the number of threads and whether it was interrupted or not.

mod support;

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::{Lab, bits, workers_of};

/// Long enough to be interrupted.
const LONG: [&str; 6] = ["run", "small.toml", "--set", "train.epochs=60", "--set", "train.batch_size=2"];

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid as i32).unwrap(), signal).unwrap();
}

fn undisturbed(lab: &Lab) -> Value {
    lab.json(&[&LONG[..], &["--db", "calm/emo.db"]].concat())
}

/// The run after it was disturbed, gone on with by the same command.
fn goes_on(lab: &Lab) -> Value {
    lab.json(&LONG)
}

#[test]
fn one_and_two_threads_give_the_same_bits() {
    let lab = Lab::new();
    let one = lab.json(&["run", "small.toml", "--threads", "1", "--db", "one/emo.db"]);
    let two = lab.json(&["run", "small.toml", "--threads", "2", "--db", "two/emo.db"]);
    let four = lab.json(&["run", "small.toml", "--threads", "4", "--db", "four/emo.db"]);
    assert_eq!(bits(&one), bits(&two));
    assert_eq!(bits(&one), bits(&four));
}

#[test]
fn ctrl_c_saves_and_the_same_command_goes_on_to_the_same_bits() {
    let lab = Lab::new();
    let mut program = lab.start(&LONG);
    lab.wait_for("results", "epoch");
    signal(program.id(), Signal::INT);
    assert_eq!(program.wait().unwrap().code(), Some(130));
    assert_eq!(lab.events("results").last().unwrap()["event"], "interrupted");
    let report = lab.ok(&["report"]);
    assert!(report.contains("interrupted"), "{report}");
    let resumed = goes_on(&lab);
    let attempts = lab.events("results").iter().filter(|line| line["event"] == "started").count();
    assert_eq!(attempts, 2);
    assert_eq!(bits(&resumed), bits(&undisturbed(&lab)));
}

#[test]
fn a_killed_worker_is_a_failed_run_that_goes_on_to_the_same_bits() {
    let lab = Lab::new();
    let mut program = lab.start(&LONG);
    lab.wait_for("results", "epoch");
    for pid in workers_of(&lab) {
        signal(pid as u32, Signal::KILL);
    }
    assert_eq!(program.wait().unwrap().code(), Some(1));
    assert!(lab.ok(&["report"]).contains("failed"));
    assert_eq!(bits(&goes_on(&lab)), bits(&undisturbed(&lab)));
}

#[test]
fn a_killed_coordinator_loses_nothing_and_leaves_nothing_running() {
    let lab = Lab::new();
    let mut program = lab.start(&LONG);
    lab.wait_for("results", "epoch");
    program.kill().unwrap();
    program.wait().unwrap();
    // The worker learns of it from the kernel, saves and ends.
    lab.wait_for("results", "interrupted");
    let report = lab.ok(&["report"]);
    assert!(report.contains("interrupted") && !report.contains("running"), "{report}");
    assert_eq!(bits(&goes_on(&lab)), bits(&undisturbed(&lab)));
}

#[test]
fn a_run_of_which_everything_was_killed_is_not_running_for_ever() {
    let lab = Lab::new();
    let mut program = lab.start(&LONG);
    lab.wait_for("results", "epoch");
    let workers = workers_of(&lab);
    signal(program.id(), Signal::STOP);
    for pid in workers {
        signal(pid as u32, Signal::KILL);
    }
    program.kill().unwrap();
    program.wait().unwrap();
    let report = lab.ok(&["report"]);
    assert!(report.contains("interrupted") && !report.contains("running"), "{report}");
    assert_eq!(bits(&goes_on(&lab)), bits(&undisturbed(&lab)));
}

#[test]
fn two_of_the_same_command_at_once_do_the_run_once() {
    let lab = Lab::new();
    let mut first = lab.start(&LONG);
    lab.wait_for("results", "epoch");
    let second = lab.json(&LONG);
    assert_eq!(first.wait().unwrap().code(), Some(0));
    assert_eq!(second["summary"]["status"], "completed");
    let attempts = lab.events("results").iter().filter(|line| line["event"] == "started").count();
    assert_eq!(attempts, 1);
}

#[test]
fn replay_says_bit_identical() {
    let lab = Lab::new();
    lab.ok(&["run", "small.toml"]);
    let out = lab.ok(&["replay", "small"]);
    assert!(out.contains("bit-identical"), "{out}");
}

#[test]
fn replay_names_the_first_quantity_that_differs() {
    let lab = Lab::new();
    lab.ok(&["run", "small.toml"]);
    let events = lab.run_folders("results")[0].join("events.jsonl");
    let lines: Vec<String> = fs::read_to_string(&events).unwrap().lines().map(str::to_owned).collect();
    let forged: Vec<String> = lines
        .into_iter()
        .map(|line| {
            let mut value: Value = serde_json::from_str(&line).unwrap();
            if value["event"] == "epoch" && value["epoch"] == 3 {
                value["weights_hash"] = Value::from("0000");
            }
            value.to_string()
        })
        .collect();
    fs::write(&events, forged.join("\n") + "\n").unwrap();
    let (out, _) = lab.expect(1, &["replay", "small"]);
    assert!(out.contains("first in epoch 3: weights hash was 0000"), "{out}");
}
