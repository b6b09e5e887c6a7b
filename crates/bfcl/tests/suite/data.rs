//! The suite over the data set itself: accepted calls score full marks, and memories are shown
//! as the original shows them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use bfcl::memory::{EmbedError, Embedder};
use bfcl::result_file::{ResultRecord, result_path, write_results};
use bfcl::score::score_results;
use bfcl::suite::{Format, Outside, Selection};
use bfcl::{BfclOptions, BfclSuite, Category};
use env::Suite;
use episode::{Message, Role, Trace};
use serde_json::{Value, json};

use crate::play::{data_folder, play};

fn options(folder: &Path, categories: &[Selection], format: Format) -> BfclOptions {
    BfclOptions {
        folder: folder.to_owned(),
        categories: categories.to_vec(),
        format,
        ..BfclOptions::default()
    }
}

#[test]
fn data_accepted_calls_score_full_marks_in_every_category() {
    let Some(folder) = data_folder() else { return };
    for format in [Format::Fc, Format::Prompt, Format::Api] {
        let suite = BfclSuite::load(&options(&folder, &[Selection::MultiTurn], format)).unwrap();
        let traces = suite.traces().unwrap();
        assert_eq!(traces.len(), suite.tasks().len());
        let mut solved: BTreeMap<&str, usize> = BTreeMap::new();
        let mut calls = 0;
        for (task, trace) in suite.tasks().iter().zip(&traces) {
            let report = env::replay(&suite, trace);
            assert_eq!(report.problems(trace), [] as [String; 0], "{}", task.id);
            assert_eq!(report.score.reward, 1.0, "{}", task.id);
            assert_eq!(report.score.metrics["errors"], 0.0, "{}", task.id);
            *solved.entry(&task.scenario).or_default() += 1;
            calls += report.calls;
        }
        println!("{format:?}: {calls} calls, 100% of {solved:?}");
    }
}

/// A trace that leaves something out: by turns nothing, its last call, all after its first
/// user's turn.
fn spoilt(trace: &Trace, at: usize) -> Trace {
    let mut trace = trace.clone();
    match at % 3 {
        0 => {}
        1 => {
            let last = trace.turns.iter().rposition(|turn| !turn.calls.is_empty());
            trace.turns.remove(last.unwrap());
        }
        _ => {
            let first = trace.turns.iter().position(|turn| turn.calls.is_empty());
            trace.turns.truncate(first.unwrap_or(0));
        }
    }
    trace
}

#[test]
fn data_result_files_are_scored_as_their_episodes_are() {
    let Some(folder) = data_folder() else { return };
    for format in [Format::Fc, Format::Prompt, Format::Api] {
        let suite = BfclSuite::load(&options(&folder, &[Selection::MultiTurn], format)).unwrap();
        let mut results: BTreeMap<Category, Vec<ResultRecord>> = BTreeMap::new();
        let mut passed: BTreeMap<String, bool> = BTreeMap::new();
        for (at, trace) in suite.traces().unwrap().iter().enumerate() {
            let episode = play(&suite, &spoilt(trace, at));
            passed.insert(episode.task.clone(), episode.score.reward == 1.0);
            let category = Category::of_id(&episode.task).unwrap();
            let results = results.entry(category).or_default();
            results.push(suite.result_record(&episode));
        }
        let model = tempfile::tempdir().unwrap();
        for (&category, results) in &results {
            write_results(&result_path(model.path(), category, false), results).unwrap();
        }
        let report = score_results(&folder, model.path(), Some(format.handler())).unwrap();
        let records = report.categories.iter().flat_map(|it| &it.records);
        let scored: BTreeMap<String, bool> = records.map(|it| (it.id.clone(), it.valid)).collect();
        assert_eq!(scored, passed, "{format:?}");
        let passes = passed.values().filter(|it| **it).count();
        println!("{format:?}: {} records, {passes} pass", passed.len());
        assert!(0 < passes && passes < passed.len());
    }
}

#[test]
fn data_no_trace_is_longer_than_a_user_waits() {
    let Some(folder) = data_folder() else { return };
    let all = options(&folder, &[Selection::MultiTurn], Format::Fc);
    let suite = BfclSuite::load(&all).unwrap();
    for trace in suite.traces().unwrap() {
        let turns = trace.turns.split(|turn| turn.calls.is_empty());
        let longest = turns.map(<[_]>::len).max().unwrap();
        // And one that answers.
        assert!(longest < suite.protocol().max_turns, "{}", trace.task);
    }
}

/// A model to which all texts are the same.
struct Blank;

impl Embedder for Blank {
    fn embed(&self, _: &str) -> Result<Vec<f32>, EmbedError> {
        Ok(vec![1.0])
    }
}

/// What stands in an official prompt between a role's tags; the tools of the `fc` mode follow
/// the system's text, and are left out.
fn said(prompt: &str, role: &str) -> String {
    let (_, after) = prompt.split_once(&format!("<|im_start|>{role}\n")).unwrap();
    let (text, _) = after.split_once("<|im_end|>").unwrap();
    let text = text
        .split_once("\n\n# Tools\n")
        .map_or(text, |(before, _)| before);
    text.to_owned()
}

