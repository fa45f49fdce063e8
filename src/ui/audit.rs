//! What is wrong with a run's data, with thumbnails.

use std::path::Path;
use std::sync::Arc;

use maud::{PreEscaped, html};

use super::asked::Asked;
use super::frame::{Here, frame};
use super::{Answer, Refusal, Site};
use crate::config::{ImageSize, Interpolation, parse};
use crate::data::audit::audit;
use crate::data::cache::Dataset;
use crate::data::source::OpenSource;
use crate::data::split::{Shares, split};
use crate::report::audit::body;

/// Size of the thumbnails, the same as that of `data audit`, so that they share the cache.
const THUMBNAIL: ImageSize = ImageSize { height: 64, width: 64 };

/// `/runs/{id}/data`.
pub fn page(site: &Site, asked: &Asked) -> Answer {
    let detail = site.store()?.detail(asked.name("id"))?;
    let key = detail.summary.split_hash.clone().unwrap_or_else(|| detail.summary.id.clone());
    // Kept locked while it is made, so that two who ask at once do not both make it.
    let mut audits = site.audits.lock().map_err(|error| Refusal::Failed(error.to_string()))?;
    let found = match audits.get(&key) {
        Some(found) => Arc::clone(found),
        None => {
            let made = Arc::new(made(site, &detail.experiment, detail.summary.fingerprint.as_deref())?);
            audits.insert(key, Arc::clone(&made));
            made
        }
    };
    drop(audits);
    let page = html! {
        div.audit { (PreEscaped(found.as_str())) }
        p { a href={ "/runs/" (detail.summary.id) } { "Back to the run" } }
    };
    Ok(frame("Audit of data", Here::Other, &page))
}

fn made(site: &Site, experiment: &str, fingerprint: Option<&str>) -> Result<String, Refusal> {
    let failed = |error: &dyn std::fmt::Display| Refusal::Failed(error.to_string());
    let experiment = parse(experiment, Path::new("experiment.toml"), &[]).map_err(|error| failed(&error))?.experiment;
    let source = OpenSource::open(experiment.data().source(), experiment.data().classes());
    let source = source.map_err(|error| Refusal::Missing(format!("The data of the run cannot be read: {error}")))?;
    let dataset = Dataset::load(&source, THUMBNAIL, Interpolation::Bilinear, true, &site.results.cache(), &|_, _| {});
    let dataset = dataset.map_err(|error| Refusal::Missing(format!("The data of the run cannot be read: {error}")))?;
    if fingerprint.is_some_and(|known| known != dataset.fingerprint().to_string()) {
        return Err(Refusal::Missing("The data have changed since the run, so they are not shown.".to_owned()));
    }
    let labels: Vec<usize> = (0..dataset.len()).map(|image| dataset.label(image)).collect();
    let settings = experiment.split();
    let groups = settings.keep_duplicates_together().then(|| dataset.duplicate_groups());
    let shares = Shares { test: settings.test(), validation: settings.validation(), fold: None };
    let parts = split(&labels, groups.as_deref(), experiment.split_seed(), shares).map_err(|error| failed(&error))?;
    let found = audit(source.description(), source.classes(), &dataset, &parts);
    Ok(body(&found, None, &dataset))
}
