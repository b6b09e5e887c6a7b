//! `MemoryAPI_rec_sum`: one text, which the agent rewrites as it learns.

use python::{Dict, Exception, Value, json_loads};

use super::{Memory, SnapshotError, indented, status};
use crate::backend::operations::length;
use crate::backend::{Arguments, Backend, Method, dict, error, method, required};

const CLASS: &str = "MemoryAPI_rec_sum";
/// In characters.
const LONGEST: usize = 10_000;

/// One text.
#[derive(Debug, Default)]
pub struct SummaryMemory {
    text: String,
}

impl SummaryMemory {
    fn append(&mut self, text: &Value) -> Result<Value, Exception> {
        if self.text.chars().count() + length(text)? > LONGEST {
            return too_long("appending");
        }
        self.text.push_str(text_of(text)?);
        Ok(status("Memory appended."))
    }

    fn update(&mut self, text: &Value) -> Result<Value, Exception> {
        if length(text)? > LONGEST {
            return too_long("updating");
        }
        self.text = text_of(text)?.to_owned();
        Ok(status("Memory updated."))
    }

    fn clear(&mut self) -> Value {
        self.text.clear();
        status("Short term memory cleared.")
    }

    /// Replaces all occurrences. Only the new text is held to the limit, not what becomes of the whole.
    fn replace(&mut self, old: &Value, new: &Value) -> Result<Value, Exception> {
        let Value::Str(old) = old else {
            return Err(Exception::type_error(format!(
                "'in <string>' requires string as left operand, not {}",
                old.type_name()
            )));
        };
        if !self.text.contains(old) {
            return error(format!("Text '{old}' not found in memory."));
        }
        if length(new)? > LONGEST {
            return too_long("replacing");
        }
        self.text = self.text.replace(old, text_of(new)?);
        Ok(status("Memory updated."))
    }

    fn retrieve(&self) -> Result<Value, Exception> {
        if self.text.is_empty() {
            return error("Memory is empty.");
        }
        Ok(dict([("memory_content", self.text.clone().into())]))
    }
}

fn too_long(after: &str) -> Result<Value, Exception> {
    error(format!(
        "Entry will be too long after {after}. Please shorten the entry to less than {LONGEST} characters."
    ))
}

/// Only text gets into the memory, where the original would also keep a list.
fn text_of(value: &Value) -> Result<&str, Exception> {
    value.as_str().ok_or_else(|| {
        Exception::type_error(format!(
            "can only concatenate str (not \"{}\") to str",
            value.type_name()
        ))
    })
}

const METHODS: &[Method] = &[
    method("memory_append", &[required("text")]),
    method("memory_clear", &[]),
    method(
        "memory_replace",
        &[required("old_text"), required("new_text")],
    ),
    method("memory_retrieve", &[]),
    method("memory_update", &[required("text")]),
];

impl Backend for SummaryMemory {
    fn class(&self) -> &'static str {
        CLASS
    }

    fn methods(&self) -> &'static [Method] {
        METHODS
    }

    fn call(&mut self, method: &str, arguments: &Arguments) -> Result<Value, Exception> {
        match method {
            "memory_append" => self.append(&arguments["text"]),
            "memory_update" => self.update(&arguments["text"]),
            "memory_clear" => Ok(self.clear()),
            "memory_replace" => self.replace(&arguments["old_text"], &arguments["new_text"]),
            "memory_retrieve" => self.retrieve(),
            _ => unreachable!("{method} is in no table of methods"),
        }
    }

    fn memory(&self) -> Option<&dyn Memory> {
        Some(self)
    }

    fn state(&self) -> Dict {
        Dict::from([("memory", self.text.clone().into())])
    }
}

impl Memory for SummaryMemory {
    fn snapshot(&self) -> String {
        indented(&Value::Dict(self.state()))
    }

    fn load(&mut self, snapshot: &str) -> Result<(), SnapshotError> {
        let snapshot =
            json_loads(snapshot).map_err(|problem| SnapshotError::new(CLASS, problem))?;
        match snapshot.as_dict().and_then(|fields| fields.get("memory")) {
            Some(Value::Str(text)) => {
                self.text.clone_from(text);
                Ok(())
            }
            _ => Err(SnapshotError::new(CLASS, "`memory` is no text")),
        }
    }

    fn context(&self) -> String {
        if self.text.is_empty() {
            "There is no content in the memory at this point.".to_owned()
        } else {
            self.text.clone()
        }
    }
}
