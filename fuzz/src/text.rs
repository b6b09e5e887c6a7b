//! Readers of what a model, a server or a user writes: no file is between them and the bytes.

use std::sync::{Arc, LazyLock};

use bfcl::backend::OpenError;
use bfcl::decode::Handler;
use bfcl::executor::{Instances, stringify};
use bfcl::tables::Tables;
use chat::{Chat, Config, Thinking};
use episode::{CallFormat, Message, Role};
use python::{Dict, JsonStyle};
use serde_json::{Value, json};

use crate::choice;

/// A template that is longer says nothing new, and may take its time.
const LONGEST_TEMPLATE: usize = 2000;

pub(crate) static KEEP: LazyLock<Chat> = LazyLock::new(chat::fixture::chat);
static STRIP: LazyLock<Chat> = LazyLock::new(|| {
    chat::fixture::chat_with(Config {
        thinking: Thinking::Strip,
        ..Config::default()
    })
});

/// A sampled turn: the first byte chooses the form of its calls, whether a limit cut it, and
/// what becomes of its reasoning later.
pub fn turns(bytes: &[u8]) {
    let Some((form, text)) = choice(bytes) else {
        return;
    };
    let calls = match form & 1 {
        0 => CallFormat::Tagged,
        _ => CallFormat::Python,
    };
    let chat: &Chat = if form & 2 == 0 { &KEEP } else { &STRIP };
    // Special tokens where their text is whole, and a token a byte where it is not UTF-8.
    let tokens = match std::str::from_utf8(text) {
        Ok(text) => chat
            .encode(text)
            .expect("a byte-level tokenizer takes any text"),
        Err(_) => text.iter().map(|&byte| byte.into()).collect(),
    };
    let asked = Message::new(Role::User, "u");
    let mut transcript = (chat.begin(&[asked], &[], calls)).expect("the smallest conversation");
    let before = transcript.context().len();
    let logprobs = vec![0.0; tokens.len()];
    let turn = transcript
        .push_turn(&tokens, &logprobs, form & 4 != 0)
        .expect("a turn may follow a prompt");
    assert_eq!((turn.start, turn.end), (before, before + tokens.len()));
    let segment = &transcript.segments()[turn.segment];
    let said = turn.start..turn.end;
    assert_eq!(segment.tokens[said.clone()], tokens);
    let mut next = 0;
    for part in chat.reasoning_segments(&tokens, &segment.parts[said]) {
        assert!(next <= part.start && part.start < part.end && part.end <= tokens.len());
        next = part.end;
    }
    // What a model says goes back to it as a tool's text and a user's.
    let told = [String::from_utf8_lossy(text).into_owned(), turn.content];
    if transcript.push_observations(&told).is_ok() {
        let _ = transcript.push_user(&told[0]);
    }
    for segment in transcript.segments() {
        assert_eq!(segment.tokens.len(), segment.parts.len());
        assert_eq!(segment.tokens.len(), segment.authors.len());
    }
}

/// A conversation in JSON, `{"messages": [...], "tools": [...]}`, as printed by a template.
pub fn conversations(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    let list = |name: &str| value[name].as_array().cloned().unwrap_or_default();
    let (messages, tools) = (list("messages"), list("tools"));
    for thinking in [None, Some(false)] {
        let _ = KEEP.render_values(&messages, &tools, true, thinking);
    }
    let read: Result<Vec<Message>, _> = messages.into_iter().map(serde_json::from_value).collect();
    let Ok(messages) = read else { return };
    for chat in [&KEEP, &STRIP] {
        let Ok(mut transcript) = chat.begin(&messages, &tools, CallFormat::Tagged) else {
            continue;
        };
        for message in &messages {
            let reasoning = message.reasoning_content.as_deref().unwrap_or_default();
            let _ = transcript.push_expert_turn(reasoning, &message.tool_calls, &message.content);
            let _ = transcript.push_observations(std::slice::from_ref(&message.content));
            let _ = transcript.push_user(&message.content);
        }
    }
}

/// A chat template of a stranger's.
pub fn templates(bytes: &[u8]) {
    let Ok(template) = std::str::from_utf8(bytes) else {
        return;
    };
    if template.len() > LONGEST_TEMPLATE {
        return;
    }
    let config = json!({"eos_token": "<|im_end|>", "chat_template": template}).to_string();
    let Ok(chat) = KEEP.with_template(&config) else {
        return;
    };
    let messages = [Message::new(Role::User, "q"), Message::new(Role::User, "")];
    let tools = [json!({"type": "function", "function": {"name": "f", "parameters": {}}})];
    if let Ok(mut transcript) = chat.begin(&messages, &tools, CallFormat::Tagged) {
        let _ = transcript.push_expert_turn("r", &[], "a");
        let _ = transcript.push_observations(&["o".to_owned()]);
        let _ = transcript.push_user("u");
    }
}

