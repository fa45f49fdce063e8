//! Any selection of runs side by side.

use maud::html;

use super::asked::Asked;
use super::frame::{Here, frame};
use super::runs::{address, shortened};
use super::{Answer, Refusal, Site};
use crate::report::compare::{Scale, pairs};
use crate::report::html::{comparison_body, p_value, share};
use crate::schedule::queue::title;

/// Runs that are compared at most: the pairs grow with their square.
const MOST: usize = 12;

/// `/compare?run=...&run=...`.
pub fn page(site: &Site, asked: &Asked) -> Answer {
    let store = site.store()?;
    let mut ids: Vec<String> = Vec::new();
    for name in asked.values("run") {
        let id = store.resolve(name)?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    if !(2..=MOST).contains(&ids.len()) {
        return Err(Refusal::Wrong(format!(
            "Select 2 to {MOST} runs in the table of runs; {} are selected.",
            ids.len()
        )));
    }
    let (mut runs, mut summaries, mut scale) = (Vec::new(), Vec::new(), None);
    for id in &ids {
        let Some(summary) = store.summary(id)? else { continue };
        let name = shortened(&title(&summary.name, &summary.point));
        runs.push((format!("{name} ({id})"), store.predictions(id)?));
        scale = scale.or(summary.naive_accuracy.map(|naive| Scale { naive, ceiling: summary.ceiling }));
        summaries.push(summary);
    }
    let compared = pairs(&runs);
    let body = html! {
        @match &compared {
            Ok(pairs) => (comparison_body(pairs, scale)),
            Err(reason) => { h1 { "Comparison" } p.warning { (reason) } }
        }
        h2 { "Runs" }
        div.scroll tabindex="0" role="region" aria-label="The compared runs" { table {
            thead { tr { th scope="col" { "run" } th scope="col" { "status" } th.number scope="col" { "accuracy" }
                th.number scope="col" { "naive" } th.number scope="col" { "p (naive)" } th.number scope="col" { "AUC" } } }
            tbody { @for run in &summaries { tr {
                th scope="row" { a href={ "/runs/" (run.id) } { (shortened(&title(&run.name, &run.point))) " (" (run.id) ")" } }
                td { (run.status.replace('_', " ")) } td.number { (share(run.accuracy)) } td.number { (share(run.naive_accuracy)) }
                td.number { (p_value(run.p_naive)) } td.number { (run.auc.map_or("-".to_owned(), |auc| format!("{auc:.3}"))) }
            } } }
        } }
        p { a href=(address("/", ids.iter().map(String::as_str))) { "Change the selection" } }
    };
    Ok(frame("Comparison", Here::Other, &body))
}
