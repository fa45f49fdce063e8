//! Promise: the page answers its own user only, gives out nothing but the store's own, and changes nothing unless told that it may.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use support::Lab;

/// A page that is being served.
struct Page {
    program: Child,
    host: String,
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

impl Page {
    fn open(lab: &Lab, arguments: &[&str]) -> Self {
        let mut command = lab.command(&[&["ui", "--port", "0"], arguments].concat());
        let mut program = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(program.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let host = address.trim().trim_start_matches("http://").trim_end_matches('/').to_owned();
        assert!(host.starts_with("127.0.0.1:"), "{address}");
        Self { program, host }
    }

    /// Status, and head and body together.
    fn ask(&self, request: &str, headers: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.host).unwrap();
        let length = body.len();
        write!(stream, "{request} HTTP/1.1\r\n{headers}connection: close\r\ncontent-length: {length}\r\n\r\n{body}")
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let text = String::from_utf8_lossy(&answer).into_owned();
        (text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap(), text)
    }

    fn get(&self, path: &str) -> (u16, String) {
        self.ask(&format!("GET {path}"), &format!("host: {}\r\n", self.host), "")
    }

    fn post(&self, path: &str, origin: &str, form: &str) -> u16 {
        let kind = "application/x-www-form-urlencoded";
        let headers = format!("host: {}\r\norigin: {origin}\r\ncontent-type: {kind}\r\n", self.host);
        self.ask(&format!("POST {path}"), &headers, form).0
    }
}

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
