//! Who may ask: a browser of this machine that shows our own page, and programs of this machine.
//! A page of another site may make a browser ask here (by a name of its own that leads to
//! 127.0.0.1, or by plain requests); it is refused by what the browser says of it.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::assets::POLICY;

/// Lets a request pass, or refuses it, and tells the browser what the answer may do.
pub(crate) async fn guard(State(port): State<u16>, request: Request<Body>, next: Next) -> Response {
    let mut response = match refusal(&request, port) {
        Some((status, why)) => (status, format!("{why}\n")).into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in ANSWER {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

const ANSWER: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];

fn refusal(request: &Request<Body>, port: u16) -> Option<(StatusCode, &'static str)> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return Some((
            StatusCode::METHOD_NOT_ALLOWED,
            "this server only reads: GET and HEAD",
        ));
    }
    let headers = request.headers();
    let named = request.uri().authority().map(|name| name.as_str());
    if !only(headers, header::HOST).is_some_and(|host| is_ours(host, port))
        || !named.is_none_or(|name| is_ours(name, port))
    {
        return Some((
            StatusCode::FORBIDDEN,
            "this server answers to 127.0.0.1 and localhost only",
        ));
    }
    let from_us =
        |origin: &str| (origin.strip_prefix("http://")).is_some_and(|host| is_ours(host, port));
    let has_origin = headers.contains_key(header::ORIGIN);
    if has_origin && !only(headers, header::ORIGIN).is_some_and(from_us) {
        return Some((
            StatusCode::FORBIDDEN,
            "this server answers its own page only",
        ));
    }
    // A link from elsewhere may lead to the page; nothing else may be taken from elsewhere.
    let fetched = only(headers, HeaderName::from_static("sec-fetch-site"));
    let opened = only(headers, HeaderName::from_static("sec-fetch-mode")) == Some("navigate");
    let elsewhere = fetched.is_some_and(|site| !["same-origin", "none"].contains(&site));
    if elsewhere && !(opened && request.uri().path() == "/") {
        return Some((
            StatusCode::FORBIDDEN,
            "this server answers its own page only",
        ));
    }
    None
}

/// The one value of a header; nothing if it is missing, said twice, or no text.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    match values.next() {
        Some(_) => None,
        None => value.to_str().ok(),
    }
}

/// Whether `host` is this machine's loopback by name or number, with our port.
fn is_ours(host: &str, port: u16) -> bool {
    let Some((name, given)) = host.rsplit_once(':') else {
        return false;
    };
    given == port.to_string() && ["127.0.0.1", "localhost"].contains(&name)
}
