//! A server as a toolbox, and a session of an episode.

use std::sync::Arc;
use std::time::Duration;

use env::own::{Record, Session, TaskRow, Toolbox, read_score};
use env::{Health, HealthCount};
use episode::{Message, Observation, Score, ToolCall, Turn};
use serde::Deserialize;
use serde_json::{Value, json};

use super::HttpConfig;
use super::client::{Client, Failure, meant};
use crate::own::ToolsError;
use crate::own::bounds::cut;

/// How long taking leave may take.
const LEAVE: Duration = Duration::from_secs(2);

/// The tools of an environment behind HTTP.
pub struct HttpTools {
    name: String,
    offer: Offer,
    longest_result: usize,
    client: Arc<Client>,
    health: Arc<HealthCount>,
}

/// The reply to `GET /tools`.
#[derive(Deserialize)]
struct Offer {
    tools: Vec<Value>,
    #[serde(default)]
    scores: bool,
    #[serde(default)]
    replies: bool,
}

/// The reply to `POST /reset`.
#[derive(Deserialize)]
struct Reset {
    session: String,
    #[serde(default)]
    messages: Vec<Message>,
}

/// The reply to `POST /step`.
#[derive(Deserialize)]
struct Step {
    text: String,
    #[serde(default)]
    failed: bool,
    #[serde(default)]
    done: bool,
}

impl Step {
    fn observation(self, longest: usize) -> Observation {
        Observation {
            text: cut(self.text, longest),
            failed: self.failed,
        }
    }
}

/// The reply to `POST /answer`.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    reply: Option<String>,
}

impl Answer {
    fn words(self, longest: usize) -> Option<String> {
        self.reply.map(|reply| cut(reply, longest))
    }
}

impl HttpTools {
    /// Asks the server what it offers. `variable` looks up an environment variable.
    pub fn connect(
        name: &str,
        config: &HttpConfig,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ToolsError> {
        let client = Client::new(config, variable).map_err(|problem| ToolsError::Config {
            name: name.to_owned(),
            problem,
        })?;
        let offer = client.get("/tools").map_err(|failure| ToolsError::Server {
            name: name.to_owned(),
            problem: failure.into_text(),
        })?;
        Ok(Self {
            name: name.to_owned(),
            offer,
            longest_result: config.longest_result,
            client: Arc::new(client),
            health: Arc::default(),
        })
    }

    fn reset(&self, row: &TaskRow) -> Result<(HttpSession, Vec<Message>), String> {
        let task = json!({"task": row.to_value()});
        let reset: Reset = self
            .client
            .post("/reset", &task)
            .map_err(Failure::into_text)?;
        let session = HttpSession {
            client: Arc::clone(&self.client),
            health: Arc::clone(&self.health),
            id: reset.session,
            longest_result: self.longest_result,
            is_over: false,
            lost: None,
        };
        Ok((session, reset.messages))
    }
}

impl Toolbox for HttpTools {
    fn name(&self) -> &str {
        &self.name
    }

    fn tools(&self) -> &[Value] {
        &self.offer.tools
    }

    fn begin(&self, row: &TaskRow) -> Result<Vec<Message>, String> {
        Ok(self.reset(row)?.1)
    }

    fn open(&self, row: &TaskRow) -> Result<Box<dyn Session>, String> {
        Ok(Box::new(self.health.asked(self.reset(row))?.0))
    }

    fn health(&self) -> Health {
        self.health.get()
    }

    fn replies(&self) -> bool {
        self.offer.replies
    }

    fn judges(&self) -> bool {
        self.offer.scores
    }
}

/// One episode on the server. Dropping it takes leave.
struct HttpSession {
    client: Arc<Client>,
    health: Arc<HealthCount>,
    id: String,
    longest_result: usize,
    is_over: bool,
    /// Why nobody knows any more what state it is in.
    lost: Option<String>,
}

impl HttpSession {
    fn ask<T: serde::de::DeserializeOwned>(
        &mut self,
        path: &str,
        body: &Value,
    ) -> Result<T, String> {
        if let Some(why) = &self.lost {
            let gone = format!("there is no environment any more: {why}");
            return self.health.asked(Err(gone));
        }
        match self.client.post(path, body) {
            Err(Failure::Lost(why)) => {
                let lost = format!("the environment is lost: {why}");
                self.lost = Some(why);
                self.health.asked(Err(lost))
            }
            heard => self
                .health
                .asked(Ok::<_, String>(heard))?
                .map_err(Failure::into_text),
        }
    }
}

impl Session for HttpSession {
    fn call(&mut self, call: &ToolCall) -> Observation {
        let body = json!({"session": self.id, "call": call});
        match self.ask::<Step>("/step", &body) {
            Ok(step) => {
                self.is_over |= step.done;
                step.observation(self.longest_result)
            }
            Err(problem) => Observation {
                text: format!("error: {problem}"),
                failed: true,
            },
        }
    }

    fn reply(&mut self, turn: &Turn) -> Option<String> {
        let body = json!({"session": self.id, "text": turn.content});
        match self.ask::<Answer>("/answer", &body) {
            Ok(answer) => answer.words(self.longest_result),
            Err(problem) => {
                tracing::warn!("an episode ends without the user's reply: {problem}");
                None
            }
        }
    }

    fn is_over(&self) -> bool {
        self.is_over
    }

    fn judge(&mut self, record: &Record) -> Result<Score, String> {
        let body = json!({"session": self.id, "episode": record.to_value()});
        let score: Value = self.ask("/score", &body)?;
        read_score(&score).map_err(|problem| format!("/score: {problem}"))
    }
}

impl Drop for HttpSession {
    fn drop(&mut self) {
        if self.lost.is_none() {
            self.client
                .tell("/close", &json!({"session": self.id}), LEAVE);
        }
    }
}

/// Reads the body of a reply as if a server had sent it, to each request in turn, of a result and
/// of an error: for whoever sends any bytes to see what becomes of them.
#[doc(hidden)]
pub fn read_reply(body: &[u8], longest_result: usize) {
    for status in [200, 500] {
        let _ = meant::<Offer>("/tools", status, body);
        let _ = meant::<Reset>("/reset", status, body);
        let _ = meant::<Step>("/step", status, body).map(|step| step.observation(longest_result));
        let _ = meant::<Answer>("/answer", status, body).map(|answer| answer.words(longest_result));
        let _ = meant::<Value>("/score", status, body).map(|score| read_score(&score).is_ok());
    }
}
