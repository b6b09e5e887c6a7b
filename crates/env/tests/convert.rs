//! Files of tasks from one form into another and back.

use std::fs;
use std::path::{Path, PathBuf};

use env::convert::{Conversion, Form, convert, read, write};
use env::ftrl::Row;
use env::own::TaskRow;
use serde_json::{Value, json};
use tempfile::TempDir;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, rows: &[Value]) -> PathBuf {
        let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
        fs::write(self.path(name), lines.join("\n")).unwrap();
        self.path(name)
    }

    fn shown(&self, error: &env::EnvError) -> String {
        error
            .to_string()
            .replace(&format!("{}/", self.0.path().display()), "")
    }
}

/// A task with everything that ours can have.
fn full() -> TaskRow {
    let row = json!({
        "id": "a", "scenario": "multi_hop",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Où?"}],
        "tools": [{"type": "function", "function": {"name": "where", "parameters": {
            "type": "object", "properties": {"who": {"type": "string", "default": null}}}}}],
        "suite": "maps", "answer": ["Ulm", "1,879"], "goldens": {"where": ["Ulm"], "when": []},
        "trace": {"task": "a", "source": "planner", "verified": true, "turns": [
            {"reasoning": "Who?\nAnn.", "calls": [
                {"name": "where", "arguments": {"who": "Ann", "n": [1, 2.5, {"x": null}]}},
                {"name": "where", "arguments": {}}], "results": ["Ulm", "é"]},
            {"reasoning": "", "content": "Which Ann?", "reply": "The first."},
        ], "answer_reasoning": "So.", "answer": "Ulm"},
        "place": {"x": [1]}, "rank": 3, "note": "[not JSON",
    });
    TaskRow::parse(&row.to_string()).unwrap()
}

/// A task with as little as can be.
fn bare(id: &str) -> TaskRow {
    let row = json!({"id": id, "messages": [{"role": "user", "content": "?"}]});
    TaskRow::parse(&row.to_string()).unwrap()
}

fn forms() -> Vec<&'static str> {
    let mut endings = vec!["jsonl"];
    if cfg!(feature = "parquet") {
        endings.push("parquet");
    } else {
        println!("without Parquet: built without its feature");
    }
    endings
}

#[test]
fn tables_give_back_every_task_whole() {
    let folder = Folder::new();
    let rows = [full(), bare("b")];
    for ending in forms() {
        for form in [Form::Verl, Form::Trl] {
            let path = folder.path(&format!("{form:?}.{ending}"));
            let written = write(form, &path, &rows).unwrap();
            assert_eq!(written.rows, 2);
            let mut back = read(form, &path).unwrap();
            if form == Form::Verl {
                // verl's rows say whence they come, and a row without an answer is told of.
                assert_eq!(back[1].scenario.take().as_deref(), Some("own"));
                assert_eq!(
                    written.lost,
                    ["1 row: no answer: their `reward_model.ground_truth` is null"]
                );
            } else {
                assert_eq!(written.lost, [] as [&str; 0]);
            }
            assert_eq!(back, rows, "{form:?} as {ending}");
        }
    }
    let path = folder.path("own.jsonl");
    write(Form::Own, &path, &rows).unwrap();
    assert_eq!(read(Form::Own, &path).unwrap(), rows);
}

