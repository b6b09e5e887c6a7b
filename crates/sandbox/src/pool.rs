//! The processes of one suite.

use episode::Observation;
use serde_json::{Map, Value};

use crate::{PythonConfig, SandboxConfig, SandboxError, Session};

/// Runs Python tools, several at once. Clones share the same processes.
#[derive(Clone)]
pub struct Pool {
    _private: (),
}

/// A tool's name and its source.
#[derive(Clone, Copy)]
pub struct PythonTool<'a> {
    /// The function that is called.
    pub name: &'a str,
    /// What defines it.
    pub source: &'a str,
}

impl Pool {
    /// Finds the interpreter, starts the first process and tries every layer, so that what
    /// cannot run at all is known before an episode begins.
    pub fn new(python: PythonConfig, sandbox: SandboxConfig) -> Result<Self, SandboxError> {
        let _ = (python, sandbox);
        todo!()
    }

    /// The same pool on another day.
    pub fn on_day(&self, date: &str) -> Result<Self, SandboxError> {
        let _ = date;
        todo!()
    }

    /// Calls the tool's function in a fresh process, with FTRL's namespace. Whatever goes wrong
    /// is a failed observation in the words of FTRL's executor. Waits while all workers are busy.
    pub fn call(&self, tool: PythonTool<'_>, arguments: &Map<String, Value>) -> Observation {
        let _ = (tool, arguments);
        todo!()
    }

    /// Python's complaint about each source that does not compile.
    pub fn compile(&self, sources: &[&str]) -> Result<Vec<Option<String>>, SandboxError> {
        let _ = sources;
        todo!()
    }

    /// A state that every session opened from now on begins with, each with its own copy. Read
    /// once, however many sessions there are.
    pub fn share(&self, name: &str, value: &Value) {
        let _ = (name, value);
        todo!()
    }

    /// A process for one episode; an error where `sandbox.sessions` are open, or the machine has
    /// no more processes.
    pub fn session(&self) -> Result<Session, SandboxError> {
        todo!()
    }
}

/// Whether this is a day of the Gregorian calendar, `YYYY-MM-DD`.
pub fn is_day(text: &str) -> bool {
    let _ = text;
    todo!()
}

/// A call that failed, in the words (and the spelling) of FTRL's executor.
pub fn call_error(tool: &str, exception: &str) -> Observation {
    Observation {
        text: format!("an error occured when call {tool}: {exception}"),
        failed: true,
    }
}
