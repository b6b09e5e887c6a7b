//! What an agent is asked to do, and how an expert did it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Who speaks in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sets the rules.
    System,
    /// Asks.
    User,
    /// The policy, or the expert in its place.
    Assistant,
    /// Returns what a call gave.
    Tool,
}

/// One message of a conversation, in the form that chat templates read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// The text; of an assistant's message, without reasoning and calls.
    #[serde(default)]
    pub content: String,
    /// The reasoning of an assistant's message, without its tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// What an assistant's message calls, in order.
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
    /// The tool's name, as it was written; it need not exist.
    pub name: String,
    /// By name, as JSON values.
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
    /// The prompt.
    pub messages: Vec<Message>,
    /// JSON-schema tools, each `{"type":"function","function":{…}}`, as templates read them.
    pub tools: Vec<Value>,
    /// The expected final answer, where the suite has one.
    pub answer: Option<String>,
    /// How the prompt asks for calls to be written.
    #[serde(default)]
    pub calls: CallFormat,
}

/// How a turn writes its calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallFormat {
    /// As the chat template prints them: JSON between `<tool_call>` tags.
    #[default]
    Tagged,
    /// As a Python list that is all of the answer: `[f(a=1), g()]`. A turn whose answer is no
    /// such list calls nothing.
    Python,
}

/// An expert's worked solution of one task (method.md's z): turns of reasoning, calls and
/// observations, then a final answer. As JSON, one a line, it is the format of trace files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// The id of the task that it solves.
    pub task: String,
    /// Where it came from: `planner`, `gold-calls`, `recorded`, `rollouts of NAME`; empty where
    /// nobody said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Whether its calls, run again, returned what is recorded and solved the task, which it
    /// then answers; `None` where nobody ran them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
    /// The turns that call, in order.
    pub turns: Vec<TraceTurn>,
    /// Reasoning of the last, answering turn; empty for none.
    #[serde(default)]
    pub answer_reasoning: String,
    /// The text of the last turn; `None` where the trace ends with its last observation.
    pub answer: Option<String>,
}

/// One turn of a trace: reasoning, then calls, then what the tools returned; or reasoning, then
/// an answer, then what the user said next.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TraceTurn {
    /// Without its tags; empty for none.
    #[serde(default)]
    pub reasoning: String,
    /// What the expert called; empty in a turn that answers a user who goes on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<ToolCall>,
    /// One text for each call, in the order of `calls`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<String>,
    /// What a turn without calls says.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub content: String,
    /// What the user says after a turn without calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
}
