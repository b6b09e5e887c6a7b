//! What the official program says of answers, prompts and dialogues, against what ours does.
//! Every row of every oracle in the data set's folder is read.

use std::collections::{BTreeMap, BTreeSet};

use crate::oracle::{data_folder, oracle};
use bfcl::checker::agentic;
use bfcl::decode::Handler;
use bfcl::prompt::{Texts, system_text};
use bfcl::qwen3::{self, Message};
use bfcl::records::{DataSet, Functions, Record, Truth};
use bfcl::{Category, Group};
use episode::Role;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct AgenticRow {
    response: String,
    answers: Vec<String>,
    valid: bool,
    std: String,
}

#[test]
fn answers_are_judged_as_officially() {
    for row in oracle::<AgenticRow>(&["response", "answers", "std"]) {
        assert_eq!(agentic::standardise(&row.response), row.std);
        let verdict = agentic::check(Some(&row.response), &row.answers);
        assert_eq!(
            verdict.is_ok(),
            row.valid,
            "{}: {:?}",
            row.response,
            row.answers
        );
    }
}

#[derive(Deserialize)]
struct DecodeRow {
    mode: String,
    text: String,
    decoded: Option<Vec<String>>,
    error: Option<String>,
}

fn handler(mode: &str) -> Handler {
    match mode {
        "fc" => Handler::Fc,
        "prompt" => Handler::Prompting,
        other => panic!("`{other}` is no mode"),
    }
}

/// Errors are compared as such: their texts are Python's, and nobody reads them.
#[test]
fn texts_are_decoded_as_officially() {
    for row in oracle::<DecodeRow>(&["mode", "text"]) {
        let decoded = handler(&row.mode).decode(&row.text);
        let is_error = row.error.is_some();
        assert_eq!(decoded.is_err(), is_error, "{}: {decoded:?}", row.text);
        assert_eq!(decoded.ok(), row.decoded, "{}", row.text);
    }
}

/// The records of the categories that the rows' ids name, by id.
fn records<'a>(ids: impl Iterator<Item = &'a str>) -> BTreeMap<String, (Record, Functions)> {
    let data = DataSet::new(data_folder().expect("an oracle lies in the data set's folder"));
    let categories: BTreeSet<Category> = ids
        .map(|id| Category::of_id(id).unwrap_or_else(|| panic!("`{id}` is of no category")))
        .collect();
    let mut all = BTreeMap::new();
    for category in categories {
        let mut records = match (category.group(), category.memory_backend()) {
            (Group::MultiTurn, _) => data.multi_turn(category.name()).unwrap(),
            (_, Some(backend)) => data.memory(backend).unwrap(),
            (_, None) => data
                .web_search(category == Category::WebSearchBase)
                .unwrap(),
        };
        if let Some(backend) = category.memory_backend() {
            records.extend(data.memory_prerequisites(backend).unwrap());
        }
        let functions = data.functions(&records).unwrap();
        for (record, functions) in records.into_iter().zip(functions) {
            all.insert(record.id.clone(), (record, functions));
        }
    }
    all
}

/// How a dialogue begins: its system message, then what the user says first. `memory` is what
/// the memory shows of itself, where it is shown.
fn opening(
    texts: &Texts,
    (record, functions): &(Record, Functions),
    handler: Handler,
    memory: Option<&str>,
) -> Vec<Message> {
    let category = Category::of_id(&record.id).unwrap();
    let mut parts = Vec::new();
    if handler == Handler::Prompting {
        parts.push(texts.functions(&functions.docs));
    }
    if let (Some(scenario), Some(memory)) = (&record.scenario, memory) {
        parts.push(texts.memory(category, scenario, memory).unwrap());
    }
    if matches!(record.truth, Truth::Answers(_)) {
        parts.push(texts.answer_format().to_owned());
    }
    let mut messages = Vec::new();
    if !parts.is_empty() {
        messages.push(Message::new(Role::System, system_text(&parts)));
    }
    messages.extend(said(&record.turns[0]));
    messages
}

fn said(turn: &[episode::Message]) -> Vec<Message> {
    let message = |it: &episode::Message| Message::new(it.role, it.content.clone());
    turn.iter().map(message).collect()
}

/// The docs that a prompt has beside the messages.
fn beside(functions: &Functions, handler: Handler) -> &[Value] {
    match handler {
        Handler::Fc => &functions.docs,
        Handler::Prompting => &[],
    }
}

/// What the memory shows in a prompt, which no oracle tells apart from it.
fn shown_memory(prompt: &str) -> Option<&str> {
    let (_, rest) = prompt.split_once("from previous interactions:\n")?;
    let ends = [
        "\n\n\nFor your final answer",
        "\n\n\n# Tools",
        "\n<|im_end|>\n<|im_start|>user",
    ];
    let end = ends.iter().filter_map(|end| rest.rfind(end)).min();
    Some(&rest[..end.expect("a memory text has an end")])
}

#[derive(Deserialize)]
struct MemoryPromptRow {
    id: String,
    mode: String,
    depends_on: Vec<String>,
    prompt: String,
}

