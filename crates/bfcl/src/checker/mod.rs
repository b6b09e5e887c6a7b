//! What is right, by the rules of BFCL's authors, and what they call what is not.
//! A verdict needs what the model said and what is accepted; it knows no file and no policy.

pub mod agentic;
pub mod multi_turn;

use std::fmt;

use serde::{Serialize, Serializer};

/// Why a record fails. The texts are those of the official score files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Which rule was broken.
    #[serde(rename = "error_type")]
    pub rule: Rule,
    /// For people.
    #[serde(rename = "error_message")]
    pub message: String,
    /// Attributes whose values differ from those that the accepted calls lead to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<String>,
    /// Results of the accepted calls that no call of the model has given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing_items: Vec<String>,
}

/// The rules that a record can break, serialised by their official names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The result is no list of turns: the model could not be asked.
    NoTurns,
    /// There are not as many turns as the user has: the model was stopped, having called too
    /// often in one.
    ForceTerminated,
    /// A turn in which something must be called has no call.
    EmptyTurn,
    /// A back end is not in the state that the accepted calls lead to.
    StateMismatch,
    /// A result of the accepted calls was never seen.
    ResponseMismatch,
    /// The result is no list of one turn.
    NotOneTurn,
    /// Every turn called: there is no answer.
    NoAnswer,
    /// The answer has none of the accepted texts in it.
    AnswerNotFound,
}

impl Rule {
    /// The official name: `multi_turn:force_terminated`.
    pub fn name(self) -> &'static str {
        match self {
            Rule::NoTurns => "multi_turn:inference_error",
            Rule::ForceTerminated => "multi_turn:force_terminated",
            Rule::EmptyTurn => "multi_turn:empty_turn_model_response",
            Rule::StateMismatch => "multi_turn:instance_state_mismatch",
            Rule::ResponseMismatch => "multi_turn:execution_response_mismatch",
            Rule::NotOneTurn => "agentic:inference_error",
            Rule::NoAnswer => "agentic:no_last_message",
            Rule::AnswerNotFound => "agentic:answer_not_found",
        }
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl Failure {
    pub(crate) fn new(rule: Rule, message: impl Into<String>) -> Self {
        Self {
            rule,
            message: message.into(),
            differences: Vec::new(),
            missing_items: Vec::new(),
        }
    }
}
