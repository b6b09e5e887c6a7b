//! `MemoryAPI_kv`: texts under keys, in a small store that the system prompt shows and in a large
//! one that it does not.

use num_bigint::{BigInt, Sign};
use python::{Dict, Exception, ExceptionKind, Value, json_loads};

use super::bm25::{self, Search};
use super::{Memory, SnapshotError, indented, status};
use crate::backend::{
    Arguments, Backend, DefaultValue, Method, dict, error, method, optional, required,
};

const CLASS: &str = "MemoryAPI_kv";

/// Two stores of texts, each under a key of its own.
#[derive(Debug)]
pub struct KeyValueMemory {
    core: Store,
    archival: Store,
}

#[derive(Debug)]
struct Store {
    texts: Dict,
    /// How many texts it holds.
    capacity: usize,
    /// How long one of them may be, in characters.
    longest: usize,
    /// What it is called when it is full.
    full: &'static str,
    /// What it is called when it is cleared.
    cleared: &'static str,
    added: &'static str,
}

impl Default for KeyValueMemory {
    fn default() -> Self {
        Self {
            core: Store {
                texts: Dict::new(),
                capacity: 7,
                longest: 300,
                full: "Core memory is full. Please clear some entries.",
                cleared: "Short term memory cleared.",
                added: "Key-value pair added.",
            },
            archival: Store {
                texts: Dict::new(),
                capacity: 50,
                longest: 2000,
                full: "Long term memory is full. Please clear some entries.",
                cleared: "Long term memory cleared.",
                added: "Key added.",
            },
        }
    }
}

impl Store {
    fn add(&mut self, key: &str, text: &str) -> Result<Value, Exception> {
        if self.texts.len() >= self.capacity {
            return error(self.full);
        }
        if text.chars().count() > self.longest {
            return self.too_long();
        }
        if !is_snake_case(key) {
            return error("Key must be in snake_case format and cannot contain spaces.");
        }
        if self.texts.contains(key) {
            return error("Key name must be unique.");
        }
        self.texts.insert(key, text);
        Ok(status(self.added))
    }

    fn remove(&mut self, key: &Value) -> Result<Value, Exception> {
        match self.texts.remove_key(key)? {
            Some(_) => Ok(status("Key removed.")),
            None => error("Key not found."),
        }
    }

    fn replace(&mut self, key: &str, text: &str) -> Result<Value, Exception> {
        if !self.texts.contains(key) {
            return error("Key not found.");
        }
        if text.chars().count() > self.longest {
            return self.too_long();
        }
        self.texts.insert(key, text);
        Ok(status("Key replaced."))
    }

    fn clear(&mut self) -> Value {
        self.texts.clear();
        status(self.cleared)
    }

    fn retrieve(&self, key: &Value) -> Result<Value, Exception> {
        match self.texts.get_key(key)? {
            Some(text) => Ok(dict([("value", text.clone())])),
            None => error("Key not found."),
        }
    }

    fn list_keys(&self) -> Value {
        dict([("keys", Value::List(self.texts.keys().cloned().collect()))])
    }

    /// The keys that a query fits best, with their scores. The texts are not looked at.
    fn key_search(&self, query: &Value, k: &Value) -> Result<Value, Exception> {
        let keys: Vec<&str> = self.texts.keys().filter_map(Value::as_str).collect();
        let documents: Vec<_> = keys.iter().map(|key| bm25::words(key)).collect();
        let search = Search::new(&documents)
            .ok_or_else(|| Exception::new(ExceptionKind::ZeroDivision, "division by zero"))?;
        let Value::Str(query) = query else {
            return Err(Exception::attribute_error(query, "replace"));
        };
        let scores = search.scores(&bm25::words(query));
        let mut ranked: Vec<_> = scores.into_iter().zip(keys).collect();
        ranked.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        ranked.truncate(end_of_slice(k, ranked.len())?);
        let ranked = ranked
            .into_iter()
            .map(|(score, key)| Value::List(vec![score.into(), key.into()]));
        Ok(dict([("ranked_results", Value::List(ranked.collect()))]))
    }

    fn too_long(&self) -> Result<Value, Exception> {
        error(format!(
            "Entry is too long. Please shorten the entry to less than {} characters.",
            self.longest
        ))
    }

    fn call(&mut self, method: &str, arguments: &Arguments) -> Result<Value, Exception> {
        // Whatever is written counts as the text that it prints as.
        let text = |name: &str| arguments[name].to_string();
        match method {
            "add" => self.add(&text("key"), &text("value")),
            "remove" => self.remove(&arguments["key"]),
            "replace" => self.replace(&text("key"), &text("value")),
            "clear" => Ok(self.clear()),
            "retrieve" => self.retrieve(&arguments["key"]),
            "retrieve_all" => Ok(Value::Dict(self.texts.clone())),
            "list_keys" => Ok(self.list_keys()),
            "key_search" => self.key_search(&arguments["query"], &arguments["k"]),
            _ => unreachable!("{method} is in no table of methods"),
        }
    }
}

