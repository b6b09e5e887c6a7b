//! A process of one episode that keeps its tools' state.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::folder::Folder;
use crate::health::HealthCount;
use crate::pool::Seat;
use crate::process::{Process, Reply};

/// For a source's top level, which may import much.
const LOAD_LIMIT: Duration = Duration::from_secs(60);

/// One episode's tools in a process of their own. Whatever the tools do to it, `call` returns:
/// after it has ended each call fails with how it ended. Dropping it ends the process and
/// removes its folder.
pub struct Session {
    // In the order in which they must go.
    process: Process,
    folder: Folder,
    call_limit: Duration,
    health: Arc<HealthCount>,
    _seat: Arc<Seat>,
}

/// Why a request to a session gave no result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Failure {
    /// The code raised an exception.
    #[error("{kind}: {message}")]
    Raised {
        /// The exception's type, `KeyError`.
        kind: String,
        /// What `str` makes of it.
        message: String,
        /// The last line of a loaded source that it went through, for the source's author:
        /// `tools.py, line 3, in f`.
        at: Option<String>,
    },
    /// The request took too long. The session has ended with it.
    #[error("timed out after {seconds} seconds")]
    TimedOut {
        /// How long a request may take.
        seconds: f64,
    },
    /// The session has ended, now or before.
    #[error("the tools' process ended: {how}")]
    Ended {
        /// `exit status 3`, `killed by signal 9`, …
        how: String,
    },
}

/// A public function of the sources that a session has loaded, as an agent is told of it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct FunctionInfo {
    /// Its name in the source.
    pub name: String,
    /// Its docstring without what it says of single parameters.
    pub description: String,
    /// A JSON schema of type `object`: properties by type hint, with the docstring's words.
    pub parameters: Value,
    /// The `filename` that its source was loaded under.
    pub file: String,
}

impl FunctionInfo {
    /// As templates read tools: `{"type": "function", "function": {…}}`.
    pub fn tool(&self) -> Value {
        json!({"type": "function", "function": {
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
        }})
    }
}

impl Session {
    pub(crate) fn new(
        process: Process,
        folder: Folder,
        call_limit: Duration,
        (seat, health): (Arc<Seat>, Arc<HealthCount>),
    ) -> Self {
        Self {
            process,
            folder,
            call_limit,
            health,
            _seat: seat,
        }
    }

    /// Runs a source as a module. Several may be loaded; of functions of one name the last
    /// loaded is called.
    pub fn load(&mut self, source: &str, filename: &str) -> Result<(), Failure> {
        let request = json!({"load": {"source": source, "filename": filename}});
        self.ask(&request, LOAD_LIMIT.max(self.call_limit))?;
        Ok(())
    }

    /// The public functions that the sources define (names in `__all__` where there is one, else
    /// those without a leading `_`), in the order of their definition; `reset` and `reward` too.
    pub fn functions(&mut self) -> Result<Vec<FunctionInfo>, Failure> {
        let reply = self.ask(&json!({"functions": null}), self.call_limit)?;
        reply.functions.ok_or_else(no_reply)
    }

    /// Calls a function with keyword arguments; with `state`, the state of that name (`put`,
    /// `Pool::share`) goes before them as the first positional argument. What a coroutine
    /// function returns is awaited. Returns text by FTRL's rule: dicts and lists as a JSON dump,
    /// all else by `str`.
    pub fn call(
        &mut self,
        function: &str,
        arguments: &Map<String, Value>,
        state: Option<&str>,
    ) -> Result<String, Failure> {
        let call = json!({"function": function, "arguments": arguments, "state": state});
        self.text(&json!({ "call": call }))
    }

    /// Calls a function with keyword arguments, and returns the result as JSON; one that is no
    /// JSON is a `Failure::Raised`.
    pub fn evaluate(
        &mut self,
        function: &str,
        arguments: &Map<String, Value>,
    ) -> Result<Value, Failure> {
        let call = json!({"function": function, "arguments": arguments});
        value_of(&self.text(&json!({ "evaluate": call }))?)
    }

    /// Sets a state: a JSON value that functions are given as a Python object, and may change.
    pub fn put(&mut self, name: &str, value: &Value) -> Result<(), Failure> {
        self.text(&json!({"put": {"name": name, "value": value}}))?;
        Ok(())
    }

    /// A state as it is now.
    pub fn get(&mut self, name: &str) -> Result<Value, Failure> {
        value_of(&self.text(&json!({ "get": name }))?)
    }

    fn text(&mut self, request: &Value) -> Result<String, Failure> {
        let reply = self.ask(request, self.call_limit)?;
        reply.text.ok_or_else(no_reply)
    }

    fn ask(&mut self, request: &Value, limit: Duration) -> Result<Reply, Failure> {
        let replied = self.process.ask(request, limit, &self.folder);
        if let Err(Failure::TimedOut { .. }) = replied {
            self.health.timed_out();
        }
        replied
    }
}

/// JSON that Python wrote: text that is none, or is nested too deeply for us, came of a tool that
/// meddled with its own process.
fn value_of(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::Raised {
        kind: "ValueError".to_owned(),
        message: format!("the value cannot be read as JSON: {error}"),
        at: None,
    })
}

fn no_reply() -> Failure {
    Failure::Raised {
        kind: "RuntimeError".to_owned(),
        message: "the tools' process answered another question".to_owned(),
        at: None,
    }
}
