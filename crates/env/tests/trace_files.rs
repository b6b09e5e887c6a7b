//! Files of traces: the forms in which they are read, and what is wrong with those that are not.

use std::fs;
use std::path::PathBuf;

use env::{load_traces, write_traces};
use episode::{CallFormat, Message, Role, Task, ToolCall, Trace, TraceTurn};
use serde_json::{Value, json};
use tempfile::TempDir;

fn tasks() -> [Task; 2] {
    ["a", "b"].map(|id| Task {
        id: id.to_owned(),
        scenario: "multi_hop".to_owned(),
        messages: vec![Message::new(Role::User, "Question")],
        tools: vec![json!({"type": "function", "function": {"name": "city"}})],
        answer: Some("Ulm".to_owned()),
        calls: CallFormat::Tagged,
    })
}

struct File {
    folder: TempDir,
    path: PathBuf,
}

fn file(lines: &[Value]) -> File {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("traces.jsonl");
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    fs::write(&path, lines.join("\n")).unwrap();
    File { folder, path }
}

fn city(person: &str) -> ToolCall {
    ToolCall {
        name: "city".to_owned(),
        arguments: json!({"person": person}).as_object().unwrap().clone(),
    }
}

fn called(people: &[&str], arguments: impl Fn(&str) -> Value) -> Vec<Value> {
    let call = |person: &&str| {
        json!({
            "id": format!("call-{person}"), "type": "function",
            "function": {"name": "city", "arguments": arguments(person)},
        })
    };
    people.iter().map(call).collect()
}

fn as_object(person: &str) -> Value {
    json!({"person": person})
}

fn as_text(person: &str) -> Value {
    Value::from(as_object(person).to_string())
}

