//! Promise: a sweep survives anything: whatever is killed, the same command goes on, and ends with the same bits.

mod support;

use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::{Lab, SMALL, bits, workers_of};

/// Twelve runs of a third of a second or so.
const SWEEP: &str = r#"
[sweep]
repeats = 3
[sweep.axes]
"model.activation" = ["linear", "relu"]
"train.learning_rate" = [1e-3, 3e-3]
"#;

fn lab() -> Lab {
    let lab = Lab::new();
    let long = SMALL.replace("epochs = 4", "epochs = 12").replace("batch_size = 8", "batch_size = 2");
    lab.write("twelve.toml", &format!("{long}{SWEEP}"));
    lab
}

fn signal(pid: i32, signal: Signal) {
    // It may be gone already.
    let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
}

/// History and predictions of every run, by its id.
fn all_bits(lab: &Lab, results: &str) -> Vec<(String, (Vec<Value>, Value))> {
    let store = format!("{results}/emo.db");
    let runs = lab.json(&["report", "--db", &store]);
    let mut ids: Vec<String> =
        runs.as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids.into_iter().map(|id| (id.clone(), bits(&lab.json(&["show", &id, "--db", &store])))).collect()
}

fn predictions(lab: &Lab, results: &str) -> Vec<String> {
    let sql = lab.sql(&format!("{results}/emo.db"));
    let query = "SELECT run_id || name || probability FROM predictions JOIN images ON images.id = image_id ORDER BY 1";
    let mut statement = sql.prepare(query).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(|row| row.unwrap()).collect()
}

fn count(lab: &Lab, results: &str, sql: &str) -> i64 {
    lab.sql(&format!("{results}/emo.db")).query_row(sql, [], |row| row.get(0)).unwrap()
}

fn is_whole(lab: &Lab, results: &str) {
    assert_eq!(count(lab, results, "SELECT count(*) FROM runs WHERE status = 'completed'"), 12);
    assert_eq!(count(lab, results, "SELECT count(*) FROM runs"), 12);
    let check: String =
        lab.sql(&format!("{results}/emo.db")).query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    // No run was done twice: its file tells of one end.
    for folder in lab.run_folders(results) {
        let text = std::fs::read_to_string(folder.join("events.jsonl")).unwrap();
        assert_eq!(text.matches("\"event\":\"completed\"").count(), 1, "{folder:?}");
    }
}

fn wait(program: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + Duration::from_secs(120);
    while Instant::now() < deadline {
        if let Some(status) = program.try_wait().unwrap() {
            return status.code();
        }
        sleep(Duration::from_millis(5));
    }
    program.kill().unwrap();
    panic!("the sweep hangs");
}

