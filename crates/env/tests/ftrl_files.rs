//! Files of tasks and traces that are not what they should be, and those that are.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use env::ftrl::{FtrlOptions, FtrlSuite, check_file};
use env::{EnvError, PythonConfig, Suite, load_traces, replay, write_traces};
use episode::{CallFormat, Message, Role, Task};
use serde_json::{Value, json};
use tempfile::TempDir;

fn has_python() -> bool {
    let found = Command::new("python3").arg("--version").output().is_ok();
    if !found {
        println!("skipped: no python3");
    }
    found
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, lines: &[String]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, lines.join("\n")).unwrap();
        path
    }

    /// A message without the folder's own name.
    fn message(&self, error: &EnvError) -> String {
        let folder = format!("{}/", self.0.path().display());
        error.to_string().replace(&folder, "")
    }
}

fn row() -> Value {
    json!({
        "messages": [{"role": "user", "content": "Where? Use <answer></answer>.\nQuestion: …"}],
        "tools": json!([
            {"type": "function", "function": {"name": "city"}},
            {"type": "function", "function": {"name": "country"}},
        ]).to_string(),
        "codes": json!({
            "city": "def city(person):\n    return {'city': 'Ulm', 'of': person}",
            "country": "def country(city):\n    return 'Germany' if city == 'Ulm' else 'nowhere'",
        }).to_string(),
        "unsolved_set": json!({"city": ["Ulm"], "country": ["Germany"]}).to_string(),
        "solve_rate": 0.0,
        "data_source": "self/multi_hop",
        "answer": "Germany",
    })
}

fn with(field: &str, value: Value) -> String {
    let mut row = row();
    row[field] = value;
    row.to_string()
}

#[test]
fn a_line_that_is_no_row_is_an_error_with_file_line_and_field() {
    let check = |line: String, expected: &str| {
        let folder = Folder::new();
        let path = folder.write("rows.jsonl", &[row().to_string(), String::new(), line]);
        let error = FtrlSuite::load(&path, FtrlOptions::default())
            .err()
            .unwrap();
        let message = folder.message(&error);
        assert!(message.starts_with(expected), "{message}");
    };
    check(
        "{\"messages\": [".into(),
        "`rows.jsonl`, line 3: not a JSON object: EOF while parsing",
    );
    check(
        with("tools", Value::Null),
        "`rows.jsonl`, line 3, field `tools`: missing",
    );
    check(
        with("unsolved_set", json!("{\"city\": \"Ulm\"}")),
        "`rows.jsonl`, line 3, field `unsolved_set`: invalid type: string",
    );
    check(
        with("codes", json!("{\"town\": \"def town(): pass\"}")),
        "`rows.jsonl`, line 3, field `codes`: `town` is not the name of one of the row's tools",
    );
    check(
        with("id", json!("0")),
        "`rows.jsonl`, line 3, field `id`: `0` is the id of an earlier row",
    );
}

#[test]
fn a_file_that_is_not_there_is_an_error_that_names_it() {
    let folder = Folder::new();
    let path = folder.0.path().join("none.jsonl");
    let error = FtrlSuite::load(&path, FtrlOptions::default())
        .err()
        .unwrap();
    assert!(
        folder.message(&error).starts_with("`none.jsonl`: "),
        "{error}"
    );
}

#[test]
fn a_tool_that_does_not_compile_is_an_error_unless_it_is_allowed() {
    if !has_python() {
        return;
    }
    let folder = Folder::new();
    let codes = json!({"city": "def city(:", "country": "def country(): pass"}).to_string();
    let path = folder.write("rows.jsonl", &[with("codes", json!(codes))]);
    let error = FtrlSuite::load(&path, FtrlOptions::default())
        .err()
        .unwrap();
    let message = folder.message(&error);
    let expected =
        "`rows.jsonl`, line 1, field `codes`: tool `city` does not compile: SyntaxError: ";
    assert!(message.starts_with(expected), "{message}");
    assert!(message.contains("\nhint: "), "{message}");
    let options = FtrlOptions {
        allow_broken_tools: true,
        ..FtrlOptions::default()
    };
    assert!(FtrlSuite::load(&path, options).is_ok());
}

#[test]
fn a_missing_interpreter_is_an_error_with_a_way_out() {
    let folder = Folder::new();
    let path = folder.write("rows.jsonl", &[row().to_string()]);
    let options = FtrlOptions {
        python: PythonConfig {
            interpreter: "no-such-python".to_owned(),
            ..PythonConfig::default()
        },
        ..FtrlOptions::default()
    };
    let message = FtrlSuite::load(&path, options).err().unwrap().to_string();
    assert!(
        message.starts_with("cannot run `no-such-python`: "),
        "{message}"
    );
    assert!(message.contains("\nhint: "), "{message}");
}

