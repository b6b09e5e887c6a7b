//! Served models: what a command line says of an endpoint, and its key from the environment.

use std::time::Duration;

use anyhow::Result;
use chat::Chat;
use clap::{Args, ValueEnum};
use remote::endpoint::{Address, Endpoint, EndpointPolicy, History, Key, Proxy};
use serde_json::{Map, Value};

use crate::clock;
use crate::exit::UsageError;

/// The variable that has the key, where nobody names another.
const KEY_VARIABLE: &str = "OPENAI_API_KEY";

/// How an endpoint is asked. The command that takes these has an argument `endpoint` too.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Endpoint")]
pub(crate) struct EndpointArgs {
    /// The environment variable that has the endpoint's key [default: OPENAI_API_KEY, if set]
    #[arg(long, value_name = "VARIABLE", requires = "endpoint")]
    pub(crate) key_env: Option<String>,
    /// How often a request is sent again when the endpoint is busy or cuts it off
    #[arg(
        long,
        hide_short_help = true,
        value_name = "N",
        default_value_t = 8,
        requires = "endpoint"
    )]
    pub(crate) max_retries: u32,
    /// Requests in a minute at most, those sent again included
    #[arg(long, hide_short_help = true, value_name = "N", requires = "endpoint", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) requests_per_minute: Option<u32>,
    /// Seconds that one reply may take
    #[arg(long, hide_short_help = true, value_name = "SECONDS", default_value_t = 600, requires = "endpoint", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: u64,
    /// Seconds that connecting may take
    #[arg(long, hide_short_help = true, value_name = "SECONDS", default_value_t = 10, requires = "endpoint", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) connect_timeout: u64,
    /// Take replies in pieces, and stop one that outgrows its tokens
    #[arg(long, hide_short_help = true, requires = "endpoint")]
    pub(crate) stream: bool,
    /// Call the limit on tokens `max_completion_tokens`, as OpenAI's reasoning models want it
    #[arg(long, hide_short_help = true, requires = "endpoint")]
    pub(crate) max_completion_tokens: bool,
    /// How the model is told what it has said itself
    #[arg(
        long,
        hide_short_help = true,
        default_value = "fields",
        requires = "endpoint"
    )]
    pub(crate) history: HistoryName,
    /// End an episode, not all of them, when the endpoint breaks over it however often it is asked
    #[arg(long, requires = "endpoint")]
    pub(crate) skip_unanswered: bool,
    /// One more field of every request; null leaves a field out
    #[arg(long, hide_short_help = true, value_name = "NAME=JSON", requires = "endpoint", value_parser = parse_field)]
    pub(crate) field: Vec<(String, Value)>,
}

impl EndpointArgs {
    /// What of it decides the replies, and is no secret.
    pub(crate) fn to_json(&self) -> Value {
        let history = self.history.to_possible_value();
        serde_json::json!({
            "history": history.as_ref().map(|name| name.get_name()),
            "fields": self.field.iter().cloned().collect::<Map<_, _>>(),
        })
    }
}

/// How the model is told what it has said itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum HistoryName {
    #[default]
    /// Its calls and its reasoning in the fields in which they came
    Fields,
    /// The same without its reasoning
    NoReasoning,
    /// As the text that it was, tags included
    Text,
}

impl From<HistoryName> for History {
    fn from(name: HistoryName) -> Self {
        match name {
            HistoryName::Fields => Self::Fields,
            HistoryName::NoReasoning => Self::WithoutReasoning,
            HistoryName::Text => Self::Text,
        }
    }
}

fn parse_field(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or("expected NAME=JSON, as in `reasoning_effort=\"low\"`")?;
    let value = serde_json::from_str(value).map_err(|error| {
        format!("`{value}` is not JSON ({error}); a text stands in double quotes")
    })?;
    Ok((name.to_owned(), value))
}

/// The model of this name at this address.
pub(crate) fn open(url: &str, model: &str, arguments: &EndpointArgs) -> Result<Endpoint> {
    let usage = |error: &dyn std::fmt::Display| UsageError(format!("`--endpoint`: {error}"));
    let address = Address::new(url).map_err(|error| usage(&error))?;
    Ok(Endpoint {
        key: key(arguments.key_env.as_deref())?,
        proxy: Proxy::try_from_env(),
        connect_timeout: Duration::from_secs(arguments.connect_timeout),
        timeout: Duration::from_secs(arguments.timeout),
        max_retries: arguments.max_retries,
        requests_per_minute: arguments.requests_per_minute,
        stream: arguments.stream,
        max_completion_tokens: arguments.max_completion_tokens,
        history: arguments.history.into(),
        skip_unanswered: arguments.skip_unanswered,
        fields: arguments.field.iter().cloned().collect::<Map<_, _>>(),
        ..Endpoint::new(address, model)
    })
}

/// The endpoint's model as a policy, with the binary's clock. `on_notice` is told what people
/// should know while they wait.
pub(crate) fn policy<'a>(
    endpoint: Endpoint,
    chat: &'a Chat,
    limits: &rollout::Config,
    on_notice: impl FnMut(&str) + 'a,
) -> EndpointPolicy<'a> {
    EndpointPolicy::new(chat, endpoint, limits, clock::start(), Box::new(on_notice))
}

/// The key in a variable. One that is named must be there; a local server needs none.
#[expect(
    clippy::disallowed_methods,
    reason = "the environment enters through the binary"
)]
fn key(variable: Option<&str>) -> Result<Option<Key>> {
    let name = variable.unwrap_or(KEY_VARIABLE);
    let text = match std::env::var(name) {
        Ok(text) => text,
        Err(_) if variable.is_none() => return Ok(None),
        Err(error) => {
            let message = format!(
                "`--key-env {name}`: {error}\nhint: name the variable that has the key, not the key"
            );
            return Err(UsageError(message).into());
        }
    };
    match Key::new(&text) {
        Ok(key) => Ok(Some(key)),
        Err(error) => Err(UsageError(format!("environment variable `{name}`: {error}")).into()),
    }
}
