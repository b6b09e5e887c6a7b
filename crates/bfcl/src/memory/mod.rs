//! The memory back ends: what an agent keeps from one conversation to the next.

mod bm25;
#[cfg(feature = "vector")]
mod embedder;
mod key_value;
mod summary;
mod vector;

use python::{JsonStyle, Value, json_dumps};
use thiserror::Error;

use crate::backend::{Backend, dict};

#[cfg(feature = "vector")]
pub use embedder::{BertEmbedder, EmbedderError};
pub use key_value::KeyValueMemory;
pub use summary::SummaryMemory;
pub use vector::{EmbedError, Embedder, VectorMemory};

/// A back end that outlives its conversation.
pub trait Memory: Backend {
    /// The text of the snapshot's file, as the leaderboard writes it: JSON, indented by four.
    fn snapshot(&self) -> String;

    /// Begins where a snapshot ends. What was there before is gone.
    fn load(&mut self, snapshot: &str) -> Result<(), SnapshotError>;

    /// What the system prompt says of the memory when a conversation begins.
    fn context(&self) -> String;
}

/// A snapshot that cannot be read.
#[derive(Debug, Error)]
#[error(
    "not a snapshot of {class}: {problem}\n\
     hint: give what the same back end has written, or nothing"
)]
pub struct SnapshotError {
    class: &'static str,
    problem: String,
}

impl SnapshotError {
    fn new(class: &'static str, problem: impl ToString) -> Self {
        Self {
            class,
            problem: problem.to_string(),
        }
    }
}

/// `json.dumps(value, indent=4)` of what a memory holds.
fn indented(value: &Value) -> String {
    let style = JsonStyle {
        indent: Some("    ".to_owned()),
        ..JsonStyle::ascii()
    };
    // Only what can be told apart from text, number and list gets in by a call's arguments.
    json_dumps(value, &style).unwrap_or_else(|_| value.repr())
}

/// `{"status": text}`
fn status(text: impl Into<String>) -> Value {
    dict([("status", Value::Str(text.into()))])
}
