//! FTRL's own rows and recorded traces through the real binary, where the machine has them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Place;

#[expect(
    clippy::disallowed_methods,
    reason = "tests find their data through PACT_DATA"
)]
pub(crate) fn data_folder() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let root = std::env::var("PACT_DATA").unwrap_or_else(|_| beside.to_owned());
    let folder = Path::new(&root).join("ftrl");
    if !folder.is_dir() {
        println!("skipped: PACT_DATA not found");
        return None;
    }
    Some(folder)
}

/// Files of tasks that have a file of recorded traces beside them.
pub(crate) fn files_with_traces(folder: &Path) -> Vec<(PathBuf, PathBuf)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("its entries").path())
        .map(|file| (file.clone(), file.with_extension("traces.jsonl")))
        .filter(|(_, traces)| traces.exists())
        .collect();
    files.sort();
    files
}

/// Files of tasks of which every row has gold calls.
pub(crate) fn files_with_gold_calls(folder: &Path) -> Vec<PathBuf> {
    let has_gold = |line: &str| {
        let row: Value = serde_json::from_str(line).expect("JSON");
        row.get("codes").is_some() && row.get("ground_truth").is_some_and(|it| !it.is_null())
    };
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("its entries").path())
        .filter(|file| file.extension().is_some_and(|end| end == "jsonl"))
        .filter(|file| {
            fs::read_to_string(file)
                .expect("text")
                .lines()
                .all(has_gold)
        })
        .collect();
    files.sort();
    files
}

pub(crate) fn sub_answers(file: &Path) -> usize {
    let text = fs::read_to_string(file).expect("rows");
    text.lines()
        .map(|line| {
            let row: Value = serde_json::from_str(line).expect("a row");
            let unsolved = &row["unsolved_set"];
            let unsolved = match unsolved.as_str() {
                Some(text) => serde_json::from_str(text).expect("JSON in text"),
                None => unsolved.clone(),
            };
            let tools = unsolved.as_object().expect("sub-answers by tool");
            tools
                .values()
                .map(|list| list.as_array().map_or(0, Vec::len))
                .sum::<usize>()
        })
        .sum()
}

#[test]
fn data_recorded_traces_are_worth_what_their_recorder_said() {
    let Some(folder) = data_folder() else { return };
    let place = Place::new();
    for (file, traces) in files_with_traces(&folder) {
        let scores = place
            .pact(&format!(
                "eval --suite ftrl --data {} --policy replay:{} --json",
                file.display(),
                traces.display()
            ))
            .json();
        println!("{scores}");
        assert_eq!(scores["solve-p"], 100.0);
        // No name tells FTRL's development rows, but their 415 sub-answers do.
        if scores["tasks"] == 100 && sub_answers(&file) == 415 {
            assert_eq!(scores["solve-r"], 90.76);
            assert_eq!(scores["solve-f1"], 91.6);
        }
    }
}
