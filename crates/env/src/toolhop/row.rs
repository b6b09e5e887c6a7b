//! ToolHop's file format: a question, its hops in order, and a tool in Python for each hop.

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::jsonl::{Fields, LineProblem};

/// One question as ToolHop has it.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolHopRow {
    /// Its number in the published file: `source_id` where the row says that it is a copy,
    /// else `id`.
    pub id: String,
    /// What is asked.
    pub question: String,
    /// The final answer.
    pub answer: String,
    /// In the order in which they must be solved.
    pub hops: Vec<Hop>,
    /// Python sources by the name of their function, in the order of the hops. Two hops that ask
    /// the like of different things may each have a tool of the same name.
    pub functions: IndexMap<String, Vec<String>>,
    /// Every other field.
    pub extra: Map<String, Value>,
}

/// One step to the answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Hop {
    /// What it asks.
    pub question: String,
    /// What it gives.
    pub answer: String,
    /// Its tool, as chat templates read tools: `{"type":"function","function":{…}}`.
    pub tool: Value,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Functions {
    Named(IndexMap<String, String>),
    Listed(Vec<String>),
}

impl ToolHopRow {
    /// Reads a row of any table. `functions` is a list of sources, whose names follow their
    /// first `def`, or an object of them by name. A copy may have sorted its hops: where every
    /// tool has a function, these say their order.
    pub(crate) fn read(mut fields: Fields) -> Result<Self, LineProblem> {
        let id_field = if fields.has("source_id") {
            "source_id"
        } else {
            "id"
        };
        let id = match fields.required(id_field)? {
            Value::String(id) => id,
            other => other.to_string(),
        };
        let answers: IndexMap<String, String> = fields.required("sub_task")?;
        let mut tools: IndexMap<String, Value> = fields.required("tools")?;
        let functions = match fields.required("functions")? {
            Functions::Named(functions) => functions.into_iter().collect(),
            Functions::Listed(sources) => named(sources)?,
        };
        let mut hops = Vec::new();
        for (question, answer) in answers {
            let Some(tool) = tools.shift_remove(&question) else {
                let problem = format!("no tool for the sub-question `{question}`");
                return Err(LineProblem::in_field("tools", problem));
            };
            let tool = json!({"type": "function", "function": tool});
            hops.push(Hop {
                question,
                answer,
                tool,
            });
        }
        let hops = in_order(hops, &functions);
        let mut by_name: IndexMap<String, Vec<String>> = IndexMap::new();
        for (name, source) in functions {
            by_name.entry(name).or_default().push(source);
        }
        Ok(Self {
            id,
            question: fields.required("question")?,
            answer: fields.required("answer")?,
            hops,
            functions: by_name,
            extra: fields.rest(),
        })
    }

    /// Sub-answers by tool, in the order of the hops.
    pub fn goldens(&self) -> IndexMap<String, Vec<String>> {
        let mut goldens: IndexMap<String, Vec<String>> = IndexMap::new();
        for hop in &self.hops {
            let tool = hop.name().to_owned();
            goldens.entry(tool).or_default().push(hop.answer.clone());
        }
        goldens
    }
}

impl Hop {
    /// The name of its tool; empty where it has none.
    pub fn name(&self) -> &str {
        self.tool["function"]["name"].as_str().unwrap_or_default()
    }
}

fn named(sources: Vec<String>) -> Result<Vec<(String, String)>, LineProblem> {
    let name = |(index, source): (usize, String)| match function_name(&source) {
        Some(name) => Ok((name.to_owned(), source)),
        None => {
            let problem = format!("source {index} defines no function");
            Err(LineProblem::in_field("functions", problem))
        }
    };
    sources.into_iter().enumerate().map(name).collect()
}

/// What follows the first `def` of a source.
fn function_name(source: &str) -> Option<&str> {
    let rest = source
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("def "))?;
    let (name, _) = rest.split_once('(')?;
    Some(name.trim())
}

/// Each hop at the place of its function; as they were where a tool has no function.
fn in_order(hops: Vec<Hop>, functions: &[(String, String)]) -> Vec<Hop> {
    let mut places: Vec<Option<Hop>> = functions.iter().map(|_| None).collect();
    for hop in &hops {
        let free = |place: &usize| functions[*place].0 == hop.name() && places[*place].is_none();
        match (0..functions.len()).find(free) {
            Some(place) => places[place] = Some(hop.clone()),
            None => return hops,
        }
    }
    places.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Value {
        json!({
            "id": 7,
            "question": "Which crop?",
            "answer": "Rice",
            "sub_task": {"Where was it?": "Nepal", "What grows in Nepal?": "Rice"},
            "tools": {
                "Where was it?": {"name": "quake", "parameters": {"type": "object"}},
                "What grows in Nepal?": {"name": "crop"},
            },
            "functions": [
                "import re\n\ndef quake(year):\n    return 'Nepal'",
                "def crop (country):\n    return 'Rice'",
            ],
        })
    }

    fn read(row: Value) -> Result<ToolHopRow, LineProblem> {
        ToolHopRow::read(Fields::parse(&row.to_string()).unwrap())
    }

    #[test]
    fn functions_may_be_a_list_or_named() {
        let listed = read(row()).unwrap();
        assert_eq!(listed.id, "7");
        assert_eq!(
            listed.functions.keys().collect::<Vec<_>>(),
            ["quake", "crop"]
        );
        let mut named = row();
        let sources = listed
            .functions
            .iter()
            .map(|(name, list)| (name.clone(), json!(list[0])));
        named["functions"] = Value::Object(sources.collect());
        assert_eq!(read(named).unwrap(), listed);
    }

    #[test]
    fn a_copy_with_sorted_hops_is_put_in_the_order_of_its_functions() {
        let mut sorted = row();
        sorted["source_id"] = json!(423);
        sorted["id"] = json!("toolhop-002");
        sorted["sub_task"] = json!({"What grows in Nepal?": "Rice", "Where was it?": "Nepal"});
        let copy = read(sorted).unwrap();
        assert_eq!(copy.id, "423");
        assert_eq!(copy.extra["id"], "toolhop-002");
        assert_eq!(copy.hops, read(row()).unwrap().hops);
    }

    #[test]
    fn two_tools_of_one_name_keep_their_order() {
        let mut row = row();
        row["tools"]["What grows in Nepal?"]["name"] = json!("quake");
        row["functions"] = json!(["def quake(): return 1", "def quake(): return 2"]);
        let row = read(row).unwrap();
        assert_eq!(row.goldens()["quake"], ["Nepal", "Rice"]);
        assert_eq!(row.functions["quake"][1], "def quake(): return 2");
    }

    #[test]
    fn a_problem_names_its_field() {
        let check = |field: &str, value: Value, expected: &str| {
            let mut row = row();
            row[field] = value;
            let found = read(row).unwrap_err();
            assert_eq!(found.field.as_deref(), Some(field));
            assert!(found.problem.contains(expected), "{}", found.problem);
        };
        check(
            "tools",
            json!({}),
            "no tool for the sub-question `Where was it?`",
        );
        check(
            "functions",
            json!(["x = 1"]),
            "source 0 defines no function",
        );
        check("functions", json!(3), "did not match any variant");
        check("answer", Value::Null, "missing");
    }
}
