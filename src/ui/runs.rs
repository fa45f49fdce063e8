//! The table of runs. One form holds filter, order, columns and selection, so that the address of the page does.

use maud::{Markup, html};

use super::asked::{Asked, query};
use super::frame::{Here, frame};
use super::{Answer, Site, place};
use crate::report::html::{p_value, share};
use crate::report::summary::{duration, percent};
use crate::schedule::queue::title;
use crate::store::{Annotation, Listing, RunSummary, SortKey};

/// Runs of a page.
const PAGE: usize = 50;
/// Statuses that a run may have.
const STATUSES: [&str; 8] =
    ["planned", "running", "completed", "failed", "diverged", "timed_out", "pruned", "interrupted"];

/// A column of the table.
struct Column {
    /// In the address.
    key: &'static str,
    /// In the head.
    title: &'static str,
    /// What sorts by it.
    sort: Option<SortKey>,
    /// Shown unless columns are chosen.
    usual: bool,
    /// Numbers stand to the right.
    number: bool,
    /// What stands in it.
    cell: fn(&RunSummary) -> String,
}

const fn column(key: &'static str, title: &'static str, cell: fn(&RunSummary) -> String) -> Column {
    Column { key, title, sort: None, usual: true, number: true, cell }
}

const COLUMNS: [Column; 14] = [
    Column {
        sort: Some(SortKey::Started),
        number: false,
        ..column("started", "begun", |run| run.started_at.get(..16).unwrap_or_default().replace('T', " "))
    },
    Column {
        sort: Some(SortKey::ValidationAccuracy),
        ..column("validation", "validation", |run| share(run.validation_accuracy))
    },
    Column { sort: Some(SortKey::Accuracy), ..column("accuracy", "accuracy", |run| share(run.accuracy)) },
    column("interval", "95 % interval", |run| {
        let interval = run.accuracy_interval();
        interval.map_or("-".to_owned(), |found| format!("{} to {}", percent(found.low), percent(found.high)))
    }),
    column("naive", "naive", |run| share(run.naive_accuracy)),
    column("ceiling", "ceiling", |run| share(run.ceiling)),
    Column { sort: Some(SortKey::PNaive), ..column("p", "p (naive)", |run| p_value(run.p_naive)) },
    Column { sort: Some(SortKey::Auc), ..column("auc", "AUC", |run| figure(run.auc)) },
    Column { usual: false, ..column("brier", "Brier", |run| figure(run.brier)) },
    Column { usual: false, ..column("epochs", "epochs", |run| run.epochs.to_string()) },
    Column {
        sort: Some(SortKey::Seconds),
        ..column("time", "time", |run| run.seconds.map_or("-".to_owned(), duration))
    },
    Column { sort: Some(SortKey::Seed), usual: false, ..column("seed", "seed", |run| run.seed.to_string()) },
    Column {
        usual: false,
        ..column("parameters", "parameters", |run| run.parameters.map_or("-".to_owned(), |count| count.to_string()))
    },
    Column { usual: false, number: false, ..column("backend", "backend", |run| run.backend.clone()) },
];

fn figure(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.3}"))
}

/// What the address says.
struct View<'a> {
    listing: Listing,
    /// As in the address: a key, `-` before it for the largest first.
    sort: String,
    page: usize,
    columns: Vec<&'a Column>,
    selected: Vec<&'a str>,
}

impl<'a> View<'a> {
    fn of(asked: &'a Asked) -> Self {
        let sort = if asked.value("sort").is_empty() { "-started" } else { asked.value("sort") };
        let key = sort.trim_start_matches('-');
        let extra = match key {
            "name" => Some(SortKey::Name),
            "status" => Some(SortKey::Status),
            _ => None,
        };
        let known = extra.or_else(|| COLUMNS.iter().find(|column| column.key == key)?.sort);
        let page = asked.value("page").parse().unwrap_or(1).clamp(1, 1_000_000);
        let chosen: Vec<&str> = asked.values("column").collect();
        let wanted = |column: &&Column| if chosen.is_empty() { column.usual } else { chosen.contains(&column.key) };
        let mut selected: Vec<&str> = asked.values("run").collect();
        selected.sort_unstable();
        selected.dedup();
        let listing = Listing {
            text: asked.value("q").trim().to_owned(),
            status: asked.value("status").to_owned(),
            archived: !asked.value("archived").is_empty(),
            sort: known.unwrap_or_default(),
            descending: sort.starts_with('-') || known.is_none(),
            offset: (page - 1) * PAGE,
            limit: PAGE,
        };
        Self { listing, sort: sort.to_owned(), page, columns: COLUMNS.iter().filter(wanted).collect(), selected }
    }

    /// `ascending`, `descending` or `none`, and what a click on the head sorts by next.
    fn order(&self, key: &str) -> (&'static str, String) {
        match (self.sort.trim_start_matches('-') == key, self.listing.descending) {
            (true, true) => ("descending", key.to_owned()),
            (true, false) => ("ascending", format!("-{key}")),
            // Names read from A, figures from the best or the newest.
            (false, _) if matches!(key, "name" | "status" | "p") => ("none", key.to_owned()),
            (false, _) => ("none", format!("-{key}")),
        }
    }
}

