//! What every page has around it.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

/// Places of the page, for its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Here {
    /// The list of runs.
    Runs,
    /// Sweeps.
    Sweeps,
    /// Elsewhere.
    Other,
}

/// A whole page.
pub fn frame(title: &str, here: Here, body: &Markup) -> Response {
    let current = |place: Here| (place == here).then_some("page");
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · emo-runner" }
                link rel="icon" href="/assets/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/assets/page.css";
                script src="/assets/page.js" defer {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header { nav aria-label="Pages" {
                    strong { "emo-runner" }
                    a href="/" aria-current=[current(Here::Runs)] { "Runs" }
                    a href="/sweeps" aria-current=[current(Here::Sweeps)] { "Sweeps" }
                } }
                main #main { (body) }
            }
        }
    };
    ([(CONTENT_TYPE, "text/html; charset=utf-8")], page.into_string()).into_response()
}

/// A page that only says something.
pub fn message(title: &str, text: &str) -> Response {
    frame(title, Here::Other, &html! { h1 { (title) } p { (text) } p { a href="/" { "All runs" } } })
}
