//! What is wrong with a data set or an option is said before an episode begins.

use std::fs;

use bfcl::BfclSuite;
use bfcl::records::{DataSet, Truth};
use bfcl::suite::Selection;
use env::Suite;
use serde_json::json;

use crate::mini::Mini;
use crate::play::data_folder;

/// The error of a data set that `spoil` has been at.
fn error(category: Selection, spoil: impl FnOnce(&Mini)) -> String {
    let mini = Mini::new();
    spoil(&mini);
    let options = mini.options(category);
    let error = BfclSuite::load(&options).err().expect("it was spoilt");
    error.to_string()
}

#[test]
fn half_a_data_set_names_what_is_missing() {
    let check = |category: Selection, gone: &str| {
        let error = error(category, |mini| fs::remove_file(mini.path(gone)).unwrap());
        assert!(error.contains(gone), "{error}");
        assert!(error.contains("hint: `pact data fetch bfcl`"), "{error}");
    };
    check(Selection::MultiTurnBase, "BFCL_v4_multi_turn_base.json");
    check(
        Selection::MultiTurnBase,
        "possible_answer/BFCL_v4_multi_turn_base.json",
    );
    check(
        Selection::MultiTurnBase,
        "multi_turn_func_doc/posting_api.json",
    );
    check(Selection::MultiTurnBase, "backend_tables.json");
    check(Selection::MultiTurnBase, "prompt_constants.json");
    check(
        Selection::MemoryKv,
        "memory_prereq_conversation/memory_shop.json",
    );
}

#[test]
fn no_data_set_at_all_names_every_file() {
    let mini = Mini::new();
    let empty = tempfile::tempdir().unwrap();
    let data = DataSet::new(empty.path());
    let error = data.multi_turn("multi_turn_base").unwrap_err().to_string();
    let both = "`BFCL_v4_multi_turn_base.json`, `possible_answer/BFCL_v4_multi_turn_base.json`";
    assert!(error.contains(both), "{error}");
    assert!(
        DataSet::new(mini.folder())
            .multi_turn("multi_turn_base")
            .is_ok()
    );
}

#[test]
fn questions_and_answers_must_belong_together() {
    let answers = "possible_answer/BFCL_v4_multi_turn_base.json";
    let check = |rows: &[serde_json::Value], expected: &str| {
        let error = error(Selection::MultiTurnBase, |mini| mini.write(answers, rows));
        assert!(error.contains(expected), "{error}");
    };
    check(&[], "0 answers to 1 questions");
    check(
        &[json!({"id": "multi_turn_base_1", "ground_truth": [[], []]})],
        "`multi_turn_base_1` stands beside `multi_turn_base_0`",
    );
    check(
        &[json!({"id": "multi_turn_base_0", "ground_truth": [[]]})],
        "`multi_turn_base_0` has 1 turns of calls for 2 of the user",
    );
    check(&[json!({"id": 3})], "line 1: invalid type: integer `3`");
}

#[test]
fn a_question_that_cannot_be_played_is_named() {
    let spoilt = |change: serde_json::Value| {
        error(Selection::MultiTurnBase, |mini| {
            let path = mini.path("BFCL_v4_multi_turn_base.json");
            let text = fs::read_to_string(&path).unwrap();
            let mut row: serde_json::Value = serde_json::from_str(&text).unwrap();
            for (key, value) in change.as_object().unwrap() {
                row[key] = value.clone();
            }
            fs::write(&path, row.to_string()).unwrap();
        })
    };
    let class = spoilt(json!({"involved_classes": ["PostOffice"]}));
    assert!(class.contains("`PostOffice`"), "{class}");
    let silent = spoilt(json!({"question": [[], []]}));
    let expected = "question `multi_turn_base_0`: turn 0 is not one message of the user";
    assert_eq!(silent, expected);
    let turn = spoilt(json!({"missed_function": {"last": ["comment"]}}));
    assert!(turn.contains("`last` is no turn's number"), "{turn}");
}

#[test]
fn a_day_that_is_none_is_refused() {
    let mini = Mini::new();
    let mut options = mini.options(Selection::MultiTurnBase);
    options.today = "tomorrow".to_owned();
    let error = BfclSuite::load(&options).err().unwrap().to_string();
    assert_eq!(
        error,
        "`today`: `tomorrow` is no day, expected `YYYY-MM-DD`"
    );
}

#[test]
fn searching_the_web_needs_a_key() {
    let error = error(Selection::WebSearchBase, |_| ());
    assert!(error.contains("hint: set SERPAPI_API_KEY"), "{error}");
}

#[test]
fn a_category_that_is_named_twice_is_played_once() {
    let mini = Mini::new();
    let mut options = mini.options(Selection::MultiTurnBase);
    options.categories.push(Selection::MultiTurnBase);
    let suite = BfclSuite::load(&options).unwrap();
    assert_eq!(suite.tasks().len(), 1);
}

#[test]
fn data_every_category_is_read() {
    let Some(folder) = data_folder() else { return };
    let data = DataSet::new(&folder);
    for category in bfcl::Category::ALL {
        let records = data.load(category).unwrap();
        let functions = data.functions(&records).unwrap();
        assert!(!records.is_empty());
        for (record, functions) in records.iter().zip(&functions) {
            assert_eq!(bfcl::Category::of_id(&record.id), Some(category));
            assert!(!functions.docs.is_empty(), "{}", record.id);
            let held_out = functions.held_out.values().map(Vec::len).sum::<usize>();
            let missed = record.missed.values().map(Vec::len).sum::<usize>();
            assert_eq!(
                held_out, missed,
                "{}: all that is held out has docs",
                record.id
            );
            match &record.truth {
                Truth::Calls(turns) => assert_eq!(turns.len(), record.turns.len()),
                Truth::Answers(accepted) => assert!(!accepted.is_empty()),
                Truth::Nothing => panic!("{} is a question", record.id),
            }
        }
        println!("{category}: {} questions", records.len());
    }
}
