//! Result files in the layout of BFCL's authors, so that their evaluator scores our runs and our
//! checker scores anybody's. What a result is worth is decided elsewhere.
//!
//! One file a category, `MODEL/multi_turn/BFCL_v4_multi_turn_base_result.json`, one record a
//! line: `id`, and `result` as a list of turns of a list of steps. A step is what the model
//! said without its reasoning, or what a function-calling interface returned. Token counts have
//! the same shape. `latency` is left out: an episode knows no clock, and the evaluator shows
//! `N/A` without it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::{BfclError, Category};

/// What a model did with one record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResultRecord {
    /// The record's official id.
    pub id: String,
    /// What it said.
    pub outcome: Outcome,
    /// Length of each step's prompt in tokens, by turn; empty where nobody counted.
    pub input_tokens: Vec<Vec<usize>>,
    /// Tokens that each step sampled, by turn.
    pub output_tokens: Vec<Vec<usize>>,
    /// What each step thought, by turn; empty where nothing did.
    pub reasoning: Vec<Vec<String>>,
}

/// What a record ended with.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Turns of steps.
    Turns(Vec<Vec<Response>>),
    /// The model could not be asked; why.
    Error(String),
}

impl Default for Outcome {
    fn default() -> Self {
        Self::Turns(Vec::new())
    }
}

/// What a model returned in one step.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// Its text, without its reasoning.
    Text(String),
    /// Of a function-calling interface: names, and arguments as JSON text.
    Calls(Vec<(String, String)>),
}

/// Where the results of a category lie in a model's folder; of memory's prerequisite
/// conversations, beside them.
pub fn result_path(model_folder: &Path, category: Category, prerequisites: bool) -> PathBuf {
    let prereq = if prerequisites { "_prereq" } else { "" };
    let name = format!("BFCL_v4_{category}{prereq}_result.json");
    model_folder.join(category.result_folder()).join(name)
}

/// The folder of a model's results: its registered name, without folders of its own.
pub fn model_folder(results: &Path, model: &str) -> PathBuf {
    results.join(model.replace('/', "_"))
}

/// Writes a category's results, and the folders above them.
pub fn write_results(path: &Path, records: &[ResultRecord]) -> Result<(), BfclError> {
    let lines: Vec<String> = records
        .iter()
        .map(|record| format!("{}\n", record.to_json()))
        .collect();
    let failed = |source: io::Error| BfclError::File {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(path, lines.concat()).map_err(failed)
}

/// Reads the results of a category, whoever wrote them.
pub fn read_results(path: &Path) -> Result<Vec<ResultRecord>, BfclError> {
    let text = fs::read_to_string(path).map_err(|source| BfclError::File {
        path: path.to_owned(),
        source,
    })?;
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(at, line)| {
            ResultRecord::from_json(line).map_err(|problem| BfclError::Line {
                path: path.to_owned(),
                line: at + 1,
                problem,
            })
        })
        .collect()
}

impl ResultRecord {
    fn to_json(&self) -> Value {
        let mut fields = Map::from_iter([
            ("id".to_owned(), json!(self.id)),
            ("result".to_owned(), self.outcome.to_json()),
            ("input_token_count".to_owned(), json!(self.input_tokens)),
            ("output_token_count".to_owned(), json!(self.output_tokens)),
        ]);
        if self.reasoning.iter().flatten().any(|it| !it.is_empty()) {
            fields.insert("reasoning_content".to_owned(), json!(self.reasoning));
        }
        Value::Object(fields)
    }

    /// Fields that scoring does not need may be absent, or of a form of their own.
    fn from_json(line: &str) -> Result<Self, String> {
        let fields: Map<String, Value> =
            serde_json::from_str(line).map_err(|error| error.to_string())?;
        let counts = |name: &str| lists(fields.get(name), |it| it.as_u64()?.try_into().ok());
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Ok(Self {
            id: match fields.get("id") {
                Some(Value::String(id)) => id.clone(),
                _ => return Err("`id` is missing, or no text".to_owned()),
            },
            outcome: match fields.get("result") {
                Some(result) => Outcome::from_json(result)?,
                None => return Err("`result` is missing".to_owned()),
            },
            input_tokens: counts("input_token_count"),
            output_tokens: counts("output_token_count"),
            reasoning: lists(fields.get("reasoning_content"), text),
        })
    }
}

