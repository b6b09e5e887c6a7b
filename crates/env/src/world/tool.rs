//! One tool of the world: a table from keys to answers, with the same behaviour natively
//! and as the Python source that other trainers run.

use std::collections::BTreeMap;

use episode::{Observation, ToolCall};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::lexicon::ID;
use sandbox::call_error;

/// A look-up that depends on its one argument alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tool {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) parameter: String,
    /// Keys are identifiers (`#407`); a name is refused.
    pub(super) by_id: bool,
    /// What the tool answers to each key, errors that name another key included.
    pub(super) table: BTreeMap<String, String>,
}

impl Tool {
    /// The first half of its name: the relation that it looks up, or the registry.
    pub(super) fn stem(&self) -> &str {
        let halves = self.name.split_once('_');
        halves.map_or(&self.name, |(stem, _)| stem)
    }

    /// The tool as chat templates read it.
    pub(super) fn schema(&self) -> Value {
        let key = if self.by_id { ID } else { "name" };
        json!({
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": {
                    "type": "object",
                    "properties": {
                        &self.parameter: {
                            "type": "string",
                            "description": format!("{key} of the person"),
                        }
                    },
                    "required": [self.parameter],
                }
            }
        })
    }

    /// Calls the tool as Python would call [`Tool::python`]: arguments that do not fit the
    /// signature raise, and the agent reads the exception's text.
    fn call(&self, arguments: &Map<String, Value>) -> Observation {
        let Self {
            name, parameter, ..
        } = self;
        if let Some(other) = arguments.keys().find(|key| *key != parameter) {
            return call_error(
                name,
                &format!("{name}() got an unexpected keyword argument '{other}'"),
            );
        }
        match arguments.get(parameter) {
            None => call_error(
                name,
                &format!("{name}() missing 1 required positional argument: '{parameter}'"),
            ),
            Some(Value::String(key)) => answered(self.answer(key)),
            Some(_) => answered(format!("error: {parameter} must be a string")),
        }
    }

    fn answer(&self, key: &str) -> String {
        if self.by_id && !key.starts_with('#') {
            return format!("error: {key} is not an id");
        }
        match self.table.get(key) {
            Some(answer) => answer.clone(),
            None => format!("error: no record of {key}"),
        }
    }

    /// The tool as Python source, one function of the tool's name.
    pub(super) fn python(&self) -> String {
        let Self {
            name,
            description,
            parameter,
            ..
        } = self;
        let rows: String = self
            .table
            .iter()
            .map(|(key, answer)| format!("        {}: {},\n", json!(key), json!(answer)))
            .collect();
        let refusal = if self.by_id {
            format!(
                "    if not {parameter}.startswith(\"#\"):\n        return \"error: \" + {parameter} + \" is not an id\"\n"
            )
        } else {
            String::new()
        };
        format!(
            "def {name}({parameter}):\n    {doc}\n    table = {{\n{rows}    }}\n    \
             if not isinstance({parameter}, str):\n        \
             return \"error: {parameter} must be a string\"\n{refusal}    \
             return table.get({parameter}, \"error: no record of \" + {parameter})\n",
            doc = json!(description),
        )
    }
}

/// Calls one of `tools`, as an FTRL suite would call their Python sources.
pub(super) fn call(tools: &[Tool], call: &ToolCall) -> Observation {
    match tools.iter().find(|tool| tool.name == call.name) {
        Some(tool) => tool.call(&call.arguments),
        // What Python says of a key that is not there.
        None => call_error(&call.name, &format!("'{}'", call.name)),
    }
}

fn answered(text: String) -> Observation {
    Observation {
        text,
        failed: false,
    }
}
