//! Against the conversations in `PACT_DATA`, as transformers prints and tokenises them.

use std::path::{Path, PathBuf};

use chat::{Chat, Config};
use episode::{CallFormat, Message, Part, Role, Task, ToolCall, Trace, TraceTurn};
use serde_json::{Value, json};

#[expect(
    clippy::disallowed_methods,
    reason = "tests find their data through PACT_DATA"
)]
fn data() -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let path = PathBuf::from(std::env::var("PACT_DATA").unwrap_or_else(|_| default.to_owned()));
    if !path.is_dir() {
        println!("skipped: PACT_DATA not found");
        return None;
    }
    Some(path)
}

/// Every file of conversations with the tokenizer of the family that it is named after.
fn families(data: &Path) -> Vec<(Chat, Vec<Value>)> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(data.join("chat"))
        .expect("PACT_DATA has a folder chat")
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "jsonl")
        })
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|file| {
            let family = data.join(file.file_stem().unwrap());
            let chat = Chat::load(&family, Config::default()).unwrap();
            let rows = std::fs::read_to_string(&file).unwrap();
            let rows = rows.lines().map(|row| serde_json::from_str(row).unwrap());
            (chat, rows.collect())
        })
        .collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[test]
fn data_every_conversation_renders_to_its_text_and_tokens() {
    let Some(data) = data() else { return };
    let mut count = 0;
    for (chat, rows) in families(&data) {
        for (number, row) in rows.iter().enumerate() {
            let text = chat
                .render_values(
                    list(&row["messages"]),
                    list(&row["tools"]),
                    row["add_generation_prompt"].as_bool().unwrap(),
                    row["enable_thinking"].as_bool(),
                )
                .unwrap();
            assert_eq!(text, row["text"].as_str().unwrap(), "row {number}");
            let ids: Vec<u32> = serde_json::from_value(row["ids"].clone()).unwrap();
            assert_eq!(chat.encode(&text).unwrap(), ids, "row {number}");
            assert_eq!(chat.decode(&ids), text, "row {number}");
            count += 1;
        }
    }
    println!("{count} conversations");
    assert!(count > 0, "PACT_DATA/chat holds no conversation");
}

/// Where a turn is followed by other messages, these are printed alike after the whole
/// conversation and after the smallest one.
#[test]
fn data_what_follows_a_turn_does_not_depend_on_what_precedes_it() {
    let Some(data) = data() else { return };
    let mut count = 0;
    for (chat, rows) in families(&data) {
        for row in &rows {
            let messages = list(&row["messages"]);
            let is = |i: usize, role: &str| messages.get(i).is_some_and(|m| m["role"] == role);
            for turn in (1..messages.len()).filter(|&i| is(i, "assistant")) {
                let next = turn + 1;
                let end = (next..).find(|&i| !is(i, "tool")).unwrap();
                let end = if end == next && is(end, "user") {
                    end + 1
                } else {
                    end
                };
                if end == next {
                    continue;
                }
                let mut whole = messages[..end].to_vec();
                whole[turn] = json!({"role": "assistant", "content": "SAMPLED"});
                let whole = chat
                    .render_values(&whole, list(&row["tools"]), true, None)
                    .unwrap();
                let expected = whole.rsplit_once("SAMPLED").unwrap().1;

                let task = Task {
                    id: String::new(),
                    scenario: String::new(),
                    messages: vec![Message::new(Role::User, "q")],
                    tools: Vec::new(),
                    answer: None,
                    calls: CallFormat::Tagged,
                };
                let mut transcript = chat.transcript(&task).unwrap();
                let sampled = chat.encode("SAMPLED").unwrap();
                let parsed = transcript
                    .push_turn(&sampled, &vec![0.0; sampled.len()], false)
                    .unwrap();
                let texts: Vec<String> = messages[next..end]
                    .iter()
                    .map(|message| message["content"].as_str().unwrap_or_default().to_owned())
                    .collect();
                if is(next, "tool") {
                    transcript.push_observations(&texts).unwrap();
                } else {
                    transcript.push_user(&texts[0]).unwrap();
                }
                let suffix = &transcript.context()[parsed.end..];
                assert_eq!(chat.decode(suffix), expected);
                assert_eq!(suffix, chat.encode(expected).unwrap());
                count += 1;
            }
        }
    }
    println!("{count} turns with what follows them");
    assert!(count > 0);
}