/// A config in TOML, read by every room that has one.
pub fn configs(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(config) = toml::from_str::<env::world::Config>(text) {
        let _ = config.check();
    }
    if let Ok(config) = toml::from_str::<env::reward::Config>(text) {
        let _ = config.check();
    }
    if let Ok(config) = toml::from_str::<objective::Config>(text) {
        let _ = config.check();
    }
    if let Ok(config) = toml::from_str::<rollout::Config>(text) {
        let _ = config.check();
    }
    if let Ok(config) = toml::from_str::<chat::Config>(text) {
        let _ = Chat::from_json("{}", "{}", config);
    }
    let _ = toml::from_str::<train::Config>(text);
    let _ = toml::from_str::<model::OptimizerConfig>(text);
    let _ = toml::from_str::<model::LoraConfig>(text);
    let _ = toml::from_str::<model::Schedule>(text);
}

/// Python and JSON as Python reads it. What was read is printed, and read again as the same.
pub fn python(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(calls) = python::parse_call_list(text) {
        let _ = format!("{calls:?}");
    }
    let _ = python::parse_expression(text);
    let _ = python::parse_call(text);
    if let Ok(value) = python::parse_literal(text) {
        let _ = python::json_dumps(&value, &JsonStyle::ascii());
        let _ = value.to_string();
        let _ = value.repr();
    }
    if let Ok(value) = python::json_loads(text) {
        let _ = stringify(&value);
        if let Ok(printed) = python::json_dumps(&value, &JsonStyle::ascii()) {
            let again = python::json_loads(&printed).expect("JSON that was printed is JSON");
            let reprinted = python::json_dumps(&again, &JsonStyle::ascii());
            assert_eq!(reprinted.as_ref(), Ok(&printed));
        }
    }
}

/// What a model calls in BFCL: a dialogue of one line a call, on the back end that the first byte
/// chooses; and a whole answer, as the leaderboard's handlers decode it.
pub fn calls(bytes: &[u8]) {
    const CLASSES: [&str; 8] = [
        "GorillaFileSystem",
        "MathAPI",
        "MessageAPI",
        "TwitterAPI",
        "TicketAPI",
        "TradingBot",
        "TravelAPI",
        "VehicleControlAPI",
    ];
    // Some classes need the leaderboard's constants, which are not ours to keep here.
    static OPEN: LazyLock<Vec<String>> = LazyLock::new(|| {
        let names = CLASSES.map(str::to_owned).into_iter();
        names.filter(|name| open(name).is_ok()).collect()
    });
    let Some((class, text)) = choice(bytes) else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    for handler in [Handler::Fc, Handler::Prompting] {
        let _ = handler.decode(text);
    }
    let class = &OPEN[usize::from(class) % OPEN.len()];
    let mut instances = open(class).expect("it could be opened before");
    for line in text.lines().take(20) {
        let _ = instances.execute(line);
    }
}

fn open(class: &str) -> Result<Instances, OpenError> {
    static TABLES: LazyLock<Arc<Tables>> = LazyLock::new(Arc::default);
    Instances::open(&[class.to_owned()], &Dict::new(), false, &TABLES)
}

/// The body of an endpoint's reply, whole or streamed. The first byte chooses the form of calls
/// and how many tokens a turn may have.
pub fn replies(bytes: &[u8]) {
    let Some((form, body)) = choice(bytes) else {
        return;
    };
    let calls = match form & 1 {
        0 => CallFormat::Tagged,
        _ => CallFormat::Python,
    };
    remote::endpoint::read_reply(&KEEP, calls, body, usize::from(form));
}

/// The body of an HTTP environment's reply. The first byte chooses how much of a text an agent
/// reads.
pub fn environments(bytes: &[u8]) {
    if let Some((longest, body)) = choice(bytes) {
        remote::http_env::read_reply(body, usize::from(longest));
    }
}

/// A message of an MCP server's. The first byte chooses how much of a text an agent reads.
#[cfg(feature = "mcp")]
pub fn mcp(bytes: &[u8]) {
    if let Some((longest, message)) = choice(bytes) {
        remote::mcp::read_message(message, usize::from(longest));
    }
}
