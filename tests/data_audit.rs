//! Promise: `data audit` finds duplicates, contradictions and leakage, and tells the accuracy that the labels allow.

mod support;

use std::collections::HashMap;
use std::fs;

use serde_json::Value;
use support::Lab;

/// 600 drawn faces, one in five a near-duplicate, one label in five wrong, with the truth about them.
fn faces() -> (Lab, HashMap<String, (String, bool)>) {
    let lab = Lab::new();
    let planted = ["--images", "600", "--label-noise", "0.2", "--duplicates", "0.2", "--seed", "5"];
    lab.ok(&[&["data", "synthesize", "--to", "faces"][..], &planted].concat());
    let mut reader = csv::Reader::from_path(lab.path("faces/truth.csv")).unwrap();
    let truth = reader.records().map(|row| {
        let row = row.unwrap();
        let original = if row[4].is_empty() { row[0].to_owned() } else { row[4].to_owned() };
        (row[0].to_owned(), (original, row[3].parse::<u8>().map_or(&row[3] == "true", |wrong| wrong == 1)))
    });
    (lab, truth.collect())
}

fn names(group: &Value) -> Vec<String> {
    group["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[test]
fn planted_near_duplicates_are_found_and_nothing_else_is_taken_for_one() {
    let (lab, truth) = faces();
    let audit = lab.json(&["data", "audit", "faces"])["audit"].clone();
    let mut group_of = HashMap::new();
    for (number, group) in audit["groups"].as_array().unwrap().iter().enumerate() {
        let originals: Vec<&String> = names(group).iter().map(|name| &truth[name].0).collect();
        assert!(originals.windows(2).all(|pair| pair[0] == pair[1]), "different faces: {group}");
        group_of.extend(names(group).into_iter().map(|name| (name, number)));
    }
    let planted: Vec<_> = truth.iter().filter(|(name, (original, _))| *name != original).collect();
    let found = planted.iter().filter(|(name, (original, _))| {
        group_of.get(*name).is_some_and(|number| group_of.get(original) == Some(number))
    });
    let found = found.count();
    assert!(planted.len() == 120 && found >= 90, "{found} of {}", planted.len());
}

#[test]
fn the_ceiling_is_that_of_the_planted_label_noise() {
    let (lab, truth) = faces();
    let ceiling = lab.json(&["data", "audit", "faces"])["audit"]["ceiling"].clone();
    let wrong = truth.values().filter(|(_, wrong)| *wrong).count() as f64 / truth.len() as f64;
    assert!((wrong - 0.2).abs() < 0.01);
    let end = |name: &str| ceiling["interval"][name].as_f64().unwrap();
    assert!(end("low") < 0.8 && 0.8 < end("high"), "{ceiling}");
    assert!(lab.ok(&["data", "audit", "faces"]).contains("no classifier can be right more often than that on average"));
}

#[test]
fn a_leaking_split_is_told_and_keeping_duplicates_together_stops_it() {
    let (lab, _) = faces();
    let audit = lab.json(&["data", "audit", "faces"])["audit"].clone();
    let leaked = audit["leaked"].as_array().unwrap().len();
    assert!(leaked > 10, "{leaked}");
    let text = support::SMALL.replace("pictures", "faces").replace("epochs = 4", "epochs = 1");
    lab.write("leaky.toml", &text);
    lab.write("tight.toml", &format!("{text}\n[split]\nkeep_duplicates_together = true\n"));
    let leaky = lab.ok(&["run", "leaky.toml"]);
    assert!(leaky.contains("test images look like a training image"), "{leaky}");
    assert!(leaky.contains("\nCeiling ") && lab.ok(&["report"]).contains("ceiling"), "{leaky}");
    assert!(!lab.ok(&["run", "tight.toml"]).contains("look like a training image"));
    assert!(lab.ok(&["data", "audit", "tight.toml"]).contains("0 of "));
}

#[test]
fn exact_copies_contradictions_and_odd_images_are_named() {
    let lab = Lab::new();
    let folder = lab.path("pictures");
    fs::copy(folder.join("Negative/picture 00.png"), folder.join("Positive/copied.png")).unwrap();
    image::RgbImage::from_pixel(300, 40, image::Rgb([250; 3])).save(folder.join("Negative/blank.png")).unwrap();
    image::RgbImage::from_fn(64, 64, |x, y| image::Rgb([((x + y) % 23) as u8; 3]))
        .save(folder.join("Negative/dark.png"))
        .unwrap();
    fs::write(folder.join("Negative/broken.png"), b"no picture").unwrap();
    let audit = lab.json(&["data", "audit", "pictures"])["audit"].clone();
    assert_eq!(audit["exact_duplicates"], 1);
    assert_eq!(audit["broken"][0]["name"], "Negative/broken.png");
    let contradicting = audit["groups"]
        .as_array()
        .unwrap()
        .iter()
        .find(|group| names(group).len() >= 2 && { names(group).contains(&"Positive/copied.png".to_owned()) });
    assert!(names(contradicting.unwrap()).contains(&"Negative/picture 00.png".to_owned()));
    let odd: HashMap<String, String> = audit["odd"]
        .as_array()
        .unwrap()
        .iter()
        .map(|odd| (odd["name"].as_str().unwrap().to_owned(), odd["reason"].as_str().unwrap().to_owned()))
        .collect();
    assert!(odd["Negative/blank.png"].contains("squeezed: 300x40 pixels, blank"), "{odd:?}");
    assert!(odd["Negative/dark.png"].contains("dark"), "{odd:?}");
    assert!(odd["Negative/picture 01.png"].contains("tiny: 20x18 pixels"), "{odd:?}");
}

#[test]
fn runs_doubt_planted_wrong_labels_more_than_right_ones() {
    let lab = Lab::new();
    lab.pictures("pictures", 60);
    // Six bright pictures are called Negative.
    for number in 0..6 {
        let name = format!("picture {number:02}.png");
        fs::rename(
            lab.path("pictures/Positive").join(&name),
            lab.path("pictures/Negative").join(format!("wrong {name}")),
        )
        .unwrap();
    }
    let folds = support::SMALL.replace("epochs = 4", "epochs = 40");
    lab.write("folds.toml", &format!("{folds}\n[split]\nfolds = 5\n"));
    let (_, err) = lab.expect(4, &["data", "audit", "pictures", "--runs", "--db", "none/emo.db"]);
    assert!(err.contains("no store"), "{err}");
    lab.ok(&["sweep", "folds.toml"]);
    let doubts = lab.json(&["data", "audit", "pictures", "--runs"])["doubts"].clone();
    let doubts = doubts.as_array().unwrap();
    // How many are wrong is an estimate by itself; those it names are.
    let planted = doubts.iter().filter(|doubt| doubt["name"].as_str().unwrap().contains("wrong")).count();
    assert!(planted >= 3 && planted == doubts.len(), "{doubts:?}");
}

#[test]
fn the_page_holds_everything_itself() {
    let (lab, _) = faces();
    lab.ok(&["data", "audit", "faces", "--html", "audit.html"]);
    let page = fs::read_to_string(lab.path("audit.html")).unwrap();
    assert!(page.contains("The same picture with both labels") && page.matches("<img").count() > 20);
    assert!(!page.contains("<script") && !page.contains("http"), "it needs nothing from elsewhere");
}
