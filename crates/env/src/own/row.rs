//! The file format of your own tasks: one JSON object a line. Reads and writes rows, and says
//! what is wrong with one; knows nothing of what the tools do.

use episode::{Message, Trace};
use indexmap::IndexMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::schema::{check_tool, name_of};
use crate::jsonl::{Fields, LineProblem};

/// One task as its file has it. Fields are serialised in this order; absent ones are not.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TaskRow {
    /// Unique within the file.
    pub id: String,
    /// A division of the tasks that reports break results down by; `own` where nobody said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// The prompt. Empty where the toolbox begins the conversation.
    pub messages: Vec<Message>,
    /// Which tools the task offers: JSON-schema tools, each `{"type":"function","function":{…}}`,
    /// or names of tools of the toolboxes. `None`: every tool that they have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<Value>>,
    /// The one toolbox that the task uses, by its name; `None`: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suite: Option<String>,
    /// `answer`, a string or a list: the final answers that are accepted, the best known first.
    #[serde(
        rename = "answer",
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "one_or_many"
    )]
    pub answers: Vec<String>,
    /// Sub-answers by tool, in solving order: what the tools return where the task is solved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goldens: Option<IndexMap<String, Vec<String>>>,
    /// How an expert did it. In a file its `task` may be left out: it is the row's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
    /// Every other field, for the toolbox: its `reset` and its reward see the whole row.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl TaskRow {
    /// Reads one line.
    pub fn parse(line: &str) -> Result<Self, LineProblem> {
        Self::read(Fields::parse(line)?)
    }

    /// Reads a row of any table.
    pub(crate) fn read(mut fields: Fields) -> Result<Self, LineProblem> {
        let id = match fields.required("id")? {
            Value::String(id) => id,
            Value::Number(number) => number.to_string(),
            other => return Err(wrong("id", format!("{other}, expected a string"))),
        };
        let trace = match fields.optional::<Map<String, Value>>("trace")? {
            Some(trace) => Some(read_trace(trace, &id)?),
            None => None,
        };
        Ok(Self {
            scenario: fields.optional("scenario")?,
            messages: fields.required("messages")?,
            tools: fields.optional("tools")?,
            suite: fields.optional("suite")?,
            answers: match fields.optional("answer")? {
                None => Vec::new(),
                Some(answer) => read_answers(answer)?,
            },
            goldens: fields.optional("goldens")?,
            trace,
            id,
            extra: fields.rest(),
        })
    }

    /// The row as one line of a file, without its end.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("a row holds nothing that JSON cannot write")
    }

    /// What is wrong with the row by itself, all of it: its tools are no JSON Schema, its
    /// goldens are of tools that it does not list, its trace does not hold together.
    pub fn check(&self) -> Vec<LineProblem> {
        let mut problems = Vec::new();
        if self.tools.as_ref().is_some_and(Vec::is_empty) {
            let hint = "hint: leave `tools` out to offer every tool of the toolbox";
            problems.push(wrong("tools", format!("no tool is listed\n{hint}")));
        }
        let tools = self.tools.iter().flatten();
        for (index, tool) in tools.clone().enumerate().filter(|(_, t)| !t.is_string()) {
            let found = check_tool(tool).into_iter();
            problems.extend(found.map(|it| wrong("tools", format!("tool {index}: {it}"))));
        }
        let names: Vec<&str> = tools.filter_map(name_of).collect();
        problems.extend(doubles(&names).map(|name| {
            let problem = format!("two tools have the name `{name}`");
            wrong("tools", problem)
        }));
        if self.tools.is_some() {
            problems.extend(self.unoffered(&names));
        }
        if let Some(trace) = &self.trace {
            problems.extend(unpaired(trace));
        }
        problems
    }

    /// Goldens and calls of the trace that are of none of these tools.
    pub(super) fn unoffered(&self, names: &[&str]) -> Vec<LineProblem> {
        let goldens = self.goldens.iter().flat_map(IndexMap::keys);
        let turns = self.trace.iter().flat_map(|trace| &trace.turns);
        let calls = turns.flat_map(|turn| &turn.calls).map(|call| &call.name);
        goldens
            .map(|name| ("goldens", name))
            .chain(calls.map(|name| ("trace", name)))
            .filter(|(_, name)| !names.contains(&name.as_str()))
            .map(|(field, name)| {
                let problem = format!("`{name}` is not the name of one of the task's tools");
                wrong(field, problem)
            })
            .collect()
    }

    /// What a toolbox is told of the task: the row without its trace, as JSON.
    pub fn to_value(&self) -> Value {
        let row = Self {
            trace: None,
            ..self.clone()
        };
        serde_json::to_value(row).expect("a row holds nothing that JSON cannot write")
    }
}

/// Names that stand more than once, each time after the first.
pub(super) fn doubles<'a>(names: &[&'a str]) -> impl Iterator<Item = &'a str> {
    let twice = |index: &usize| names[..*index].contains(&names[*index]);
    (0..names.len()).filter(twice).map(|index| names[index])
}

/// Turns of a trace that do not have one result for each call.
fn unpaired(trace: &Trace) -> impl Iterator<Item = LineProblem> {
    let turns = trace.turns.iter().enumerate();
    turns
        .filter(|(_, turn)| turn.calls.len() != turn.results.len())
        .map(|(index, _)| {
            let problem = format!("turn {index} needs one result for each of its calls");
            wrong("trace", problem)
        })
}

