//! Tools given as Python sources by name, as FTRL and ToolHop give them, and run as FTRL's
//! executor runs them.

use std::sync::Arc;

use episode::{Observation, ToolCall};
use indexmap::IndexMap;

use crate::python::{PythonPool, PythonTool, call_error};

/// The tools of one task.
#[derive(Clone)]
pub(crate) struct Codes {
    sources: Arc<IndexMap<String, String>>,
    pool: Arc<PythonPool>,
}

impl Codes {
    pub(crate) fn new(sources: Arc<IndexMap<String, String>>, pool: Arc<PythonPool>) -> Self {
        Self { sources, pool }
    }

    /// Runs one call, in a world that no earlier call has touched.
    pub(crate) fn call(&self, call: &ToolCall) -> Observation {
        let name = &call.name;
        match self.sources.get(name) {
            Some(source) => self.pool.call(PythonTool { name, source }, &call.arguments),
            // What Python says of a key that is not there.
            None => call_error(name, &format!("'{name}'")),
        }
    }
}
