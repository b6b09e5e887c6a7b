//! `MemoryAPI_vector`: texts under numbers, in two stores, found by what they mean.

use std::sync::Arc;

use python::{Dict, Exception, Value, json_loads};

use super::{Memory, SnapshotError, indented, status};
use crate::backend::operations::length;
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
            return error(format!(
                "Entry length exceeds maximum length of {} characters.",
                self.longest
            ));
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

    fn remove(&mut self, id: &Value) -> Result<Value, Exception> {
        let Some(index) = self.find(id) else {
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
        let Some(index) = self.find(id) else {
            return no_entry(id);
        };
        let entry = &mut self.entries[index];
        *entry = Entry::new(entry.id, text_of(text)?, embedder)?;
        Ok(status(format!("ID {id} updated.")))
    }

    fn clear(&mut self) -> Value {
        self.entries.clear();
        self.next_id = 0;
        status("Memory cleared.")
    }

    /// The texts whose vectors have the largest inner products with the query's; of equal ones the older first.
    fn retrieve(
        &self,
        query: &Value,
        top_k: &Value,
        embedder: &dyn Embedder,
    ) -> Result<Value, Exception> {
        let Some(top_k) = top_k.as_int() else {
            return Err(Exception::type_error(format!(
                "top_k must be an integer, not {}",
                top_k.type_name()
            )));
        };
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

    fn find(&self, id: &Value) -> Option<usize> {
        self.entries
            .iter()
            .position(|entry| Value::Int(entry.id) == *id)
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
