//! What the official program says of answers, prompts and dialogues, against what ours does.
//! Every row of every oracle in the data set's folder is read.

use std::fs;
use std::path::{Path, PathBuf};

use bfcl::checker::agentic;
use serde::Deserialize;
use serde::de::DeserializeOwned;

#[expect(
    clippy::disallowed_methods,
    reason = "tests find their data through PACT_DATA"
)]
fn data_folder() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let root = std::env::var("PACT_DATA").unwrap_or_else(|_| beside.to_owned());
    let folder = Path::new(&root).join("bfcl");
    if !folder.is_dir() {
        println!("skipped: PACT_DATA has no folder `bfcl`");
        return None;
    }
    Some(folder)
}

/// The rows of an oracle; none, and a line that says so, where it is not there.
fn oracle<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let Some(folder) = data_folder() else {
        return Vec::new();
    };
    let path = folder.join("oracles").join(name);
    if !path.is_file() {
        println!("skipped: `{}` is not there", path.display());
        return Vec::new();
    }
    let text = fs::read_to_string(&path).unwrap();
    let rows: Vec<T> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    println!("{name}: {} rows", rows.len());
    assert!(!rows.is_empty(), "an oracle has rows");
    rows
}

#[derive(Deserialize)]
struct AgenticRow {
    response: String,
    answers: Vec<String>,
    valid: bool,
    std: String,
}

#[test]
fn answers_are_judged_as_officially() {
    for row in oracle::<AgenticRow>("agentic_checker_oracle.jsonl") {
        assert_eq!(agentic::standardise(&row.response), row.std);
        let verdict = agentic::check(Some(&row.response), &row.answers);
        assert_eq!(
            verdict.is_ok(),
            row.valid,
            "{}: {:?}",
            row.response,
            row.answers
        );
    }
}
