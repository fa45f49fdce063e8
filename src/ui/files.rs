//! What can be downloaded: the files of a run's folder that its events name, and the page's own.

use std::fs;

use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::IntoResponse;
use maud::{Markup, html};

use super::asked::Asked;
use super::{Answer, Refusal, Site};
use crate::report::html::STYLE;
use crate::store::RunDetail;

const SCRIPT: &str = include_str!("assets/page.js");
const PAGE_STYLE: &str = include_str!("assets/page.css");
const ICON: &str = include_str!("assets/icon.svg");

/// Files that every run's folder has while it is there.
const ALWAYS: [(&str, &str); 3] = [
    ("experiment.toml", "the resolved experiment file"),
    ("events.jsonl", "everything that the worker told"),
    ("worker.log", "the worker's log"),
];

/// `/assets/{file}`.
pub fn asset(_: &Site, asked: &Asked) -> Answer {
    let (kind, text) = match asked.name("file") {
        "page.js" => ("text/javascript; charset=utf-8", SCRIPT.to_owned()),
        "page.css" => ("text/css; charset=utf-8", STYLE.to_owned() + PAGE_STYLE),
        "icon.svg" => ("image/svg+xml", ICON.to_owned()),
        other => return Err(Refusal::Missing(format!("There is no “{other}”."))),
    };
    Ok(([(CONTENT_TYPE, kind), (CACHE_CONTROL, "max-age=60")], text).into_response())
}

/// A picture; no script runs in it, whatever it holds.
pub fn svg(picture: String) -> axum::response::Response {
    ([(CONTENT_TYPE, "image/svg+xml")], picture).into_response()
}

/// `/runs/{id}/files/{file}`: named in the store or one of [`ALWAYS`], and a plain file in the run's own folder.
pub fn file(site: &Site, asked: &Asked) -> Answer {
    let store = site.store()?;
    let detail = store.detail(asked.name("id"))?;
    let name = asked.name("file");
    let missing = || Refusal::Missing(format!("The run has no file “{name}”."));
    let known = ALWAYS.iter().any(|(file, _)| *file == name) || detail.artifacts.iter().any(|(file, _)| file == name);
    let plain = !name.contains(['/', '\\', '\0']) && !name.starts_with('.');
    let path = site.results.run(&detail.summary.id).path().join(name);
    // A link could lead anywhere.
    if !known || !plain || !fs::symlink_metadata(&path).is_ok_and(|found| found.is_file()) {
        return Err(missing());
    }
    let bytes = fs::read(&path).map_err(|error| Refusal::Failed(format!("{name} cannot be read: {error}.")))?;
    let safe: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
    let attachment = format!("attachment; filename=\"{}-{safe}\"", detail.summary.id);
    let kind = "application/octet-stream".to_owned();
    Ok(([(CONTENT_TYPE, kind), (CONTENT_DISPOSITION, attachment)], bytes).into_response())
}

/// Links to all of a run's files that are there.
pub fn links(site: &Site, id: &str, detail: &RunDetail) -> Markup {
    let folder = site.results.run(id);
    let always = ALWAYS.iter().map(|(name, what)| ((*name).to_owned(), (*what).to_owned()));
    let mut files: Vec<(String, String)> = always.chain(detail.artifacts.iter().cloned()).collect();
    files.sort();
    files.dedup_by(|a, b| a.0 == b.0);
    files.retain(|(name, _)| folder.path().join(name).is_file());
    html! {
        h2 { "Files" }
        @if files.is_empty() { p { "The run's folder is gone." } }
        ul { @for (name, what) in &files {
            li { a href={ "/runs/" (id) "/files/" (name) } download { (name) } ": " (what) }
        } }
        @if detail.classes.is_some() { p { a href={ "/runs/" (id) "/data" } { "Audit of its data" } } }
    }
}
