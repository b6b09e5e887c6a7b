//! A process of one episode that keeps its tools' state.

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// One episode's tools in a process of their own. Whatever the tools do to it, `call` returns:
/// after it has ended each call fails with how it ended. Dropping it ends the process.
pub struct Session {
    _private: (),
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
    /// Runs a source as a module. Several may be loaded; of functions of one name the last
    /// loaded is called.
    pub fn load(&mut self, source: &str, filename: &str) -> Result<(), Failure> {
        let _ = (source, filename);
        todo!()
    }

    /// The public functions that the sources define (names in `__all__` where there is one, else
    /// those without a leading `_`), in the order of their definition; `reset` and `reward` too.
    pub fn functions(&mut self) -> Result<Vec<FunctionInfo>, Failure> {
        todo!()
    }

    /// Calls a function with keyword arguments; with `state`, the state of that name (`put`,
    /// `Pool::share`) goes before them as the first positional argument. Returns text by FTRL's
    /// rule: dicts and lists as a JSON dump, all else by `str`.
    pub fn call(
        &mut self,
        function: &str,
        arguments: &Map<String, Value>,
        state: Option<&str>,
    ) -> Result<String, Failure> {
        let _ = (function, arguments, state);
        todo!()
    }

    /// Calls a function with keyword arguments, and returns the result as JSON; one that is no
    /// JSON is a `Failure::Raised`.
    pub fn evaluate(
        &mut self,
        function: &str,
        arguments: &Map<String, Value>,
    ) -> Result<Value, Failure> {
        let _ = (function, arguments);
        todo!()
    }

    /// Sets a state: a JSON value that functions are given as a Python object, and may change.
    pub fn put(&mut self, name: &str, value: &Value) -> Result<(), Failure> {
        let _ = (name, value);
        todo!()
    }

    /// A state as it is now.
    pub fn get(&mut self, name: &str) -> Result<Value, Failure> {
        let _ = name;
        todo!()
    }
}
