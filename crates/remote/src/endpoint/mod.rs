//! A served model as a policy: any endpoint that speaks OpenAI's chat completions.
//! Requests wait on threads of their own; a bad reply is data, a busy endpoint is asked again,
//! and one that cannot answer is an error that says so. Knows no reward, and shows no key.
//!
//! What a reply says is printed in the local chat's tokens, so that limits, turn reading, reports
//! and traces are those of a local model. Its tokens were not sampled here: their
//! log-probabilities are 0, and such episodes are measured or retold, never trained on as the
//! policy's own.

mod address;
mod client;
mod courier;
mod failure;
#[doc(hidden)]
pub mod fixture;
mod key;
mod pace;
mod policy;
mod reply;
mod request;
mod stream;
mod turn;

use chat::Chat;
use episode::CallFormat;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

pub use self::address::{Address, AddressError};
pub use self::failure::EndpointError;
pub use self::key::{Key, KeyError};
pub use self::policy::EndpointPolicy;
pub use self::reply::Usage;
pub use ureq::Proxy;

/// Time since some fixed moment.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Where a model is served, and how it is asked.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The server's base.
    pub address: Address,
    /// The model's name there.
    pub model: String,
    /// Sent with every request; none where the server asks for none.
    pub key: Option<Key>,
    /// The proxy on the way there.
    pub proxy: Option<Proxy>,
    /// How long finding the host may take, and connecting.
    pub connect_timeout: Duration,
    /// How long one request may take, from its connection to the last byte of its reply.
    pub timeout: Duration,
    /// How often one request is asked again when the endpoint is busy or the reply was cut off.
    pub max_retries: u32,
    /// How long the first of these waits; each further one waits twice as long, up to a minute,
    /// and none less than the endpoint asks for.
    pub back_off: Duration,
    /// How many requests may be sent in a minute, those that ask again included.
    pub requests_per_minute: Option<u32>,
    /// Whether replies come in pieces, so that one that outgrows its tokens is stopped.
    pub stream: bool,
    /// Whether the limit on tokens is called `max_completion_tokens`, as OpenAI's reasoning
    /// models want it, rather than `max_tokens`.
    pub max_completion_tokens: bool,
    /// How what the model has said is sent back to it.
    pub history: History,
    /// Whether an episode ends, rather than the rollout, when the endpoint has replied to others
    /// and breaks over this one however often it is asked: as servers do whose parsers cannot
    /// read what their model writes. The cost: a fault of the server's counts as the model's.
    pub skip_unanswered: bool,
    /// Further fields of each request; null leaves a field out.
    pub fields: Map<String, Value>,
}

/// How a conversation tells the model what it has said itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum History {
    /// Calls and reasoning in the fields in which they came; the server's template decides what
    /// the model reads of them.
    #[default]
    Fields,
    /// The same without reasoning, which a few servers refuse to take back.
    WithoutReasoning,
    /// As the text that it was, calls and reasoning between their tags: for models that write
    /// them so, on servers that lose a part of the fields.
    Text,
}

impl Endpoint {
    /// A model at an address, asked with patience and without a key.
    pub fn new(address: Address, model: impl Into<String>) -> Self {
        Self {
            address,
            model: model.into(),
            key: None,
            proxy: None,
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(600),
            max_retries: 8,
            back_off: Duration::from_secs(1),
            requests_per_minute: None,
            stream: false,
            max_completion_tokens: false,
            history: History::Fields,
            skip_unanswered: false,
            fields: Map::new(),
        }
    }
}

/// Reads the body of a reply as if an endpoint had sent it, whole and in pieces, and prints what
/// it says in the chat's tokens: for whoever sends any bytes to see what becomes of them.
#[doc(hidden)]
pub fn read_reply(chat: &Chat, calls: CallFormat, body: &[u8], max_tokens: usize) {
    let replies = [client::whole(body), client::stream(body, &mut |_| true)];
    for reply in replies.into_iter().flatten() {
        if let Ok(turn) = turn::print(chat, calls, &reply, max_tokens) {
            assert!(turn.tokens.len() <= max_tokens, "a turn keeps to its limit");
        }
    }
}
