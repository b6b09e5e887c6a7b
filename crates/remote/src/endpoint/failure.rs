//! Why a request brought no reply, and whether asking again may.

use std::io;
use std::time::Duration;

use serde_json::Value;

use super::Endpoint;

/// No reply.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    /// What happened, for people.
    pub(crate) what: String,
    pub(crate) outlook: Outlook,
    /// How long the endpoint wants to be left alone, where it says.
    pub(crate) retry_after: Option<Duration>,
    /// The way out.
    pub(crate) hint: &'static str,
}

/// Whether asking again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// It passes: the endpoint has too much to do, or is away.
    Busy,
    /// The endpoint broke over the request, or the way back did. It may pass.
    Broken,
    /// It passes where this endpoint has answered before; else it is a wrong address.
    Doubtful,
    /// It stays as it is.
    Lasting,
    /// The conversation is longer than the endpoint's model reads: the agent's, not ours.
    TooLong,
}

/// Longest text of an endpoint's own that is quoted, in characters.
const QUOTED: usize = 400;

const IS_IT_ONE: &str = "is this the base URL of an OpenAI-compatible server? Most end in `/v1`";
const IS_IT_UP: &str = "is the server running, and is this its address?";
const LATER: &str = "what was finished is kept: resume when the endpoint is well again";
const OR_SKIP: &str = "what was finished is kept: resume when the endpoint is well again; where it \
                       breaks over what its model writes, `--skip-unanswered` ends that episode \
                       alone";

impl Failure {
    fn new(what: impl Into<String>, outlook: Outlook, hint: &'static str) -> Self {
        Self {
            what: what.into(),
            outlook,
            retry_after: None,
            hint,
        }
    }

    /// A reply whose status is not one of success.
    pub(crate) fn of_status(status: u16, retry_after: Option<Duration>, body: &str) -> Self {
        let error = serde_json::from_str(body).unwrap_or(Value::Null);
        let what = match said(&error, body) {
            said if said.is_empty() => format!("HTTP {status}"),
            said => format!("HTTP {status}: {said}"),
        };
        if is_too_long(status, &error, &what) {
            return Self::new(what, Outlook::TooLong, "");
        }
        let (outlook, hint) = match status {
            429 if code(&error) == "insufficient_quota" => {
                (Outlook::Lasting, "the account has no credit left")
            }
            408 | 409 | 425 | 429 | 502..=504 | 529 => (Outlook::Busy, LATER),
            501 | 505 => (Outlook::Lasting, IS_IT_ONE),
            500.. => (Outlook::Broken, OR_SKIP),
            401 | 403 => (
                Outlook::Lasting,
                "is the API key set, and is it this server's?",
            ),
            404 | 405 => (
                Outlook::Lasting,
                "does the server have a model of this name, and does the base URL end as its \
                 documentation says (mostly in `/v1`)?",
            ),
            300..=399 => (
                Outlook::Lasting,
                "the server redirects: name the address that it redirects to",
            ),
            _ => (
                Outlook::Lasting,
                "the server does not take the request; what it dislikes can be left out or \
                 added by the request's own fields",
            ),
        };
        Self {
            retry_after,
            ..Self::new(what, outlook, hint)
        }
    }

    /// An error that a reply of success, or a stream, has in place of a message.
    pub(crate) fn of_error(body: &Value) -> Self {
        let status = &body["error"]["code"];
        let status = status.as_u64().or_else(|| status.as_str()?.parse().ok());
        match status.and_then(|status| u16::try_from(status).ok()) {
            Some(status @ 400..) => Self::of_status(status, None, &body.to_string()),
            _ => {
                let what = format!("an error in place of a reply: {}", said(body, ""));
                match is_too_long(400, body, &what) {
                    true => Self::new(what, Outlook::TooLong, ""),
                    false => Self::new(what, Outlook::Broken, OR_SKIP),
                }
            }
        }
    }

    /// A reply of success that is none of a chat.
    pub(crate) fn of_body(reason: &str, body: &str) -> Self {
        let found = match page_title(body) {
            Some(title) => format!("an HTML page, `{}`", quoted(title)),
            None => format!("`{}`", quoted(body)),
        };
        let what = format!("the reply is not one of a chat: {reason}; found {found}");
        Self::new(what, Outlook::Doubtful, IS_IT_ONE)
    }

