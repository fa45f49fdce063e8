//! Promise: much of everything is only more of the same: memory does not grow with the pictures, a million predictions and ten thousand
//! runs can be looked at, many sweeps share one store, and the page answers many readers while runs are written.
//!
//! The ordinary tests take small numbers; `just load` takes those of `docs/RELIABILITY.md` and prints what it measured.

mod support;

use std::fs;
use std::io::{BufReader, Cursor, Read, Write};
use std::net::TcpStream;
use std::process::Child;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::page::Page;
use support::{Lab, SMALL};

/// A size of the ordinary tests, or the full one.
fn size(small: usize, full: usize) -> usize {
    if std::env::var("EMO_LOAD").is_ok_and(|wanted| wanted == "full") { full } else { small }
}

/// Most anonymous memory that a program and its children hold at once while it runs, in bytes; pages of mapped files are the
/// system's to take back.
fn peak_of(mut program: Child) -> (Option<i32>, u64) {
    let mut peak = 0;
    loop {
        let ours = |pid: &u32| *pid == program.id() || parent(*pid) == Some(program.id());
        let pids = fs::read_dir("/proc").unwrap().flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok()).filter(ours);
        peak = peak.max(pids.map(anonymous).sum());
        if let Some(status) = program.try_wait().unwrap() {
            return (status.code(), peak);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn parent(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

fn anonymous(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
}

/// An archive of so many different pictures of 16x16 pixels.
fn archive(lab: &Lab, name: &str, images: usize) {
    let file = std::io::BufWriter::new(fs::File::create(lab.path(name)).unwrap());
    let mut zip = zip::ZipWriter::new(file);
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for number in 0..images {
        let bright = number % 2 == 1;
        let picture = image::RgbImage::from_fn(16, 16, |x, y| {
            let mixed = (x * 31 + y * 17).wrapping_add(number as u32 * 57).wrapping_mul(2_654_435_761);
            let inside = bright && (5..11).contains(&x) && (5..11).contains(&y);
            image::Rgb([((mixed >> 8) % 90) as u8 + if inside { 150 } else { 20 }; 3])
        });
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, image::ImageFormat::Bmp).unwrap();
        zip.start_file(format!("{}/{number:07}.bmp", ["Negative", "Positive"][usize::from(bright)]), options).unwrap();
        zip.write_all(bytes.get_ref()).unwrap();
    }
    zip.finish().unwrap().flush().unwrap();
}

#[test]
fn memory_does_not_grow_with_the_pictures() {
    let lab = Lab::new();
    let most = size(20_000, 100_000);
    let mut peaks = Vec::new();
    for images in [most / 10, most] {
        let name = format!("{images}.zip");
        archive(&lab, &name, images);
        let text = SMALL.replace("\"pictures\"", &format!("{name:?}")).replace("epochs = 4", "epochs = 1");
        lab.write("many.toml", &text.replace("batch_size = 8", "batch_size = 64"));
        let begun = Instant::now();
        let run = lab.command(&["run", "many.toml", "--quiet"]).stdout(std::process::Stdio::null()).spawn().unwrap();
        let (code, peak) = peak_of(run);
        assert_eq!(code, Some(0));
        println!("{images} images: {:.1} s, {} MB at most", begun.elapsed().as_secs_f64(), peak / 1_000_000);
        peaks.push(peak as f64);
    }
    // Names, labels, hashes and probabilities stay, and are written into the event file and the store; pixels do not.
    let each = (peaks[1] - peaks[0]) / (most - most / 10) as f64;
    println!("{each:.0} bytes an image");
    assert!(each < 4_000.0, "{each} bytes for each image: {peaks:?}");
}

/// The event file of a run with as many test images as wanted, made from that of a real one.
fn with_many_predictions(lab: &Lab, images: usize) {
    lab.ok(&["run", "small.toml"]);
    let path = lab.run_folders("results")[0].join("events.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let mut file = std::io::BufWriter::new(fs::File::create(&path).unwrap());
    let probability = |number: usize| (number.wrapping_mul(2_654_435_761) % 1_000_003) as f64 / 1_000_003.0;
    for line in text.lines() {
        let mut line: Value = serde_json::from_str(line).unwrap();
        if line["event"] == "data" {
            line["images"] = (0..images)
                .map(|number| {
                    json!({"name": format!("Positive/{number}.png"), "label": number % 2, "part": "test", "content_hash": "00"})
                })
                .collect();
        }
        if line["event"] == "completed" {
            line["predictions"] = (0..images)
                .map(|number| {
                    let lift = if number % 2 == 1 { 0.2 } else { 0.0 };
                    json!({"name": format!("Positive/{number}.png"), "label": number % 2, "probability": 0.8 * probability(number) + lift})
                })
                .collect();
        }
        serde_json::to_writer(&mut file, &line).unwrap();
        file.write_all(b"\n").unwrap();
    }
}

#[test]
fn a_million_predictions_can_be_looked_at() {
    let lab = Lab::new();
    let images = size(20_000, 1_000_000);
    with_many_predictions(&lab, images);
    let timed = |arguments: &[&str]| {
        let begun = Instant::now();
        let program = lab.start(arguments);
        let (code, peak) = peak_of(program);
        assert_eq!(code, Some(0), "{arguments:?}");
        println!(
            "{images} predictions, {arguments:?}: {:.1} s, {} MB",
            begun.elapsed().as_secs_f64(),
            peak / 1_000_000
        );
    };
    timed(&["store", "rebuild"]);
    let rows: i64 =
        lab.sql("results/emo.db").query_row("SELECT count(*) FROM predictions", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, images as i64);
    timed(&["report"]);
    timed(&["show", "small"]);
    timed(&["show", "small", "--html", "run.html"]);
    timed(&["plot", "small", "--to", "plots"]);
    timed(&["compare", "small", "small"]);
    timed(&["export", "--to", "csv", "--out", "csv"]);
    timed(&["export", "--to", "parquet", "--out", "parquet"]);
    let page = fs::metadata(lab.path("run.html")).unwrap().len();
    println!("run.html has {page} bytes");
    assert!(page < 20_000_000, "a page that a browser can open: {page}");
    let lines = BufReader::new(fs::File::open(lab.path("csv/predictions.csv")).unwrap());
    assert_eq!(std::io::BufRead::lines(lines).count(), images + 1);
}

/// A sweep of runs that take a moment.
fn sweep_file(name: &str, runs: usize, first_seed: usize) -> String {
    let text = SMALL.replace("\"small\"", &format!("{name:?}")).replace("epochs = 4", "epochs = 1");
    let text = text.replace("seed = 7", &format!("seed = {first_seed}")).replace("batch_size = 8", "batch_size = 32");
    format!("{text}[sweep]\nrepeats = {runs}\n")
}

fn completed(lab: &Lab) -> i64 {
    let store = lab.sql("results/emo.db");
    store.busy_timeout(Duration::from_secs(60)).unwrap();
    store.query_row("SELECT count(*) FROM runs WHERE status = 'completed'", [], |row| row.get(0)).unwrap()
}

#[test]
fn a_sweep_of_very_many_runs_is_done_once() {
    let lab = Lab::new();
    let runs = size(40, 10_000);
    lab.write("many.toml", &sweep_file("many", runs, 1));
    for _ in 0..2 {
        let begun = Instant::now();
        let (code, peak) = peak_of(lab.start(&["sweep", "many.toml", "--quiet"]));
        assert_eq!(code, Some(0));
        let seconds = begun.elapsed().as_secs_f64();
        println!("{runs} runs: {seconds:.1} s, {:.1} ms a run, {} MB", seconds * 1e3 / runs as f64, peak / 1_000_000);
        assert_eq!(completed(&lab), runs as i64);
    }
    let attempts: i64 =
        lab.sql("results/emo.db").query_row("SELECT sum(attempt) FROM runs", [], |row| row.get(0)).unwrap();
    assert_eq!(attempts, runs as i64, "the second time there is nothing to do");
    let begun = Instant::now();
    lab.ok(&["report", "--best"]);
    println!("report --best: {:.2} s", begun.elapsed().as_secs_f64());
}

#[test]
fn eight_sweeps_at_once_share_a_store() {
    let lab = Lab::new();
    let runs = size(6, 100);
    // Each shares half of its runs with the next one.
    for sweep in 0..8 {
        lab.write(&format!("s{sweep}.toml"), &sweep_file("shared", runs, 1 + sweep * runs / 2));
    }
    let begun = Instant::now();
    let sweeps: Vec<Child> =
        (0..8).map(|sweep| lab.start_piped(&["sweep", &format!("s{sweep}.toml"), "--jobs", "2", "--quiet"])).collect();
    for sweep in sweeps {
        let (code, out, err) = lab.finish(sweep);
        assert_eq!(code, Some(0), "{out}{err}");
    }
    let different = 9 * (runs / 2) as i64;
    println!("8 sweeps, {different} runs: {:.1} s", begun.elapsed().as_secs_f64());
    assert_eq!(completed(&lab), different);
    for folder in lab.run_folders("results") {
        let text = fs::read_to_string(folder.join("events.jsonl")).unwrap();
        assert_eq!(text.matches("\"event\":\"completed\"").count(), 1, "{folder:?}");
    }
    let sound: String = lab.sql("results/emo.db").query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
}

/// One request on a connection of its own: status and seconds.
fn ask(host: &str, path: &str) -> (u16, f64) {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let status = String::from_utf8_lossy(&answer[..answer.len().min(64)]).split(' ').nth(1).unwrap().parse().unwrap();
    (status, begun.elapsed().as_secs_f64())
}

#[test]
fn the_page_answers_many_readers_while_a_sweep_writes() {
    let lab = Lab::new();
    lab.ok(&["run", "small.toml"]);
    let id = lab.run_folders("results")[0].file_name().unwrap().to_string_lossy().into_owned();
    let (readers, requests) = (size(24, 200), size(5, 25));
    lab.write("writes.toml", &sweep_file("writes", size(30, 600), 100));
    let page = Page::open(&lab, &[]);
    let sweep = lab.start_piped(&["sweep", "writes.toml", "--quiet"]);
    let paths = ["/".to_owned(), format!("/runs/{id}"), "/?q=small&sort=accuracy".to_owned()];
    let mut times: Vec<f64> = std::thread::scope(|scope| {
        let (paths, page) = (&paths, &page);
        let readers: Vec<_> = (0..readers)
            .map(|reader| {
                scope.spawn(move || {
                    let path = |request: usize| &paths[(reader + request) % paths.len()];
                    let asked = (0..requests).map(|request| (path(request), ask(&page.host, path(request))));
                    asked.map(|(path, (status, seconds))| (path.clone(), status, seconds)).collect::<Vec<_>>()
                })
            })
            .collect();
        let answers = readers.into_iter().flat_map(|reader| reader.join().unwrap());
        answers.map(|(path, status, seconds)| (assert_eq!(status, 200, "{path}"), seconds).1).collect()
    });
    let (code, _, err) = lab.finish(sweep);
    assert_eq!(code, Some(0), "{err}");
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!(
        "{} answers to {readers} readers: median {:.3} s, 99 % within {:.3} s, the longest {:.3} s",
        times.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
    assert_eq!(times.len(), readers * requests);
}
