//! Promise: every mistake in an experiment file is shown where it is, with what was expected and what to do.

use std::path::Path;

use emo_runner::config::{Source, parse};

fn mistakes(text: &str, overrides: &[&str]) -> String {
    let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
    parse(text, Path::new("x.toml"), &overrides).unwrap_err().render(false)
}

const GOOD: &str = "[data]\nsource = \"builtin:emoji\"\n";

#[test]
fn all_mistakes_of_a_file_are_shown_at_once() {
    let text = "[data]\nsource = \"builtin:emoji\"\n[train]\nepochs = 0\nlearning_rat = 1e-3\n\
                [model]\nactivation = \"rellu\"\nkernel = \"3\"\nbatch_size = 16\n";
    insta::assert_snapshot!(mistakes(text, &[]), @r#"
    error: expected an integer from 1 to 100000, found 0
     --> x.toml:4:10
      |
    4 | epochs = 0
      |          ^ an integer from 1 to 100000

    error: unknown key "learning_rat" in [train]
     --> x.toml:5:1
      |
    5 | learning_rat = 1e-3
      | ^^^^^^^^^^^^
      |
      = help: did you mean "learning_rate"?

    error: expected one of "linear", "relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid", found "rellu"
     --> x.toml:7:14
      |
    7 | activation = "rellu"
      |              ^^^^^^^
      |
      = help: did you mean "relu"?

    error: expected an integer from 1 to 31, found the string "3"
     --> x.toml:8:10
      |
    8 | kernel = "3"
      |          ^^^

    error: unknown key "batch_size" in [model]
     --> x.toml:9:1
      |
    9 | batch_size = 16
      | ^^^^^^^^^^
      |
      = help: "batch_size" belongs in [train]
    "#);
}

#[test]
fn a_mistake_in_an_override_is_shown_in_the_override() {
    insta::assert_snapshot!(mistakes(GOOD, &["data.source=builtin:emoij"]), @r#"
    error: there is no built-in data set "builtin:emoij"; there are builtin:emoji and builtin:faces
     --> --set:1:1
      |
    1 | data.source=builtin:emoij
      | ^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: did you mean "builtin:emoji"?
    "#);
    assert!(mistakes(GOOD, &["train.epochs"]).contains("an override is written key=value"));
    assert!(mistakes(GOOD, &["train.epoch=3"]).contains("did you mean \"epochs\"?"));
}

#[test]
fn values_that_do_not_go_together_are_refused() {
    let stopping = "[train]\nearly_stopping = { patience = 2 }\n";
    assert!(mistakes(&format!("{GOOD}{stopping}"), &[]).contains("early stopping needs a validation set"));
    assert!(mistakes(GOOD, &["train.weight_decay=0.1"]).contains("adamw"));
    assert!(mistakes(GOOD, &["data.classes=[\"A\",\"A\"]"]).contains("two different classes"));
    assert!(mistakes(GOOD, &["data.classes=[\"A\",\"../B\"]"]).contains("without a path"));
}

#[test]
fn every_range_is_held() {
    for wrong in [
        "seed=-1",
        "seed=1.5",
        "split.test=0",
        "split.test=1",
        "split.validation=-0.1",
        "augment.rotation=181",
        "augment.zoom=1",
        "augment.shear=nan",
        "model.conv=[]",
        "model.conv=[[]]",
        "model.conv=[[0]]",
        "model.kernel=0",
        "model.dropout=1",
        "model.pool=17",
        "train.batch_size=0",
        "train.learning_rate=0",
        "train.learning_rate=inf",
        "train.step_factor=0",
        "data.image_size=[100]",
        "data.image_size=[0,10]",
        "data.classes=[\"A\"]",
        "name=\"\"",
        "model.batch_norm=1",
        "backend=gpu",
        "train.early_stopping={patience=0}",
        "tags=[\"\"]",
        "data.skip_broken=yes",
    ] {
        let rendered = mistakes(GOOD, &[wrong]);
        assert!(rendered.contains("expected"), "{wrong}: {rendered}");
    }
}

#[test]
fn what_is_no_toml_and_what_is_missing_is_shown() {
    assert!(mistakes("[data\nsource = 1", &[]).contains("this is not TOML"));
    assert!(mistakes("seed = 1\n", &[]).contains("missing section [data]"));
    assert!(mistakes("[data]\n", &[]).contains("missing key \"source\" in [data]"));
    assert!(mistakes(&format!("{GOOD}[sweep]\nmethod = \"grid\"\n"), &[]).contains("emo-runner sweep"));
}

#[test]
fn the_published_settings_are_the_defaults_and_survive_being_written_out() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("experiments/baseline.toml");
    let loaded = emo_runner::config::load(&path, &[]).unwrap().experiment;
    let short = parse(GOOD, Path::new("baseline.toml"), &[]).unwrap().experiment;
    assert_eq!(loaded.model(), short.model());
    assert_eq!(loaded.train(), short.train());
    assert_eq!((loaded.seed(), loaded.split()), (short.seed(), short.split()));
    let again = parse(&loaded.to_toml(), Path::new("other.toml"), &[]).unwrap().experiment;
    assert_eq!(loaded, again);
}

#[test]
fn identity_depends_on_everything_but_names_and_places() {
    let canonical = |overrides: &[&str]| {
        let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
        parse(GOOD, Path::new("x.toml"), &overrides).unwrap().experiment.canonical_json()
    };
    let base = canonical(&[]);
    for same in ["name=other", "description=other", "tags=[\"other\"]", "data.source=elsewhere"] {
        assert_eq!(canonical(&[same]), base, "{same}");
    }
    for other in ["seed=1", "model.conv=[[8]]", "augment.zoom=0.1", "split.test=0.3", "backend=cuda"] {
        assert_ne!(canonical(&[other]), base, "{other}");
    }
}

#[test]
fn paths_start_at_the_file_and_in_overrides_at_the_working_directory() {
    let text = "[data]\nsource = \"pictures.ZIP\"\n";
    let source = |overrides: &[String]| {
        let loaded = parse(text, Path::new("/a/x.toml"), overrides).unwrap();
        loaded.experiment.data().source().clone()
    };
    assert_eq!(source(&[]), Source::Zip("/a/pictures.ZIP".into()));
    let here = std::env::current_dir().unwrap().join("b");
    assert_eq!(source(&["data.source=b".to_owned()]), Source::Folder(here));
}

#[test]
fn numbers_beyond_all_types_are_told_as_such() {
    let large = "99999999999999999999";
    for told in [
        mistakes(&format!("seed = {large}\n[data]\nsource = \"x\""), &[]),
        mistakes("[data]\nsource = \"x\"", &[&format!("seed={large}")]),
    ] {
        assert!(told.contains("the number is too large") && told.contains("9223372036854775807"), "{told}");
    }
    let told = mistakes("[data]\nsource = \"x\"", &["augment.zoom=1e300"]);
    assert!(told.contains("found 1e300"), "{told}");
}