    /// A reply that ended before it was whole.
    pub(crate) fn cut(reason: &str) -> Self {
        let what = format!("the reply was cut off: {reason}");
        Self::new(what, Outlook::Broken, OR_SKIP)
    }

    /// A reply longer than any that is read.
    pub(crate) fn too_large(limit: usize) -> Self {
        let what = format!("the reply is larger than {} MiB", limit >> 20);
        Self::new(what, Outlook::Doubtful, IS_IT_ONE)
    }

    /// What went wrong below HTTP, or in it.
    pub(crate) fn of_transport(error: &ureq::Error) -> Self {
        match error {
            ureq::Error::Io(error) => Self::of_io(error),
            ureq::Error::Timeout(timeout) => Self::timed_out(&timeout.to_string()),
            ureq::Error::HostNotFound => {
                Self::new("no host has this name", Outlook::Doubtful, IS_IT_UP)
            }
            ureq::Error::ConnectionFailed => {
                Self::new("no connection", Outlook::Doubtful, IS_IT_UP)
            }
            ureq::Error::Protocol(error) => {
                let what = format!("the reply is not HTTP: {error}");
                Self::new(what, Outlook::Doubtful, IS_IT_ONE)
            }
            ureq::Error::LargeResponseHeader(..) => Self::new(
                "the reply's header is too large",
                Outlook::Doubtful,
                IS_IT_ONE,
            ),
            other => Self::new(
                other.to_string(),
                Outlook::Lasting,
                "is the address right, `https` or `http` included, and its certificate one \
                 that browsers trust?",
            ),
        }
    }

    /// What went wrong while a reply was read.
    pub(crate) fn of_io(error: &io::Error) -> Self {
        let inner = error
            .get_ref()
            .and_then(|it| it.downcast_ref::<ureq::Error>());
        match (inner, error.kind()) {
            (Some(ureq::Error::Io(error)), _) => Self::of_io(error),
            (Some(ureq::Error::Timeout(timeout)), _) => Self::timed_out(&timeout.to_string()),
            (Some(other), _) => Self::cut(&other.to_string()),
            (None, io::ErrorKind::ConnectionRefused) => {
                Self::new("the connection was refused", Outlook::Doubtful, IS_IT_UP)
            }
            (None, io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) => {
                Self::timed_out("reading")
            }
            (None, _) => Self::cut(&error.to_string()),
        }
    }

    fn timed_out(during: &str) -> Self {
        Self::new(
            format!("no reply in time ({during})"),
            Outlook::Broken,
            "a longer time-out, or fewer requests at once; what was finished is kept",
        )
    }
}

/// The request that cannot be answered: where, what, how often it was tried, and the way out.
#[derive(Debug, thiserror::Error)]
#[error("endpoint `{address}`, model `{model}`: {what}{after}\nhint: {hint}")]
pub struct EndpointError {
    address: String,
    model: String,
    what: String,
    after: String,
    hint: &'static str,
}

impl EndpointError {
    pub(crate) fn new(endpoint: &Endpoint, failure: Failure, tries: u32) -> Self {
        Self {
            address: endpoint.address.to_string(),
            model: endpoint.model.clone(),
            what: failure.what,
            after: match tries {
                1 => String::new(),
                tries => format!(" (after {tries} tries)"),
            },
            hint: failure.hint,
        }
    }
}

