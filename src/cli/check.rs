//! `check`: experiment files, without running them.

use std::path::{Path, PathBuf};

use super::exit::{Failure, USAGE};
use super::{Global, open, print, print_json};
use crate::config::load_sweep;
use crate::model::shapes::{Shapes, shapes};
use crate::report::progress::thousands;
use crate::schedule::plan;

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Experiment files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Override a key, for example train.epochs=3; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

/// Checks every file and prints what each amounts to.
pub fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let mut wrong = 0;
    let mut good = Vec::new();
    for file in &args.files {
        match several(file, &args.overrides) {
            Ok(Some(runs)) if global.json => good.push(serde_json::json!({ "file": file, "runs": runs })),
            Ok(Some(runs)) => print(&format!("{}: ok, a sweep of {runs} runs\n", file.display()))?,
            Ok(None) => {
                let experiment = open::experiment(file, &args.overrides)?;
                let Ok(shapes) = shapes(experiment.model(), experiment.data().image_size()) else { continue };
                if global.json {
                    good.push(serde_json::json!({ "file": file, "experiment": experiment, "network": shapes }));
                } else {
                    print(&format!("{}: ok\n{}", file.display(), layers(&shapes)))?;
                }
            }
            Err(failure) => {
                failure.print();
                wrong += 1;
            }
        }
    }
    if global.json {
        print_json(&good)?;
    }
    if wrong > 0 { Err(Failure::silent(USAGE)) } else { Ok(()) }
}

/// The number of runs of a file that means several.
fn several(file: &Path, overrides: &[String]) -> Result<Option<usize>, Failure> {
    let loaded = load_sweep(file, overrides)?;
    if loaded.sweep().is_none() && loaded.folds() == [0] {
        open::experiment(file, overrides)?;
        return Ok(None);
    }
    Ok(Some(plan::check(loaded)?))
}

fn layers(shapes: &Shapes) -> String {
    let mut text = String::new();
    for layer in &shapes.layers {
        let output: Vec<String> = layer.output.iter().map(usize::to_string).collect();
        text += &format!("  {:10}  {:>14}  {:>10}\n", layer.name, output.join("x"), thousands(layer.parameters));
    }
    text + &format!("  {:10}  {:>14}  {:>10}\n", "parameters", "", thousands(shapes.parameters))
}
