//! Who has the tools: the traits that a Python file, a server or a Rust type implements, and
//! what their rewards are told of an episode.

use episode::{Message, Observation, Score, StopReason, ToolCall, Turn};
use serde_json::{Value, json};

use super::TaskRow;
use crate::Health;

/// Tools of one origin. One value serves every episode of a suite.
pub trait Toolbox: Send + Sync {
    /// What a row's `suite` calls it by; unique among the toolboxes of one suite.
    fn name(&self) -> &str;
    /// Every tool that it has, each `{"type":"function","function":{…}}`.
    fn tools(&self) -> &[Value];
    /// How an episode of the row begins; only asked for a row without messages, once, when its
    /// file is loaded. The error says what went wrong.
    fn begin(&self, row: &TaskRow) -> Result<Vec<Message>, String> {
        let _ = row;
        Err(format!(
            "`{}` does not begin conversations, so the task needs messages",
            self.name()
        ))
    }
    /// The tools for one episode. It is opened on the thread of the first call, and by an
    /// episode that calls nothing only to be judged; so it may block. The error is a text that
    /// the agent reads, at each of its calls.
    fn open(&self, row: &TaskRow) -> Result<Box<dyn Session>, String>;
    /// Whether [`Session::reply`] ever replies.
    fn replies(&self) -> bool {
        false
    }
    /// How whatever runs the tools has fared since the toolbox was opened.
    fn health(&self) -> Health {
        Health::default()
    }
    /// Whether its sessions judge episodes.
    fn judges(&self) -> bool {
        false
    }
}

/// The tools within one episode, with whatever state they have. Dropped when it is over.
pub trait Session: Send {
    /// Runs one call. Whatever goes wrong is an observation.
    fn call(&mut self, call: &ToolCall) -> Observation;
    /// What the user says to a turn that calls nothing; `None` ends the episode.
    fn reply(&mut self, turn: &Turn) -> Option<String> {
        let _ = turn;
        None
    }
    /// Whether the tools have ended the episode.
    fn is_over(&self) -> bool {
        false
    }
    /// What the episode was worth; asked once, at its end, where the toolbox judges. The error
    /// says why it cannot be told.
    fn judge(&mut self, record: &Record) -> Result<Score, String> {
        let _ = record;
        Err("it does not judge".to_owned())
    }
}

/// What happened in an episode, as rewards see it: no token, no turn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// Every call that could be read, in order, with what came back.
    pub calls: Vec<(ToolCall, Observation)>,
    /// The last answer; `None` where the agent never answered.
    pub answer: Option<String>,
    /// Why the episode ended; `None` while it has not.
    pub stop: Option<StopReason>,
}

impl Record {
    /// `{"calls": [{name, arguments, text, failed}], "answer": text or null, "stop": reason}`.
    pub fn to_value(&self) -> Value {
        let calls: Vec<Value> = self
            .calls
            .iter()
            .map(|(call, observation)| {
                json!({
                    "name": call.name,
                    "arguments": call.arguments,
                    "text": observation.text,
                    "failed": observation.failed,
                })
            })
            .collect();
        json!({"calls": calls, "answer": self.answer, "stop": self.stop})
    }
}

/// Reads a reward as toolboxes write it: a number, `true` or `false`, or an object whose
/// `reward` is one of these and whose `metrics`, if any, are numbers by name.
pub fn read_score(value: &Value) -> Result<Score, String> {
    let mut score = Score::default();
    let reward = match value {
        Value::Object(fields) => {
            score.metrics = match fields.get("metrics") {
                None | Some(Value::Null) => Default::default(),
                Some(Value::Object(metrics)) => metrics
                    .iter()
                    .map(|(name, value)| Ok((name.clone(), number(name, value)?)))
                    .collect::<Result<_, String>>()?,
                Some(other) => return Err(format!("`metrics` is {other}, expected an object")),
            };
            fields.get("reward").unwrap_or(&Value::Null)
        }
        plain => plain,
    };
    score.reward = number("reward", reward)?;
    Ok(score)
}

fn number(name: &str, value: &Value) -> Result<f64, String> {
    let number = match value {
        Value::Bool(is_true) => Some(f64::from(*is_true)),
        value => value.as_f64(),
    };
    number
        .filter(|number| number.is_finite())
        .ok_or_else(|| format!("`{name}` is {value}, expected a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reward_is_a_number_or_an_object_with_one() {
        let check = |value: Value, reward: f64| {
            assert_eq!(read_score(&value).map(|score| score.reward), Ok(reward));
        };
        check(json!(0.5), 0.5);
        check(json!(true), 1.0);
        check(json!({"reward": 2}), 2.0);
        let score = read_score(&json!({"reward": 1, "metrics": {"kept": 0.25, "met": true}}));
        let metrics = score.unwrap().metrics.into_iter().collect::<Vec<_>>();
        assert_eq!(metrics, [("kept".into(), 0.25), ("met".into(), 1.0)]);
    }

    #[test]
    fn what_is_no_reward_is_refused() {
        let check = |value: Value, problem: &str| {
            assert_eq!(read_score(&value), Err(problem.to_owned()));
        };
        check(json!(null), "`reward` is null, expected a number");
        check(json!("1"), "`reward` is \"1\", expected a number");
        check(json!({}), "`reward` is null, expected a number");
        check(
            json!({"reward": 1, "metrics": {"a": []}}),
            "`a` is [], expected a number",
        );
        check(
            json!({"reward": 1, "metrics": 2}),
            "`metrics` is 2, expected an object",
        );
    }
}
