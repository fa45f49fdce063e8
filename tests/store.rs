//! Promise: the store answers plain SQL, and can be made again from the runs' folders.

mod support;

use support::Lab;

fn dump(lab: &Lab) -> Vec<String> {
    let sql = lab.sql("results/emo.db");
    let mut rows = Vec::new();
    for query in [
        "SELECT id || status || seed || started_at || finished_at || fingerprint || split_hash || parameters FROM runs",
        "SELECT run_id || epoch || train_loss || held_out_loss || weights_hash FROM epochs",
        "SELECT run_id || name || probability FROM predictions JOIN images ON images.id = image_id",
        "SELECT run_id || label || predicted || images FROM confusion",
        "SELECT run_id || name || value FROM metrics",
        "SELECT run_id || position || false_positive_rate FROM roc_points",
        "SELECT run_id || name || description FROM artifacts",
        "SELECT split_hash || part || name FROM splits JOIN images ON images.id = image_id",
    ] {
        let mut statement = sql.prepare(&format!("{query} ORDER BY 1")).unwrap();
        rows.extend(statement.query_map([], |row| row.get(0)).unwrap().map(|row| row.unwrap()));
    }
    rows
}

#[test]
fn a_lost_store_is_made_again_from_the_run_folders() {
    let lab = Lab::new();
    lab.ok(&["run", "small.toml"]);
    lab.ok(&["run", "small.toml", "--set", "seed=8"]);
    let before = dump(&lab);
    assert!(before.len() > 100);
    for file in ["emo.db", "emo.db-wal", "emo.db-shm"] {
        let _ = std::fs::remove_file(lab.path("results").join(file));
    }
    let out = lab.ok(&["store", "rebuild"]);
    assert!(out.contains("2 runs"), "{out}");
    assert_eq!(dump(&lab), before);
    lab.ok(&["store", "rebuild"]);
    assert_eq!(dump(&lab), before);
}

#[test]
fn a_folder_that_is_no_run_is_named_and_left_out() {
    let lab = Lab::new();
    lab.ok(&["run", "small.toml"]);
    std::fs::create_dir(lab.path("results/runs/nonsense")).unwrap();
    let (out, err) = lab.expect(0, &["store", "rebuild"]);
    assert!(out.contains("1 runs") && err.contains("nonsense is left out"), "{out}{err}");
}

#[test]
fn tables_are_strict_and_foreign_keys_hold() {
    let lab = Lab::new();
    lab.ok(&["run", "small.toml"]);
    let sql = lab.sql("results/emo.db");
    let loose =
        "SELECT count(*) FROM pragma_table_list WHERE type = 'table' AND strict = 0 AND name NOT LIKE 'sqlite%'";
    assert_eq!(sql.query_row(loose, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
    assert_eq!(sql.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |r| r.get::<_, i64>(0)).unwrap(), 0);
    assert_eq!(sql.query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0)).unwrap(), "wal");
}

#[test]
fn metrics_follow_from_the_stored_predictions() {
    let lab = Lab::new();
    let run = lab.json(&["run", "small.toml"]);
    let sql = lab.sql("results/emo.db");
    let query = "SELECT avg((probability >= 0.5) = label) FROM predictions JOIN images ON images.id = image_id";
    let accuracy: f64 = sql.query_row(query, [], |row| row.get(0)).unwrap();
    assert_eq!(run["evaluation"]["accuracy"].as_f64().unwrap(), accuracy);
    let stored: f64 = sql.query_row("SELECT value FROM metrics WHERE name = 'accuracy'", [], |row| row.get(0)).unwrap();
    assert_eq!(stored, accuracy);
}

#[test]
fn reports_come_as_table_markdown_csv_and_json() {
    let lab = Lab::new();
    lab.ok(&["run", "small.toml"]);
    lab.ok(&["run", "small.toml", "--set", "seed=8", "--set", "name=second"]);
    assert!(lab.ok(&["report"]).contains("second"));
    assert!(lab.ok(&["report", "--format", "markdown"]).contains("| second"));
    let csv = lab.ok(&["report", "--format", "csv"]);
    assert_eq!(csv.lines().count(), 3);
    assert!(csv.starts_with("id,name,point,status"));
    let json = lab.json(&["report"]);
    assert_eq!(json.as_array().unwrap().len(), 2);
    let filtered = lab.json(&["report", "--where", "name = 'second' AND accuracy >= 0", "--sort", "auc DESC"]);
    assert_eq!(filtered.as_array().unwrap().len(), 1);
    let (_, err) = lab.expect(2, &["report", "--where", "colour = 'red'"]);
    assert!(err.contains("no such column: colour") && err.contains("validation_accuracy"), "{err}");
    lab.expect(2, &["report", "--where", "1); DELETE FROM runs; --"]);
    assert_eq!(lab.json(&["report"]).as_array().unwrap().len(), 2);
    assert!(lab.ok(&["report", "--best"]).contains("Chosen on the test set"));
}

#[test]
fn a_run_is_named_by_id_prefix_experiment_or_best() {
    let lab = Lab::new();
    let id = lab.json(&["run", "small.toml"])["summary"]["id"].as_str().unwrap().to_owned();
    for name in [id.as_str(), &id[..4], "small", "best"] {
        assert_eq!(lab.json(&["show", name])["summary"]["id"], id.as_str(), "{name}");
    }
    let (_, err) = lab.expect(2, &["show", "nobody"]);
    assert!(err.contains("No run is called `nobody`"), "{err}");
}

#[test]
fn a_rebuild_keeps_what_only_the_store_knew() {
    let lab = Lab::new();
    lab.ok(&["run", "small.toml"]);
    lab.ok(&["run", "small.toml", "--set", "seed=8"]);
    lab.ok(&["store", "rebuild"]);
    let copies = || -> usize {
        let entries = std::fs::read_dir(lab.path("results")).unwrap().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().contains("before-rebuild")).count()
    };
    assert_eq!(copies(), 0, "nothing was lost, so nothing is kept");
    std::fs::remove_dir_all(&lab.run_folders("results")[0]).unwrap();
    let (_, err) = lab.expect(0, &["store", "rebuild"]);
    assert!(err.contains("1 finished runs of the old store") && err.contains("emo.db.before-rebuild-1"), "{err}");
    assert_eq!(lab.json(&["report"]).as_array().unwrap().len(), 1);
    assert_eq!(lab.json(&["report", "--db", "results/emo.db.before-rebuild-1"]).as_array().unwrap().len(), 2);
}

#[test]
fn runs_without_a_store_are_pointed_to() {
    let lab = Lab::new();
    lab.ok(&["run", "small.toml"]);
    std::fs::remove_file(lab.path("results/emo.db")).unwrap();
    let (_, err) = lab.expect(4, &["report"]);
    assert!(err.contains("store rebuild"), "{err}");
    lab.ok(&["store", "rebuild"]);
    assert_eq!(lab.json(&["report"]).as_array().unwrap().len(), 1);
}
