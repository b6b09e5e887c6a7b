//! The suite over the data set itself: accepted calls score full marks, and memories are shown
//! as the original shows them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::play::{data_folder, replay};
use bfcl::suite::{Format, Selection};
use bfcl::{BfclOptions, BfclSuite};
use env::Suite;
use episode::{Message, Role};
use serde_json::Value;

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
        let mut scores: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        let mut calls = 0;
        for trace in &traces {
            let episode = replay(&suite, trace);
            let metrics = &episode.score.metrics;
            assert_eq!(metrics["errors"], 0.0, "{}", trace.task);
            assert_eq!(episode.score.reward, 1.0, "{}: {metrics:?}", trace.task);
            calls += metrics["calls"] as usize;
            let scenario = scores.entry(episode.scenario).or_default();
            scenario.push(metrics["accuracy"]);
        }
        for (category, scores) in &scores {
            let mean = 100.0 * scores.iter().sum::<f64>() / scores.len() as f64;
            println!("{format:?} {category}: {mean:.2}% of {}", scores.len());
        }
        println!("{calls} calls");
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
    let (backend, snapshot) = match id.contains("rec_sum") {
        true => (
            "rec_sum",
            serde_json::json!({"memory": shown(&system, "memory system")}),
        ),
        false => {
            let core: Value = serde_json::from_str(&shown(&system, "Core Memory")).unwrap();
            (
                "kv",
                serde_json::json!({"core_memory": core, "archival_memory": {}}),
            )
        }
    };
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
            other => panic!("a memory of another kind: {other}"),
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
        let suite = BfclSuite::load(&BfclOptions {
            memory_dir: Some(memory.path().to_owned()),
            ..options(&folder, &[category], format)
        })
        .unwrap();
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
