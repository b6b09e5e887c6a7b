//! ToolHop's questions in files of our own: what an episode is told, and how it is judged.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use env::toolhop::{Scenario, ToolHopOptions, ToolHopSuite};
use env::{Environment, Suite, UnreadCalls};
use episode::{Score, StopReason, ToolCall, Turn};
use serde_json::{Value, json};

fn has_python() -> bool {
    let found = Command::new("python3").arg("--version").output().is_ok();
    if !found {
        println!("skipped: no python3");
    }
    found
}

fn question() -> Value {
    json!({
        "id": 0,
        "question": "What crop feeds the country where the earthquake was?",
        "answer": "Rice",
        "sub_task": {"Where was it?": "Nepal", "What grows in Nepal?": "Rice"},
        "tools": {
            "Where was it?": {"name": "quake", "description": "", "parameters": {}},
            "What grows in Nepal?": {"name": "crop", "description": "", "parameters": {}},
        },
        "functions": [
            "def quake(year):\n    return {'country': 'Nepal'} if year == 2015 else {'error': 'none'}",
            "def crop(country):\n    return {'Nepal': 'Rice'}[country]",
        ],
        "domain": "Geography",
    })
}

/// A suite of one question in a file of the published form.
fn suite(scenarios: &[Scenario]) -> ToolHopSuite {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("ToolHop.json");
    fs::write(&path, json!([question()]).to_string()).unwrap();
    let options = ToolHopOptions {
        scenarios: scenarios.to_vec(),
        ..ToolHopOptions::default()
    };
    ToolHopSuite::load(&path, options).unwrap()
}

fn call(name: &str, arguments: Value) -> ToolCall {
    let arguments = arguments.as_object().unwrap().clone();
    ToolCall {
        name: name.to_owned(),
        arguments,
    }
}

fn turn(environment: &mut dyn Environment, calls: &[ToolCall]) -> Turn {
    Turn {
        observations: calls.iter().map(|call| environment.call(call)).collect(),
        calls: calls.to_vec(),
        ..Turn::default()
    }
}

fn said(text: &str) -> Turn {
    Turn {
        text: format!("{text}<|im_end|>"),
        ..Turn::default()
    }
}

fn metrics(score: &Score, names: &[&str]) -> Vec<f64> {
    names.iter().map(|name| score.metrics[*name]).collect()
}

#[test]
fn each_scenario_is_a_task_of_its_own_under_the_authors_rules() {
    if !has_python() {
        return;
    }
    let suite = suite(&[Scenario::Direct, Scenario::Mandatory, Scenario::Free]);
    let described: Vec<(&str, &str, usize)> = (suite.tasks().iter())
        .map(|task| (&*task.id, &*task.scenario, task.tools.len()))
        .collect();
    assert_eq!(
        described,
        [
            ("0-direct", "direct", 0),
            ("0-mandatory", "mandatory", 2),
            ("0-free", "free", 2)
        ]
    );
    assert_eq!(suite.protocol().max_turns, 9);
    assert_eq!(suite.protocol().unread_calls, UnreadCalls::Drop);
}

#[test]
fn an_answer_is_correct_by_what_was_said_or_by_the_last_call() {
    if !has_python() {
        return;
    }
    let suite = suite(&[Scenario::Mandatory]);
    let check = |calls: &[&[ToolCall]], last: Option<&str>, expected: f64| {
        let mut environment = suite.open(&suite.tasks()[0]);
        let mut turns: Vec<Turn> = Vec::new();
        for calls in calls {
            turns.push(turn(environment.as_mut(), calls));
        }
        turns.extend(last.map(said));
        let stop = match last {
            Some(_) => StopReason::Answered,
            None => StopReason::TurnLimit,
        };
        environment.close(stop, &turns);
        let score = environment.score();
        assert_eq!(score.reward, expected);
        assert_eq!(metrics(&score, &["ac", "ac-original"]), [expected; 2]);
    };
    let quake = call("quake", json!({"year": 2015}));
    let crop = call("crop", json!({"country": "Nepal"}));
    check(&[&[quake.clone()]], Some("<answer>rice</answer>"), 1.0);
    check(&[&[quake.clone(), crop.clone()]], Some("As above."), 1.0);
    check(&[&[crop.clone()], &[quake.clone()]], Some("As above."), 0.0);
    check(&[], Some("<think>Rice?</think>I do not know"), 1.0);
    check(&[], Some("Wheat"), 0.0);
    check(&[&[quake, crop]], None, 0.0);
    check(&[], None, 0.0);
}

#[test]
fn errors_are_counted_by_query_and_by_call() {
    if !has_python() {
        return;
    }
    let suite = suite(&[Scenario::Free]);
    let names = ["calls", "errors", "error-query", "solve-r"];
    let check = |calls: &[ToolCall], expected: [f64; 4]| {
        let mut environment = suite.open(&suite.tasks()[0]);
        turn(environment.as_mut(), calls);
        assert_eq!(metrics(&environment.score(), &names), expected);
    };
    // A tool's own error is none of the executor's.
    check(
        &[
            call("quake", json!({"year": 1})),
            call("quake", json!({"year": 2015})),
        ],
        [2.0, 0.0, 0.0, 0.5],
    );
    check(
        &[
            call("crop", json!({"country": "Atlantis"})),
            call("crop", json!({})),
            call("earthquake", json!({})),
        ],
        [3.0, 3.0, 1.0, 0.0],
    );
    check(&[], [0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn a_question_without_tools_is_over_after_one_turn() {
    if !has_python() {
        return;
    }
    let suite = suite(&[Scenario::Direct]);
    let mut environment = suite.open(&suite.tasks()[0]);
    let first = Turn {
        text: "Rice, I will check. <tool_call>…</tool_call>".to_owned(),
        ..turn(
            environment.as_mut(),
            &[call("crop", json!({"country": "Nepal"}))],
        )
    };
    assert_eq!(
        first.observations[0].text,
        "an error occured when call crop: 'crop'"
    );
    assert!(environment.is_over());
    environment.close(StopReason::Ended, &[first]);
    assert_eq!(environment.score().reward, 1.0);
}

#[test]
fn a_file_that_is_half_a_data_set_is_an_error_that_says_where() {
    if !has_python() {
        return;
    }
    let check = |text: String, expected: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.json");
        fs::write(&path, text).unwrap();
        let error = ToolHopSuite::load(&path, ToolHopOptions::default())
            .err()
            .unwrap();
        let message = error
            .to_string()
            .replace(&format!("{}/", folder.path().display()), "");
        assert!(message.starts_with(expected), "{message}");
    };
    let with = |field: &str, value: Value| {
        let mut row = question();
        row[field] = value;
        row
    };
    check(
        json!([question(), with("tools", json!({}))]).to_string(),
        "`t.json`, row 2, field `tools`: no tool for the sub-question `Where was it?`",
    );
    check(
        json!([question(), question()]).to_string(),
        "`t.json`, row 2, field `id`: `0` is the id of an earlier row",
    );
    check(
        json!([question()]).to_string()[..400].to_owned(),
        "`t.json`, line 1: not a JSON list of objects: EOF",
    );
    check(
        with("functions", json!(["def quake(:", "def crop(): pass"])).to_string(),
        "`t.json`, line 1, field `functions`: tool `quake` does not compile: SyntaxError",
    );
}
