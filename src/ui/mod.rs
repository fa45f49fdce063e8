//! The page: a store in the browser, for the person at this machine. Pages are made on the server and need no script; a small one makes
//! them livelier. Only this module is asynchronous, and only to wait for requests.

mod asked;
mod audit;
mod compare;
mod edit;
mod files;
mod frame;
mod guard;
mod run;
mod runs;
mod sweep;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use thiserror::Error;

use crate::schedule::Results;
use crate::store::{Store, StoreError};
use asked::Asked;
use frame::message;

/// Most bytes of a form.
const FORM: usize = 64 * 1024;

/// The page cannot be served.
#[derive(Debug, Error)]
pub enum UiError {
    /// The port.
    #[error("{address} cannot be listened at: {reason}. Is the page open already? Choose another port with --port.")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The system gave out.
    #[error("The page stopped: {0}.")]
    Io(#[from] std::io::Error),
}

/// What all pages share.
#[derive(Debug)]
struct Site {
    results: Results,
    edit: bool,
    port: u16,
    /// Audits are made once for each data set.
    audits: Mutex<HashMap<String, Arc<String>>>,
}

impl Site {
    fn store(&self) -> Result<Store, StoreError> {
        Store::reader(self.results.store())
    }
}

/// Why a page is not shown.
#[derive(Debug)]
enum Refusal {
    /// There is nothing of that name.
    Missing(String),
    /// It was asked for wrongly.
    Wrong(String),
    /// It may not be done.
    Forbidden(String),
    /// Something failed on our side.
    Failed(String),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NoSuchRun(_) | StoreError::Missing { .. } => Self::Missing(error.to_string()),
            StoreError::Ambiguous { .. } => Self::Wrong(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

type Answer = Result<Response, Refusal>;
type Handler = fn(&Site, &Asked) -> Answer;

/// Serves the page until the process is asked to stop; `ready` is called once it can be opened.
///
/// # Errors
/// [`UiError`].
pub fn serve(
    results: Results,
    host: std::net::IpAddr,
    port: u16,
    edit: bool,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), UiError> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let address = SocketAddr::new(host, port);
        let listener = tokio::net::TcpListener::bind(address).await;
        let listener = listener.map_err(|reason| UiError::Listen { address, reason })?;
        let address = listener.local_addr()?;
        let site = Site { results, edit, port: address.port(), audits: Mutex::default() };
        ready(address);
        tokio::select! {
            served = axum::serve(listener, router(Arc::new(site))) => Ok(served?),
            stopped = tokio::signal::ctrl_c() => Ok(stopped?),
        }
    })
}

fn router(site: Arc<Site>) -> Router {
    Router::new()
        .route("/", shown(runs::page))
        .route("/sweeps", shown(sweep::all))
        .route("/sweep", shown(sweep::one))
        .route("/sweep/plots/{plot}", shown(sweep::plot))
        .route("/compare", shown(compare::page))
        .route("/runs/{id}", shown(run::page))
        .route("/runs/{id}/plots/{plot}", shown(run::plot))
        .route("/runs/{id}/files/{file}", shown(files::file))
        .route("/runs/{id}/data", shown(audit::page))
        .route("/runs/{id}/annotation", changed(edit::annotate_run))
        .route("/assets/{file}", shown(files::asset))
        .fallback(async || Refusal::Missing("There is no such page.".to_owned()).into_response())
        .layer(DefaultBodyLimit::max(FORM))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&site), guard::guard))
        .with_state(site)
}

/// What the path names, the query and a form.
type Extracted = (State<Arc<Site>>, Path<HashMap<String, String>>, RawQuery);

fn shown(handler: Handler) -> MethodRouter<Arc<Site>> {
    get(async move |extracted: Extracted| answer(handler, extracted, Bytes::new()).await)
}

fn changed(handler: Handler) -> MethodRouter<Arc<Site>> {
    post(async move |extracted: Extracted, form: Bytes| answer(handler, extracted, form).await)
}

/// Stores and files are read where waiting for them holds nobody up.
async fn answer(handler: Handler, (State(site), Path(names), RawQuery(query)): Extracted, form: Bytes) -> Response {
    let asked = Asked::new(names, &query.unwrap_or_default(), &form);
    match tokio::task::spawn_blocking(move || handler(&site, &asked)).await {
        Ok(answer) => answer.unwrap_or_else(IntoResponse::into_response),
        Err(error) => Refusal::Failed(error.to_string()).into_response(),
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, title, text) = match self {
            Self::Missing(text) => (StatusCode::NOT_FOUND, "Not here", text),
            Self::Wrong(text) => (StatusCode::BAD_REQUEST, "Not understood", text),
            Self::Forbidden(text) => (StatusCode::FORBIDDEN, "Not allowed", text),
            Self::Failed(text) => {
                tracing::error!(reason = text, "a page failed");
                (StatusCode::INTERNAL_SERVER_ERROR, "It failed", text)
            }
        };
        (status, message(title, &text)).into_response()
    }
}

/// The results folder of a store, in words.
fn place(results: &Results) -> PathBuf {
    std::path::absolute(results.store()).unwrap_or_else(|_| results.store().to_owned())
}
