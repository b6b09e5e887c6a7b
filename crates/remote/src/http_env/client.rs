//! One request and its reply: bounded in time and size, tried again only where the server cannot
//! have seen it.

use std::io::{self, Read};
use std::thread;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use ureq::http::Response;
use ureq::{Agent, Body, Error, RequestBuilder};

use super::HttpConfig;
use crate::own::bounds::{cut, headers, limit};

/// A reply that is longer is not read, in bytes.
const LONGEST_REPLY: u64 = 16 << 20;
/// What is told of a server's error, in bytes.
const LONGEST_ERROR: usize = 500;
/// How long the first retry waits; each further one waits twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// Sends requests to one server. Holds secrets, and so prints nothing.
pub(super) struct Client {
    agent: Agent,
    url: String,
    headers: Vec<(String, String)>,
    retries: usize,
}

/// Why a request has no result.
#[derive(Debug, PartialEq)]
pub(super) enum Failure {
    /// The server answered, but not with a result.
    Refused(String),
    /// Nobody knows what the server did.
    Lost(String),
}

impl Failure {
    pub(super) fn into_text(self) -> String {
        match self {
            Self::Refused(text) | Self::Lost(text) => text,
        }
    }
}

impl Client {
    pub(super) fn new(
        config: &HttpConfig,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        config.check()?;
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            // A redirect would lose the body, or take the headers elsewhere.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .timeout_global(Some(limit("call-seconds", config.call_seconds)?))
            // A kept connection may have been closed by the other side, which shows only when
            // the next request has been sent into it.
            .max_idle_connections(0)
            .user_agent(concat!("pact/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self {
            agent,
            url: config.url.trim_end_matches('/').to_owned(),
            headers: headers(&config.headers, variable)?,
            retries: config.retries,
        })
    }

    /// The reply to `GET {url}{path}`.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.tried(path, |url| self.headed(self.agent.get(url)).call())
    }

    /// The reply to `POST {url}{path}` with a JSON body.
    pub(super) fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, Failure> {
        let body = body.to_string();
        self.tried(path, |url| {
            let request = self.headed(self.agent.post(url));
            request.content_type("application/json").send(&body)
        })
    }

    /// Says something to which no answer is awaited for long.
    pub(super) fn tell(&self, path: &str, body: &Value, limit: Duration) {
        let request = self.headed(self.agent.post(format!("{}{path}", self.url)));
        let request = request.config().timeout_global(Some(limit)).build();
        // A server that does not listen any more needs not be told.
        let _ = request
            .content_type("application/json")
            .send(body.to_string());
    }

    fn headed<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        let headers = self.headers.iter();
        headers.fold(request, |request, (name, value)| {
            request.header(name, value)
        })
    }

    fn tried<T: DeserializeOwned>(
        &self,
        path: &str,
        send: impl Fn(&str) -> Result<Response<Body>, Error>,
    ) -> Result<T, Failure> {
        let url = format!("{}{path}", self.url);
        let mut wait = FIRST_WAIT;
        for _ in 0..self.retries {
            match send(&url) {
                Err(error) if is_unsent(&error) => thread::sleep(wait),
                sent => return reply(path, sent),
            }
            wait *= 2;
        }
        reply(path, send(&url))
    }
}

/// Whether no byte of the request can have reached the server.
fn is_unsent(error: &Error) -> bool {
    match error {
        Error::HostNotFound | Error::ConnectionFailed => true,
        Error::Io(error) => error.kind() == io::ErrorKind::ConnectionRefused,
        _ => false,
    }
}

fn reply<T: DeserializeOwned>(
    path: &str,
    sent: Result<Response<Body>, Error>,
) -> Result<T, Failure> {
    let lost = |problem: String| Failure::Lost(format!("{path}: {problem}"));
    let mut response = sent.map_err(|error| lost(error.to_string()))?;
    let mut body = Vec::new();
    let reader = response.body_mut().as_reader();
    let read = reader.take(LONGEST_REPLY + 1).read_to_end(&mut body);
    read.map_err(|error| lost(error.to_string()))?;
    meant(path, response.status().as_u16(), &body)
}

/// What a reply means whose body came whole, or is too long.
pub(super) fn meant<T: DeserializeOwned>(
    path: &str,
    status: u16,
    body: &[u8],
) -> Result<T, Failure> {
    let refused = |problem: String| Failure::Refused(format!("{path}: {problem}"));
    if body.len() as u64 > LONGEST_REPLY {
        return Err(refused(format!(
            "the reply has more than {LONGEST_REPLY} bytes"
        )));
    }
    if status != 200 {
        return Err(refused(format!("status {status}: {}", complaint(body))));
    }
    serde_json::from_slice(body)
        .map_err(|error| refused(format!("the reply is not what it should be: {error}")))
}

/// What a server says of its error: its `error`, or the beginning of whatever it is.
fn complaint(body: &[u8]) -> String {
    let json: Value = serde_json::from_slice(body).unwrap_or(json!({}));
    let text = match json["error"].as_str() {
        Some(error) => error.to_owned(),
        None => String::from_utf8_lossy(body).into_owned(),
    };
    cut(text, LONGEST_ERROR)
}
