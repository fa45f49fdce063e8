//! What people write beside a run, if the page was started with `--allow-edit`.

use axum::response::{IntoResponse, Redirect};
use maud::{Markup, html};

use super::asked::Asked;
use super::{Answer, Refusal, Site};
use crate::schedule::reconcile::annotate;
use crate::store::{Annotation, Store};

/// Most characters of a note, and of all tags together.
const NOTE: usize = 20_000;
const TAGS: usize = 1_000;

/// Tags, note and archive: fields where they may be changed, else only what is there.
pub fn form(site: &Site, id: &str, annotation: &Annotation) -> Markup {
    let tags = annotation.tags.join(", ");
    if !site.edit {
        return html! {
            @if *annotation != Annotation::default() {
                h2 { "Notes" }
                @if !tags.is_empty() { p { "Tags: " (tags) } }
                @if !annotation.note.is_empty() { p.note { (annotation.note) } }
                @if annotation.archived { p { "Archived." } }
            }
        };
    }
    html! {
        h2 { "Notes" }
        form.notes method="post" action={ "/runs/" (id) "/annotation" } {
            label { "Tags, with commas between" input type="text" name="tags" value=(tags) maxlength=(TAGS); }
            label { "Note" textarea name="note" rows="5" maxlength=(NOTE) { (annotation.note) } }
            label { input type="checkbox" name="archived" value="1" checked[annotation.archived]; " archived: out of the table unless asked for" }
            button type="submit" { "Save" }
        }
    }
}

/// `POST /runs/{id}/annotation`.
pub fn annotate_run(site: &Site, asked: &Asked) -> Answer {
    if !site.edit {
        return Err(Refusal::Forbidden(
            "This page only shows. Start it with --allow-edit to change something.".to_owned(),
        ));
    }
    let mut store = Store::open_existing(site.results.store())?;
    let id = asked.name("id");
    store.summary(id)?.ok_or_else(|| Refusal::Missing(format!("No run is called `{id}`.")))?;
    let (tags, note) = (asked.field("tags"), asked.field("note").replace("\r\n", "\n"));
    if tags.chars().count() > TAGS || note.chars().count() > NOTE {
        return Err(Refusal::Wrong(format!("Tags have at most {TAGS} characters together, a note {NOTE}.")));
    }
    let mut tags: Vec<String> =
        tags.split(',').map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty()).collect();
    tags.dedup();
    let annotation = Annotation { tags, note, archived: !asked.field("archived").is_empty() };
    annotate(&site.results, &mut store, id, &annotation)
        .map_err(|error| Refusal::Failed(format!("It could not be saved: {error}")))?;
    Ok(Redirect::to(&format!("/runs/{id}")).into_response())
}