#[test]
fn what_is_written_is_read_back_with_where_it_came_from_and_whether_it_was_verified() {
    let full = Trace {
        task: "a".to_owned(),
        source: "rollouts of base".to_owned(),
        verified: Some(true),
        turns: vec![TraceTurn {
            reasoning: "Where?".to_owned(),
            calls: vec![city("Ann"), city("Bea")],
            results: vec!["Ulm".to_owned(), "Bonn".to_owned()],
            ..TraceTurn::default()
        }],
        answer_reasoning: "There.".to_owned(),
        answer: Some("Ulm".to_owned()),
    };
    let bare = Trace {
        task: "b".to_owned(),
        ..Trace::default()
    };
    let file = file(&[]);
    write_traces(&file.path, &[full.clone(), bare.clone()]).unwrap();
    let text = fs::read_to_string(&file.path).unwrap();
    assert_eq!(
        text.lines().nth(1),
        Some(r#"{"task":"b","turns":[],"answer_reasoning":"","answer":null}"#)
    );
    assert_eq!(load_traces(&file.path, &tasks()).unwrap(), [full, bare]);
}

#[test]
fn a_chats_messages_are_a_trace() {
    let expected = Trace {
        task: "a".to_owned(),
        turns: vec![
            TraceTurn {
                reasoning: "Both.".to_owned(),
                calls: vec![city("Ann"), city("Bea")],
                results: vec!["Ulm".to_owned(), "Bonn".to_owned()],
                ..TraceTurn::default()
            },
            TraceTurn {
                reasoning: String::new(),
                calls: vec![city("Cem")],
                results: vec!["Trier".to_owned()],
                ..TraceTurn::default()
            },
        ],
        answer_reasoning: "So.".to_owned(),
        answer: Some("Ulm".to_owned()),
        ..Trace::default()
    };
    let user = json!({"role": "user", "content": "Where do they live?"});
    let both = called(&["Ann", "Bea"], as_text);
    let cem = json!([{"name": "city", "arguments": {"person": "Cem"}}]);
    let reply = |text: &str| json!({"role": "tool", "content": text});
    let reply_to =
        |id: &str, text: &str| json!({"role": "tool", "tool_call_id": id, "content": text});
    let forms = [
        // Reasoning apart, ids out of order.
        json!([
            user,
            {"role": "assistant", "content": null, "reasoning_content": "Both.\n", "tool_calls": both},
            reply_to("call-Bea", "Bonn"), reply_to("call-Ann", "Ulm"),
            {"role": "assistant", "tool_calls": cem}, reply_to("any", "Trier"),
            {"role": "assistant", "content": "Ulm", "reasoning": "So."},
        ]),
        // Reasoning in tags or as text, no ids, no prompt.
        json!([
            {"role": "assistant", "content": "Both.", "tool_calls": called(&["Ann", "Bea"], as_object)},
            reply("Ulm"), reply("Bonn"),
            {"role": "assistant", "content": "", "tool_calls": cem}, reply("Trier"),
            {"role": "assistant", "content": "<think>\nSo.\n</think>\n\nUlm"},
        ]),
    ];
    for messages in forms {
        for of in [json!({"task": "a"}), json!({"row": 0}), json!({"id": "a"})] {
            let mut line = of;
            line["messages"] = messages.clone();
            let file = file(&[line]);
            let read = load_traces(&file.path, &tasks()).unwrap();
            assert_eq!(read, std::slice::from_ref(&expected));
        }
    }
}

#[test]
fn text_beside_calls_ends_the_reasoning_and_a_chat_may_end_without_an_answer() {
    let file = file(&[
        json!({"task": "a", "source": "GPT", "verified": false, "messages": [
            {"role": "assistant", "content": "I ask.", "reasoning_content": "Where?",
             "tool_calls": called(&["Ann"], as_object)},
            {"role": "tool", "content": "Ulm"},
        ]}),
    ]);
    let traces = load_traces(&file.path, &tasks()).unwrap();
    assert_eq!(traces[0].turns[0].reasoning, "Where?\n\nI ask.");
    assert_eq!(traces[0].answer, None);
    assert_eq!(
        (&*traces[0].source, traces[0].verified),
        ("GPT", Some(false))
    );
}

#[test]
fn an_answer_after_which_the_user_goes_on_is_a_turn() {
    let file = file(&[json!({"task": "a", "messages": [
        {"role": "assistant", "content": "<think>Who?</think>Which Ann?"},
        {"role": "user", "content": "The first."},
        {"role": "assistant", "content": "Ulm"},
    ]})]);
    let trace = load_traces(&file.path, &tasks()).unwrap().remove(0);
    assert_eq!(
        (&*trace.turns[0].reasoning, &*trace.turns[0].content),
        ("Who?", "Which Ann?")
    );
    assert_eq!(trace.turns[0].reply.as_deref(), Some("The first."));
    assert_eq!(trace.answer.as_deref(), Some("Ulm"));
}

#[test]
fn a_line_that_is_no_trace_is_an_error_with_file_line_field_and_message() {
    let check = |line: Value, expected: &str| {
        let file = file(&[json!({"task": "b", "turns": []}), line]);
        let error = load_traces(&file.path, &tasks()).unwrap_err().to_string();
        let folder = format!("{}/", file.folder.path().display());
        assert_eq!(error.replace(&folder, ""), expected);
    };
    let messages = |messages: Value, expected: &str| {
        let expected = format!("`traces.jsonl`, line 2, field `messages`: message {expected}");
        check(json!({"task": "a", "messages": messages}), &expected);
    };
    check(
        json!({"task": "a"}),
        "`traces.jsonl`, line 2, field `calls`: missing, and so are `turns` and `messages`\n\
         hint: a trace is `turns`, or a chat's `messages`, or recorded `calls`",
    );
    check(
        json!({"task": "c", "messages": []}),
        "`traces.jsonl`, line 2, field `task`: no task has the id `c`",
    );
    check(
        json!({"task": "a", "turns": [], "verified": "perhaps"}),
        "`traces.jsonl`, line 2, field `verified`: expected value at line 1 column 1",
    );
    let ask = json!({"role": "assistant", "tool_calls": called(&["Ann", "Bea"], as_object)});
    let reply = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "Ulm"});
    messages(json!([{"content": "Ulm"}]), "0: missing field `role`");
    messages(
        json!([{"role": "tool", "content": "Ulm"}]),
        "0: its role is `tool`, expected `assistant`",
    );
    messages(
        json!([{"role": "assistant", "content": "Ulm"}, {"role": "tool", "content": "Ulm"}]),
        "0: it calls no tool, but is not the last one",
    );
    messages(
        json!([ask, reply("call-Ann"), reply("call-Bea"), {"role": "user", "content": "Sure?"}]),
        "3: its role is `user`, expected `assistant`\n\
         hint: a user goes on after an answer, and not before it",
    );
    messages(
        json!([{"role": "assistant", "content": " "}]),
        "0: it neither answers nor calls a tool",
    );
    messages(
        json!([ask, reply("call-Ann")]),
        "0: it makes 2 calls, of which the tools' messages behind it answer 1\n\
         hint: each call needs one message of the role `tool`, with its `content`",
    );
    messages(
        json!([ask, reply("call-Ann"), reply("call-Ann")]),
        "2: its call has been answered before",
    );
    messages(
        json!([ask, reply("call-Cem")]),
        "1: it answers none of the calls before it",
    );
    messages(
        json!([{"role": "assistant", "tool_calls": [{"name": "city"}]}]),
        "0: one of its `tool_calls`: missing field `arguments`",
    );
    messages(
        json!([{"role": "assistant", "tool_calls": [{"name": "city", "arguments": "Ann"}]}]),
        "0: `arguments` of its call of `city`: expected value at line 1 column 1",
    );
}

#[test]
fn a_chat_that_calls_a_tool_which_its_task_lacks_is_an_error() {
    let file = file(&[json!({"task": "a", "messages": [
        {"role": "assistant", "tool_calls": [{"name": "fly", "arguments": {}}]},
        {"role": "tool", "content": ""},
    ]})]);
    let error = load_traces(&file.path, &tasks()).unwrap_err().to_string();
    assert!(
        error.ends_with("line 1, field `messages`: task `a` has no tool `fly`"),
        "{error}"
    );
}
