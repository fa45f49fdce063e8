//! `data audit`: what is wrong with the data.

use std::collections::HashMap;
use std::path::PathBuf;

use super::data::{From, advance, progress_bar};
use super::exit::{FAILED, Failure};
use super::{Global, open, print, print_json};
use crate::config::{ImageSize, Interpolation};
use crate::data::audit::audit;
use crate::data::cache::Dataset;
use crate::data::split::{Shares, split};
use crate::evaluate::suspects;
use crate::report::audit::{Doubt, html, words};
use crate::train::folder::write_atomically;

/// Size of the thumbnails, which is also that at which the data are kept for the audit.
const THUMBNAIL: ImageSize = ImageSize { height: 64, width: 64 };

/// Arguments of `data audit`.
#[derive(Debug, clap::Args)]
pub struct Audit {
    #[command(flatten)]
    from: From,
    /// Write the findings with thumbnails as one HTML file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Also list labels that the store's runs on these data do not believe, of images that they were not trained on.
    #[arg(long)]
    runs: bool,
}

/// Audits the data.
pub fn run(args: &Audit, global: &Global) -> Result<(), Failure> {
    let (experiment, source) = args.from.open()?;
    let cache = global.results().cache();
    let bar = progress_bar(global, "images read");
    let progress = |done: usize, total: usize| advance(&bar, done, total);
    let dataset = Dataset::load(&source, THUMBNAIL, Interpolation::Bilinear, true, &cache, &progress);
    bar.finish_and_clear();
    let dataset = dataset?;
    let labels: Vec<usize> = (0..dataset.len()).map(|image| dataset.label(image)).collect();
    let settings = experiment.split();
    let groups = settings.keep_duplicates_together().then(|| dataset.duplicate_groups());
    let shares = Shares { test: settings.test(), validation: settings.validation(), fold: None };
    let parts = split(&labels, groups.as_deref(), experiment.split_seed(), shares)?;
    let found = audit(source.description(), source.classes(), &dataset, &parts);
    let doubts = if args.runs { Some(doubts(global, &dataset)?) } else { None };
    if let Some(file) = &args.html {
        write_atomically(file, html(&found, doubts.as_deref(), &dataset).as_bytes())
            .map_err(|error| Failure::new(FAILED, format!("{} cannot be written: {error}.", file.display())))?;
    }
    if global.json {
        return print_json(&serde_json::json!({ "audit": found, "doubts": doubts }));
    }
    print(&words(&found, doubts.as_deref()))
}

/// Images whose label the runs of the store doubt.
fn doubts(global: &Global, dataset: &Dataset) -> Result<Vec<Doubt>, Failure> {
    let (_, store) = open::store(global)?;
    let believed = store.mean_predictions(&dataset.fingerprint().to_string())?;
    let places: HashMap<&str, usize> = (0..dataset.len()).map(|image| (dataset.name(image), image)).collect();
    let known: Vec<(usize, f64, usize)> =
        believed.iter().filter_map(|(name, mean, runs)| Some((*places.get(name.as_str())?, *mean, *runs))).collect();
    if known.is_empty() {
        return Err(Failure::run(
            "The store has no completed run on these data. Run a sweep with split.folds first, so that every image is a test \
             image once.",
        ));
    }
    let labels: Vec<bool> = known.iter().map(|&(image, ..)| dataset.label(image) == 1).collect();
    let probabilities: Vec<f64> = known.iter().map(|&(_, mean, _)| mean).collect();
    let doubt = |suspect: crate::evaluate::Suspect| {
        let (image, _, runs) = known[suspect.image];
        let (name, label) = (dataset.name(image).to_owned(), dataset.label(image));
        Doubt { image, name, label, probability: suspect.probability, runs }
    };
    Ok(suspects(&labels, &probabilities).into_iter().map(doubt).collect())
}
