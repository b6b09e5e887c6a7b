//! Where the recordings are, and what they hold: reads questions and oracles, opens the
//! back ends, and compares.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bfcl::executor::Instances;
use bfcl::tables::{Tables, decode};
use python::{Dict, Value, json_loads};

/// The benchmark's folder, if there is one.
#[expect(
    clippy::disallowed_methods,
    reason = "tests find their data through PACT_DATA"
)]
pub(crate) fn data_folder() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let root = std::env::var("PACT_DATA").unwrap_or_else(|_| beside.to_owned());
    let folder = Path::new(&root).join("bfcl");
    if !folder.is_dir() {
        println!("skipped: PACT_DATA has no bfcl");
        return None;
    }
    Some(folder)
}

/// The rows of every JSON-lines file of a folder whose first row has these fields, with the
/// file's name.
pub(crate) fn rows(folder: &Path, fields: &[&str]) -> Vec<(String, Dict)> {
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|end| end == "jsonl" || end == "json")
        })
        .collect();
    paths.sort();
    let mut rows = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        let first = json_loads(text.lines().next().unwrap_or_default());
        let fits = first.is_ok_and(|row| {
            row.as_dict()
                .is_some_and(|row| fields.iter().all(|field| row.contains(field)))
        });
        if fits {
            rows.extend(text.lines().map(|line| (name.clone(), row(line))));
        }
    }
    rows
}

fn row(line: &str) -> Dict {
    json_loads(line).unwrap().as_dict().unwrap().clone()
}

/// All questions that begin in a state, by id.
pub(crate) struct Questions {
    by_id: BTreeMap<String, Dict>,
    tables: Arc<Tables>,
}

/// The instances of one record.
pub(crate) struct Opened {
    pub(crate) instances: Instances,
}

impl Questions {
    pub(crate) fn load(folder: &Path) -> Self {
        let questions = rows(folder, &["id", "initial_config", "involved_classes"]);
        let by_id = questions
            .into_iter()
            .map(|(_, row)| (text(&row, "id").to_owned(), row))
            .collect();
        let tables = Arc::new(Tables::load(folder).unwrap());
        Self { by_id, tables }
    }

    /// The instances that the record's calls act on.
    pub(crate) fn open(&self, id: &str, long_context: bool) -> Opened {
        let question = &self.by_id[id];
        let classes: Vec<String> = list(question, "involved_classes")
            .iter()
            .map(|class| class.as_str().unwrap().to_owned())
            .collect();
        let config = question.get("initial_config").unwrap().as_dict().unwrap();
        Opened {
            instances: Instances::open(&classes, config, long_context, &self.tables).unwrap(),
        }
    }
}

impl Opened {
    /// What is different from recorded states. Order and types count here, which the state
    /// check ignores.
    pub(crate) fn differences(&self, recorded: &Dict) -> Vec<String> {
        let mut differences = Vec::new();
        for backend in self.instances.backends() {
            let Some(state) = recorded.get(backend.class()) else {
                continue;
            };
            let public = state.as_dict().unwrap().get("public").unwrap();
            let expected = nodes(decode(public.clone()));
            let found = Value::Dict(backend.state());
            if expected != found || expected.repr() != found.repr() {
                differences.push(format!(
                    "{}:\n  expected {}\n  found    {}",
                    backend.class(),
                    expected.repr(),
                    found.repr()
                ));
            }
        }
        differences
    }
}

/// Recorded files and directories as a state has them: children in a dict, not in pairs.
fn nodes(value: Value) -> Value {
    match value {
        Value::List(items) => Value::List(items.into_iter().map(nodes).collect()),
        Value::Dict(dict) => {
            let mut fields = Dict::new();
            for (key, value) in dict.iter() {
                let is_name = matches!(key.as_str(), Some("__file__" | "__dir__"));
                let value = match value {
                    Value::List(pairs) if dict.contains("__dir__") && !is_name => {
                        Value::Dict(children(pairs))
                    }
                    value if is_name => node_name(value),
                    value => nodes(value.clone()),
                };
                fields.insert_key(key.clone(), value).unwrap();
            }
            Value::Dict(fields)
        }
        other => other,
    }
}

/// A name that is a tuple was recorded as a list, which no name can be.
fn node_name(name: &Value) -> Value {
    match name {
        Value::List(items) => Value::Tuple(items.clone()),
        name => name.clone(),
    }
}

fn children(pairs: &[Value]) -> Dict {
    let mut children = Dict::new();
    for pair in pairs {
        let [name, node] = pair.as_list().unwrap() else {
            panic!("a child is a name and a node")
        };
        children
            .insert_key(node_name(name), nodes(node.clone()))
            .unwrap();
    }
    children
}

pub(crate) fn text<'a>(row: &'a Dict, field: &str) -> &'a str {
    row.get(field).unwrap().as_str().unwrap()
}

pub(crate) fn list<'a>(row: &'a Dict, field: &str) -> &'a [Value] {
    row.get(field).unwrap().as_list().unwrap()
}

/// Recorded calls with their results.
pub(crate) fn calls(row: &Dict) -> impl Iterator<Item = (&str, &str)> {
    list(row, "calls").iter().map(|pair| {
        let [call, result] = pair.as_list().unwrap() else {
            panic!("a recorded call is a text and its result")
        };
        (call.as_str().unwrap(), result.as_str().unwrap())
    })
}
