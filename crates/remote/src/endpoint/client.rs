//! One request over HTTP, and what comes of it. Nothing here tries twice.

use std::io::Read;

use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, Body};

use super::Endpoint;
use super::failure::{Failure, retry_after};
use super::reply::Reply;
use super::stream::{Assembly, EventReader, StreamFault};

/// Largest reply that is read, in bytes.
const LARGEST: usize = 16 << 20;

/// Sends requests to one endpoint. Shared by threads.
pub(crate) struct Client {
    agent: Agent,
    /// Of `chat/completions`.
    url: String,
    authorization: Option<String>,
    is_streamed: bool,
}

/// Whether whoever asked goes on listening, having seen a streamed reply so far.
pub(crate) type Listen<'l> = &'l mut dyn FnMut(&Assembly) -> bool;

impl Client {
    pub(crate) fn new(endpoint: &Endpoint, connections: usize) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // A redirected request would lose its body, or take the key elsewhere.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(endpoint.proxy.clone())
            .timeout_resolve(Some(endpoint.connect_timeout))
            .timeout_connect(Some(endpoint.connect_timeout))
            .timeout_global(Some(endpoint.timeout))
            .max_idle_connections(connections)
            .max_idle_connections_per_host(connections)
            .user_agent(concat!("pact/", env!("CARGO_PKG_VERSION")));
        Self {
            agent: config.build().new_agent(),
            url: endpoint.address.completions(),
            authorization: endpoint.key.as_ref().map(|key| key.authorization()),
            is_streamed: endpoint.stream,
        }
    }

    /// Asks once. A reply that nobody listens to any longer is returned as far as it has come,
    /// as one that was cut.
    pub(crate) fn ask(&self, body: &str, listen: Listen<'_>) -> Result<Reply, Failure> {
        let mut request = (self.agent.post(&self.url)).header("Content-Type", "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let response = request.send(body);
        let mut response = response.map_err(|error| Failure::of_transport(&error))?;
        let status = response.status();
        if !status.is_success() {
            return Err(refusal(&mut response));
        }
        let is_stream = content_type(&response).starts_with("text/event-stream");
        match self.is_streamed && is_stream {
            true => stream(response.body_mut().as_reader(), listen),
            false => whole(&read(&mut response)?),
        }
    }
}

/// The failure that a status other than success tells of.
fn refusal(response: &mut Response<Body>) -> Failure {
    let header = |name: &str| response.headers().get(name)?.to_str().ok();
    let seconds = header("retry-after").and_then(retry_after);
    let milliseconds = header("retry-after-ms").and_then(retry_after);
    let wait = milliseconds.map_or(seconds, |wait| Some(wait / 1000));
    let location = header("location").map(str::to_owned);
    let status = response.status().as_u16();
    // What it says may be cut off or long: the status is enough.
    let body = match location {
        Some(location) if (300..=399).contains(&status) => location,
        _ => read(response).map_or_else(|_| String::new(), |body| lossy(&body)),
    };
    Failure::of_status(status, wait, &body)
}

pub(crate) fn whole(body: &[u8]) -> Result<Reply, Failure> {
    let value: Value = match serde_json::from_slice(body) {
        Ok(value) => value,
        Err(error) if error.is_eof() && !body.is_empty() => {
            return Err(Failure::cut("its JSON does not end"));
        }
        Err(error) => {
            return Err(Failure::of_body(
                &format!("it is not JSON ({error})"),
                &lossy(body),
            ));
        }
    };
    if !value["error"].is_null() {
        return Err(Failure::of_error(&value));
    }
    Reply::read(&value).map_err(|reason| Failure::of_body(&reason, &lossy(body)))
}

pub(crate) fn stream(mut reader: impl Read, listen: Listen<'_>) -> Result<Reply, Failure> {
    let mut events = EventReader::default();
    let mut assembly = Assembly::default();
    let mut buffer = vec![0; 8 << 10];
    let mut total = 0;
    while !assembly.is_done {
        let count = reader
            .read(&mut buffer)
            .map_err(|error| Failure::of_io(&error))?;
        total += count;
        if total > LARGEST {
            return Err(Failure::too_large(LARGEST));
        }
        for data in events.push(&buffer[..count]) {
            take(&mut assembly, &data)?;
        }
        if count == 0 {
            // An event that the end has cut says nothing.
            let last = events
                .finish()
                .filter(|data| data.trim() == "[DONE]" || is_json(data));
            last.map_or(Ok(()), |data| take(&mut assembly, &data))?;
            break;
        }
        if !listen(&assembly) {
            return Ok(assembly.so_far());
        }
    }
    (assembly.finish()).ok_or_else(|| Failure::cut("the stream ended before the message did"))
}

fn take(assembly: &mut Assembly, data: &str) -> Result<(), Failure> {
    assembly.take(data).map_err(|fault| match fault {
        StreamFault::Error(error) => Failure::of_error(&error),
        StreamFault::NotJson(error) => {
            Failure::of_body(&format!("an event is not JSON ({error})"), data)
        }
        StreamFault::Calls(most) => {
            Failure::of_body(&format!("a reply makes more than {most} calls"), data)
        }
    })
}

fn is_json(data: &str) -> bool {
    serde_json::from_str::<Value>(data).is_ok()
}

/// The whole body, if it is no larger than may be.
fn read(response: &mut Response<Body>) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    let reader = response.body_mut().as_reader();
    let read = reader.take(LARGEST as u64 + 1).read_to_end(&mut body);
    read.map_err(|error| Failure::of_io(&error))?;
    match body.len() > LARGEST {
        true => Err(Failure::too_large(LARGEST)),
        false => Ok(body),
    }
}

fn content_type(response: &Response<Body>) -> &str {
    let header = response.headers().get("content-type");
    header.and_then(|it| it.to_str().ok()).unwrap_or_default()
}

fn lossy(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}