/// A list of lists; nothing where it is another thing.
fn lists<T>(value: Option<&Value>, item: impl Fn(&Value) -> Option<T>) -> Vec<Vec<T>> {
    let turns = value.and_then(Value::as_array);
    let turns = turns.map(|turns| {
        let turn = |turn: &Value| turn.as_array()?.iter().map(&item).collect();
        turns.iter().map(turn).collect::<Option<Vec<Vec<T>>>>()
    });
    turns.flatten().unwrap_or_default()
}

impl Outcome {
    fn to_json(&self) -> Value {
        match self {
            Self::Error(reason) => json!(reason),
            Self::Turns(turns) => turns
                .iter()
                .map(|steps| steps.iter().map(Response::to_json).collect::<Value>())
                .collect(),
        }
    }

    /// In the place of turns the official program writes a text when a model could not be
    /// asked, and takes whatever else stands there for the same.
    fn from_json(value: &Value) -> Result<Self, String> {
        match value {
            Value::Array(turns) => {
                let turns: Result<_, String> = turns.iter().map(turn).collect();
                Ok(Self::Turns(turns?))
            }
            Value::String(reason) => Ok(Self::Error(reason.clone())),
            other => Ok(Self::Error(other.to_string())),
        }
    }
}

fn turn(value: &Value) -> Result<Vec<Response>, String> {
    let Value::Array(steps) = value else {
        return Err("a turn of `result` is no list of steps".to_owned());
    };
    steps.iter().map(Response::from_json).collect()
}

impl Response {
    fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Calls(calls) => calls
                .iter()
                .map(|(name, arguments)| json!({name: arguments}))
                .collect(),
        }
    }

    fn from_json(value: &Value) -> Result<Self, String> {
        let unknown = "a step of `result` is neither a text nor a list of `{name: arguments}`";
        match value {
            Value::String(text) => Ok(Self::Text(text.clone())),
            // An interface that had nothing to say.
            Value::Null => Ok(Self::Text(String::new())),
            Value::Array(calls) => {
                let mut read = Vec::new();
                for call in calls {
                    for (name, arguments) in call.as_object().ok_or(unknown)? {
                        let arguments = match arguments {
                            Value::String(text) => text.clone(),
                            arguments => arguments.to_string(),
                        };
                        read.push((name.clone(), arguments));
                    }
                }
                Ok(Self::Calls(read))
            }
            _ => Err(unknown.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Response {
        Response::Text(text.to_owned())
    }

    #[test]
    fn results_read_back_as_they_were_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let model = model_folder(folder.path(), "Qwen/Qwen3-8B-FC");
        let path = result_path(&model, Category::MemoryKv, true);
        let official = "Qwen_Qwen3-8B-FC/agentic/memory/kv/BFCL_v4_memory_kv_prereq_result.json";
        assert_eq!(path, folder.path().join(official));
        let calls = vec![("f".to_owned(), r#"{"a": 1.0}"#.to_owned())];
        let records = [
            ResultRecord {
                id: "memory_kv_prereq_0-customer-0".to_owned(),
                outcome: Outcome::Turns(vec![vec![text("é\n"), Response::Calls(calls)], vec![]]),
                input_tokens: vec![vec![3, 9], vec![]],
                output_tokens: vec![vec![2, 2], vec![]],
                reasoning: vec![vec![String::new(), "so".to_owned()], vec![]],
            },
            ResultRecord {
                id: "memory_kv_prereq_1-customer-1".to_owned(),
                outcome: Outcome::Error("Error during inference: it was cut".to_owned()),
                ..ResultRecord::default()
            },
        ];
        write_results(&path, &records).expect("written");
        assert_eq!(read_results(&path).expect("read"), records);
    }

    #[test]
    fn what_is_no_result_is_named_with_its_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("r.json");
        let check = |line: &str, expected: &str| {
            fs::write(
                &path,
                format!("{{\"id\": \"a\", \"result\": []}}\n{line}\n"),
            )
            .expect("written");
            let error = read_results(&path).unwrap_err().to_string();
            assert!(
                error.ends_with(expected) && error.contains("line 2"),
                "{error}"
            );
        };
        check(r#"{"result": []}"#, "`id` is missing, or no text");
        check(r#"{"id": "a"}"#, "`result` is missing");
        check(r#"{"id": "a", "result": [3]}"#, "is no list of steps");
        check(r#"{"id": "a", "result": [[3]]}"#, "`{name: arguments}`");
        check("{", "EOF while parsing an object at line 1 column 1");
        let line = r#"{"id": "a", "result": [["x"]], "latency": [[1.5]], "input_token_count": 3}"#;
        fs::write(&path, line).expect("written");
        assert_eq!(
            read_results(&path).expect("read")[0].input_tokens,
            [[0; 0]; 0]
        );
    }
}
