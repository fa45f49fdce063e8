//! Sweeps: experiments by name, and the views of many runs together.

use maud::html;

use super::asked::{Asked, query};
use super::files::svg;
use super::frame::{Here, frame};
use super::run::pictures;
use super::runs::{address, counted, shortened};
use super::{Answer, Refusal, Site};
use crate::report::comparison::Comparison;
use crate::report::html::points_table;
use crate::report::plot::{Plot, of_runs};
use crate::store::{RunSummary, StoreError};

/// Runs of a view at most; pictures of more say nothing.
const MOST: usize = 2_000;

/// `/sweeps`.
pub fn all(site: &Site, _: &Asked) -> Answer {
    let named = site.store()?.named_runs()?;
    let body = html! {
        h1 { "Sweeps" }
        p.faint { "Experiments by name, the newest first. Any selection of the table of runs can be viewed in the same way." }
        div.scroll tabindex="0" role="region" aria-label="Experiments" { table {
            thead { tr { th scope="col" { "experiment" } th.number scope="col" { "points" } th.number scope="col" { "runs" }
                th.number scope="col" { "completed" } th.number scope="col" { "running" } th scope="col" { "newest" } } }
            tbody { @for found in &named { tr {
                th scope="row" { a href={ "/sweep?" (query([("name", found.name.as_str())])) } { (shortened(&found.name)) } }
                td.number { (found.points) } td.number { (found.runs) } td.number { (found.completed) } td.number { (found.running) }
                td { (found.newest.get(..16).unwrap_or_default().replace('T', " ")) }
            } } }
        } }
    };
    Ok(frame("Sweeps", Here::Sweeps, &body))
}

/// `/sweep?name=...` or `/sweep?run=...&run=...`.
pub fn one(site: &Site, asked: &Asked) -> Answer {
    let runs = runs(site, asked)?;
    let running = runs.iter().filter(|run| run.status == "running").count();
    let live = running > 0 || runs.iter().any(|run| run.status == "planned");
    let completed = runs.iter().filter(|run| run.status == "completed").count();
    let points = Comparison::of_runs(&runs, Default::default());
    let ids = || runs.iter().map(|run| run.id.as_str());
    let name = asked.value("name");
    let address_of_plots = if name.is_empty() { query(ids().map(|id| ("run", id))) } else { query([("name", name)]) };
    let version = format!("{address_of_plots}&v={completed}");
    let body = html! {
        div #live data-live[live] {
            h1 { @if name.is_empty() { "Selected runs" } @else { (name) } }
            p role="status" { (counted(runs.len(), "run")) ", " (completed) " completed" @if running > 0 { ", " (running) " running" } "." }
            @if completed > 0 { (points_table(&points)) }
            (pictures(&plots(&runs)?, "/sweep/plots", &version))
            h2 { "Runs" }
            ul.columns { @for run in &runs { li { a href={ "/runs/" (run.id) } {
                @if run.point.is_empty() { (run.id) } @else { (shortened(&run.point)) } } " " span.faint { (run.status.replace('_', " ")) } } } }
            @if runs.len() <= 100 { p { a href=(address("/", ids())) { "Select these in the table of runs" } } }
        }
    };
    let title = if name.is_empty() { "Selected runs" } else { name };
    Ok(frame(title, Here::Sweeps, &body))
}

/// `/sweep/plots/{plot}`.
pub fn plot(site: &Site, asked: &Asked) -> Answer {
    let name = asked.name("plot").trim_end_matches(".svg");
    let found = plots(&runs(site, asked)?)?.into_iter().find(|plot| plot.name == name);
    found.map(|plot| svg(plot.svg)).ok_or_else(|| Refusal::Missing(format!("There is no plot “{name}” of these runs.")))
}

fn plots(runs: &[RunSummary]) -> Result<Vec<Plot>, Refusal> {
    of_runs(runs).map_err(|error| Refusal::Failed(error.to_string()))
}

fn runs(site: &Site, asked: &Asked) -> Result<Vec<RunSummary>, Refusal> {
    let store = site.store()?;
    let name = asked.value("name");
    if !name.is_empty() {
        let runs = store.runs_named(name, MOST)?;
        return if runs.is_empty() { Err(StoreError::NoSuchRun(name.to_owned()).into()) } else { Ok(runs) };
    }
    let mut runs = Vec::new();
    for id in asked.values("run").take(MOST) {
        runs.extend(store.summary(id)?);
    }
    if runs.is_empty() {
        return Err(Refusal::Wrong("Select runs in the table of runs.".to_owned()));
    }
    Ok(runs)
}
