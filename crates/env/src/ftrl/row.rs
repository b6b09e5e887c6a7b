//! FTRL's file format: one JSON object a line, some of whose fields are strings that hold
//! JSON. Reads and writes rows; knows nothing of what they mean to an episode.

use episode::Message;
use indexmap::IndexMap;
use serde::ser::Error;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::jsonl::{Fields, LineProblem};
use crate::message::{read_messages, write_messages};
use crate::python_json::python_json;

/// One task as FTRL writes it. Fields are serialised in this order.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The prompt: one user message in FTRL's own rows; in a row that goes on with an episode,
    /// also the turns so far.
    #[serde(serialize_with = "as_conversation")]
    pub messages: Vec<Message>,
    /// JSON-schema tools, each `{"type":"function","function":{…}}`.
    #[serde(serialize_with = "as_json_text")]
    pub tools: Vec<Value>,
    /// Python source of each tool, by name.
    #[serde(serialize_with = "as_json_text")]
    pub codes: IndexMap<String, String>,
    /// Sub-answers by tool, in solving order; of a row that goes on with an episode, those that
    /// remain. A tool with nothing left stays, with an empty list.
    #[serde(serialize_with = "as_json_text")]
    pub unsolved_set: IndexMap<String, Vec<String>>,
    /// Share already solved; 0 in a row that begins an episode.
    pub solve_rate: f64,
    /// The scenario, such as `self/multi_hop`.
    pub data_source: String,
    /// `train` or `test`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// The final answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// The expert's calls, where the data set has them (MatchTIR).
    #[serde(
        serialize_with = "as_json_text",
        skip_serializing_if = "Option::is_none"
    )]
    pub ground_truth: Option<Vec<GoldCall>>,
    /// The task's id, where it is not the row's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What the tool world needs to run this task natively.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub world: Option<Value>,
}

/// One call of `ground_truth`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoldCall {
    /// The tool.
    pub name: String,
    /// Its arguments.
    #[serde(alias = "arguments")]
    pub parameters: Map<String, Value>,
}

impl Row {
    /// Reads one line.
    pub fn parse(line: &str) -> Result<Self, LineProblem> {
        Self::read(Fields::parse(line)?)
    }

    /// Reads a row of any table. A column that holds JSON may have it as text or as it is.
    pub(crate) fn read(mut fields: Fields) -> Result<Self, LineProblem> {
        Ok(Self {
            messages: read_messages("messages", fields.required("messages")?)?,
            tools: fields.required("tools")?,
            codes: fields.required("codes")?,
            unsolved_set: fields.required("unsolved_set")?,
            solve_rate: fields.optional("solve_rate")?.unwrap_or(0.0),
            data_source: fields.required("data_source")?,
            split: fields.optional("split")?,
            answer: fields.optional("answer")?,
            ground_truth: fields.optional("ground_truth")?,
            id: fields.optional("id")?,
            world: fields.optional("world")?,
        })
    }

    /// The row as one line of a file, without its end, in the spacing of FTRL's files.
    pub fn to_line(&self) -> String {
        python_json(self).expect("a row holds nothing that JSON cannot write")
    }

    /// Names of the tools, in the order of `tools`. A tool without a name has none here.
    pub fn tool_names(&self) -> impl Iterator<Item = &str> {
        self.tools
            .iter()
            .filter_map(|tool| tool["function"]["name"].as_str())
    }
}

fn as_conversation<S: Serializer>(messages: &[Message], serializer: S) -> Result<S::Ok, S::Error> {
    write_messages(messages).serialize(serializer)
}

fn as_json_text<T: Serialize, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&python_json(value).map_err(S::Error::custom)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = concat!(
        r#"{"messages": [{"role": "user", "content": "Où?"}], "#,
        r#""tools": "[{\"type\": \"function\", \"function\": {\"name\": \"where\"}}]", "#,
        r#""codes": "{\"where\": \"def where():\\n    return 'là'\"}", "#,
        r#""unsolved_set": "{\"where\": [\"là\"]}", "solve_rate": 0.0, "#,
        r#""data_source": "self/single_hop", "split": "test", "answer": "là"}"#
    );

    #[test]
    fn a_row_is_written_as_it_was_read() {
        let row = Row::parse(LINE).unwrap();
        assert_eq!(row.tool_names().collect::<Vec<_>>(), ["where"]);
        assert_eq!(row.codes["where"], "def where():\n    return 'là'");
        assert_eq!(row.to_line(), LINE);
    }

    #[test]
    fn an_answer_that_looks_like_a_number_stays_text() {
        let line = LINE.replace(r#""answer": "là""#, r#""answer": "42""#);
        assert_eq!(Row::parse(&line).unwrap().answer.as_deref(), Some("42"));
    }

    #[test]
    fn a_problem_names_its_field() {
        let check = |line: String, field: Option<&str>, problem: &str| {
            let found = Row::parse(&line).unwrap_err();
            assert_eq!(found.field.as_deref(), field);
            assert!(found.problem.contains(problem), "{}", found.problem);
        };
        check("{".into(), None, "not a JSON object");
        check("[]".into(), None, "not a JSON object");
        check(
            LINE.replace("\"codes\"", "\"code\""),
            Some("codes"),
            "missing",
        );
        check(
            LINE.replace(r#"{\"where\": [\"là\"]}"#, "{"),
            Some("unsolved_set"),
            "EOF",
        );
        check(
            LINE.replace("0.0", "\"none\""),
            Some("solve_rate"),
            "expected",
        );
    }
}