/// `just kill-rounds 100` does more of them.
fn rounds() -> u64 {
    std::env::var("EMO_KILL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(10)
}

#[test]
fn killed_at_any_moment_a_sweep_ends_as_if_nothing_had_happened() {
    let lab = lab();
    lab.ok(&["sweep", "twelve.toml", "--jobs", "2", "--db", "calm/emo.db"]);
    is_whole(&lab, "calm");
    let (expected, probabilities) = (all_bits(&lab, "calm"), predictions(&lab, "calm"));
    for round in 0..rounds() {
        let results = format!("round{round}");
        let store = format!("{results}/emo.db");
        let command = ["sweep", "twelve.toml", "--jobs", "2", "--db", &store];
        let mut kills = 0;
        loop {
            let mut program = lab.start(&command);
            // Moments spread over the life of a sweep, the same in every run of this test.
            let moment = (round * 7919 + kills * 104_729 + 13) % 1500;
            sleep(Duration::from_millis(moment));
            let workers = workers_of(&lab);
            match (kills, workers.is_empty()) {
                (0..4, false) if (round + kills) % 2 == 0 => {
                    signal(workers[kills as usize % workers.len()], Signal::KILL)
                }
                (0..4, _) => {
                    program.kill().unwrap();
                    if (round + kills) % 3 == 0 {
                        workers.into_iter().for_each(|pid| signal(pid, Signal::KILL));
                    }
                }
                _ => {}
            }
            kills += 1;
            let code = wait(&mut program);
            if code == Some(0) {
                break;
            }
            assert!(kills < 40, "round {round} never ends: {code:?}");
        }
        is_whole(&lab, &results);
        assert_eq!(all_bits(&lab, &results), expected, "round {round}");
        assert_eq!(predictions(&lab, &results), probabilities, "round {round}");
        std::fs::remove_dir_all(lab.path(&results)).unwrap();
    }
}

#[test]
fn two_sweeps_on_one_store_do_every_run_once() {
    let lab = lab();
    let mut first = lab.start(&["sweep", "twelve.toml", "--jobs", "2"]);
    let mut second = lab.start(&["sweep", "twelve.toml", "--jobs", "2"]);
    assert_eq!((wait(&mut first), wait(&mut second)), (Some(0), Some(0)));
    is_whole(&lab, "results");
    assert_eq!(count(&lab, "results", "SELECT max(attempt) FROM runs"), 1);
}

#[test]
fn ctrl_c_saves_and_the_same_command_goes_on() {
    let lab = lab();
    let mut program = lab.start(&["sweep", "twelve.toml", "--jobs", "2"]);
    lab.wait_for("results", "epoch");
    signal(program.id() as i32, Signal::INT);
    assert_eq!(wait(&mut program), Some(130));
    assert!(workers_of(&lab).is_empty());
    assert_eq!(count(&lab, "results", "SELECT count(*) FROM runs WHERE status = 'running'"), 0);
    lab.ok(&["sweep", "twelve.toml", "--jobs", "1"]);
    is_whole(&lab, "results");
}

#[test]
fn a_worker_that_does_not_stop_when_asked_is_killed_after_the_grace_period() {
    let lab = lab();
    let mut program = lab.start(&["sweep", "twelve.toml", "--jobs", "2", "--grace", "300ms"]);
    lab.wait_for("results", "epoch");
    let workers = workers_of(&lab);
    workers.iter().for_each(|&pid| signal(pid, Signal::STOP));
    signal(program.id() as i32, Signal::TERM);
    assert_eq!(wait(&mut program), Some(130));
    assert!(workers_of(&lab).is_empty());
    assert_eq!(count(&lab, "results", "SELECT count(*) FROM runs WHERE status = 'running'"), 0);
}

#[test]
fn ctrl_c_twice_ends_it_now() {
    let lab = lab();
    let mut program = lab.start(&["sweep", "twelve.toml", "--jobs", "2", "--grace", "10m"]);
    lab.wait_for("results", "epoch");
    workers_of(&lab).iter().for_each(|&pid| signal(pid, Signal::STOP));
    signal(program.id() as i32, Signal::INT);
    sleep(Duration::from_millis(200));
    assert_eq!(program.try_wait().unwrap(), None, "the first asks");
    signal(program.id() as i32, Signal::INT);
    assert_eq!(wait(&mut program), Some(130));
    assert!(workers_of(&lab).is_empty());
}

#[test]
fn a_stopped_sweep_stops_its_workers_and_its_clocks() {
    let lab = lab();
    // Under the timeout if the pause is left out, over it if not.
    let mut program = lab.start(&["sweep", "twelve.toml", "--jobs", "2", "--timeout", "20s"]);
    lab.wait_for("results", "epoch");
    signal(program.id() as i32, Signal::TSTP);
    sleep(Duration::from_millis(300));
    let workers = workers_of(&lab);
    assert!(!workers.is_empty());
    for pid in &workers {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        assert!(status.contains("State:\tT"), "a worker runs on: {status}");
    }
    signal(program.id() as i32, Signal::CONT);
    assert_eq!(wait(&mut program), Some(0));
    is_whole(&lab, "results");
}
