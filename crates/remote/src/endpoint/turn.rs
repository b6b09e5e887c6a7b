//! A reply as the turn that a local model would have sampled: tokens of the local chat's.

use chat::{Chat, ChatError, ParsedTurn};
use episode::{CallFormat, Message, Role, ToolCall};
use rollout::TurnEnd;

use super::reply::{Reply, ReplyCall};
use super::request::{Said, Thought, tagged};

const THINK: &str = "<think>";
const THINK_END: &str = "</think>";

/// A reply in tokens.
#[derive(Debug, PartialEq)]
pub(crate) struct Turn {
    pub(crate) tokens: Vec<u32>,
    pub(crate) end: TurnEnd,
    /// What a message does not tell of it.
    pub(crate) said: Said,
}

/// Prints a reply, cut to `max_tokens`. Its calls are printed as the template does where the turn
/// reader then reads the same calls; else as text, from which the reader makes of a bad call
/// what it makes of a local model's.
pub(crate) fn print(
    chat: &Chat,
    calls: CallFormat,
    reply: &Reply,
    max_tokens: usize,
) -> Result<Turn, ChatError> {
    let (thought, reasoning, content) = divide(reply);
    let read = |tokens: &[u32]| read(chat, calls, tokens, reply.is_cut);
    let mut unread = None;
    let native = match readable(&reply.calls) {
        Some(calls) => {
            let tokens = chat.expert_turn(reasoning, &calls, content)?;
            let turn = read(&tokens)?;
            (turn.calls == calls && turn.failures.is_empty()).then_some(tokens)
        }
        None => None,
    };
    let mut tokens = match native {
        Some(tokens) => tokens,
        None => {
            let text = as_text(content, reply);
            let tokens = chat.expert_turn(reasoning, &[], &text)?;
            unread = (!read(&tokens)?.failures.is_empty()).then_some(text);
            tokens
        }
    };
    let is_cut = reply.is_cut || tokens.len() > max_tokens;
    if is_cut {
        let is_stop = |token: &u32| chat.stop_tokens().contains(token);
        tokens.pop_if(|token| is_stop(token));
        tokens.truncate(max_tokens);
    }
    let is_stop = |token: &&u32| chat.stop_tokens().contains(token);
    let text = tokens.split_last().filter(|(last, _)| is_stop(last));
    let text = chat.decode(text.map_or(&tokens[..], |(_, text)| text));
    // Where the prompt opens the reasoning, the text only closes it.
    let opens = !text.contains(THINK) && text.contains(THINK_END);
    let text = format!("{}{text}", if opens { "<think>\n" } else { "" });
    Ok(Turn {
        tokens,
        end: match is_cut {
            true => TurnEnd::TokenLimit,
            false => TurnEnd::Stop,
        },
        said: Said {
            thought,
            text,
            unread,
        },
    })
}

/// A reply's reasoning with where it stood, its reasoning without tags, and its content.
fn divide(reply: &Reply) -> (Option<Thought>, &str, &str) {
    if let Some(reasoning) = &reply.reasoning {
        let thought = Thought::Apart(reasoning.clone());
        return (Some(thought), reasoning.text.trim(), reply.content.trim());
    }
    let content = reply.content.trim();
    // Where the server's prompt has opened the reasoning, the content only closes it.
    let opened = content.strip_prefix(THINK);
    let (reasoning, rest) = match (opened, content.split_once(THINK_END)) {
        (_, Some((before, rest))) if opened.is_some() || !before.contains(THINK) => (before, rest),
        (Some(_), None) => (content, ""),
        _ => return (None, "", content),
    };
    let within = content[..content.len() - rest.len()].to_owned();
    let reasoning = reasoning.strip_prefix(THINK).unwrap_or(reasoning);
    (Some(Thought::Within(within)), reasoning.trim(), rest.trim())
}

/// The calls, if all are well formed.
fn readable(calls: &[ReplyCall]) -> Option<Vec<ToolCall>> {
    calls.iter().map(well_formed).collect()
}

fn well_formed(call: &ReplyCall) -> Option<ToolCall> {
    let arguments = serde_json::from_str(&call.arguments).ok()?;
    (!call.name.is_empty()).then(|| ToolCall {
        name: call.name.clone(),
        arguments,
    })
}

/// The content with the calls after it, each between tags, the bad ones as they came. The call
/// that a limit has cut stays open.
fn as_text(content: &str, reply: &Reply) -> String {
    let mut blocks: Vec<String> = Vec::new();
    if !content.is_empty() {
        blocks.push(content.to_owned());
    }
    let last = reply.calls.len().wrapping_sub(1);
    for (at, call) in reply.calls.iter().enumerate() {
        blocks.push(match well_formed(call) {
            Some(call) => tagged(&call),
            None => {
                let mut fields = Vec::new();
                if !call.name.is_empty() {
                    fields.push(format!(
                        "\"name\": {}",
                        serde_json::Value::from(&*call.name)
                    ));
                }
                fields.push(format!("\"arguments\": {}", call.arguments));
                let open = format!("<tool_call>\n{{{}", fields.join(", "));
                match reply.is_cut && at == last {
                    true => open,
                    false => format!("{open}}}\n</tool_call>"),
                }
            }
        });
    }
    blocks.join("\n")
}

/// What the turn reader makes of tokens.
fn read(
    chat: &Chat,
    calls: CallFormat,
    tokens: &[u32],
    cut_off: bool,
) -> Result<ParsedTurn, ChatError> {
    let user = [Message::new(Role::User, "u")];
    let mut transcript = chat.begin(&user, &[], calls)?;
    transcript.push_turn(tokens, &vec![0.0; tokens.len()], cut_off)
}
