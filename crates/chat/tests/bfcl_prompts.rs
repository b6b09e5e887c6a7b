//! What BFCL's authors send to Qwen3, natively and by prompting, against what the model's own
//! template prints when it is given the same docs. The template is what rollouts use.

use std::fs;
use std::path::{Path, PathBuf};

use chat::{Chat, Config, Thinking};
use episode::{CallFormat, Message, Role};
use serde::Deserialize;
use serde_json::Value;

#[expect(
    clippy::disallowed_methods,
    reason = "tests find their data through PACT_DATA"
)]
fn data() -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let path = PathBuf::from(std::env::var("PACT_DATA").unwrap_or_else(|_| default.to_owned()));
    let found = path.join("qwen3").is_dir() && path.join("bfcl/oracles").is_dir();
    if !found {
        println!("skipped: PACT_DATA has not both `qwen3` and `bfcl/oracles`");
    }
    found.then_some(path)
}

#[derive(Deserialize)]
struct Row {
    id: String,
    mode: String,
    /// Of a row that is one prompt.
    prompt: Option<String>,
    /// Of a row that is a dialogue.
    #[serde(default)]
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    prompt: String,
    raw: String,
}

impl Row {
    fn calls(&self) -> CallFormat {
        match self.mode.as_str() {
            "fc" => CallFormat::Tagged,
            "prompt" => CallFormat::Python,
            other => panic!("`{other}` is no mode"),
        }
    }

    fn first_prompt(&self) -> &str {
        let first = self.steps.first().map(|step| &step.prompt);
        self.prompt.as_ref().or(first).expect("a row has a prompt")
    }
}

/// The rows of every oracle whose rows have these fields.
fn rows(data: &Path, fields: &[&str]) -> Vec<Row> {
    let entries = fs::read_dir(data.join("bfcl/oracles")).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "jsonl"));
    paths.sort();
    let mut rows = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let first: Value = serde_json::from_str(text.lines().next().unwrap_or("{}")).unwrap();
        if fields.iter().all(|field| first.get(field).is_some()) {
            rows.extend(
                text.lines()
                    .map(|line| serde_json::from_str::<Row>(line).unwrap()),
            );
        }
    }
    println!("{} rows with {fields:?}", rows.len());
    rows
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).expect("a prompt of Qwen3's");
    rest.split_once(end).expect("a prompt of Qwen3's").0
}

/// The messages and the docs that a prompt shows.
fn parts(prompt: &str) -> (Vec<Message>, Vec<Value>) {
    let mut messages = Vec::new();
    let mut docs = Vec::new();
    if prompt.contains("<tools>\n") {
        let lines = between(prompt, "<tools>\n", "\n</tools>").lines();
        docs.extend(lines.map(|doc| serde_json::from_str::<Value>(doc).unwrap()));
        let system = between(prompt, "<|im_start|>system\n", "# Tools\n\n");
        if let Some(system) = system.strip_suffix("\n\n") {
            messages.push(Message::new(Role::System, system));
        }
    } else {
        let system = between(prompt, "<|im_start|>system\n", "<|im_end|>");
        messages.push(Message::new(Role::System, system));
    }
    let user = between(prompt, "<|im_start|>user\n", "<|im_end|>");
    messages.push(Message::new(Role::User, user));
    (messages, docs)
}

/// Docs are ASCII today. In others Python's `json.dumps` would write escapes, and the template's
/// `tojson` would not.
#[test]
fn the_template_prints_what_bfcl_sends() {
    let Some(data) = data() else { return };
    let chat = Chat::load(&data.join("qwen3"), Config::default()).unwrap();
    let dialogues = rows(&data, &["id", "mode", "steps"]);
    let prompts = rows(&data, &["id", "mode", "prompt"]);
    for row in dialogues.iter().chain(&prompts) {
        let (messages, docs) = parts(row.first_prompt());
        let printed = chat.render(&messages, &docs, true, None).unwrap();
        assert_eq!(printed, row.first_prompt(), "{}, {}", row.id, row.mode);
    }
}

/// With `thinking = "strip"` a rollout's context is, byte for byte, what the official program
/// sends, save for two things that its history of native calls forgets: what is said beside
/// calls, and the line break between equal calls.
#[test]
fn a_rollout_reads_what_bfcl_sends() {
    let Some(data) = data() else { return };
    let config = Config {
        thinking: Thinking::Strip,
        ..Config::default()
    };
    let chat = Chat::load(&data.join("qwen3"), config).unwrap();
    for row in rows(&data, &["id", "mode", "steps"]) {
        let (messages, docs) = parts(&row.steps[0].prompt);
        let mut transcript = chat.begin(&messages, &docs, row.calls()).unwrap();
        let mut forgotten: Vec<String> = Vec::new();
        for (at, step) in row.steps.iter().enumerate() {
            let mut context = chat.decode(transcript.context());
            for said in &forgotten {
                context = context.replace(&format!("{said}<tool_call>"), "<tool_call>");
            }
            let official = step
                .prompt
                .replace("</tool_call><tool_call>", "</tool_call>\n<tool_call>");
            assert_eq!(context, official, "{}, {}, step {at}", row.id, row.mode);

            let Some(next) = row.steps.get(at + 1) else {
                break;
            };
            let tokens = chat.encode(&format!("{}<|im_end|>", step.raw)).unwrap();
            let logprobs = vec![0.0; tokens.len()];
            let turn = transcript.push_turn(&tokens, &logprobs, false).unwrap();
            if !(turn.calls.is_empty() || turn.content.is_empty()) && row.mode == "fc" {
                let (beside, _) = turn.text.split_once("<tool_call>").unwrap();
                forgotten.push(beside.to_owned());
            }
            let results = (0..turn.calls.len()).map(|i| format!("{{\"r\": \"{i}\"}}"));
            let results: Vec<String> = results.collect();
            if !results.is_empty() {
                transcript.push_observations(&results).unwrap();
            }
            let (_, last) = next.prompt.rsplit_once("<|im_start|>user\n").unwrap();
            if !last.starts_with("<tool_response>") {
                let (user, _) = last.split_once("<|im_end|>").unwrap();
                transcript.push_user(user).unwrap();
            }
        }
    }
}
