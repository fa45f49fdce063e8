//! A laboratory of its own for each test: a folder, small pictures, a small experiment, and the built program.

#![allow(dead_code, reason = "every test file uses another part")]

pub mod page;

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// A temporary folder in which the program is run.
pub struct Lab {
    folder: TempDir,
}

/// An experiment that takes well under a second: 40 pictures of 16x16 pixels, a network of a few hundred parameters.
pub const SMALL: &str = r#"
name = "small"
seed = 7

[data]
source = "pictures"
image_size = [16, 16]

[augment]
rotation = 10.0
horizontal_flip = true

[model]
conv = [[4]]
dense = [8]
dropout = 0.25

[train]
epochs = 4
batch_size = 8
"#;

impl Lab {
    /// With `pictures/` and `small.toml`.
    pub fn new() -> Self {
        let lab = Self { folder: tempfile::tempdir().unwrap() };
        lab.pictures("pictures", 20);
        lab.write("small.toml", SMALL);
        lab
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Pictures that a small network can tell apart: noise, and for Positive a bright square in it.
    pub fn pictures(&self, folder: &str, of_each_class: u32) {
        for (class, bright) in [("Negative", false), ("Positive", true)] {
            let path = self.path(folder).join(class);
            fs::create_dir_all(&path).unwrap();
            for number in 0..of_each_class {
                let picture = image::RgbImage::from_fn(20, 18, |x, y| {
                    let mixed = (x * 31 + y * 17 + number * 57 + u32::from(bright) * 5).wrapping_mul(2_654_435_761);
                    let noise = (mixed >> 8) % 90;
                    let inside = bright && (6..14).contains(&x) && (5..13).contains(&y);
                    image::Rgb([noise as u8 + if inside { 150 } else { 20 }; 3])
                });
                picture.save(path.join(format!("picture {number:02}.png"))).unwrap();
            }
        }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_emo-runner"));
        command.args(arguments).current_dir(self.folder.path()).env_remove("EMO_DB").env("NO_COLOR", "1");
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs the program, expects an exit code, and returns stdout and stderr.
    #[track_caller]
    pub fn expect(&self, code: i32, arguments: &[&str]) -> (String, String) {
        let output = self.run(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\nstdout: {out}\nstderr: {err}");
        (out, err)
    }

    /// Stdout of a call that must go well.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> String {
        self.expect(0, arguments).0
    }

    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        serde_json::from_str(&self.ok(&arguments)).unwrap()
    }

    /// Starts the program and lets it run.
    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// The same, keeping what it prints for [`Lab::finish`].
    pub fn start_piped(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Exit code, stdout and stderr of a program that was started.
    pub fn finish(&self, program: Child) -> (Option<i32>, String, String) {
        let output = program.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    /// Waits until the only run of a results folder has told of `event`; returns the lines.
    #[track_caller]
    pub fn wait_for(&self, results: &str, event: &str) -> Vec<Value> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            let lines = self.events(results);
            if lines.iter().any(|line| line["event"] == event) {
                return lines;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("no event `{event}` within a minute: {:?}", self.events(results));
    }

    /// Events of the first run of a results folder.
    pub fn events(&self, results: &str) -> Vec<Value> {
        let Some(folder) = self.run_folders(results).first().cloned() else { return Vec::new() };
        let text = fs::read_to_string(folder.join("events.jsonl")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    pub fn run_folders(&self, results: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path(results).join("runs")).into_iter().flatten().flatten();
        let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        folders.sort();
        folders
    }

    pub fn sql(&self, store: &str) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path(store)).unwrap()
    }
}

/// What must be equal in a repetition: epochs without times, and predictions.
pub fn bits(run: &Value) -> (Vec<Value>, Value) {
    let mut epochs = run["epochs"].as_array().unwrap().clone();
    for epoch in &mut epochs {
        let epoch = epoch.as_object_mut().unwrap();
        epoch.remove("seconds");
        epoch.remove("images_per_second");
    }
    (epochs, run["evaluation"].clone())
}

/// The worker processes that work in a lab. Ids of runs are the same in every lab, so the folder must tell them apart.
pub fn workers_of(lab: &Lab) -> Vec<i32> {
    let home = lab.folder.path().canonicalize().unwrap();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_string_lossy().parse::<i32>().ok())
        .filter(|pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder == home))
        .filter(|pid| fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("worker\0")))
        .collect()
}
