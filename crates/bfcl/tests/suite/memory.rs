//! Memories: filled in order, asked about, and taken up again by a later run.

use std::fs;

use bfcl::suite::Selection;
use bfcl::{BfclOptions, BfclSuite};
use env::{Stage, Suite};
use episode::StopReason;
use serde_json::json;

use crate::mini::Mini;
use crate::play::{Player, call};

const FIRST: &str = "memory_kv_prereq_0-shop-0";
const SECOND: &str = "memory_kv_prereq_1-shop-1";
const QUESTION: &str = "memory_kv_0-shop-0";
const EMPTY: &str = "There is no content in the core memory at this point.";

fn ids(suite: &BfclSuite) -> Vec<&str> {
    suite.tasks().iter().map(|task| task.id.as_str()).collect()
}

fn system(suite: &BfclSuite, id: &str) -> String {
    let task = suite.tasks().iter().find(|task| task.id == id).unwrap();
    suite.prompt(task)[0].content.clone()
}

/// A conversation in which the agent keeps one thing.
fn remember(suite: &BfclSuite, id: &str, key: &str, value: &str) {
    let mut player = Player::new(suite, id);
    let add = call("core_memory_add", json!({"key": key, "value": value}));
    assert_eq!(
        player.call(&[add]),
        [r#"{"status": "Key-value pair added."}"#]
    );
    assert!(
        player.answer("Noted.").is_some(),
        "a conversation has two turns"
    );
    assert_eq!(player.answer("Noted."), None);
    let score = player.finish(StopReason::Answered).score;
    assert_eq!(score.reward, 0.0, "a conversation is not scored");
    assert_eq!(score.metrics.get("accuracy"), None);
}

#[test]
fn a_memory_is_what_the_conversations_before_have_left() {
    let mini = Mini::new();
    let suite = BfclSuite::load(&mini.options(Selection::MemoryKv)).unwrap();
    assert_eq!(ids(&suite), [FIRST, SECOND, QUESTION]);
    let stage = |tasks, scored| Stage { tasks, scored };
    let stages = [stage(0..1, false), stage(1..2, false), stage(2..3, true)];
    assert_eq!(suite.stages(), stages);
    assert!(suite.is_instant());

    assert_eq!(system(&suite, FIRST), format!("You serve. Core: {EMPTY}"));
    remember(&suite, FIRST, "name", "Ann");
    assert_eq!(
        system(&suite, SECOND),
        "You serve. Core: {\n    \"name\": \"Ann\"\n}"
    );
    remember(&suite, SECOND, "drink", "tea");
    let shown =
        "You serve. Core: {\n    \"name\": \"Ann\",\n    \"drink\": \"tea\"\n}\n\nAnswer so.\n";
    assert_eq!(system(&suite, QUESTION), shown);

    let mut player = Player::new(&suite, QUESTION);
    player.call(&[call("core_memory_clear", json!({}))]);
    player.answer("{'answer': 'Tea'}");
    let score = player.finish(StopReason::Answered).score;
    assert_eq!((score.reward, score.metrics["accuracy"]), (1.0, 1.0));
    assert_eq!(system(&suite, QUESTION), shown, "a question keeps nothing");

    let first = format!("You serve. Core: {EMPTY}");
    assert_eq!(
        system(&suite, FIRST),
        first,
        "the first one begins with nothing"
    );
}

#[test]
fn a_conversation_is_kept_whatever_ended_it() {
    let mini = Mini::new();
    let suite = BfclSuite::load(&mini.options(Selection::MemoryRecSum)).unwrap();
    let mut player = Player::new(&suite, "memory_rec_sum_prereq_0-shop-0");
    player.call(&[call("memory_append", json!({"text": "Ann is 35."}))]);
    player.finish(StopReason::TurnLimit);
    let system = system(&suite, "memory_rec_sum_prereq_1-shop-1");
    assert!(system.contains("Ann is 35."), "{system}");
}

#[test]
fn a_later_run_goes_on_where_an_earlier_one_stopped() {
    let mini = Mini::new();
    let folder = tempfile::tempdir().unwrap();
    let options = BfclOptions {
        memory_dir: Some(folder.path().to_owned()),
        ..mini.options(Selection::MemoryKv)
    };
    let suite = BfclSuite::load(&options).unwrap();
    remember(&suite, FIRST, "name", "Ann");

    let snapshots = folder.path().join("agentic/memory/kv/memory_snapshot");
    let checkpoint = snapshots.join(format!("prereq_checkpoints/{FIRST}.json"));
    let text = "{\n    \"core_memory\": {\n        \"name\": \"Ann\"\n    },\n    \"archival_memory\": {}\n}";
    assert_eq!(fs::read_to_string(&checkpoint).unwrap(), text);
    assert_eq!(
        fs::read_to_string(snapshots.join("shop_final.json")).unwrap(),
        text
    );

    let again = BfclSuite::load(&options).unwrap();
    assert_eq!(ids(&again), [SECOND, QUESTION]);
    assert!(system(&again, SECOND).contains("\"name\": \"Ann\""));
    remember(&again, SECOND, "drink", "tea");
    let last = BfclSuite::load(&options).unwrap();
    assert_eq!(ids(&last), [QUESTION]);
    assert_eq!(last.stages().len(), 1);
    assert_eq!(system(&last, QUESTION), system(&again, QUESTION));

    fs::write(&checkpoint, "{}").unwrap();
    fs::remove_file(snapshots.join(format!("prereq_checkpoints/{SECOND}.json"))).unwrap();
    let error = BfclSuite::load(&options).err().unwrap().to_string();
    assert!(error.contains(FIRST) && error.contains("hint:"), "{error}");
}

#[test]
fn a_memory_by_similarity_needs_a_model() {
    let mini = Mini::new();
    let error = BfclSuite::load(&mini.options(Selection::Memory))
        .err()
        .unwrap();
    let error = error.to_string();
    assert!(
        error.contains("`memory-vector`") && error.contains("hint:"),
        "{error}"
    );
}
