//! `MemoryAPI_vector`: texts under numbers, in two stores, found by what they mean.

use std::sync::Arc;

use python::{Comparison, Dict, Exception, Value, compare, json_loads};

use super::{Memory, SnapshotError, indented, status};
use crate::backend::operations::{int, length};
use crate::backend::{
    Arguments, Backend, DefaultValue, Method, dict, error, method, optional, required,
};

const CLASS: &str = "MemoryAPI_vector";

/// Texts in, vectors of length one out, so that their inner product is the cosine of their angle.
pub trait Embedder: Send + Sync {
    /// The text's vector, of as many numbers as any other's.
    fn embed(&self, text: &str) -> Result<Vec<f32>, EmbedError>;
}

/// Why a text has no vector.
#[derive(Debug, thiserror::Error)]
#[error("the embedding model failed: {0}")]
pub struct EmbedError(pub String);

/// Two stores of texts with their vectors.
pub struct VectorMemory {
    embedder: Arc<dyn Embedder>,
    core: Store,
    archival: Store,
}

#[derive(Debug)]
struct Store {
    /// Never given twice, until all is cleared.
    next_id: i64,
    /// In the order in which they came.
    entries: Vec<Entry>,
    capacity: usize,
    /// In characters.
    longest: usize,
}

#[derive(Debug)]
struct Entry {
    id: i64,
    text: String,
    vector: Vec<f32>,
}

impl VectorMemory {
    /// An empty memory.
    pub fn new(embedder: Arc<dyn Embedder>) -> Self {
        let store = |capacity, longest| Store {
            next_id: 0,
            entries: Vec::new(),
            capacity,
            longest,
        };
        Self {
            embedder,
            core: store(7, 300),
            archival: store(50, 2000),
        }
    }
}

impl Store {
    fn call(
        &mut self,
        method: &str,
        arguments: &Arguments,
        embedder: &dyn Embedder,
    ) -> Result<Value, Exception> {
        match method {
            "add" => self.add(&arguments["text"], embedder),
            "remove" => self.remove(&arguments["vec_id"]),
            "update" => self.update(&arguments["vec_id"], &arguments["new_text"], embedder),
            "clear" => Ok(self.clear()),
            "retrieve" => self.retrieve(&arguments["query"], &arguments["top_k"], embedder),
            "retrieve_all" => Ok(self.retrieve_all()),
            _ => unreachable!("{method} is in no table of methods"),
        }
    }

    fn add(&mut self, text: &Value, embedder: &dyn Embedder) -> Result<Value, Exception> {
        if length(text)? > self.longest {
            return self.too_long();
        }
        if self.entries.len() >= self.capacity {
            return error(format!(
                "Memory size exceeds maximum size of {} entries.",
                self.capacity
            ));
        }
        let id = self.next_id;
        self.entries.push(Entry::new(id, text_of(text)?, embedder)?);
        self.next_id += 1;
        Ok(dict([("id", id.into())]))
    }

    fn too_long(&self) -> Result<Value, Exception> {
        error(format!(
            "Entry length exceeds maximum length of {} characters.",
            self.longest
        ))
    }

    fn remove(&mut self, id: &Value) -> Result<Value, Exception> {
        let Some(index) = self.find(id)? else {
            return no_entry(id);
        };
        self.entries.remove(index);
        Ok(status(format!("ID {id} removed from store.")))
    }

    fn update(
        &mut self,
        id: &Value,
        text: &Value,
        embedder: &dyn Embedder,
    ) -> Result<Value, Exception> {
        let Some(index) = self.find(id)? else {
            return no_entry(id);
        };
        if length(text)? > self.longest {
            return self.too_long();
        }
        let entry = &mut self.entries[index];
        *entry = Entry::new(entry.id, text_of(text)?, embedder)?;
        Ok(status(format!("ID {id} updated.")))
    }

    fn clear(&mut self) -> Value {
        self.entries.clear();
        self.next_id = 0;
        status("Memory cleared.")
    }