#[test]
fn a_memory_is_shown_as_officially() {
    let rows = oracle::<MemoryPromptRow>(&["mode", "memory_filled", "prompt"]);
    if rows.is_empty() {
        return;
    }
    let texts = Texts::load(&data_folder().unwrap()).unwrap();
    let records = records(rows.iter().map(|row| row.id.as_str()));
    for row in rows {
        let record = &records[&row.id];
        assert_eq!(record.0.depends_on, row.depends_on);
        let handler = handler(&row.mode);
        let memory = shown_memory(&row.prompt);
        assert!(memory.is_some(), "{} shows no memory", row.id);
        let messages = opening(&texts, record, handler, memory);
        let prompt = qwen3::prompt(&messages, beside(&record.1, handler)).unwrap();
        assert_eq!(prompt, row.prompt, "{}, {}", row.id, row.mode);
    }
}

#[derive(Deserialize)]
struct DialogueRow {
    id: String,
    mode: String,
    steps: Vec<StepRow>,
}

#[derive(Deserialize)]
struct StepRow {
    prompt: String,
    raw: String,
    model_responses: String,
    reasoning: String,
    decoded: Option<Vec<String>>,
    decode_error: Option<String>,
}

/// What the user says in a turn: what the record has, or that functions have come.
fn user_says(
    texts: &Texts,
    (record, functions): &(Record, Functions),
    turn: usize,
) -> Vec<Message> {
    match functions.held_out.get(&turn) {
        Some(docs) => vec![Message::new(Role::User, texts.reveal_with_docs(docs))],
        None => record.turns.get(turn).map_or(Vec::new(), |turn| said(turn)),
    }
}

/// Whole dialogues: the model's replies are scripted, and the i-th call of a step returns
/// `{"r": "i"}`. A turn whose script is over makes room for the next even if it called.
#[test]
fn qwen3_reads_and_says_what_it_does_officially() {
    let rows = oracle::<DialogueRow>(&["mode", "steps"]);
    if rows.is_empty() {
        return;
    }
    let texts = Texts::load(&data_folder().unwrap()).unwrap();
    let records = records(rows.iter().map(|row| row.id.as_str()));
    for row in rows {
        let record = &records[&row.id];
        let handler = handler(&row.mode);
        let memory = shown_memory(&row.steps[0].prompt);
        let mut messages = opening(&texts, record, handler, memory);
        let mut turn = 0;
        for (at, step) in row.steps.iter().enumerate() {
            let place = format!("{}, {}, step {at}", row.id, row.mode);
            let docs = beside(&record.1, handler);
            if at > 0 && qwen3::prompt(&messages, docs).unwrap() != step.prompt {
                turn += 1;
                messages.extend(user_says(&texts, record, turn));
            }
            let prompt = qwen3::prompt(&messages, docs).unwrap();
            assert_eq!(prompt, step.prompt, "{place}");
            let reply = qwen3::read_reply(&step.raw, handler);
            assert_eq!(reply.answer, step.model_responses, "{place}");
            assert_eq!(reply.reasoning, step.reasoning, "{place}");
            messages.push(reply.message);

            let decoded = handler.decode(&reply.answer);
            assert_eq!(decoded.is_err(), step.decode_error.is_some(), "{place}");
            let calls = decoded.unwrap_or_default();
            assert_eq!(calls, step.decoded.clone().unwrap_or_default(), "{place}");
            for i in 0..calls.len() {
                messages.push(Message::new(Role::Tool, format!("{{\"r\": \"{i}\"}}")));
            }
            if calls.is_empty() {
                turn += 1;
                messages.extend(user_says(&texts, record, turn));
            }
        }
    }
}

/// Every `type` of a schema, wherever it stands.
fn types(schema: &Value) -> Vec<&str> {
    match schema {
        Value::Object(fields) => {
            let own = fields.get("type").and_then(Value::as_str);
            own.into_iter()
                .chain(fields.values().flat_map(types))
                .collect()
        }
        Value::Array(items) => items.iter().flat_map(types).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn an_interfaces_tools_are_json_schemas() {
    let Some(folder) = data_folder() else { return };
    let texts = Texts::load(&folder).unwrap();
    let data = DataSet::new(&folder);
    let mut records = data.multi_turn("multi_turn_base").unwrap();
    records.extend(data.memory("kv").unwrap());
    for functions in data.functions(&records).unwrap() {
        let tools = texts.api_tools(&functions.docs);
        assert_eq!(tools.len(), functions.docs.len());
        for (tool, doc) in tools.iter().zip(&functions.docs) {
            assert_eq!(tool["type"], "function");
            let function = &tool["function"];
            assert_eq!(function["description"], doc["description"]);
            assert_eq!(function["response"], doc["response"]);
            assert_eq!(function["parameters"]["type"], "object");
            for kind in types(&function["parameters"]) {
                let known = ["object", "string", "integer", "number", "boolean", "array"];
                assert!(known.contains(&kind), "{kind}: {function}");
            }
        }
    }
}