/// A folder in which every memory of a scenario holds what the prompt shows.
fn filled(folder: &Path, row: &Value) {
    let id = row["id"].as_str().unwrap();
    let prompt = row["prompt"].as_str().unwrap();
    let system = said(prompt, "system");
    let category = Category::of_id(id).unwrap();
    let core = || serde_json::from_str::<Value>(&shown(&system, "Core Memory")).unwrap();
    let snapshot = match category {
        Category::MemoryRecSum => json!({"memory": shown(&system, "memory system")}),
        Category::MemoryKv => json!({"core_memory": core(), "archival_memory": {}}),
        _ => json!({
            "core_memory": {"next_id": 7, "store": core()},
            "archival_memory": {"next_id": 0, "store": {}},
        }),
    };
    let backend = category.memory_backend().unwrap();
    let checkpoints = folder.join(format!(
        "agentic/memory/{backend}/memory_snapshot/prereq_checkpoints"
    ));
    fs::create_dir_all(&checkpoints).unwrap();
    for played in row["depends_on"].as_array().unwrap() {
        let name = format!("{}.json", played.as_str().unwrap());
        fs::write(checkpoints.join(name), snapshot.to_string()).unwrap();
    }
}

/// The memory's content within the system's text.
fn shown(system: &str, name: &str) -> String {
    let marker = format!("Here is the content of your {name} from previous interactions:\n");
    let (_, after) = system.split_once(&marker).unwrap();
    let after = match after.split_once("\n\nFor your final answer") {
        Some((content, _)) => content,
        None => after,
    };
    after.strip_suffix('\n').unwrap_or(after).to_owned()
}

#[test]
fn data_memories_are_shown_as_the_original_shows_them() {
    let Some(folder) = data_folder() else { return };
    let rows = fs::read_to_string(folder.join("oracles/memory_prompt_oracle.jsonl")).unwrap();
    let mut checked = 0;
    for line in rows.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let id = row["id"].as_str().unwrap();
        let first = row["depends_on"].as_array().unwrap().is_empty();
        let category = match id {
            id if id.starts_with("memory_kv") => Selection::MemoryKv,
            id if id.starts_with("memory_rec_sum") => Selection::MemoryRecSum,
            _ => Selection::MemoryVector,
        };
        let format = match row["mode"].as_str().unwrap() {
            "fc" => Format::Fc,
            _ => Format::Prompt,
        };
        let memory = tempfile::tempdir().unwrap();
        // The first conversation begins with nothing in the original; an oracle that filled its
        // memory has gone round that.
        let is_filled = row["memory_filled"].as_bool().unwrap();
        if is_filled && first {
            continue;
        }
        if is_filled {
            filled(memory.path(), &row);
        }
        let options = BfclOptions {
            memory_dir: Some(memory.path().to_owned()),
            ..options(&folder, &[category], format)
        };
        let outside = Outside {
            embedder: Some(Arc::new(Blank)),
            ..Outside::default()
        };
        let suite = BfclSuite::load_with(&options, outside).unwrap();
        let task = suite.tasks().iter().find(|task| task.id == id).unwrap();
        let prompt = row["prompt"].as_str().unwrap();
        let messages = suite.prompt(task);
        let expected = [
            Message::new(Role::System, said(prompt, "system")),
            Message::new(Role::User, said(prompt, "user")),
        ];
        assert_eq!(*messages, expected, "{id}");
        checked += 1;
    }
    println!("{checked} prompts");
    assert!(checked > 0);
}

#[test]
fn data_every_memory_is_filled_before_it_is_asked() {
    let Some(folder) = data_folder() else { return };
    let both = [Selection::MemoryKv, Selection::MemoryRecSum];
    let suite = BfclSuite::load(&options(&folder, &both, Format::Fc)).unwrap();
    let stages = suite.stages();
    let (questions, conversations) = stages.split_last().unwrap();
    assert!(questions.scored && conversations.iter().all(|stage| !stage.scored));
    let mut end = 0;
    for stage in &stages {
        assert_eq!(stage.tasks.start, end, "stages follow each other");
        end = stage.tasks.end;
    }
    assert_eq!(end, suite.tasks().len());
    for (at, stage) in conversations.iter().enumerate() {
        for task in &suite.tasks()[stage.tasks.clone()] {
            let place: usize = task.id.rsplit('-').next().unwrap().parse().unwrap();
            assert!(task.id.contains("_prereq_") && place == at, "{}", task.id);
        }
    }
    let questions = &suite.tasks()[questions.tasks.clone()];
    assert!(questions.iter().all(|task| !task.id.contains("_prereq_")));
    println!(
        "{} conversations in {} stages, {} questions",
        suite.tasks().len() - questions.len(),
        conversations.len(),
        questions.len()
    );
}