    /// The texts whose vectors have the largest inner products with the query's; of equal ones the
    /// older first.
    fn retrieve(
        &self,
        query: &Value,
        top_k: &Value,
        embedder: &dyn Embedder,
    ) -> Result<Value, Exception> {
        if self.entries.is_empty() {
            return Ok(dict([("result", Vec::new().into())]));
        }
        // Whatever orders with an int may come here, but only an int counts entries.
        compare(&int(self.entries.len()), Comparison::Less, top_k)?;
        let top_k = top_k
            .as_int()
            .ok_or_else(|| Exception::type_error("an integer is required"))?;
        let query = embedder.embed(text_of(query)?).map_err(raised)?;
        let mut ranked: Vec<_> = self
            .entries
            .iter()
            .map(|entry| (inner_product(&entry.vector, &query), entry))
            .collect();
        ranked.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        ranked.truncate(usize::try_from(top_k).unwrap_or(0));
        let found = ranked.into_iter().map(|(similarity, entry)| {
            dict([
                ("id", entry.id.into()),
                ("similarity_score", f64::from(similarity).into()),
                ("text", entry.text.as_str().into()),
            ])
        });
        Ok(dict([("result", Value::List(found.collect()))]))
    }

    fn retrieve_all(&self) -> Value {
        let all = self.entries.iter();
        let all = all.map(|entry| {
            dict([
                ("id", entry.id.into()),
                ("text", entry.text.as_str().into()),
            ])
        });
        dict([("result", Value::List(all.collect()))])
    }

    fn find(&self, id: &Value) -> Result<Option<usize>, Exception> {
        id.check_hashable()?;
        let is_it = |entry: &Entry| Value::Int(entry.id) == *id;
        Ok(self.entries.iter().position(is_it))
    }

    /// Ids to texts. The ids become text as soon as this is written as JSON.
    fn texts(&self) -> Dict {
        self.entries
            .iter()
            .map(|entry| (entry.id.to_string(), entry.text.as_str().into()))
            .collect()
    }

    fn snapshot(&self) -> Value {
        dict([
            ("next_id", self.next_id.into()),
            ("store", self.texts().into()),
        ])
    }

    /// Takes over what `snapshot` wrote. The vectors are computed anew: files hold only the texts.
    fn load(&mut self, snapshot: Option<&Value>, embedder: &dyn Embedder) -> Result<(), String> {
        let snapshot = snapshot
            .and_then(Value::as_dict)
            .ok_or("a store is missing")?;
        let next_id = snapshot
            .get("next_id")
            .and_then(Value::as_int)
            .ok_or("`next_id` is no integer")?;
        let texts = snapshot
            .get("store")
            .and_then(Value::as_dict)
            .ok_or("`store` is no object of ids and texts")?;
        let mut entries = Vec::new();
        for (id, text) in texts.iter() {
            let id = id
                .as_str()
                .and_then(|id| id.parse().ok())
                .ok_or_else(|| format!("`{id}` is no id"))?;
            let text = text
                .as_str()
                .ok_or_else(|| format!("the entry {id} is no text"))?;
            let vector = embedder.embed(text).map_err(|error| error.to_string())?;
            entries.push(Entry {
                id,
                text: text.to_owned(),
                vector,
            });
        }
        (self.next_id, self.entries) = (next_id, entries);
        Ok(())
    }
}

impl Entry {
    fn new(id: i64, text: &str, embedder: &dyn Embedder) -> Result<Self, Exception> {
        Ok(Self {
            id,
            text: text.to_owned(),
            vector: embedder.embed(text).map_err(raised)?,
        })
    }
}

fn no_entry(id: &Value) -> Result<Value, Exception> {
    error(format!("ID {id} not present in store."))
}

fn raised(error: EmbedError) -> Exception {
    crate::backend::operations::raised(error.to_string())
}

