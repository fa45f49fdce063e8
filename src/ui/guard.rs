//! Who may ask: programs of this machine that know the page by its own name. A page of another site that makes the browser ask is
//! told by its Host (DNS rebinding) or its Origin (cross-site requests).

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, HeaderValue, ORIGIN, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{Refusal, Site};

/// Nothing but our own files, and no inline script or style.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Lets a request of our own through and gives its answer the headers that keep it ours.
pub async fn guard(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let mut response = match foreign(site.port, request.method(), request.headers()) {
        Some(reason) => Refusal::Forbidden(reason).into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    let fixed = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Why a request is not one of our own, if so.
fn foreign(port: u16, method: &Method, headers: &HeaderMap) -> Option<String> {
    let names = ["127.0.0.1", "localhost", "[::1]"].map(|name| format!("{name}:{port}"));
    let host = headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !names.iter().any(|name| name.eq_ignore_ascii_case(host)) {
        return Some(format!("This page answers to {} only, not to “{host}”.", names.join(", ")));
    }
    let origin = headers.get(ORIGIN).map(|value| value.to_str().unwrap_or("unreadable"));
    match origin {
        Some(origin) if origin == format!("http://{host}") => None,
        Some(origin) => Some(format!("A request from “{origin}” is not answered.")),
        None if method == Method::GET || method == Method::HEAD => None,
        None => Some("A change must come from the page itself.".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: Method, host: &'static str, origin: Option<&'static str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static(host));
        origin.map(|origin| headers.insert(ORIGIN, HeaderValue::from_static(origin)));
        foreign(8356, &method, &headers).is_none()
    }

    #[test]
    fn only_our_own_page_is_answered() {
        assert!(asked(Method::GET, "127.0.0.1:8356", None));
        assert!(asked(Method::POST, "localhost:8356", Some("http://localhost:8356")));
        for host in
            ["evil.example", "evil.example:8356", "127.0.0.1", "127.0.0.1:80", "", "localhost:8356.evil.example"]
        {
            assert!(!asked(Method::GET, host, None), "{host}");
        }
        for origin in ["http://evil.example", "null", "https://localhost:8356", "http://127.0.0.1:8356"] {
            assert!(!asked(Method::GET, "localhost:8356", Some(origin)), "{origin}");
        }
        assert!(!asked(Method::POST, "localhost:8356", None));
    }
}
