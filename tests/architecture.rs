//! Promise: the rules of ARCHITECTURE.md about who may know whom.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// Source files outside `allowed` that contain one of `words`.
fn offenders(words: &[&str], allowed: &[&str]) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let name = |path: &Path| path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
    let contains = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        text.lines().any(|line| !line.trim_start().starts_with("//") && words.iter().any(|word| line.contains(word)))
    };
    let found = sources(&root).into_iter().filter(contains).map(|path| name(&path));
    found.filter(|name| !allowed.iter().any(|prefix| name.starts_with(prefix))).collect()
}

#[test]
fn burn_is_named_only_where_tensors_are() {
    assert_eq!(offenders(&["burn::"], &["model/", "train/", "data/tensor.rs"]), [""; 0]);
}

#[test]
fn sql_stands_only_in_the_store() {
    assert_eq!(offenders(&["rusqlite", "SELECT ", "INSERT ", "UPDATE runs"], &["store/"]), [""; 0]);
}

#[test]
fn imports_run_one_way() {
    let up = |allowed: &[&str], words: &[&str]| offenders(words, allowed);
    assert_eq!(up(&["cli/", "main.rs", "lib.rs"], &["crate::cli", "emo_runner::cli"]), [""; 0]);
    assert_eq!(up(&["cli/", "ui/", "lib.rs"], &["crate::ui"]), [""; 0]);
    assert_eq!(up(&["cli/", "ui/", "schedule/", "report/"], &["crate::schedule"]), [""; 0]);
    assert_eq!(up(&["cli/", "ui/", "schedule/", "report/", "store/"], &["crate::store"]), [""; 0]);
    assert_eq!(up(&["cli/", "schedule/", "report/", "train/"], &["crate::train"]), [""; 0]);
}

#[test]
fn unsafe_code_stands_only_where_it_is_allowed_by_name() {
    assert_eq!(
        offenders(&["unsafe {", "unsafe fn", "unsafe impl"], &["data/pixel_file.rs", "model/kernels/"]),
        [""; 0]
    );
}
