//! The benchmark's constants: prices, default states, and what long-context mode adds. They are
//! data of the benchmark, read from its folder, and no part of this program.

use std::fs;
use std::path::{Path, PathBuf};

use python::{Dict, Exception, Value, json_loads};

use crate::calendar::Date;

/// Defaults and tables of each class's module.
const BACKENDS: &str = "backend_tables.json";
/// What long-context mode adds.
const LONG_CONTEXT: &str = "long_context_constants.json";

/// The constants of all classes.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// The day on which travellers have the age that they are asked for. The original asks the
    /// clock.
    pub today: Date,
    backends: Dict,
    long_context: Dict,
}

/// A file of constants that is not there, or not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum TablesError {
    /// The file could not be read.
    #[error("`{}`: {source}\nhint: `pact data fetch bfcl` says how to get it", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a JSON object.
    #[error("`{}`: {problem}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: Exception,
    },
}

impl Tables {
    /// Reads the constants from the benchmark's folder.
    pub fn load(folder: &Path) -> Result<Self, TablesError> {
        Ok(Self {
            today: Date::default(),
            backends: read(&folder.join(BACKENDS))?,
            long_context: read(&folder.join(LONG_CONTEXT))?,
        })
    }

    /// A table of a class's module, such as `DEFAULT_STATE` of `message_api`; `KeyError` where
    /// the file lacks it.
    pub fn backend(&self, module: &str, name: &str) -> Result<&Value, Exception> {
        let missing = || missing(BACKENDS, &format!("{module}.{name}"));
        let module = self.backends.get(module).and_then(Value::as_dict);
        module
            .and_then(|tables| tables.get(name))
            .ok_or_else(missing)
    }

    /// As [`Self::backend`], of a table that is a list.
    pub fn list(&self, module: &str, name: &str) -> Result<&[Value], Exception> {
        let table = self.backend(module, name)?.as_list();
        table.ok_or_else(|| unexpected(module, name, "a list"))
    }

    /// As [`Self::backend`], of a table that is a dict.
    pub fn dict(&self, module: &str, name: &str) -> Result<&Dict, Exception> {
        let table = self.backend(module, name)?.as_dict();
        table.ok_or_else(|| unexpected(module, name, "a dict"))
    }

    /// A constant of long-context mode, such as `FILE_CONTENT_EXTENSION`; `KeyError` where the
    /// file lacks it.
    pub fn long_context(&self, name: &str) -> Result<&Value, Exception> {
        self.long_context
            .get(name)
            .ok_or_else(|| missing(LONG_CONTEXT, name))
    }
}

fn missing(file: &str, name: &str) -> Exception {
    Exception::value_error(format!("`{file}` has no `{name}`"))
}

fn unexpected(module: &str, name: &str, expected: &str) -> Exception {
    Exception::value_error(format!("`{BACKENDS}`: `{module}.{name}` is not {expected}"))
}

fn read(path: &Path) -> Result<Dict, TablesError> {
    let text = fs::read_to_string(path).map_err(|source| TablesError::File {
        path: path.to_owned(),
        source,
    })?;
    let problem = |problem| TablesError::Json {
        path: path.to_owned(),
        problem,
    };
    match decode(json_loads(&text).map_err(problem)?) {
        Value::Dict(dict) => Ok(dict),
        _ => Err(problem(Exception::value_error("expected a JSON object"))),
    }
}

/// What JSON cannot say is written as a dict with one telling key: `{"__dict__": [[key, value]]}`
/// for keys that are no text, `{"__tuple__": […]}`, `{"__set__": […]}`, `{"__ellipsis__": true}`.
pub fn decode(value: Value) -> Value {
    match value {
        Value::List(items) => Value::List(items.into_iter().map(decode).collect()),
        Value::Dict(dict) if dict.len() == 1 => {
            let (key, inner) = dict.iter().next().expect("one item");
            match (key.as_str(), inner) {
                (Some("__tuple__"), Value::List(items)) => Value::Tuple(decode_all(items)),
                (Some("__set__"), Value::List(items)) => Value::Set(decode_all(items)),
                (Some("__ellipsis__"), _) => Value::ellipsis(),
                (Some("__dict__"), Value::List(items)) => decode_dict(items),
                _ => decode_fields(&dict),
            }
        }
        Value::Dict(dict) => decode_fields(&dict),
        other => other,
    }
}

fn decode_all(items: &[Value]) -> Vec<Value> {
    items.iter().cloned().map(decode).collect()
}

fn decode_fields(dict: &Dict) -> Value {
    let mut decoded = Dict::new();
    for (key, value) in dict.iter() {
        decoded
            .insert_key(key.clone(), decode(value.clone()))
            .expect("a dict's keys are hashable");
    }
    Value::Dict(decoded)
}

/// Pairs of keys and values. A pair that is none stays out of every dict: the value is left as
/// it was written.
fn decode_dict(items: &[Value]) -> Value {
    let mut dict = Dict::new();
    for item in items {
        let pair = match item.as_list() {
            Some([key, value]) => dict.insert_key(decode(key.clone()), decode(value.clone())),
            _ => Err(Exception::value_error("not a pair")),
        };
        if pair.is_err() {
            return Value::List(items.to_vec());
        }
    }
    Value::Dict(dict)
}