/// The conversations whose calls and results can be told apart, as traces.
fn trace_of(row: &Value) -> Option<(Task, Trace, Vec<Message>)> {
    let messages = list(&row["messages"]);
    let prompt = messages.iter().position(|m| m["role"] == "assistant")?;
    let mut said: Vec<Message> = Vec::new();
    for message in messages {
        let text = |key: &str| message[key].as_str().unwrap_or_default().to_owned();
        let mut calls = Vec::new();
        for call in list(&message["tool_calls"]) {
            calls.push(serde_json::from_value::<ToolCall>(call["function"].clone()).ok()?);
        }
        said.push(Message {
            role: serde_json::from_value(message["role"].clone()).unwrap(),
            content: text("content"),
            reasoning_content: message["role"].eq("assistant").then(|| {
                let reasoning = text("reasoning_content");
                if reasoning.is_empty() {
                    "Well.".to_owned()
                } else {
                    reasoning
                }
            }),
            tool_calls: calls,
        });
    }
    let mut turns: Vec<TraceTurn> = Vec::new();
    for message in &mut said[prompt..] {
        match message.role {
            Role::Assistant if !message.tool_calls.is_empty() => {
                message.content.clear();
                turns.push(TraceTurn {
                    reasoning: message.reasoning_content.clone()?,
                    calls: message.tool_calls.clone(),
                    results: Vec::new(),
                    ..TraceTurn::default()
                });
            }
            Role::Tool => turns.last_mut()?.results.push(message.content.clone()),
            _ => return None,
        }
    }
    let task = Task {
        id: String::new(),
        scenario: String::new(),
        messages: said[..prompt].to_vec(),
        tools: list(&row["tools"]).to_vec(),
        answer: None,
        calls: CallFormat::Tagged,
    };
    let trace = Trace {
        turns,
        answer_reasoning: "Done. It is so.".to_owned(),
        answer: Some("42".to_owned()),
        ..Trace::default()
    };
    let complete = |turn: &TraceTurn| turn.calls.len() == turn.results.len();
    trace
        .turns
        .iter()
        .all(complete)
        .then_some((task, trace, said))
}

#[test]
fn data_an_expert_is_laid_out_as_the_template_prints_the_conversation() {
    let Some(data) = data() else { return };
    let mut count = 0;
    for (chat, rows) in families(&data) {
        for row in &rows {
            let Some((task, trace, mut messages)) = trace_of(row) else {
                continue;
            };
            let expert = chat.expert(&task, &trace).unwrap();
            messages.push(Message {
                reasoning_content: Some(trace.answer_reasoning.clone()),
                ..Message::new(Role::Assistant, "42")
            });
            let text = chat.render(&messages, &task.tools, false, None).unwrap();
            let mut tokens = chat.encode(&text).unwrap();
            let end = tokens
                .iter()
                .rposition(|id| chat.stop_tokens().contains(id));
            tokens.truncate(end.unwrap() + 1);
            assert_eq!(chat.decode(expert.context()), chat.decode(&tokens));
            assert_eq!(expert.context(), tokens);
            let parts = &expert.segments()[0].parts;
            assert!(parts.contains(&Part::Reasoning) && parts.contains(&Part::Answer));
            assert_eq!(parts.contains(&Part::Call), !trace.turns.is_empty());
            count += 1;
        }
    }
    println!("{count} traces");
    assert!(count > 0, "no conversation is a trace");
}
