//! Promise: the page answers its own user only, gives out nothing but the store's own, and changes nothing unless told that it may.

mod support;

use std::fs;

use support::Lab;
use support::page::Page;

/// A lab with one run, and its id.
fn trained() -> (Lab, String) {
    let lab = Lab::new();
    lab.ok(&["run", "small.toml", "--db", "r/emo.db"]);
    let id = lab.run_folders("r")[0].file_name().unwrap().to_string_lossy().into_owned();
    (lab, id)
}

#[test]
fn foreign_hosts_and_origins_are_refused() {
    let (lab, id) = trained();
    let page = Page::open(&lab, &["--db", "r/emo.db", "--allow-edit"]);
    for path in ["/".to_owned(), format!("/runs/{id}"), "/assets/page.js".to_owned()] {
        let (status, text) = page.get(&path);
        assert_eq!(status, 200, "{path}");
        let head = text.split("\r\n\r\n").next().unwrap().to_lowercase();
        for header in
            ["content-security-policy: default-src 'none'; script-src 'self'", "x-content-type-options: nosniff"]
        {
            assert!(head.contains(header), "{path}: {head}");
        }
        assert!(!head.contains("unsafe-inline") && !head.contains("access-control"), "{head}");
        for host in ["host: evil.example\r\n", "", "host: 127.0.0.1:1\r\n"] {
            assert!(matches!(page.ask(&format!("GET {path}"), host, "").0, 400 | 403), "{path} {host}");
        }
        let foreign = format!("host: {}\r\norigin: http://evil.example\r\n", page.host);
        assert_eq!(page.ask(&format!("GET {path}"), &foreign, "").0, 403);
    }
    let edit = format!("/runs/{id}/annotation");
    assert_eq!(page.post(&edit, "http://evil.example", "note=harm"), 403);
    assert_eq!(page.post(&edit, "null", "note=harm"), 403);
    assert_eq!(page.ask(&format!("POST {edit}"), &format!("host: {}\r\n", page.host), "note=harm").0, 403);
    assert!(!page.get(&format!("/runs/{id}")).1.contains("harm"));
}

#[test]
fn only_files_of_runs_are_given_out() {
    let (lab, id) = trained();
    lab.write("secret.txt", "secret");
    let folder = lab.path(&format!("r/runs/{id}"));
    fs::write(folder.join("other.txt"), "secret").unwrap();
    fs::remove_file(folder.join("history.csv")).unwrap();
    std::os::unix::fs::symlink(lab.path("secret.txt"), folder.join("history.csv")).unwrap();
    let page = Page::open(&lab, &["--db", "r/emo.db"]);
    let (status, text) = page.get(&format!("/runs/{id}/files/predictions.csv"));
    let whole = fs::read_to_string(folder.join("predictions.csv")).unwrap();
    assert!(status == 200 && text.ends_with(&whole) && text.contains("attachment;"), "{text}");
    for name in [
        "other.txt",
        "history.csv",
        "..%2f..%2fsecret.txt",
        "%2e%2e/%2e%2e/secret.txt",
        "../../emo.db",
        ".",
        "",
        "%00",
        "%ff",
    ] {
        let (status, text) = page.get(&format!("/runs/{id}/files/{name}"));
        assert!(matches!(status, 400 | 404), "{name}: {status}");
        assert!(!text.contains("secret\n") && !text.ends_with("secret"), "{name}: {text}");
    }
    for path in
        ["/runs/..%2f..", "/runs/nothing", "/runs/nothing/plots/roc.svg", "/emo.db", "/compare", "/sweep?name=x"]
    {
        assert!(matches!(page.get(path).0, 400 | 404), "{path}");
    }
}

#[test]
fn nothing_is_changed_unless_allowed() {
    let (lab, id) = trained();
    let edit = format!("/runs/{id}/annotation");
    let page = Page::open(&lab, &["--db", "r/emo.db"]);
    assert_eq!(page.post(&edit, &format!("http://{}", page.host), "note=mine"), 403);
    drop(page);
    let page = Page::open(&lab, &["--db", "r/emo.db", "--allow-edit"]);
    let origin = format!("http://{}", page.host);
    assert_eq!(page.post(&edit, &origin, "tags=good%2C+odd&note=mine&archived=1"), 303);
    assert_eq!(page.post("/runs/nothing/annotation", &origin, "note=mine"), 404);
    assert_eq!(page.post(&edit, &origin, &format!("note={}", "x".repeat(30_000))), 400);
    assert_eq!(page.post(&edit, &origin, &format!("note={}", "x".repeat(300_000))), 413);
    assert!(!page.get("/").1.contains(&id));
    assert!(page.get("/?archived=1").1.contains(&id));
    drop(page);
    // What people wrote outlives the store.
    fs::remove_file(lab.path("r/emo.db")).unwrap();
    lab.ok(&["store", "rebuild", "--db", "r/emo.db"]);
    let page = Page::open(&lab, &["--db", "r/emo.db"]);
    let (_, text) = page.get(&format!("/runs/{id}"));
    assert!(text.contains("mine") && text.contains("good, odd") && text.contains("Archived."), "{text}");
}

#[test]
fn a_taken_port_and_a_missing_store_are_said() {
    let (lab, _) = trained();
    let page = Page::open(&lab, &["--db", "r/emo.db"]);
    let port = page.host.rsplit(':').next().unwrap();
    let (_, error) = lab.expect(1, &["ui", "--db", "r/emo.db", "--port", port]);
    assert!(error.contains(&page.host) && error.contains("--port"), "{error}");
    let (_, error) = lab.expect(4, &["ui", "--db", "nowhere/emo.db"]);
    assert!(error.contains("nowhere/emo.db"), "{error}");
}

#[test]
fn very_many_connections_make_it_wait_and_not_stop() {
    let (lab, _) = trained();
    let mut command = std::process::Command::new("bash");
    let script = "ulimit -n 48; exec \"$0\" ui --port 0 --db r/emo.db";
    command.args(["-c", script, env!("CARGO_BIN_EXE_emo-runner")]).current_dir(lab.path("")).env_remove("EMO_DB");
    let page = Page::of(command);
    let idle: Vec<_> = (0..100).filter_map(|_| std::net::TcpStream::connect(&page.host).ok()).collect();
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(idle.len() > 48, "more are waiting than it has files for");
    drop(idle);
    assert_eq!(page.get("/").0, 200);
}