/// Only text has a vector.
fn text_of(value: &Value) -> Result<&str, Exception> {
    value.as_str().ok_or_else(|| {
        Exception::type_error(format!("text must be str, not {}", value.type_name()))
    })
}

/// In the order of the numbers, so that the same vectors give the same bits.
fn inner_product(left: &[f32], right: &[f32]) -> f32 {
    left.iter()
        .zip(right)
        .map(|(left, right)| left * right)
        .sum()
}

const METHODS: &[Method] = &[
    method("archival_memory_add", &[required("text")]),
    method("archival_memory_clear", &[]),
    method("archival_memory_remove", &[required("vec_id")]),
    method(
        "archival_memory_retrieve",
        &[required("query"), optional("top_k", DefaultValue::Int(5))],
    ),
    method("archival_memory_retrieve_all", &[]),
    method(
        "archival_memory_update",
        &[required("vec_id"), required("new_text")],
    ),
    method("core_memory_add", &[required("text")]),
    method("core_memory_clear", &[]),
    method("core_memory_remove", &[required("vec_id")]),
    method(
        "core_memory_retrieve",
        &[required("query"), optional("top_k", DefaultValue::Int(5))],
    ),
    method("core_memory_retrieve_all", &[]),
    method(
        "core_memory_update",
        &[required("vec_id"), required("new_text")],
    ),
];

impl Backend for VectorMemory {
    fn class(&self) -> &'static str {
        CLASS
    }

    fn methods(&self) -> &'static [Method] {
        METHODS
    }

    fn call(&mut self, method: &str, arguments: &Arguments) -> Result<Value, Exception> {
        let embedder = self.embedder.as_ref();
        match method.split_once("_memory_") {
            Some(("core", method)) => self.core.call(method, arguments, embedder),
            Some((_, method)) => self.archival.call(method, arguments, embedder),
            None => unreachable!("{method} is in no table of methods"),
        }
    }

    fn memory(&self) -> Option<&dyn Memory> {
        Some(self)
    }

    fn state(&self) -> Dict {
        Dict::from([
            ("core_memory", self.core.snapshot()),
            ("archival_memory", self.archival.snapshot()),
        ])
    }
}

impl Memory for VectorMemory {
    fn snapshot(&self) -> String {
        indented(&Value::Dict(self.state()))
    }

    fn load(&mut self, snapshot: &str) -> Result<(), SnapshotError> {
        let problem = |problem: String| SnapshotError::new(CLASS, problem);
        let snapshot = json_loads(snapshot).map_err(|exception| problem(exception.to_string()))?;
        let Value::Dict(stores) = snapshot else {
            return Err(problem("it is no object".to_owned()));
        };
        self.core
            .load(stores.get("core_memory"), self.embedder.as_ref())
            .map_err(problem)?;
        self.archival
            .load(stores.get("archival_memory"), self.embedder.as_ref())
            .map_err(problem)
    }

