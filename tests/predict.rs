//! Promise: `predict` says of images what the run itself said of them, and what is wrong with those that it cannot use.

mod support;

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::process::Stdio;

use serde_json::Value;
use support::Lab;

fn lines(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn lab() -> Lab {
    let lab = Lab::new();
    lab.ok(&["run", "small.toml", "--set", "split.validation=0.25"]);
    lab
}

#[test]
fn a_folder_gets_the_same_probabilities_as_in_the_run() {
    let lab = lab();
    let found = lines(&lab.ok(&["predict", "small", "pictures"]));
    assert_eq!(found.len(), 40);
    let by_name: HashMap<&str, &Value> = found.iter().map(|line| (line["image"].as_str().unwrap(), line)).collect();
    let run = lab.json(&["show", "small"])["summary"]["id"].as_str().unwrap().to_owned();
    let mut reader = csv::Reader::from_path(lab.path("results/runs").join(run).join("predictions.csv")).unwrap();
    let mut tested = 0;
    for row in reader.records().map(Result::unwrap) {
        let line = by_name[format!("pictures/{}", &row[0]).as_str()];
        let probability: f64 = row[2].parse().unwrap();
        assert_eq!(line["probabilities"]["Positive"].as_f64().unwrap(), probability, "{}", &row[0]);
        assert_eq!(line["label"] == "Positive", probability >= 0.5);
        assert_eq!(line["probability"], line["probabilities"][line["label"].as_str().unwrap()]);
        tested += 1;
    }
    assert_eq!(tested, 8);
}

#[test]
fn stdin_is_an_image_or_names() {
    let lab = lab();
    let picture = "pictures/Positive/picture 03.png";
    let direct = lines(&lab.ok(&["predict", "small", picture]));
    for input in [fs::read(lab.path(picture)).unwrap(), format!("{picture}\n").into_bytes()] {
        let mut command = lab.command(&["predict", "small", "-"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&input).unwrap();
        let out = child.wait_with_output().unwrap();
        let found = lines(&String::from_utf8(out.stdout).unwrap());
        assert_eq!(found[0]["probabilities"], direct[0]["probabilities"]);
    }
}

#[test]
fn what_cannot_be_used_says_why_and_the_others_go_on() {
    let lab = lab();
    fs::write(lab.path("pictures/broken.png"), b"no picture").unwrap();
    let (out, err) = lab.expect(3, &["predict", "small", "pictures", "pictures/Positive/none.png"]);
    let found = lines(&out);
    assert_eq!(found.len(), 42);
    assert_eq!(found.iter().filter(|line| line["error"].is_string()).count(), 2);
    assert!(err.contains("2 images cannot be used"), "{err}");
    let (_, err) = lab.expect(2, &["predict", "small", "pictures", "--threshold", "high"]);
    assert!(err.contains("a number from 0 to 1"), "{err}");
    lab.expect(3, &["predict", "small", "nowhere"]);
    assert_eq!(lines(&lab.ok(&["predict", "small", "pictures/Positive", "--threshold", "tuned"])).len(), 20);
}
