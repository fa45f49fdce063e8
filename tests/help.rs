//! Promise: every command's help has examples that work, and manual pages and completions come with the program.

mod support;

use std::fs;

use clap::{Command, CommandFactory, Parser};
use emo_runner::cli::Cli;
use support::Lab;

/// All commands that a user sees and that do something themselves.
fn leaves(command: &Command, path: &str, found: &mut Vec<(String, String)>) {
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        let path = format!("{path} {}", sub.get_name());
        if sub.has_subcommands() {
            leaves(sub, &path, found);
        } else {
            found.push((path, sub.get_after_help().map(ToString::to_string).unwrap_or_default()));
        }
    }
}

/// Words as a shell has them, quotes and pipes included.
fn words(line: &str) -> Vec<String> {
    let line = line.rsplit("| ").find(|part| part.trim_start().starts_with("emo-runner")).unwrap_or(line);
    let line = line.split(" > ").next().unwrap();
    let mut words = Vec::new();
    for (index, part) in line.trim().split('"').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

#[test]
fn every_command_has_examples_that_are_understood() {
    let mut found = Vec::new();
    leaves(&Cli::command(), "", &mut found);
    assert!(found.len() > 15);
    for (path, help) in found {
        let lines: Vec<&str> = help.lines().filter(|line| line.contains("emo-runner")).collect();
        assert!(!lines.is_empty(), "`{path}` has no examples");
        for line in lines {
            let words = words(line).into_iter().take_while(|word| word != "|");
            assert!(line.contains(&path), "{line} stands under `{path}`");
            assert!(Cli::try_parse_from(words).is_ok(), "`{line}` is not understood");
        }
    }
}

#[test]
fn there_are_manual_pages_and_completions() {
    let lab = Lab::new();
    lab.ok(&["man", "--to", "man"]);
    let pages = fs::read_dir(lab.path("man")).unwrap().count();
    assert!(pages > 15, "{pages} pages");
    let page = fs::read_to_string(lab.path("man/emo-runner-sweep.1")).unwrap();
    assert!(page.contains(".SH OPTIONS") && page.contains("Examples:"), "{page}");
    assert!(lab.ok(&["man"]).starts_with(".ie"), "roff");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(lab.ok(&["completions", shell]).contains("predict"), "{shell}");
    }
}
