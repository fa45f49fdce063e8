//! Promise: whatever becomes of the store, no run is lost and the message says what to do; the store can be made anew.

mod support;

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::{Lab, bits};

const STORE: &str = "results/emo.db";

/// One run, done.
fn lab() -> Lab {
    let lab = Lab::new();
    lab.ok(&["run", "small.toml"]);
    lab
}

/// Everything at once: page by page from `first` on, other bytes.
fn garble(lab: &Lab, first: usize) {
    // What is in the write-ahead log comes into the file first.
    lab.sql(STORE).execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let mut bytes = fs::read(lab.path(STORE)).unwrap();
    bytes.iter_mut().skip(first).enumerate().for_each(|(place, byte)| *byte = (place * 31 % 251) as u8);
    fs::write(lab.path(STORE), bytes).unwrap();
}

#[test]
fn a_store_that_another_program_holds_for_a_while_is_waited_for() {
    let lab = lab();
    let other = lab.sql(STORE);
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let run = lab.start_piped(&["run", "small.toml", "--set", "seed=8"]);
    std::thread::sleep(Duration::from_secs(2));
    other.execute_batch("COMMIT").unwrap();
    let (code, _, err) = lab.finish(run);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(lab.json(&["report"]).as_array().unwrap().len(), 2);
}

#[test]
fn a_store_that_another_program_keeps_is_told_and_the_run_goes_on_later() {
    let lab = lab();
    let expected = bits(&lab.json(&["show", "small"]));
    let again = &["run", "small.toml", "--force"];
    let other = lab.sql(STORE);
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let begun = Instant::now();
    let (_, err) = lab.expect(4, again);
    assert!(err.contains("another program has kept it to itself for 30 s"), "{err}");
    assert!(begun.elapsed() < Duration::from_secs(45));
    other.execute_batch("COMMIT").unwrap();
    lab.ok(&["run", "small.toml"]);
    assert_eq!(bits(&lab.json(&["show", "small"])), expected);
}

#[test]
fn a_damaged_store_is_told_and_made_anew_from_the_runs() {
    for first in [0, 100, 4096] {
        let lab = lab();
        let before = lab.json(&["report"]);
        garble(&lab, first);
        for command in [&["report"][..], &["run", "small.toml", "--set", "seed=8"]] {
            let (_, err) = lab.expect(4, command);
            assert!(err.contains("damaged") && err.contains("emo-runner store rebuild"), "{first}: {err}");
        }
        let damaged = fs::read(lab.path(STORE)).unwrap();
        let (out, err) = lab.expect(0, &["store", "rebuild"]);
        assert!(out.contains("1 runs") && err.contains("emo.db.damaged-1"), "{first}: {out}{err}");
        assert_eq!(lab.json(&["report"]), before, "{first}");
        assert_eq!(fs::read(lab.path("results/emo.db.damaged-1")).unwrap(), damaged, "{first}");
    }
}

#[test]
fn a_store_that_was_cut_off_is_told_and_made_anew() {
    for share in [3, 2] {
        let lab = lab();
        let before = lab.json(&["report"]);
        lab.sql(STORE).execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        let bytes = fs::read(lab.path(STORE)).unwrap();
        fs::write(lab.path(STORE), &bytes[..bytes.len() / share]).unwrap();
        let (_, err) = lab.expect(4, &["report"]);
        assert!(err.contains("emo-runner store rebuild"), "{err}");
        let doctor = lab.ok(&["doctor"]);
        assert!(doctor.contains("damaged"), "{doctor}");
        lab.ok(&["store", "rebuild"]);
        assert_eq!(lab.json(&["report"]), before);
    }
}

/// A mount without the right to write, because permissions mean nothing to root.
#[test]
fn a_folder_that_may_not_be_written_can_be_read_and_says_so() {
    let lab = lab();
    let read_only = |arguments: &[&str]| {
        let script = "mount --bind results results && mount -o remount,bind,ro results && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh", "-c", script, "sh", env!("CARGO_BIN_EXE_emo-runner")]);
        command.args(arguments).current_dir(lab.path("")).env_remove("EMO_DB").stdin(Stdio::null());
        let output = command.output().expect("unshare of util-linux");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    for reads in [&["report"][..], &["show", "small"], &["doctor"]] {
        let (code, out, err) = read_only(reads);
        assert_eq!(code, Some(0), "{reads:?}: {out}{err}");
        assert!(!out.contains("cannot"), "{reads:?}: {out}");
    }
    let (code, _, err) = read_only(&["run", "small.toml", "--set", "seed=8"]);
    assert_eq!(code, Some(4), "{err}");
    assert!(err.contains("ead-only") && !err.contains("panicked"), "{err}");
    lab.ok(&["run", "small.toml", "--set", "seed=8"]);
}

#[test]
fn a_store_with_a_few_bad_pages_is_put_aside_by_a_rebuild() {
    let lab = lab();
    lab.ok(&["run", "small.toml", "--set", "seed=8"]);
    let before = lab.json(&["report"]);
    lab.sql(STORE).execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let bytes = fs::read(lab.path(STORE)).unwrap();
    let pages = bytes.len() / 4096;
    for page in pages / 2..pages {
        let mut damaged = bytes.clone();
        damaged[page * 4096..(page + 1) * 4096].fill(0x5A);
        fs::write(lab.path(STORE), damaged).unwrap();
        let (_, err) = lab.expect(0, &["store", "rebuild"]);
        assert!(!err.contains("panicked"), "page {page}: {err}");
        assert_eq!(lab.json(&["report"]), before, "page {page}");
    }
    let left = fs::read_dir(lab.path("results")).unwrap().flatten();
    let left: Vec<_> = left.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert!(left.iter().any(|name| name.starts_with("emo.db.damaged-")), "{left:?}");
    assert!(!left.iter().any(|name| name.ends_with(".part")), "{left:?}");
}

#[test]
fn a_rebuild_keeps_a_copy_of_results_that_a_run_folder_has_lost() {
    let lab = lab();
    let events = lab.run_folders("results")[0].join("events.jsonl");
    let text = fs::read_to_string(&events).unwrap();
    fs::write(&events, text.replace("\"event\":\"completed\"", "\"event\":\"comp#eted\"")).unwrap();
    let (_, err) = lab.expect(0, &["store", "rebuild"]);
    assert!(err.contains("1 finished runs") && err.contains("emo.db.before-rebuild-1"), "{err}");
    assert_eq!(lab.json(&["report"])[0]["status"], "interrupted");
    let copy = lab.json(&["report", "--db", "results/emo.db.before-rebuild-1"]);
    assert_eq!(copy[0]["status"], "completed");
    // The run goes on, to the same result.
    lab.ok(&["run", "small.toml"]);
    assert_eq!(lab.json(&["report"])[0]["accuracy"], copy[0]["accuracy"]);
}
