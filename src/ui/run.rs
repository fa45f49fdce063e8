//! A run's page, which follows it while it trains.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use maud::{Markup, html};

use super::asked::Asked;
use super::files::{links, svg};
use super::frame::{Here, frame};
use super::{Answer, Refusal, Site, edit};
use crate::config::parse;
use crate::events::{Event, Line};
use crate::report::html::run_body;
use crate::report::plot::{self, Plot};
use crate::report::summary::percent;
use crate::schedule::queue::title;
use crate::store::RunDetail;

/// Bytes at the end of an event file in which its last lines are looked for.
const TAIL: u64 = 64 * 1024;

/// In place of images that cannot be shown.
const GONE: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 60"><text x="16" y="36" font-family="sans-serif"
    font-size="16" fill="#1c1c1c">The images are not shown: they are gone, or have changed since the run.</text></svg>"##;

/// `/runs/{id}`.
pub fn page(site: &Site, asked: &Asked) -> Answer {
    let store = site.store()?;
    let id = store.resolve(asked.name("id"))?;
    let detail = store.detail(&id)?;
    let running = detail.summary.status == "running";
    let live = running || detail.summary.status == "planned";
    let mut plots =
        plot::of_run(&detail, &store.predictions(&id)?).map_err(|error| Refusal::Failed(error.to_string()))?;
    if detail.evaluation.as_ref().is_some_and(|found| found.accuracy < 1.0) {
        plots.push(Plot { name: "mistakes", caption: "The surest mistakes.".to_owned(), svg: String::new() });
    }
    // Another number of epochs is another picture.
    let version = detail.epochs.len();
    let pictures = pictures(&plots, &format!("/runs/{id}/plots"), &format!("v={version}"));
    let body = html! {
        div #live data-live[live] {
            @if running { (progress(site, &detail)) }
            (run_body(&detail, &pictures))
            (links(site, &id, &detail))
        }
        (edit::form(site, &id, &store.annotation(&id)?))
    };
    Ok(frame(&title(&detail.summary.name, &detail.summary.point), Here::Other, &body))
}

/// Plots that the browser asks for one by one.
pub fn pictures(plots: &[Plot], folder: &str, query: &str) -> Markup {
    html! {
        @if !plots.is_empty() {
            h2 { "Plots" }
            div.plots { @for plot in plots {
                @let file = format!("{folder}/{}.svg?{query}", plot.name);
                figure.wide[matches!(plot.name, "mistakes" | "parallel" | "effects")] {
                    a href=(file) { img src=(file) alt=(plot.caption) loading="lazy"; }
                    figcaption { (plot.caption) }
                }
            } }
        }
    }
}

/// `/runs/{id}/plots/{plot}`.
pub fn plot(site: &Site, asked: &Asked) -> Answer {
    let store = site.store()?;
    let detail = store.detail(asked.name("id"))?;
    let predictions = store.predictions(&detail.summary.id)?;
    let name = asked.name("plot").trim_end_matches(".svg");
    let found = if name == "mistakes" {
        plot::mistakes_of(&site.results.cache(), &detail, &predictions)
            .map_or_else(|| GONE.to_owned(), |plot| plot.svg)
            .into()
    } else {
        let plots = plot::of_run(&detail, &predictions).map_err(|error| Refusal::Failed(error.to_string()))?;
        plots.into_iter().find(|plot| plot.name == name).map(|plot| plot.svg)
    };
    found.map(svg).ok_or_else(|| Refusal::Missing(format!("There is no plot “{name}” of this run.")))
}

/// Where a running run stands; its worker's events are ahead of the store.
fn progress(site: &Site, detail: &RunDetail) -> Markup {
    let epochs = epochs(&detail.experiment);
    let done = detail.epochs.len();
    let last = last_event(&site.results.run(&detail.summary.id).events());
    html! {
        section.progress aria-label="Progress" {
            p role="status" { strong { "Running: " } (done) " of " (epochs) " epochs done"
                @if let Some(epoch) = detail.epochs.last() { ", " (epoch.held_out_part.name()) " accuracy " (percent(epoch.held_out.accuracy)) } }
            @match &last {
                Some(Event::Progress(now)) => {
                    @let share = (done as f64 + now.step as f64 / now.steps.max(1) as f64) / epochs.max(1) as f64;
                    progress max="1" value=(format!("{share:.4}")) aria-label="Training" {}
                    p.faint { "Epoch " (now.epoch) ", step " (now.step) " of " (now.steps) ": " (now.figures()) }
                }
                Some(Event::Decoding { done, total }) => {
                    progress max=(total) value=(done) aria-label="Reading images" {}
                    p.faint { "Reading images: " (done) " of " (total) }
                }
                _ => { progress max=(epochs) value=(done) aria-label="Training" {} }
            }
        }
    }
}

fn epochs(experiment: &str) -> usize {
    parse(experiment, Path::new("experiment.toml"), &[]).map_or(1, |loaded| loaded.experiment.train().epochs())
}

/// The last whole line of an event file.
fn last_event(path: &Path) -> Option<Event> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    text.lines().rev().find_map(|line| serde_json::from_str::<Line>(line).ok()).map(|line| line.event)
}
