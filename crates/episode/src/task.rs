//! What an agent is asked to do, and how an expert did it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Who speaks in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    System,
    User,
    Assistant,
    Tool,
}

/// One message of a conversation, in the form that chat templates read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    pub role: Role,
    #[serde(default)]
    pub content: String,
    /// The reasoning of an assistant's message, without its tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
}

impl Message {
    /// A message of plain text.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
            reasoning_content: None,
            tool_calls: Vec::new(),
        }
    }
}

/// A call of one tool. Argument order is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    pub name: String,
    pub arguments: Map<String, Value>,
}

/// One task: a prompt, the tools that may be called, and what is known of the answer.
/// What the tools do, and what counts as success, is the environment suite's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Unique within its suite.
    pub id: String,
    /// The suite's own division of its tasks; reports break results down by it.
    pub scenario: String,
    pub messages: Vec<Message>,
    /// JSON-schema tools, each `{"type":"function","function":{…}}`, as templates read them.
    pub tools: Vec<Value>,
    pub answer: Option<String>,
}

/// An expert's worked solution of one task (method.md's z): turns of reasoning, calls and
/// observations, then a final answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// The id of the task that it solves.
    pub task: String,
    pub turns: Vec<TraceTurn>,
    /// Reasoning of the last, answering turn; empty for none.
    #[serde(default)]
    pub answer_reasoning: String,
    /// The text of the last turn; `None` where the trace ends with its last observation.
    pub answer: Option<String>,
}

/// One turn of a trace: reasoning, then calls, then what the tools returned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceTurn {
    /// Without its tags; empty for none.
    #[serde(default)]
    pub reasoning: String,
    pub calls: Vec<ToolCall>,
    /// One text for each call, in the order of `calls`.
    pub results: Vec<String>,
}