/// `/`.
pub fn page(site: &Site, asked: &Asked) -> Answer {
    let store = site.store()?;
    let view = View::of(asked);
    let (runs, total) = store.list(&view.listing)?;
    let mut rows = Vec::with_capacity(runs.len());
    for run in runs {
        let annotation = store.annotation(&run.id)?;
        rows.push((run, annotation));
    }
    let body = html! {
        h1 { "Runs" }
        form #runs action="/" method="get" role="search" {
            (filter(&view))
            p #count role="status" { (counted(total, "run"))
                @if total > PAGE { ", " (view.listing.offset + 1) " to " (view.listing.offset + rows.len()) } }
            @if rows.is_empty() { (nothing(&view, site)) } @else { (table(&view, &rows)) }
            (pager(&view, total))
        }
    };
    Ok(frame("Runs", Here::Runs, &body))
}

fn nothing(view: &View<'_>, site: &Site) -> Markup {
    html! {
        @if view.listing.text.is_empty() && view.listing.status.is_empty() {
            p { "No run here yet. " code { "emo-runner run experiments/quick.toml" } " makes one in " code { (place(&site.results).display()) } "." }
        } @else { p { "No run is like that. " a href="/" { "Show all" } } }
    }
}

fn filter(view: &View<'_>) -> Markup {
    html! {
        // A button of the head comes later and wins over this.
        input type="hidden" name="sort" value=(view.sort);
        div.bar {
            label { "Text " input type="search" name="q" value=(view.listing.text) placeholder="name, id, tag"; }
            label { "Status " select name="status" {
                option value="" { "any" }
                @for status in STATUSES {
                    option value=(status) selected[status == view.listing.status] { (status.replace('_', " ")) }
                }
            } }
            label { input type="checkbox" name="archived" value="1" checked[view.listing.archived]; " archived too" }
            button type="submit" { "Filter" }
            button type="submit" formaction="/compare" data-needs="2" { "Compare " span data-selected { (view.selected.len()) } " selected" }
            button type="submit" formaction="/sweep" data-needs="2" { "View as sweep" }
        }
        details { summary { "Columns" }
            fieldset { legend.hidden { "Columns" }
                @for column in &COLUMNS {
                    @let shown = view.columns.iter().any(|shown| shown.key == column.key);
                    label { input type="checkbox" name="column" value=(column.key) checked[shown]; " " (column.title) }
                }
                button type="submit" { "Show these" }
            }
        }
    }
}

fn head(view: &View<'_>, key: &'static str, title: &str, sorts: bool, number: bool) -> Markup {
    let (order, next) = view.order(key);
    html! {
        th scope="col" .number[number] aria-sort=[sorts.then_some(order)] {
            @if sorts { button.sort type="submit" name="sort" value=(next) { (title) } } @else { (title) }
        }
    }
}

fn table(view: &View<'_>, rows: &[(RunSummary, Annotation)]) -> Markup {
    let elsewhere = view.selected.iter().filter(|id| !rows.iter().any(|(run, _)| run.id == **id));
    html! {
        @for id in elsewhere { input type="hidden" name="run" value=(id); }
        div.scroll tabindex="0" role="region" aria-label="Table of runs" { table.runs {
            thead { tr {
                th scope="col" { span.hidden { "Select" } }
                (head(view, "name", "name", true, false))
                (head(view, "status", "status", true, false))
                @for column in &view.columns { (head(view, column.key, column.title, column.sort.is_some(), column.number)) }
            } }
            tbody { @for (run, annotation) in rows { (row(view, run, annotation)) } }
        } }
    }
}

fn row(view: &View<'_>, run: &RunSummary, annotation: &Annotation) -> Markup {
    let name = title(&run.name, &run.point);
    html! {
        tr .archived[annotation.archived] {
            td { input type="checkbox" name="run" value=(run.id) checked[view.selected.contains(&run.id.as_str())]
                aria-label={ "Select " (run.id) }; }
            th scope="row" { a href={ "/runs/" (run.id) } { (shortened(&name)) } " " span.faint { (run.id) }
                @for tag in &annotation.tags { " " span.tag { (shortened(tag)) } } }
            td { span.status data-status=(run.status) { (run.status.replace('_', " ")) } }
            @for column in &view.columns { td .number[column.number] { ((column.cell)(run)) } }
        }
    }
}

/// So many of a thing, in words.
pub fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// Text that keeps a table readable.
pub fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    if text.chars().count() <= MOST {
        return text.to_owned();
    }
    text.chars().take(MOST - 1).chain(['…']).collect()
}

fn pager(view: &View<'_>, total: usize) -> Markup {
    let pages = total.div_ceil(PAGE);
    let button = |page: usize, text: &str| html! { button type="submit" name="page" value=(page) { (text) } };
    html! {
        @if pages > 1 {
            div.bar role="navigation" aria-label="Pages of the table" {
                @if view.page > 1 { (button(1, "First")) (button(view.page - 1, "Previous")) }
                span { "Page " (view.page) " of " (pages) }
                @if view.page < pages { (button(view.page + 1, "Next")) (button(pages, "Last")) }
            }
        }
    }
}

/// The address of a view of some runs.
pub fn address<'a>(path: &str, runs: impl IntoIterator<Item = &'a str>) -> String {
    format!("{path}?{}", query(runs.into_iter().map(|run| ("run", run))))
}
