//! Promise: whatever a file operation does (fails, stops half-way, is the last one of its process), no completed result is
//! lost, nothing half-written is read as whole, and the same command ends with the same bits.
//!
//! `tests/faults/shim.c` stands before the C library's file operations. A few places of each kind are tried here; `just faults`
//! tries every operation of a run, and prints how many there were.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use support::{Lab, SMALL, bits};

/// What can happen at an operation.
const ACTIONS: [&str; 6] = ["kill", "torn", "enospc", "eio", "short", "half"];

/// The processes in which it can happen.
const ROLES: [&str; 2] = ["worker", "coordinator"];

/// Places of each kind that are tried, unless all are.
const SAMPLE: usize = 6;

/// Longest time of a command.
const LONGEST: Duration = Duration::from_secs(60);

fn shim(lab: &Lab) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/shim.c");
    let library = lab.path("shim.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl");
    let made = compiler.output().expect("the C compiler that Rust links with");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    library
}

/// Runs a command and ends it if it hangs.
#[track_caller]
fn run(command: &mut Command) -> Output {
    let mut program = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + LONGEST;
    while program.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            program.kill().unwrap();
            panic!("it hangs: {command:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    program.wait_with_output().unwrap()
}

/// A run with two epochs on few pictures.
fn lab() -> Lab {
    let lab = Lab::new();
    fs::remove_dir_all(lab.path("pictures")).unwrap();
    lab.pictures("pictures", 6);
    lab.write("small.toml", &SMALL.replace("epochs = 4", "epochs = 2"));
    lab
}

struct Bench {
    lab: Lab,
    shim: PathBuf,
    expected: (Vec<serde_json::Value>, serde_json::Value),
}

impl Bench {
    fn new() -> Self {
        let lab = lab();
        lab.ok(&["run", "small.toml", "--db", "calm/emo.db"]);
        let expected = bits(&lab.json(&["show", "small", "--db", "calm/emo.db"]));
        let shim = shim(&lab);
        Self { lab, shim, expected }
    }

    fn command(&self, role: &str) -> Command {
        let mut command = self.lab.command(&["run", "small.toml", "--db", "case/emo.db"]);
        let root = self.lab.path("case").display().to_string();
        command.env("LD_PRELOAD", &self.shim).env("EMO_FAULT_ROOT", root).env("EMO_FAULT_ROLE", role);
        command
    }

    /// File operations of a run, in order.
    fn operations(&self, role: &str) -> Vec<String> {
        let log = self.lab.path("operations");
        let output = run(self.command(role).env("EMO_FAULT_LOG", &log));
        assert!(output.status.success(), "{output:?}");
        fs::remove_dir_all(self.lab.path("case")).unwrap();
        let text = fs::read_to_string(&log).unwrap();
        fs::remove_file(log).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// One fault, and the same command again without it.
    fn survives(&self, role: &str, action: &str, number: usize, operation: &str) {
        let case = format!("{role} {action} {number}: {operation}");
        let output = run(self.command(role).env("EMO_FAULT", format!("{number} {action}")));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!told.contains("panicked"), "{case}: {told}");
        match output.status.code() {
            Some(0) | None => {}
            Some(1 | 3 | 4) => assert!(!told.trim().is_empty(), "{case}: it says nothing"),
            Some(code) => panic!("{case}: exit code {code}: {told}"),
        }
        for folder in self.lab.run_folders("case") {
            let log = fs::read_to_string(folder.join("worker.log")).unwrap_or_default();
            assert!(!log.contains("panicked"), "{case}: {log}");
        }

        let again = run(&mut self.lab.command(&["run", "small.toml", "--db", "case/emo.db"]));
        let told = String::from_utf8_lossy(&again.stderr).into_owned();
        assert!(again.status.success(), "{case}, and then: {told}");
        assert_eq!(bits(&self.lab.json(&["show", "small", "--db", "case/emo.db"])), self.expected, "{case}");
        let folders = self.lab.run_folders("case");
        assert_eq!(folders.len(), 1, "{case}");
        let events = fs::read_to_string(folders[0].join("events.jsonl")).unwrap();
        assert_eq!(events.matches("\"event\":\"completed\"").count(), 1, "{case}: {events}");
        let sql = self.lab.sql("case/emo.db");
        let sound: String = sql.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok", "{case}");
        fs::remove_dir_all(self.lab.path("case")).unwrap();
    }
}

#[test]
fn any_file_operation_may_fail_or_be_the_last() {
    let bench = Bench::new();
    let all = std::env::var("EMO_FAULTS").is_ok_and(|wanted| wanted == "all");
    for role in ROLES {
        let operations = bench.operations(role);
        assert!(operations.len() > 50, "the shim sees what the {role} does: {operations:?}");
        let step = if all { 1 } else { operations.len().div_ceil(SAMPLE) };
        for (place, action) in ACTIONS.iter().enumerate() {
            // Other places for other actions.
            let first = if all { 0 } else { place * step / ACTIONS.len() };
            let tried: Vec<usize> = (first..operations.len()).step_by(step).collect();
            tried.iter().for_each(|&index| bench.survives(role, action, index + 1, &operations[index]));
            println!("{role:11}  {action:6}  {} faults tried, {} survived", tried.len(), tried.len());
        }
    }
}

#[test]
fn a_clock_that_goes_back_changes_nothing() {
    let bench = Bench::new();
    for (looks, seconds) in [(0, 3_600), (3, 86_400), (20, 3_600), (20, 4_000_000_000_i64)] {
        let mut command = bench.command("nobody");
        let output = run(command.env("EMO_FAULT_CLOCK", format!("{looks} {seconds}")));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{looks} {seconds}: {told}");
        let shown = bench.lab.json(&["show", "small", "--db", "case/emo.db"]);
        assert_eq!(bits(&shown), bench.expected, "{looks} {seconds}");
        assert!(shown["summary"]["seconds"].as_f64().unwrap() >= 0.0, "{shown}");
        let report = bench.lab.json(&["report", "--db", "case/emo.db"]);
        assert_eq!(report[0]["status"], "completed", "{looks} {seconds}");
        fs::remove_dir_all(bench.lab.path("case")).unwrap();
    }
}
