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
    /// Whether reasoning of earlier turns is sent back in the way it came. Templates differ in
    /// what they keep of it; a few servers refuse it.
    pub send_reasoning: bool,
    /// Further fields of each request; null leaves a field out.
    pub fields: Map<String, Value>,
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
            send_reasoning: true,
            fields: Map::new(),
        }
    }
}
