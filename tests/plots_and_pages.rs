//! Promise: `plot` draws every picture as SVG and PNG, and a page of HTML needs nothing but itself. Names do no harm.

mod support;

use std::fs;

use support::{Lab, SMALL};

const NASTY: &str = r#"<script>alert(1)</script> & "quotes" 😀"#;

fn lab() -> Lab {
    let lab = Lab::new();
    let sweep = format!(
        "{SMALL}\n[split]\nvalidation = 0.25\n[sweep]\nrepeats = 2\n[sweep.axes]\n\"model.activation\" = [\"linear\", \"relu\"]\n\"train.batch_size\" = [4, 8]\n"
    );
    lab.write("many.toml", &sweep.replace("epochs = 4", "epochs = 1").replace("\"small\"", "\"many\""));
    lab.ok(&["run", "small.toml"]);
    lab
}

/// A picture that is neither empty nor of one colour.
fn looks_drawn(lab: &Lab, name: &str) {
    let picture = image::open(lab.path(name)).unwrap().to_rgb8();
    assert!(picture.width() >= 840 && picture.height() >= 500, "{name}: {}x{}", picture.width(), picture.height());
    let white = picture.pixels().filter(|pixel| pixel.0 == [255; 3]).count();
    let dark = picture.pixels().filter(|pixel| pixel.0.iter().all(|&value| value < 90)).count();
    let all = (picture.width() * picture.height()) as usize;
    assert!(white > all / 20 && dark > 200, "{name}: {white} white, {dark} dark of {all}");
}

#[test]
fn a_run_is_drawn_from_every_side() {
    let lab = lab();
    lab.ok(&["plot", "small", "--to", "plots"]);
    for name in
        ["history_loss", "history_accuracy", "confusion", "roc", "precision_recall", "probabilities", "reliability"]
    {
        looks_drawn(&lab, &format!("plots/{name}.png"));
        let svg = fs::read_to_string(lab.path(&format!("plots/{name}.svg"))).unwrap();
        assert!(svg.starts_with("<svg role=\"img\" aria-label=\"") && svg.contains("<text"), "{name}");
    }
    let auc = lab.json(&["show", "small"])["evaluation"]["auc"].as_f64().unwrap();
    assert!(fs::read_to_string(lab.path("plots/roc.svg")).unwrap().contains(&format!("AUC {auc:.3}")));
}

#[test]
fn a_sweep_is_drawn_and_paged() {
    let lab = lab();
    lab.ok(&["sweep", "many.toml"]);
    lab.ok(&["plot", "--where", "name = 'many'", "--to", "sweep"]);
    for name in ["trials", "effects", "parallel"] {
        looks_drawn(&lab, &format!("sweep/{name}.png"));
    }
    let effects = fs::read_to_string(lab.path("sweep/effects.svg")).unwrap();
    assert!(effects.contains("activation") && effects.contains("batch_size"), "its axes");
    lab.ok(&["report", "--html", "report.html"]);
    let page = fs::read_to_string(lab.path("report.html")).unwrap();
    assert!(page.contains("completed runs are better than always answering") && page.matches("<svg").count() == 3);
}

#[test]
fn a_page_needs_nothing_else_and_names_do_no_harm() {
    let lab = lab();
    let long = "x".repeat(100);
    for (file, name) in [("nasty.toml", NASTY), ("long.toml", long.as_str())] {
        let name_line =
            format!("description = \"{}\"\nname = {}", "&lt;<b>".repeat(1_400), serde_json::to_string(name).unwrap());
        let text = SMALL.replace("name = \"small\"", &name_line).replace("epochs = 4", "epochs = 1");
        lab.write(file, &text.replace("seed = 7", &format!("seed = {}", name.len())));
        lab.ok(&["run", file]);
        let page = format!("{file}.html");
        lab.ok(&["show", name, "--html", &page]);
        lab.ok(&["plot", name, "--to", "plots"]);
        let page = fs::read_to_string(lab.path(&page)).unwrap();
        assert!(!page.contains("<script") && !page.contains("src=\"http") && !page.contains("href=\"http"), "{file}");
        assert!(page.contains("To repeat it") && page.contains("Environment") && page.matches("<svg").count() >= 7);
    }
    lab.ok(&["report", "--html", "all.html"]);
    assert!(!fs::read_to_string(lab.path("all.html")).unwrap().contains("<script"));
    lab.ok(&["run", "small.toml", "--set", "name=other", "--set", "train.epochs=3"]);
    lab.ok(&["compare", "small", "other", "--html", "pair.html"]);
    assert!(fs::read_to_string(lab.path("pair.html")).unwrap().contains("disagree most"));
}

#[test]
fn what_cannot_be_drawn_is_said() {
    let lab = Lab::new();
    lab.expect(4, &["plot", "small", "--to", "plots"]);
    lab.ok(&["run", "small.toml"]);
    let (_, err) = lab.expect(1, &["plot", "--to", "plots"]);
    assert!(err.contains("two completed runs"), "{err}");
    fs::write(lab.path("file"), "").unwrap();
    let (_, err) = lab.expect(1, &["plot", "small", "--to", "file/plots"]);
    assert!(err.contains("cannot be written"), "{err}");
}
