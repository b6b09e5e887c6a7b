//! A tool given as a Python source, as FTRL and ToolHop give them, and run as FTRL's executor
//! runs it.

use episode::{Observation, ToolCall};
use sandbox::{Pool, PythonTool, call_error};

/// Runs one call, in a world that no earlier call has touched; `source` is what the task has
/// for a tool of that name.
pub(crate) fn run(pool: &Pool, source: Option<&String>, call: &ToolCall) -> Observation {
    let name = &call.name;
    match source {
        Some(source) => pool.call(PythonTool { name, source }, &call.arguments),
        // What Python says of a key that is not there.
        None => call_error(name, &format!("'{name}'")),
    }
}