#[test]
fn verls_columns_are_those_that_verl_reads() {
    let folder = Folder::new();
    let path = folder.path("t.jsonl");
    let mut row = full();
    row.answers.truncate(1);
    write(Form::Verl, &path, &[row]).unwrap();
    let row: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(row["data_source"], "multi_hop");
    assert_eq!(row["prompt"][1], json!({"role": "user", "content": "Où?"}));
    assert_eq!(row["ability"], "tool-use");
    assert_eq!(
        row["reward_model"],
        json!({"style": "rule", "ground_truth": "Ulm"})
    );
    assert_eq!(row["extra_info"], json!({"id": "a", "index": 0}));
    assert_eq!(row["goldens"], r#"{"where": ["Ulm"], "when": []}"#);
    assert_eq!(row["rank"], 3);
}

#[test]
fn what_others_put_into_verls_table_stays_in_it() {
    let folder = Folder::new();
    let theirs = json!({
        "data_source": "openai/gsm8k", "prompt": [{"role": "user", "content": "2 + 2?"}],
        "ability": "math", "reward_model": {"style": "rule", "ground_truth": "4"},
        "extra_info": {"split": "train", "index": 7, "need_tools_kwargs": true,
            "tools_kwargs": {"calc": {"create_kwargs": {"ground_truth": "4"}}}},
        "agent_name": "tool_agent",
    });
    let input = folder.write("theirs.jsonl", &[theirs.clone()]);
    let rows = read(Form::Verl, &input).unwrap();
    assert_eq!(
        (&*rows[0].id, &*rows[0].answers),
        ("7", &["4".to_owned()][..])
    );
    let output = folder.path("again.jsonl");
    write(Form::Verl, &output, &rows).unwrap();
    let mut again: Value = serde_json::from_str(&fs::read_to_string(output).unwrap()).unwrap();
    let info = again["extra_info"].as_object_mut().unwrap();
    assert_eq!(info.shift_remove("id"), Some(json!("7")));
    assert_eq!(again, theirs);
}

#[test]
fn trls_messages_are_a_prompt_and_what_an_expert_did() {
    let folder = Folder::new();
    let call = json!({"type": "function", "function": {"name": "f", "arguments": {"x": 1}}});
    let input = folder.write(
        "t.jsonl",
        &[
            json!({"messages": [
            {"role": "user", "content": "Do f."},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "name": "f", "content": "2"},
            {"role": "assistant", "content": "<think>ok</think>It is 2."},
        ], "tools": "[{\"type\": \"function\", \"function\": {\"name\": \"f\"}}]"}),
            json!({"prompt": [{"role": "user", "content": "Hello"}], "completion": null}),
        ],
    );
    let rows = read(Form::Trl, &input).unwrap();
    let trace = rows[0].trace.as_ref().unwrap();
    assert_eq!((&*trace.task, &*trace.answer_reasoning), ("0", "ok"));
    assert_eq!(trace.answer.as_deref(), Some("It is 2."));
    assert_eq!(trace.turns[0].calls[0].arguments["x"], 1);
    assert_eq!(trace.turns[0].results, ["2"]);
    assert_eq!(rows[0].tools.as_ref().unwrap()[0]["function"]["name"], "f");
    assert_eq!((&*rows[1].id, &rows[1].trace), ("1", &None));
}

#[test]
fn a_row_that_a_form_does_not_have_is_an_error_that_says_where() {
    let folder = Folder::new();
    let check = |form: Form, row: Value, expected: &str| {
        let path = folder.write("t.jsonl", &[row]);
        let message = folder.shown(&read(form, &path).unwrap_err());
        assert!(message.starts_with(expected), "{message}");
    };
    check(
        Form::Trl,
        json!({"prompt": "2 + 2 ="}),
        "`t.jsonl`, line 1, field `prompt`: no list, expected messages",
    );
    check(
        Form::Trl,
        json!({"text": "2"}),
        "`t.jsonl`, line 1, field `messages`: missing, expected messages",
    );
    check(
        Form::Verl,
        json!({"prompt": [{"role": "user"}], "reward_model": {"ground_truth": {}}}),
        "`t.jsonl`, line 1, field `reward_model`: {}, expected a text, or a list",
    );
    check(
        Form::Verl,
        json!({"messages": []}),
        "`t.jsonl`, line 1, field `prompt`: missing",
    );
}

