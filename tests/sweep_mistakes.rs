//! Promise: a mistake in a sweep is shown where it is, before anything runs.

mod support;

use support::{Lab, SMALL};

/// What the program says to a file with this added.
fn said(text: &str) -> String {
    let lab = Lab::new();
    lab.write("x.toml", &format!("{SMALL}\n{text}"));
    let (_, err) = lab.expect(2, &["sweep", "x.toml"]);
    assert!(lab.run_folders("results").is_empty());
    err
}

#[test]
fn mistakes_in_axes_are_shown_at_the_value() {
    insta::assert_snapshot!(said("[sweep.axes]\n\"train.learning_rat\" = [0.1, 0.2]\n\"train.epochs\" = [1, 0, \"two\"]\n"), @r#"
    error: unknown key "learning_rat" in [train]
      --> x.toml:23:1
       |
    23 | "train.learning_rat" = [0.1, 0.2]
       | ^^^^^^^^^^^^^^^^^^^^
       |
       = help: did you mean "learning_rate"?

    error: expected an integer from 1 to 100000, found 0
      --> x.toml:24:22
       |
    24 | "train.epochs" = [1, 0, "two"]
       |                      ^ an integer from 1 to 100000

    error: expected an integer from 1 to 100000, found the string "two"
      --> x.toml:24:25
       |
    24 | "train.epochs" = [1, 0, "two"]
       |                         ^^^^^
    "#);
}

#[test]
fn a_grid_needs_lists_and_a_range_its_two_ends() {
    let range = "[sweep.axes]\n\"train.learning_rate\" = { log_uniform = [1e-4, 1e-2] }\n";
    assert!(said(range).contains("a grid needs a list of values"), "{}", said(range));
    let method = "[sweep]\nmethod = \"random\"\n[sweep.axes]\n";
    let wrong = said(&format!("{method}\"train.learning_rate\" = {{ log_uniform = [1e-2, 1e-4] }}\n"));
    assert!(wrong.contains("the smaller number first"), "{wrong}");
    let wrong = said(&format!("{method}\"train.epochs\" = {{ uniform = [1, 4] }}\n"));
    assert!(wrong.contains("is a whole number"), "{wrong}");
    let wrong = said(&format!("{method}\"train.learning_rate\" = 0.1\n"));
    assert!(wrong.contains("an axis has several values"), "{wrong}");
    assert!(said("[sweep]\nmethod = \"random\"\n").contains("random needs at least one axis"));
}

#[test]
fn zipped_axes_need_equally_many_values() {
    let axes = "[sweep.axes]\n\"train.epochs\" = [1, 2]\n\"train.batch_size\" = [1, 2, 3]\n";
    let wrong = said(&format!("[sweep]\nzip = [\"train.epochs\", \"train.batch_size\"]\n{axes}"));
    assert!(wrong.contains("\"train.epochs\" has 2, \"train.batch_size\" has 3"), "{wrong}");
    let wrong = said(&format!("[sweep]\nzip = [\"train.epochs\", \"model.kernel\"]\n{axes}"));
    assert!(wrong.contains("\"model.kernel\" is no axis"), "{wrong}");
}

#[test]
fn values_that_do_not_fit_together_name_their_point() {
    let wrong = said("[sweep.axes]\n\"train.weight_decay\" = [0.0, 0.1]\n");
    assert!(wrong.contains("adam has no weight decay (at the point weight_decay=0.1)"), "{wrong}");
    let wrong = said("[sweep.axes]\n\"model.conv\" = [[[4]], [[4, 4, 4], [8, 8]]]\n");
    assert!(wrong.contains("too small for this network") && wrong.contains("conv=[[4,4,4],[8,8]]"), "{wrong}");
}

#[test]
fn choosing_needs_a_validation_set() {
    let wrong = said("[sweep]\nmethod = \"tpe\"\n[sweep.axes]\n\"train.epochs\" = { int = [1, 3] }\n");
    assert!(wrong.contains("going by val_auc needs a validation set"), "{wrong}");
    let wrong = said("[sweep.pruner]\nkind = \"asha\"\n");
    assert!(wrong.contains("going by val_auc needs a validation set"), "{wrong}");
}

#[test]
fn run_refuses_what_means_several_runs() {
    let lab = Lab::new();
    lab.write("x.toml", &format!("{SMALL}\n[split]\nfolds = 3\n"));
    let (_, err) = lab.expect(2, &["run", "x.toml"]);
    assert!(err.contains("cross-validation means 3 runs") && err.contains("--set split.fold=1"), "{err}");
    lab.ok(&["run", "x.toml", "--set", "split.fold=2"]);
}

#[test]
fn extends_says_what_it_cannot_find_and_where_it_goes_in_circles() {
    let lab = Lab::new();
    lab.write("a.toml", "extends = \"b.toml\"\n");
    lab.write("b.toml", "extends = \"a.toml\"\n");
    assert!(lab.expect(2, &["run", "a.toml"]).1.contains("extends this file, which extends it"));
    lab.write("c.toml", "extends = \"nowhere.toml\"\n");
    assert!(lab.expect(2, &["run", "c.toml"]).1.contains("cannot be read"));
    lab.write("base.toml", &SMALL.replace("epochs = 4", "epochs = 0"));
    lab.write("d.toml", "extends = \"base.toml\"\n");
    let (_, err) = lab.expect(2, &["run", "d.toml"]);
    assert!(err.contains("base.toml:19"), "shown where it is written: {err}");
}

#[test]
fn an_override_of_an_axis_is_refused() {
    let lab = Lab::new();
    lab.write("x.toml", &format!("{SMALL}\n[sweep.axes]\n\"train.epochs\" = [1, 2]\n"));
    let (_, err) = lab.expect(2, &["sweep", "x.toml", "--set", "train.epochs=3"]);
    assert!(err.contains("\"train.epochs\" is an axis"), "{err}");
    lab.ok(&["sweep", "x.toml", "--set", "sweep.axes={ \"train.epochs\" = [1] }"]);
    assert_eq!(lab.run_folders("results").len(), 1);
}

#[test]
fn an_empty_folder_and_a_missing_path_are_named() {
    let lab = Lab::new();
    std::fs::create_dir(lab.path("empty")).unwrap();
    assert!(lab.expect(2, &["sweep", "empty"]).1.contains("no experiment file in empty"));
    assert!(lab.expect(2, &["sweep", "nowhere"]).1.contains("nowhere cannot be read"));
}

#[test]
fn an_axis_without_meaning_is_refused() {
    let twice = said("[sweep.axes]\n\"train.learning_rate\" = [1e-3, 3e-3, 1e-3]\n");
    assert!(twice.contains("this value stands twice"), "{twice}");
    let itself = said("[sweep.axes]\n\"sweep.repeats\" = [1, 2]\n");
    assert!(itself.contains("a sweep cannot vary itself"), "{itself}");
    for odd in ["{}", "{ int = [1, 2], step = 0 }", "{ uniform = [1, 2], int = [1, 2] }"] {
        let told = said(&format!("[sweep.axes]\n\"train.epochs\" = {odd}\n"));
        assert!(told.contains("expected one kind of range"), "{odd}: {told}");
    }
}