/// The seconds of a `Retry-After`. A date says nothing to a program without a calendar.
pub(crate) fn retry_after(seconds: &str) -> Option<Duration> {
    let seconds: f64 = seconds.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Whether a refusal is one of too long a conversation, in the words of the servers in use.
fn is_too_long(status: u16, error: &Value, what: &str) -> bool {
    let codes = ["context_length_exceeded", "exceed_context_size_error"];
    let words = [
        "context length",
        "context size",
        "context window",
        "maximum context",
    ];
    let what = what.to_lowercase();
    let refuses = matches!(status, 400 | 413 | 422);
    codes.contains(&code(error)) || refuses && words.iter().any(|it| what.contains(it))
}

fn code(error: &Value) -> &str {
    let error = match error["error"].is_object() {
        true => &error["error"],
        false => error,
    };
    let of = |field: &str| error[field].as_str().filter(|text| !text.is_empty());
    of("code").or_else(|| of("type")).unwrap_or_default()
}

/// What a server says of an error, in whichever field.
fn said(error: &Value, body: &str) -> String {
    let fields = [
        &error["error"]["message"],
        &error["error"],
        &error["message"],
        &error["detail"],
    ];
    let text = fields.into_iter().find_map(Value::as_str);
    match text {
        Some(text) => quoted(text),
        None if !error.is_null() => quoted(&error.to_string()),
        None => quoted(page_title(body).unwrap_or(body)),
    }
}

/// A server's text as it may be shown: on one line, of bounded length, without control
/// characters, which terminals obey.
fn quoted(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut shown: String = (words.join(" ").chars())
        .filter(|c| !c.is_control())
        .take(QUOTED + 1)
        .collect();
    if shown.chars().count() > QUOTED {
        shown.pop();
        shown.push('…');
    }
    shown
}

/// The title of an HTML page.
fn page_title(body: &str) -> Option<&str> {
    let body = body.trim_start();
    if !body.starts_with('<') {
        return None;
    }
    let lower = body.to_ascii_lowercase();
    let title = lower.find("<title>").and_then(|at| {
        let start = at + "<title>".len();
        let end = start + lower[start..].find('<')?;
        body.get(start..end)
    });
    Some(title.map_or("without a title", str::trim))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, body: &str, outlook: Outlook, what: &str) {
        let failure = Failure::of_status(status, None, body);
        assert_eq!(failure.what, what);
        assert_eq!(failure.outlook, outlook, "{what}");
    }

    #[test]
    fn a_status_says_whether_asking_again_may_help() {
        use Outlook::{Broken, Busy, Lasting, TooLong};
        check(429, "", Busy, "HTTP 429");
        check(500, "", Broken, "HTTP 500");
        check(
            429,
            r#"{"error": {"message": "pay", "code": "insufficient_quota"}}"#,
            Lasting,
            "HTTP 429: pay",
        );
        for status in [502, 503, 504, 529] {
            check(status, "", Busy, &format!("HTTP {status}"));
        }
        check(
            401,
            r#"{"error": {"message": "wrong key"}}"#,
            Lasting,
            "HTTP 401: wrong key",
        );
        check(
            404,
            r#"{"detail": "Not Found"}"#,
            Lasting,
            "HTTP 404: Not Found",
        );
        check(
            400,
            r#"{"error": "bad field"}"#,
            Lasting,
            "HTTP 400: bad field",
        );
        check(
            400,
            r#"{"error": {"message": "too much", "code": "context_length_exceeded"}}"#,
            TooLong,
            "HTTP 400: too much",
        );
        check(
            400,
            r#"{"message": "This model's maximum context length is 8 tokens"}"#,
            TooLong,
            "HTTP 400: This model's maximum context length is 8 tokens",
        );
    }

    #[test]
    fn pages_and_terminal_codes_are_not_passed_on() {
        let page = "\n<!DOCTYPE html><html><head><title> 502 Bad\n Gateway </title></head>";
        check(502, page, Outlook::Busy, "HTTP 502: 502 Bad Gateway");
        check(
            500,
            "a\u{1b}[31m\r\nb",
            Outlook::Broken,
            "HTTP 500: a[31m b",
        );
        let failure = Failure::of_status(500, None, &"x".repeat(9999));
        assert_eq!(
            failure.what.chars().count(),
            "HTTP 500: ".len() + QUOTED + 1
        );
    }

    #[test]
    fn an_error_in_place_of_a_reply_counts_by_its_code() {
        let of = |body: &str| Failure::of_error(&serde_json::from_str(body).expect("JSON"));
        let failure = of(r#"{"error": {"message": "no", "code": 401}}"#);
        assert_eq!(
            (failure.what.as_str(), failure.outlook),
            ("HTTP 401: no", Outlook::Lasting)
        );
        let failure = of(r#"{"error": {"message": "busy"}}"#);
        assert_eq!(failure.outlook, Outlook::Broken);
        assert_eq!(failure.what, "an error in place of a reply: busy");
    }

    #[test]
    fn seconds_to_wait_are_read_and_dates_are_not() {
        assert_eq!(retry_after("2"), Some(Duration::from_secs(2)));
        assert_eq!(retry_after(" 0.25 "), Some(Duration::from_millis(250)));
        assert_eq!(retry_after("-1"), None);
        assert_eq!(retry_after("NaN"), None);
        assert_eq!(retry_after("Wed, 21 Oct 2026 07:28:00 GMT"), None);
    }
}
