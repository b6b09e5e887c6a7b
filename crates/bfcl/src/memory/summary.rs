//! `MemoryAPI_rec_sum`: one text, which the agent rewrites as it learns.

use python::{Dict, Exception, Value, json_loads};

use super::{Memory, SnapshotError, indented, status};
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
    fn append(&mut self, text: &str) -> Result<Value, Exception> {
        if self.text.chars().count() + text.chars().count() > LONGEST {
            return too_long("appending");
        }
        self.text.push_str(text);
        Ok(status("Memory appended."))
    }

    fn update(&mut self, text: &str) -> Result<Value, Exception> {
        if text.chars().count() > LONGEST {
            return too_long("updating");
        }
        self.text = text.to_owned();
        Ok(status("Memory updated."))
    }

    fn clear(&mut self) -> Value {
        self.text.clear();
        status("Short term memory cleared.")
    }

    /// Replaces all occurrences. Only the new text is held to the limit, not what becomes of the
    /// whole.
    fn replace(&mut self, old: &str, new: &str) -> Result<Value, Exception> {
        if !self.text.contains(old) {
            return error(format!("Text '{old}' not found in memory."));
        }
        if new.chars().count() > LONGEST {
            return too_long("replacing");
        }
        self.text = self.text.replace(old, new);
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
        "Entry will be too long after {after}. \
         Please shorten the entry to less than {LONGEST} characters."
    ))
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
        // Whatever is given counts as the text that it prints as.
        let text = |name: &str| arguments[name].to_string();
        match method {
            "memory_append" => self.append(&text("text")),
            "memory_update" => self.update(&text("text")),
            "memory_clear" => Ok(self.clear()),
            "memory_replace" => self.replace(&text("old_text"), &text("new_text")),
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