/// `^[a-z]+(_[a-z0-9]+)*$`, where Python's `$` also stands before a last line break.
fn is_snake_case(key: &str) -> bool {
    let mut words = key.strip_suffix('\n').unwrap_or(key).split('_');
    let first = words.next().unwrap_or_default();
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    is_word(first) && !first.bytes().any(|byte| byte.is_ascii_digit()) && words.all(is_word)
}

/// Where `items[:end]` ends, of so many.
pub(super) fn end_of_slice(end: &Value, items: usize) -> Result<usize, Exception> {
    if end.is_none() {
        return Ok(items);
    }
    let Some(end) = end.as_big_int() else {
        return Err(Exception::type_error(
            "slice indices must be integers or None or have an __index__ method",
        ));
    };
    let from_behind = if end.sign() == Sign::Minus {
        end + items
    } else {
        end
    };
    Ok(usize::try_from(from_behind.max(BigInt::ZERO)).map_or(items, |end| end.min(items)))
}

const METHODS: &[Method] = &[
    method("archival_memory_add", &[required("key"), required("value")]),
    method("archival_memory_clear", &[]),
    method(
        "archival_memory_key_search",
        &[required("query"), optional("k", DefaultValue::Int(5))],
    ),
    method("archival_memory_list_keys", &[]),
    method("archival_memory_remove", &[required("key")]),
    method(
        "archival_memory_replace",
        &[required("key"), required("value")],
    ),
    method("archival_memory_retrieve", &[required("key")]),
    method("core_memory_add", &[required("key"), required("value")]),
    method("core_memory_clear", &[]),
    method(
        "core_memory_key_search",
        &[required("query"), optional("k", DefaultValue::Int(5))],
    ),
    method("core_memory_list_keys", &[]),
    method("core_memory_remove", &[required("key")]),
    method("core_memory_replace", &[required("key"), required("value")]),
    method("core_memory_retrieve", &[required("key")]),
    method("core_memory_retrieve_all", &[]),
];

impl Backend for KeyValueMemory {
    fn class(&self) -> &'static str {
        CLASS
    }

    fn methods(&self) -> &'static [Method] {
        METHODS
    }

    fn call(&mut self, method: &str, arguments: &Arguments) -> Result<Value, Exception> {
        match method.split_once("_memory_") {
            Some(("core", method)) => self.core.call(method, arguments),
            Some((_, method)) => self.archival.call(method, arguments),
            None => unreachable!("{method} is in no table of methods"),
        }
    }

    fn memory(&self) -> Option<&dyn Memory> {
        Some(self)
    }

    fn state(&self) -> Dict {
        Dict::from([
            ("core_memory", Value::Dict(self.core.texts.clone())),
            ("archival_memory", Value::Dict(self.archival.texts.clone())),
        ])
    }
}

impl Memory for KeyValueMemory {
    fn snapshot(&self) -> String {
        indented(&Value::Dict(self.state()))
    }

    fn load(&mut self, snapshot: &str) -> Result<(), SnapshotError> {
        let snapshot =
            json_loads(snapshot).map_err(|problem| SnapshotError::new(CLASS, problem))?;
        let store = |name: &str| match snapshot.as_dict().and_then(|stores| stores.get(name)) {
            Some(Value::Dict(texts)) => Ok(texts.clone()),
            _ => Err(SnapshotError::new(
                CLASS,
                format!("`{name}` is no object of keys and texts"),
            )),
        };
        (self.core.texts, self.archival.texts) = (store("core_memory")?, store("archival_memory")?);
        Ok(())
    }

    fn context(&self) -> String {
        if self.core.texts.is_empty() {
            "There is no content in the core memory at this point.".to_owned()
        } else {
            indented(&Value::Dict(self.core.texts.clone()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_snake_case_as_the_leaderboards_pattern_has_it() {
        let check = |key: &str, expected: bool| {
            assert_eq!(is_snake_case(key), expected, "{key:?}");
        };
        check("name", true);
        check("name_2_b", true);
        check("name\n", true);
        check("name\n\n", false);
        check("name2", false);
        check("2_name", false);
        check("name__b", false);
        check("Name", false);
        check("", false);
    }

    #[test]
    fn a_ranking_is_cut_as_a_slice_is() {
        let check = |end: Value, expected: usize| {
            assert_eq!(end_of_slice(&end, 3), Ok(expected), "{end}");
        };
        check(Value::Int(2), 2);
        check(Value::Int(9), 3);
        check(Value::Int(0), 0);
        check(Value::Int(-1), 2);
        check(Value::Int(-9), 0);
        check(Value::None, 3);
    }

    #[test]
    fn a_snapshot_of_another_form_is_refused() {
        let problem = KeyValueMemory::default().load(r#"{"memory": ""}"#);
        assert!(problem.unwrap_err().to_string().contains("`core_memory`"));
    }
}