    /// An empty memory shows as `{}`: the leaderboard's store object counts as something even then.
    fn context(&self) -> String {
        indented(&Value::Dict(self.core.texts()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::Instances;

    /// Texts of the letters a and b: how much of each there is.
    struct Letters;

    impl Embedder for Letters {
        fn embed(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
            let count = |letter| text.matches(letter).count() as f32;
            let (a, b) = (count('a'), count('b'));
            let length = a.hypot(b);
            if length == 0.0 {
                return Err(EmbedError("neither a nor b".to_owned()));
            }
            Ok(vec![a / length, b / length])
        }
    }

    fn empty() -> VectorMemory {
        VectorMemory::new(Arc::new(Letters))
    }

    fn check(memory: VectorMemory, calls: &[(&str, &str)]) {
        let mut instances = Instances::new(vec![Box::new(memory)]);
        for (call, expected) in calls {
            assert_eq!(instances.execute(call), *expected, "{call}");
        }
    }

    #[test]
    fn an_id_is_never_given_twice_until_all_is_cleared() {
        check(
            empty(),
            &[
                ("core_memory_add('a')", r#"{"id": 0}"#),
                ("core_memory_add('b')", r#"{"id": 1}"#),
                (
                    "core_memory_remove(1)",
                    r#"{"status": "ID 1 removed from store."}"#,
                ),
                (
                    "core_memory_remove(1)",
                    r#"{"error": "ID 1 not present in store."}"#,
                ),
                ("core_memory_add('ab')", r#"{"id": 2}"#),
                (
                    "core_memory_update(2, 'ba')",
                    r#"{"status": "ID 2 updated."}"#,
                ),
                (
                    "core_memory_update(1, 'ba')",
                    r#"{"error": "ID 1 not present in store."}"#,
                ),
                (
                    "core_memory_remove([1])",
                    "Error during execution: unhashable type: 'list'",
                ),
                (
                    "core_memory_retrieve_all()",
                    r#"{"result": [{"id": 0, "text": "a"}, {"id": 2, "text": "ba"}]}"#,
                ),
                ("archival_memory_retrieve_all()", r#"{"result": []}"#),
                ("core_memory_clear()", r#"{"status": "Memory cleared."}"#),
                ("core_memory_add('a')", r#"{"id": 0}"#),
            ],
        );
    }

    #[test]
    fn what_means_most_alike_is_found_first() {
        check(
            empty(),
            &[
                ("archival_memory_add('b')", r#"{"id": 0}"#),
                ("archival_memory_add('aaabbbb')", r#"{"id": 1}"#),
                ("archival_memory_add('aaa')", r#"{"id": 2}"#),
                (
                    "archival_memory_retrieve('a', top_k=2)",
                    // Three fifths in 32 bits are that in 64.
                    "{\"result\": [{\"id\": 2, \"similarity_score\": 1.0, \"text\": \"aaa\"}, \
                     {\"id\": 1, \"similarity_score\": 0.6000000238418579, \"text\": \"aaabbbb\"}]}",
                ),
                (
                    "archival_memory_retrieve('a', top_k=0)",
                    r#"{"result": []}"#,
                ),
                (
                    "archival_memory_retrieve('c')",
                    "Error during execution: the embedding model failed: neither a nor b",
                ),
            ],
        );
    }

    #[test]
    fn what_is_too_long_or_too_much_is_refused() {
        let mut instances = Instances::new(vec![Box::new(empty())]);
        let too_long = format!("core_memory_add('{}')", "a".repeat(301));
        let longest = format!("core_memory_add('{}')", "a".repeat(300));
        let refused = r#"{"error": "Entry length exceeds maximum length of 300 characters."}"#;
        assert_eq!(instances.execute(&too_long), refused);
        for id in 0..7 {
            assert_eq!(instances.execute(&longest), format!("{{\"id\": {id}}}"));
        }
        let full = r#"{"error": "Memory size exceeds maximum size of 7 entries."}"#;
        assert_eq!(instances.execute(&longest), full);
        assert_eq!(instances.execute(&too_long), refused);
        let update = too_long.replace("add(", "update(0, ");
        assert_eq!(instances.execute(&update), refused);
    }

    #[test]
    fn a_snapshot_keeps_ids_and_texts_and_the_prompt_shows_the_core() {
        assert_eq!(empty().context(), "{}");
        let snapshot = "{\n    \"core_memory\": {\n        \"next_id\": 3,\n        \"store\": \
                        {\n            \"1\": \"a\",\n            \"2\": \"\\u00e4b\"\n        }\n    },\n    \
                        \"archival_memory\": {\n        \"next_id\": 0,\n        \"store\": {}\n    }\n}";
        let mut memory = empty();
        memory.load(snapshot).unwrap();
        assert_eq!(memory.snapshot(), snapshot);
        assert_eq!(
            memory.context(),
            "{\n    \"1\": \"a\",\n    \"2\": \"\\u00e4b\"\n}"
        );
        check(memory, &[("core_memory_add('a')", r#"{"id": 3}"#)]);
    }
}
