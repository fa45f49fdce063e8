//! Promise: results of earlier versions stay: the current program brings their store up to date and keeps a copy, reads their runs, and
//! goes on with what they left unfinished, or begins it anew and says so.
//!
//! `tests/fixtures/schemas/N.zip` was made by the program as it was when its store had schema N, see `make.sh` there.

mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::Lab;

/// The newest schema.
const NEWEST: usize = 5;

/// A folder as an earlier version left it.
fn lab(schema: usize) -> Lab {
    let lab = Lab::new();
    fs::remove_dir_all(lab.path("pictures")).unwrap();
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/schemas/{schema}.zip"));
    let mut archive = zip::ZipArchive::new(fs::File::open(archive).unwrap()).unwrap();
    archive.extract(lab.path("")).unwrap();
    lab
}

fn version(lab: &Lab, store: &str) -> usize {
    lab.sql(store).query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)).unwrap() as usize
}

#[test]
fn a_store_of_each_schema_is_brought_up_to_date_with_a_copy_kept() {
    for schema in 1..=NEWEST {
        let lab = lab(schema);
        assert_eq!(version(&lab, "results/emo.db"), schema);
        let before = fs::read(lab.path("results/emo.db")).unwrap();
        let runs = lab.json(&["report", "--sort", "name"]);
        let statuses: Vec<&str> = runs.as_array().unwrap().iter().map(|run| run["status"].as_str().unwrap()).collect();
        assert_eq!(statuses, ["interrupted", "completed"], "schema {schema}");
        assert!(runs[1]["accuracy"].is_number() && runs[1]["p_naive"].is_number(), "{runs}");
        assert_eq!(version(&lab, "results/emo.db"), NEWEST);
        let copy = format!("results/emo.db.schema-{schema}");
        if schema == NEWEST {
            assert!(!lab.path(&copy).exists());
        } else {
            assert_eq!(version(&lab, &copy), schema, "the copy is as the store was");
            let rows = |store: &str| -> i64 {
                lab.sql(store).query_row("SELECT count(*) FROM predictions", [], |row| row.get(0)).unwrap()
            };
            assert_eq!(rows(&copy), rows("results/emo.db"));
            assert!(before.len() > 4096);
        }
        for command in [&["show", "small"][..], &["compare", "small", "long"], &["plot", "small", "--to", "plots"]] {
            let output = lab.run(command);
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(matches!(output.status.code(), Some(0 | 2)) && !told.contains("panicked"), "{schema}: {told}");
        }
        lab.ok(&["predict", "small", "pictures"]);
        lab.ok(&["store", "rebuild"]);
        assert_eq!(lab.json(&["report", "--sort", "name"])[1]["accuracy"], runs[1]["accuracy"], "schema {schema}");
    }
}

#[test]
fn what_an_earlier_version_left_unfinished_is_done() {
    for schema in 1..=NEWEST {
        let lab = lab(schema);
        lab.ok(&["run", "long.toml"]);
        lab.ok(&["run", "long.toml", "--db", "fresh/emo.db"]);
        let weights = |arguments: &[&str]| -> Vec<(Value, Value)> {
            let run = lab.json(arguments);
            let epochs = run["epochs"].as_array().unwrap().iter();
            epochs.map(|epoch| (epoch["weights_hash"].clone(), epoch["train"].clone())).collect()
        };
        let fresh = weights(&["show", "long", "--db", "fresh/emo.db"]);
        assert_eq!(weights(&["show", "long"]), fresh, "schema {schema}: the same bits as without the upgrade");
        assert_eq!(fresh.len(), 40);
        let (_, told) = lab.expect(0, &["run", "small.toml"]);
        assert!(!told.contains("panicked"), "schema {schema}: {told}");
    }
}

#[test]
fn a_copy_that_cannot_be_written_stops_the_upgrade_and_changes_nothing() {
    let lab = lab(1);
    // A folder of that name stands in the way.
    fs::create_dir_all(lab.path("results/emo.db.schema-1/x")).unwrap();
    let before = fs::read(lab.path("results/emo.db")).unwrap();
    let (_, told) = lab.expect(4, &["report"]);
    assert!(told.contains("emo.db.schema-1 cannot be written") && told.contains("Nothing was changed"), "{told}");
    assert_eq!(version(&lab, "results/emo.db"), 1);
    assert_eq!(fs::read(lab.path("results/emo.db")).unwrap().len(), before.len());
}

#[test]
fn a_cache_of_another_version_is_made_again() {
    let lab = lab(NEWEST);
    for entry in fs::read_dir(lab.path("results/cache")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "pixels") {
            let mut bytes = fs::read(&path).unwrap();
            // The version stands after the magic.
            bytes[8] += 1;
            fs::write(&path, bytes).unwrap();
        }
    }
    let (_, told) = lab.expect(0, &["run", "small.toml", "--force"]);
    assert!(!told.contains("panicked"), "{told}");
    let runs = lab.json(&["report", "--where", "name = 'small'"]);
    assert_eq!(runs[0]["accuracy"], runs[1]["accuracy"]);
}