fn read_trace(mut trace: Map<String, Value>, id: &str) -> Result<Trace, LineProblem> {
    trace.entry("task").or_insert_with(|| id.into());
    let trace: Trace = serde_json::from_value(Value::Object(trace))
        .map_err(|error| wrong("trace", error.to_string()))?;
    if trace.task == id {
        return Ok(trace);
    }
    let problem = format!("it is of task `{}`, and the row is `{id}`", trace.task);
    Err(wrong("trace", problem))
}

fn read_answers(answer: Value) -> Result<Vec<String>, LineProblem> {
    let texts = match answer {
        Value::Array(answers) => answers,
        answer => vec![answer],
    };
    texts.into_iter().map(read_answer).collect()
}

/// A number counts as its text, as JSON prints it.
fn read_answer(answer: Value) -> Result<String, LineProblem> {
    match answer {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        other => {
            let expected = "expected a string, or a list of those that are accepted";
            Err(wrong("answer", format!("{other}, {expected}")))
        }
    }
}

fn one_or_many<S: Serializer>(answers: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    match answers {
        [only] => serializer.serialize_str(only),
        many => many.serialize(serializer),
    }
}

pub(super) fn wrong(field: &str, problem: impl Into<String>) -> LineProblem {
    LineProblem::in_field(field, problem)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LINE: &str = concat!(
        r#"{"id":"a","scenario":"easy","messages":[{"role":"user","content":"Où?"}],"#,
        r#""tools":["where"],"answer":["là","ici"],"goldens":{"where":["là"]},"#,
        r#""trace":{"task":"a","turns":[],"answer_reasoning":"","answer":"là"},"#,
        r#""place":{"x":1}}"#
    );

    #[test]
    fn a_row_is_written_as_it_was_read() {
        let row = TaskRow::parse(LINE).unwrap();
        assert_eq!(row.answers, ["là", "ici"]);
        assert_eq!(row.extra["place"]["x"], 1);
        assert_eq!(row.to_line(), LINE);
        assert_eq!(row.check(), []);
    }

    #[test]
    fn what_is_absent_stays_absent_and_one_answer_stays_one() {
        let line = r#"{"id":"a","messages":[],"answer":"42"}"#;
        let row = TaskRow::parse(line).unwrap();
        assert_eq!(row.answers, ["42"]);
        assert_eq!(row.to_line(), line);
    }

    #[test]
    fn a_number_counts_as_its_text() {
        let row = TaskRow::parse(r#"{"id":7,"messages":[],"answer":3.5}"#).unwrap();
        assert_eq!((row.id.as_str(), &*row.answers), ("7", &["3.5".into()][..]));
    }

    #[test]
    fn a_toolbox_sees_the_row_and_not_the_trace() {
        let seen = TaskRow::parse(LINE).unwrap().to_value();
        assert_eq!(seen["place"], json!({"x": 1}));
        assert_eq!(seen["answer"], json!(["là", "ici"]));
        assert_eq!(seen.get("trace"), None);
    }

    #[test]
    fn a_line_that_cannot_be_read_names_its_field() {
        let check = |line: &str, field: Option<&str>, problem: &str| {
            let found = TaskRow::parse(line).unwrap_err();
            assert_eq!(found.field.as_deref(), field);
            assert!(found.problem.contains(problem), "{}", found.problem);
        };
        check("[]", None, "not a JSON object");
        check(r#"{"messages":[]}"#, Some("id"), "missing");
        check(
            r#"{"id":[],"messages":[]}"#,
            Some("id"),
            "expected a string",
        );
        check(r#"{"id":"a"}"#, Some("messages"), "missing");
        check(
            r#"{"id":"a","messages":[{"role":"boss"}]}"#,
            Some("messages"),
            "unknown variant `boss`",
        );
        check(
            r#"{"id":"a","messages":[],"answer":{}}"#,
            Some("answer"),
            "expected a string",
        );
        check(
            r#"{"id":"a","messages":[],"goldens":{"f":"x"}}"#,
            Some("goldens"),
            "expected a sequence",
        );
        check(
            r#"{"id":"a","messages":[],"trace":{"task":"b","turns":[],"answer":null}}"#,
            Some("trace"),
            "it is of task `b`, and the row is `a`",
        );
    }

    #[test]
    fn every_problem_of_a_row_is_listed() {
        let line = json!({
            "id": "a", "messages": [],
            "tools": ["f", "f", {"type": "function"}],
            "goldens": {"g": ["1"]},
            "trace": {"turns": [{"calls": [{"name": "h", "arguments": {}}], "results": []}], "answer": null},
        });
        let problems = TaskRow::parse(&line.to_string()).unwrap().check();
        let texts: Vec<&str> = problems.iter().map(|it| it.problem.as_str()).collect();
        assert_eq!(
            texts,
            [
                "tool 2: `function` is missing, expected an object",
                "two tools have the name `f`",
                "`g` is not the name of one of the task's tools",
                "`h` is not the name of one of the task's tools",
                "turn 0 needs one result for each of its calls",
            ]
        );
    }
}