#[test]
fn a_check_tells_everything_that_is_wrong() {
    if !has_python() {
        return;
    }
    let folder = Folder::new();
    let codes = json!({"city": "def city(:"}).to_string();
    let rows = [
        with("codes", json!(codes)),
        with("unsolved_set", json!("{\"town\": [\"Ulm\"]}")),
        "[]".to_owned(),
    ];
    let path = folder.write("rows.jsonl", &rows);
    let report = check_file(&path, None, FtrlOptions::default()).unwrap();
    assert_eq!((report.tasks, report.tools, report.goldens), (2, 4, 3));
    let told = report.problems.join("\n");
    for part in [
        "line 3: not a JSON object",
        "line 1, field `codes`: tool `city` does not compile",
        "line 1, field `codes`: no source for tool `country`",
        "line 2, field `unsolved_set`: `town` is not the name",
    ] {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(report.problems.len(), 4);
}

#[test]
fn gold_calls_become_a_trace_with_dependent_calls_in_turns_of_their_own() {
    if !has_python() {
        return;
    }
    let folder = Folder::new();
    let gold = json!([
        {"name": "city", "parameters": {"person": "Einstein"}},
        {"name": "country", "parameters": {"city": "Ulm"}},
    ]);
    let unsolving = json!([{"name": "city", "parameters": {"person": "Einstein"}}]);
    let rows = [
        with("ground_truth", json!(gold.to_string())),
        with("ground_truth", json!(unsolving.to_string())),
        row().to_string(),
    ];
    let path = folder.write("rows.jsonl", &rows);
    let suite = FtrlSuite::load(&path, FtrlOptions::default()).unwrap();
    let traces = suite.gold_traces();
    assert_eq!(traces.len(), 2);
    assert_eq!((&*traces[0].task, &*traces[0].source), ("0", "gold-calls"));
    assert_eq!((&*traces[1].task, traces[1].answer.as_ref()), ("1", None));
    let results: Vec<&[String]> = traces[0].turns.iter().map(|turn| &*turn.results).collect();
    assert_eq!(
        results,
        [[r#"{"city": "Ulm", "of": "Einstein"}"#], ["Germany"]]
    );
    assert_eq!(
        traces[0].answer.as_deref(),
        Some("<answer>Germany</answer>")
    );

    let written = folder.0.path().join("traces.jsonl");
    write_traces(&written, &traces).unwrap();
    assert_eq!(load_traces(&written, suite.tasks()).unwrap(), traces);
    let report = replay(&suite, &traces[0]);
    assert_eq!(report.problems(&traces[0]), [] as [String; 0]);
    assert_eq!(report.score.reward, 1.0);
    let problems = replay(&suite, &traces[1]).problems(&traces[1]);
    assert_eq!(
        problems,
        ["solve-r is 0.50, expected 1", "it has no answer"]
    );
    let report = check_file(&path, Some(&written), FtrlOptions::default()).unwrap();
    assert_eq!((report.traces, report.solving_traces), (4, 2));
    assert_eq!(report.problems, [] as [String; 0]);
}

#[test]
fn a_suite_tells_what_there_is_to_solve() {
    if !has_python() {
        return;
    }
    let folder = Folder::new();
    let path = folder.write("rows.jsonl", &[row().to_string()]);
    let suite = FtrlSuite::load(&path, FtrlOptions::default()).unwrap();
    let unsolved = suite.unsolved(&suite.tasks()[0]).unwrap();
    assert_eq!(unsolved.left(), 2);
    assert_eq!(unsolved.remaining()["country"], ["Germany"]);
}

#[test]
fn a_replay_tells_what_a_tool_returned_instead() {
    if !has_python() {
        return;
    }
    let folder = Folder::new();
    let path = folder.write("rows.jsonl", &[row().to_string()]);
    let suite = FtrlSuite::load(&path, FtrlOptions::default()).unwrap();
    let trace = recording(json!({"row": 0}), json!([0]), "Ulm in Swabia");
    let traces = folder.write("traces.jsonl", &[trace]);
    let report = replay(&suite, &load_traces(&traces, suite.tasks()).unwrap()[0]);
    assert_eq!(
        report.mismatches[0].to_string(),
        r#"turn 0: tool `city` returned "{\"city\": \"Ulm\", \"of\": \"A\"}", and not "Ulm in Swabia" as recorded"#
    );
    assert_eq!(report.mismatches.len(), 1);
    assert_eq!(report.mismatches[0].recorded, "Ulm in Swabia");
    assert_eq!(
        report.mismatches[0].returned,
        r#"{"city": "Ulm", "of": "A"}"#
    );
}

#[test]
fn a_recording_of_another_day_is_replayed_on_that_day() {
    if !has_python() {
        return;
    }
    let folder = Folder::new();
    let city =
        "def city(person):\n    import datetime\n    return f'{person} on {datetime.date.today()}'";
    let country = "def country(city):\n    return 'Germany'";
    let codes = json!({"city": city, "country": country}).to_string();
    let path = folder.write("rows.jsonl", &[with("codes", json!(codes))]);
    let check = |recorded: &str| {
        let trace = recording(json!({"row": 0}), json!([0]), recorded);
        let traces = folder.write("traces.jsonl", &[trace]);
        let options = FtrlOptions::default();
        check_file(&path, Some(&traces), options).unwrap().problems
    };
    assert_eq!(check("A on 2026-11-22"), [] as [String; 0]);
    let problems = check("A on 2026-11-22, at noon");
    assert!(problems[0].contains("A on 2025-01-01"), "{problems:?}");
}

fn task(id: &str, prompt: &str) -> Task {
    Task {
        id: id.to_owned(),
        scenario: "self/multi_hop".to_owned(),
        messages: vec![Message::new(Role::User, prompt)],
        tools: vec![json!({"type": "function", "function": {"name": "city"}})],
        answer: None,
        calls: CallFormat::Tagged,
    }
}

/// Calls of `city`, one for each number of a turn, all with this output.
fn recording(mut of: Value, turns: Value, output: &str) -> String {
    let turns = turns.as_array().unwrap().iter();
    let calls: Vec<Value> = turns
        .zip(["A", "B", "C", "D"])
        .map(|(turn, person)| {
            json!({"name": "city", "parameters": {"person": person}, "output": output, "turn": turn})
        })
        .collect();
    of["calls"] = calls.into();
    of["answer"] = "Ulm".into();
    of.to_string()
}

#[test]
fn recorded_calls_are_grouped_by_turn_and_end_with_the_answer() {
    let tasks = [
        task("x", "Question"),
        task("y", "Answer in <answer></answer>."),
    ];
    let folder = Folder::new();
    let traces = folder.write(
        "traces.jsonl",
        &[
            recording(json!({"row": 0}), json!([0, 1, 0, 1]), "Ulm"),
            recording(json!({"id": "y", "complete": true}), json!([0]), "Ulm"),
            recording(
                json!({"row": 1, "complete": false}),
                json!([null, null]),
                "Ulm",
            ),
        ],
    );
    let traces = load_traces(&traces, &tasks).unwrap();
    let people: Vec<Vec<&str>> = traces[0]
        .turns
        .iter()
        .map(|turn| {
            let people = turn.calls.iter().map(|call| &call.arguments["person"]);
            people.map(|person| person.as_str().unwrap()).collect()
        })
        .collect();
    assert_eq!(people, [["A", "C"], ["B", "D"]]);
    let answers: Vec<Option<&str>> = traces.iter().map(|trace| trace.answer.as_deref()).collect();
    assert_eq!(answers, [Some("Ulm"), Some("<answer>Ulm</answer>"), None]);
    assert_eq!(traces[2].turns.len(), 2);
}

#[test]
fn a_trace_of_an_unknown_task_or_tool_is_an_error_with_file_and_line() {
    let check = |line: String, expected: &str| {
        let folder = Folder::new();
        let sound = recording(json!({"row": 0}), json!([0]), "Ulm");
        let path = folder.write("traces.jsonl", &[sound, line]);
        let error = load_traces(&path, &[task("x", "Question")]).unwrap_err();
        assert_eq!(folder.message(&error), expected);
    };
    check(
        recording(json!({"row": 7}), json!([0]), "Ulm"),
        "`traces.jsonl`, line 2, field `row`: row 7 is not among the 1 tasks",
    );
    check(
        recording(json!({"id": "z"}), json!([0]), "Ulm"),
        "`traces.jsonl`, line 2, field `id`: no task has the id `z`",
    );
    check(
        json!({"task": "z", "turns": [], "answer": null}).to_string(),
        "`traces.jsonl`, line 2, field `task`: no task has the id `z`",
    );
    check(
        recording(json!({"row": 0}), json!([0]), "Ulm").replace("\"city\"", "\"town\""),
        "`traces.jsonl`, line 2, field `calls`: task `x` has no tool `town`",
    );
    check(
        json!({"task": "x", "turns": [{"calls": [], "results": ["Ulm"]}]}).to_string(),
        "`traces.jsonl`, line 2, field `turns`: turn 0 needs one result for each of its calls",
    );
}
