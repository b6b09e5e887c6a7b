//! ToolHop's own rows and recorded traces, where the machine has them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use env::toolhop::{Scenario, ToolHopOptions, ToolHopSuite};
use env::{Suite, load_traces, replay};
use episode::Trace;
use serde_json::Value;

#[expect(
    clippy::disallowed_methods,
    reason = "tests find their data through PACT_DATA"
)]
fn data_folder() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let root = std::env::var("PACT_DATA").unwrap_or_else(|_| beside.to_owned());
    let folder = Path::new(&root).join("toolhop");
    let has_python = Command::new("python3").arg("--version").output().is_ok();
    if !folder.is_dir() || !has_python {
        println!("skipped: PACT_DATA not found, or no python3");
        return None;
    }
    Some(folder)
}

/// Every file of questions in the folder, in either form.
fn question_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| fs::read_to_string(path).unwrap().contains("\"sub_task\""))
        .collect();
    files.sort();
    files
}

fn traces_of(file: &Path, suite: &ToolHopSuite) -> Vec<Trace> {
    let beside = file.with_extension("traces.jsonl");
    match beside.exists() {
        true => load_traces(&beside, suite.tasks()).unwrap(),
        false => Vec::new(),
    }
}

/// What the rows themselves say of their hops, by id: question and answer, in no order.
fn rows(file: &Path) -> BTreeMap<String, Value> {
    let text = fs::read_to_string(file).unwrap();
    let rows: Vec<Value> = match text.trim_start().starts_with('[') {
        true => serde_json::from_str(&text).unwrap(),
        false => text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
    };
    let id = |row: &Value| row.get("source_id").unwrap_or(&row["id"]).to_string();
    rows.into_iter().map(|row| (id(&row), row)).collect()
}

#[test]
fn data_every_row_is_a_task_of_every_scenario_with_all_its_hops() {
    let Some(folder) = data_folder() else { return };
    for file in question_files(&folder) {
        let rows = rows(&file);
        let options = ToolHopOptions {
            scenarios: vec![Scenario::Direct, Scenario::Mandatory, Scenario::Free],
            ..ToolHopOptions::default()
        };
        let suite = ToolHopSuite::load(&file, options).unwrap();
        assert_eq!(suite.tasks().len(), 3 * rows.len());
        let mut hops = 0;
        for task in suite.tasks() {
            let (id, scenario) = task.id.split_once('-').unwrap();
            assert_eq!(task.scenario, scenario);
            let row = &rows[id];
            let tools = row["tools"].as_object().unwrap();
            let expected = if scenario == "direct" { 0 } else { tools.len() };
            assert_eq!(task.tools.len(), expected);
            let goldens = suite.unsolved(task).unwrap();
            let left: Vec<&String> = goldens.remaining().values().flatten().collect();
            assert_eq!(left.len(), tools.len());
            // The last hop's answer is the question's.
            if let Some(functions) = row["functions"].as_array() {
                assert_eq!(functions.len(), left.len());
            }
            hops += left.len();
        }
        println!("{} rows, {} hops", rows.len(), hops / 3);
    }
}

#[test]
fn data_every_trace_replays_to_its_recorded_outputs_and_figures() {
    let Some(folder) = data_folder() else { return };
    for file in question_files(&folder) {
        let suite = ToolHopSuite::load(&file, ToolHopOptions::default()).unwrap();
        let traces = traces_of(&file, &suite);
        let mut sums: BTreeMap<String, f64> = BTreeMap::new();
        for trace in &traces {
            let report = replay(&suite, trace);
            assert_eq!(report.mismatches, [], "task {}", trace.task);
            let metrics = &report.score.metrics;
            if trace.answer.is_some() {
                let found = ["ac", "ac-original"].map(|name| metrics[name]);
                assert_eq!(found, [1.0; 2], "task {}", trace.task);
            }
            // Of two hops with tools of one name some traces solve one, twice.
            let task = suite.tasks().iter().find(|task| task.id == trace.task);
            let goldens = suite.unsolved(task.unwrap()).unwrap();
            if goldens.remaining().values().all(|list| list.len() == 1) {
                let every_hop = if trace.answer.is_some() {
                    1.0
                } else {
                    metrics["solve-r"]
                };
                let found = ["solve-p", "solve-r"].map(|name| metrics[name]);
                assert_eq!(found, [1.0, every_hop], "task {}", trace.task);
            }
            for (name, value) in report.score.metrics {
                *sums.entry(name).or_default() += value;
            }
        }
        let complete = traces.iter().filter(|trace| trace.answer.is_some()).count();
        println!("{} traces, {complete} complete: {sums:?}", traces.len());
        if traces.is_empty() {
            continue;
        }
        assert_eq!(sums["ac"], complete as f64);
        assert_eq!(sums["errors"], 0.0, "no call of an expert fails");
        let calls = traces
            .iter()
            .flat_map(|trace| &trace.turns)
            .map(|turn| turn.calls.len());
        assert_eq!(sums["calls"], calls.sum::<usize>() as f64);
    }
}
