//! FTRL's own rows and recorded traces, where the machine has them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use env::ftrl::{FtrlOptions, FtrlSuite, Row, check_file};
use env::{Suite, load_traces, replay};
use episode::{Score, Trace};

#[expect(
    clippy::disallowed_methods,
    reason = "tests find their data through PACT_DATA"
)]
fn data_folder() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let root = std::env::var("PACT_DATA").unwrap_or_else(|_| beside.to_owned());
    let folder = Path::new(&root).join("ftrl");
    let has_python = Command::new("python3").arg("--version").output().is_ok();
    if !folder.is_dir() {
        println!("skipped: PACT_DATA not found");
        return None;
    }
    if !has_python {
        println!("skipped: no python3");
        return None;
    }
    Some(folder)
}

/// Files of tasks: those whose first line has `codes`.
fn task_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
        .filter(|path| {
            let text = fs::read_to_string(path).unwrap();
            let first: serde_json::Value =
                serde_json::from_str(text.lines().next().unwrap()).unwrap();
            first.get("codes").is_some()
        })
        .collect();
    files.sort();
    files
}

/// The traces that lie beside a file of tasks, and those in its rows.
fn traces_of(file: &Path, suite: &FtrlSuite) -> Vec<Trace> {
    let beside = file.with_extension("traces.jsonl");
    let mut traces = suite.gold_traces();
    if beside.exists() {
        traces.extend(load_traces(&beside, suite.tasks()).unwrap());
    }
    traces
}

fn keys(line: &str) -> BTreeSet<String> {
    let row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
    row.keys().cloned().collect()
}

fn goldens(file: &Path) -> usize {
    let text = fs::read_to_string(file).unwrap();
    text.lines()
        .flat_map(|line| Row::parse(line).unwrap().unsolved_set.into_values())
        .map(|goldens| goldens.len())
        .sum()
}

fn percent(scores: &[Score], metric: &str) -> String {
    let sum: f64 = scores.iter().map(|score| score.metrics[metric]).sum();
    format!("{:.2}", 100.0 * sum / scores.len() as f64)
}

#[test]
fn data_every_row_is_read_and_written_back_as_it_was() {
    let Some(folder) = data_folder() else { return };
    let mut rows = 0;
    for file in task_files(&folder) {
        for line in fs::read_to_string(&file).unwrap().lines() {
            let row = Row::parse(line).unwrap();
            assert_eq!(keys(&row.to_line()), keys(line));
            assert_eq!(Row::parse(&row.to_line()).unwrap(), row);
            rows += 1;
        }
    }
    assert!(rows > 0);
    println!("{rows} rows");
}

#[test]
fn data_every_trace_replays_to_its_recorded_outputs() {
    let Some(folder) = data_folder() else { return };
    for file in task_files(&folder) {
        let suite = FtrlSuite::load(&file, FtrlOptions::default()).unwrap();
        let traces = traces_of(&file, &suite);
        let mut scores = Vec::new();
        for trace in &traces {
            let report = suite.replay_as_recorded(trace).unwrap();
            assert_eq!(report.mismatches, [], "task {}", trace.task);
            if trace.answer.is_some() {
                assert_eq!(report.score.metrics["solve-r"], 1.0, "task {}", trace.task);
            }
            scores.push(report.score);
        }
        let solve = ["solve-p", "solve-r", "solve-f1"].map(|metric| percent(&scores, metric));
        println!(
            "{} tasks, {} traces: Solve-P/R/F1 {solve:?}",
            suite.tasks().len(),
            traces.len()
        );
        assert_eq!(solve[0], "100.00");
        // No name tells FTRL's development rows, but their 415 sub-answers do.
        if suite.tasks().len() == 100 && traces.len() == 100 && goldens(&file) == 415 {
            assert_eq!(solve, ["100.00", "90.76", "91.60"]);
        }
    }
}

#[test]
fn data_every_file_checks_without_a_problem() {
    let Some(folder) = data_folder() else { return };
    for file in task_files(&folder) {
        let beside = file.with_extension("traces.jsonl");
        let traces = beside.exists().then_some(beside.as_path());
        let report = check_file(&file, traces, FtrlOptions::default()).unwrap();
        assert_eq!(report.problems, [] as [String; 0]);
        assert!(report.tasks > 0 && report.tools > 0);
        println!("{report:?}");
    }
}

#[test]
fn data_every_trace_is_a_chain_of_rows_that_each_go_on_from_the_last() {
    let Some(folder) = data_folder() else { return };
    for file in task_files(&folder) {
        let suite = FtrlSuite::load(&file, FtrlOptions::default()).unwrap();
        let rows = fs::read_to_string(&file).unwrap();
        let rows: Vec<Row> = rows.lines().map(|line| Row::parse(line).unwrap()).collect();
        let mut written = 0;
        for trace in traces_of(&file, &suite) {
            let place = suite.tasks().iter().position(|task| task.id == trace.task);
            let row = &rows[place.unwrap()];
            let prefixes = row.prefixes(&trace);
            assert_eq!(prefixes.len(), trace.turns.len() + 1);
            assert_eq!(&prefixes[0], row);
            let last = prefixes.last().unwrap();
            let solved = replay(&suite, &trace).score.metrics["solve-r"];
            assert!(
                (last.solve_rate - solved).abs() < 1e-12,
                "task {}",
                trace.task
            );
            for prefix in &prefixes {
                assert_eq!(&Row::parse(&prefix.to_line()).unwrap(), prefix);
            }
            written += prefixes.len();
        }
        println!("{written} rows of {} traces", rows.len());
    }
}
