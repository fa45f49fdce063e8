//! Promise: nothing leaves the machine. In a network namespace without any network every command does its work, and none but
//! the page (loopback) and `export --to mlflow` (the server that was named) asks for a socket of the internet at all.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use support::Lab;

fn library(lab: &Lab) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/no_network.c");
    let library = lab.path("no_network.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl");
    assert!(compiler.status().expect("the C compiler that Rust links with").success());
    library
}

/// The program where there is no network, with a watch on its sockets.
fn alone(lab: &Lab, watch: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("unshare");
    command.args(["--net", "--map-root-user", env!("CARGO_BIN_EXE_emo-runner")]).args(arguments);
    command.current_dir(lab.path("")).env_remove("EMO_DB").env("LD_PRELOAD", watch).stdin(Stdio::null());
    command.output().expect("unshare of util-linux")
}

#[test]
fn every_command_works_without_a_network_and_asks_for_none() {
    let lab = Lab::new();
    let watch = library(&lab);
    lab.write("sweep.toml", &format!("{}[sweep]\nrepeats = 2\n", support::SMALL.replace("\"small\"", "\"sweep\"")));
    lab.write("other.toml", &support::SMALL.replace("\"small\"", "\"other\"").replace("[[4]]", "[[3]]"));
    let picture = "pictures/Positive/picture 00.png";
    for arguments in [
        &["check", "small.toml"][..],
        &["doctor"],
        &["plan", "small.toml"],
        &["data", "describe", "small.toml"],
        &["data", "audit", "small.toml"],
        &["run", "small.toml"],
        &["sweep", "sweep.toml"],
        &["report"],
        &["report", "--best"],
        &["show", "best", "--html", "run.html"],
        &["run", "other.toml"],
        &["compare", "small", "other"],
        &["plot", "best", "--to", "plots"],
        &["predict", "best", picture],
        &["replay", "best"],
        &["export", "--to", "csv", "--out", "tables"],
        &["store", "rebuild"],
    ] {
        let output = alone(&lab, &watch, arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {told}");
    }
}

#[test]
fn the_watch_sees_those_that_do() {
    let lab = Lab::new();
    let watch = library(&lab);
    lab.ok(&["run", "small.toml"]);
    for arguments in [&["ui", "--port", "0"][..], &["export", "--to", "mlflow", "--out", "http://127.0.0.1:9"]] {
        let output = alone(&lab, &watch, arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("a socket of the internet was asked for"), "{arguments:?}: {told}");
    }
}
