//! Promise: whatever is wrong is said with what, where and what to do, and with its exit code.

mod support;

use support::{Lab, SMALL};

#[test]
fn a_wrong_experiment_file_is_exit_code_2_and_shows_every_mistake() {
    let lab = Lab::new();
    lab.write("wrong.toml", &SMALL.replace("epochs = 4", "epoch = 4\nlearning_rate = 100"));
    let (_, err) = lab.expect(2, &["run", "wrong.toml"]);
    assert!(err.contains("unknown key \"epoch\" in [train]"), "{err}");
    assert!(err.contains("did you mean \"epochs\"?"), "{err}");
    assert!(err.contains("wrong.toml:19:1") && err.contains("wrong.toml:20:17"), "{err}");
    assert!(!lab.path("results").exists(), "nothing is made before the file is right");
}

#[test]
fn a_missing_file_and_a_folder_in_its_place_are_named() {
    let lab = Lab::new();
    let (_, err) = lab.expect(2, &["run", "nowhere.toml"]);
    assert!(err.contains("nowhere.toml") && err.contains("cannot be read"), "{err}");
    let (_, err) = lab.expect(2, &["check", "pictures"]);
    assert!(err.contains("this is a folder"), "{err}");
}

#[test]
fn an_image_too_small_for_the_network_names_the_layer_and_the_smallest_size() {
    let lab = Lab::new();
    lab.write("tutorial.toml", "[data]\nsource = \"builtin:emoji\"\nimage_size = [90, 500]\n");
    let (_, err) = lab.expect(2, &["run", "tutorial.toml"]);
    assert!(err.contains("layer `pool2`") && err.contains("91x91"), "{err}");
    lab.ok(&["check", "tutorial.toml", "--set", "data.image_size=[91,91]"]);
}

#[test]
fn data_that_cannot_be_read_are_exit_code_3() {
    let lab = Lab::new();
    let (_, err) = lab.expect(3, &["run", "small.toml", "--set", "data.source=nowhere"]);
    assert!(err.contains("nowhere") && err.contains("does not exist"), "{err}");
    let (_, err) = lab.expect(3, &["run", "small.toml", "--set", "data.classes=[\"Negative\",\"Neutral\"]"]);
    assert!(err.contains("Neutral"), "{err}");
}

#[test]
fn a_broken_image_is_named_counted_and_left_out_and_too_many_are_refused() {
    let lab = Lab::new();
    lab.write("pictures/Negative/picture 00.png", "this is no picture");
    let (_, err) = lab.expect(0, &["run", "small.toml"]);
    assert!(err.contains("1 images cannot be used") && err.contains("Negative/picture 00.png"), "{err}");
    lab.write("pictures/Negative/picture 01.png", "");
    lab.write("pictures/Positive/picture 02.png", "neither");
    let (_, err) = lab.expect(3, &["run", "small.toml"]);
    assert!(err.contains("more than 5 %") && err.contains("skip_broken"), "{err}");
    lab.expect(0, &["run", "small.toml", "--set", "data.skip_broken=true"]);
}

#[test]
fn a_backend_that_is_not_there_is_refused_before_anything_is_decoded() {
    let lab = Lab::new();
    let (_, err) = lab.expect(2, &["run", "small.toml", "--set", "backend=cuda"]);
    assert!(err.contains("`cuda`") && err.contains("backend = \"cpu\""), "{err}");
    assert!(!lab.path("results").exists());
}

#[test]
fn a_store_that_cannot_be_used_is_exit_code_4() {
    let lab = Lab::new();
    let (_, err) = lab.expect(4, &["report"]);
    assert!(err.contains("no store") && err.contains("emo-runner run"), "{err}");
    lab.write("text.db", "this is no database, whatever its name says; it is long enough to have a header, though.");
    let (_, err) = lab.expect(4, &["report", "--db", "text.db"]);
    assert!(err.contains("text.db"), "{err}");
    let sql = lab.sql("newer.db");
    sql.pragma_update(None, "user_version", 99).unwrap();
    let (_, err) = lab.expect(4, &["report", "--db", "newer.db"]);
    assert!(err.contains("newer emo-runner"), "{err}");
}

#[test]
fn the_doctor_does_not_panic_without_a_gpu() {
    let lab = Lab::new();
    let out = lab.ok(&["doctor"]);
    for part in ["flex: works", "cuda", "Store", "Cache", "Memory"] {
        assert!(out.contains(part), "{out}");
    }
}

#[test]
fn parameter_counts_are_those_of_the_published_network() {
    let lab = Lab::new();
    lab.write("tutorial.toml", "[data]\nsource = \"builtin:emoji\"\n");
    let parameters = |size: &str| {
        let size = format!("data.image_size={size}");
        lab.json(&["check", "tutorial.toml", "--set", &size])[0]["network"]["parameters"].clone()
    };
    assert_eq!(parameters("[400,500]"), 1_539_393);
    assert_eq!(parameters("[150,150]"), 425_281);
}

#[test]
fn the_shipped_experiments_and_the_schema_are_right() {
    let lab = Lab::new();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
    for folder in [root.clone(), root.join("study")] {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                lab.ok(&["check", entry.path().to_str().unwrap()]);
            }
        }
    }
    let schema: serde_json::Value = serde_json::from_str(&lab.ok(&["schema"])).unwrap();
    assert_eq!(schema["properties"]["seed"]["default"], 21);
    assert_eq!(schema["additionalProperties"], false);
}