#[test]
fn what_ftrl_cannot_hold_is_said() {
    let folder = Folder::new();
    let path = folder.path("t.jsonl");
    let written = write(Form::Ftrl, &path, &[full()]).unwrap();
    assert_eq!(
        written.lost,
        [
            "1 row: no `codes`: FTRL's tools are Python sources, and without them nobody can run them",
            "1 row: `suite`, for which FTRL has no place",
            "1 row: all answers but the first: FTRL has one",
            "1 row: of `trace` all but its calls, which are kept as `ground_truth`",
            "1 row: `place`, for which FTRL has no place",
            "1 row: `rank`, for which FTRL has no place",
            "1 row: `note`, for which FTRL has no place",
        ]
    );
    let row = Row::parse(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(row.ground_truth.unwrap().len(), 2);
    let error = write(Form::Ftrl, &path, &[bare("b")]).unwrap_err();
    assert_eq!(
        folder.shown(&error),
        "`t.jsonl`: task `b`: FTRL's tasks describe their tools, and this one does not\n\
         hint: give it `tools` with a JSON schema for each"
    );
}

#[test]
fn toolhops_questions_become_tasks_with_python_tools() {
    let folder = Folder::new();
    let question = json!({
        "id": 3, "question": "Which crop?", "answer": "Rice",
        "sub_task": {"Where?": "Nepal", "What?": "Rice"},
        "tools": {"Where?": {"name": "quake"}, "What?": {"name": "crop"}},
        "functions": ["def quake(): return 'Nepal'", "def crop(): return 'Rice'"],
        "domain": "Geography",
    });
    let path = folder.path("ToolHop.json");
    fs::write(&path, json!([question]).to_string()).unwrap();
    let output = folder.path("rows.jsonl");
    let done = convert(Form::ToolHop, &path, Form::Ftrl, &output).unwrap();
    let lost = vec!["1 row: `domain`, for which FTRL has no place".to_owned()];
    assert_eq!(done, Conversion { rows: 1, lost });
    let row = Row::parse(&fs::read_to_string(&output).unwrap()).unwrap();
    assert_eq!(row.id.as_deref(), Some("3"));
    assert_eq!(row.codes["crop"], "def crop(): return 'Rice'");
    assert_eq!(row.unsolved_set["quake"], ["Nepal"]);
    assert_eq!(row.tool_names().collect::<Vec<_>>(), ["quake", "crop"]);
    let error = convert(Form::Ftrl, &output, Form::ToolHop, &path).unwrap_err();
    assert!(
        folder
            .shown(&error)
            .contains("ToolHop's form can only be read")
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests find their data through PACT_DATA"
)]
fn data_files() -> Vec<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let root = std::env::var("PACT_DATA").unwrap_or_else(|_| beside.to_owned());
    let Ok(folder) = fs::read_dir(Path::new(&root).join("ftrl")) else {
        println!("skipped: PACT_DATA not found");
        return Vec::new();
    };
    folder
        .map(|entry| entry.unwrap().path())
        .filter(|path| fs::read_to_string(path).unwrap().contains("\"codes\""))
        .collect()
}

#[test]
fn data_ftrls_rows_pass_through_every_form_unchanged() {
    let folder = Folder::new();
    for file in data_files() {
        let original: Vec<Row> = fs::read_to_string(&file)
            .unwrap()
            .lines()
            .map(|line| Row::parse(line).unwrap())
            .collect();
        for ending in forms() {
            let mut from = (Form::Ftrl, file.clone());
            for to in [Form::Own, Form::Verl, Form::Trl, Form::Ftrl] {
                // Ours holds what no column of one type can.
                let ending = if to == Form::Own { "jsonl" } else { ending };
                let path = folder.path(&format!("{to:?}.{ending}"));
                let done = convert(from.0, &from.1, to, &path).unwrap();
                assert_eq!(
                    done,
                    Conversion {
                        rows: original.len(),
                        lost: vec![]
                    }
                );
                from = (to, path);
            }
            let suite_rows = read(Form::Ftrl, &from.1).unwrap();
            let lines = folder.path("rows.jsonl");
            write(Form::Ftrl, &lines, &suite_rows).unwrap();
            let back: Vec<Row> = fs::read_to_string(&lines)
                .unwrap()
                .lines()
                .map(|line| Row::parse(line).unwrap())
                .collect();
            assert_eq!(back, original, "{} as {ending}", file.display());
            println!("{} rows as {ending}", back.len());
        }
    }
}
