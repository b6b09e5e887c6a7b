//! Where the oracles lie, and their rows.

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

#[expect(
    clippy::disallowed_methods,
    reason = "tests find their data through PACT_DATA"
)]
pub(crate) fn data_folder() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let root = std::env::var("PACT_DATA").unwrap_or_else(|_| beside.to_owned());
    let folder = Path::new(&root).join("bfcl");
    if !folder.is_dir() {
        println!("skipped: PACT_DATA has no folder `bfcl`");
        return None;
    }
    Some(folder)
}

/// The rows of every oracle whose rows have these fields; none, and a line that says so, where
/// there is no such file.
pub(crate) fn oracle<T: DeserializeOwned>(fields: &[&str]) -> Vec<T> {
    let Some(folder) = data_folder() else {
        return Vec::new();
    };
    let entries = fs::read_dir(folder.join("oracles")).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "jsonl"));
    paths.sort();
    let mut rows = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let first: Map<String, Value> =
            serde_json::from_str(text.lines().next().unwrap_or("{}")).unwrap();
        if fields.iter().all(|field| first.contains_key(*field)) {
            let read = |line| serde_json::from_str::<T>(line).unwrap();
            rows.extend(text.lines().map(read));
            println!("{}: {} rows so far", path.display(), rows.len());
        }
    }
    if rows.is_empty() {
        println!("skipped: no oracle has rows with {fields:?}");
    }
    rows
}
