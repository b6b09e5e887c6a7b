//! What a template puts around turns, learnt from the smallest conversations that show it: a
//! turn that is a placeholder, and what follows it. So a conversation is never printed again
//! for what comes after it. Nothing here knows what was sampled.

use episode::{Author, Message, Role, ToolCall};
use serde_json::{Value, json};

use crate::chat::message_value;
use crate::template::Template;
use crate::tokenizer::Tokenizer;
use crate::turn::{THINK, THINK_END};
use crate::{Chat, ChatError};

/// Stands for a turn that has been sampled; plain letters, which no template rewrites.
const TURN: &str = "PlaceholderOfTheAssistantsTurn";
/// Stands for what a tool returned.
const OBSERVATION: &str = "PlaceholderOfTheToolsResult";

/// What a template puts around an assistant's turn.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The smallest conversation, up to where the assistant goes on.
    head: String,
    /// What asks the assistant to go on: the end of `head`.
    pub(crate) generation_prompt: String,
    /// Whether the generation prompt has opened the reasoning.
    pub(crate) opens_thinking: bool,
    /// From the end of a turn to where the assistant goes on, had the user said one letter.
    after_turn: String,
    /// How much of `after_turn` a finished conversation ends with.
    turn_end: usize,
}

/// Text and who wrote each of its tokens. Both `[tokens]`.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Suffix {
    pub(crate) tokens: Vec<u32>,
    pub(crate) authors: Vec<Author>,
}

impl Layout {
    pub(crate) fn of(
        template: &Template,
        enable_thinking: Option<bool>,
    ) -> Result<Self, ChatError> {
        let user = || json!({"role": "user", "content": "u"});
        let turn = json!({"role": "assistant", "content": TURN});
        let render =
            |messages: &[Value], go_on| template.render(messages, &[], go_on, enable_thinking);

        let head = render(&[user()], true)?;
        let generation_prompt = head
            .strip_prefix(&render(&[user()], false)?)
            .ok_or_else(|| ChatError::Layout("its generation prompt is not at its end".to_owned()))?
            .to_owned();
        let closed = render(&[user(), turn.clone()], false)?;
        let after_turn = render(&[user(), turn, user()], true)?;
        let after_turn = after_placeholder(&after_turn)?.to_owned();
        Ok(Self {
            opens_thinking: generation_prompt.rfind(THINK) > generation_prompt.rfind(THINK_END),
            turn_end: after_placeholder(&closed)?.len().min(after_turn.len()),
            head,
            generation_prompt,
            after_turn,
        })
    }

    /// What ends a turn.
    pub(crate) fn turn_end(&self) -> &str {
        self.after_turn.get(..self.turn_end).unwrap_or_default()
    }

    /// Tokens are appended to a turn as sampled, so what follows must be tokenised alike alone
    /// and in place, whatever the turn ends with.
    pub(crate) fn check_boundary(&self, tokenizer: &Tokenizer) -> Result<(), ChatError> {
        let alone = tokenizer.encode(&self.after_turn)?;
        for turn in ["word", "2", "}", ".\n", " ", THINK_END, "}\n</tool_call>"] {
            let apart = [tokenizer.encode(turn)?, alone.clone()].concat();
            if tokenizer.encode(&format!("{turn}{}", self.after_turn))? != apart {
                return Err(ChatError::Boundary {
                    text: self.after_turn.clone(),
                });
            }
        }
        Ok(())
    }
}

impl Chat {
    /// What follows a turn when its tools have returned these texts: the end of the turn, the
    /// tool messages, the next generation prompt.
    pub(crate) fn observations_suffix(&self, texts: &[String]) -> Result<Suffix, ChatError> {
        let text = self.after_turn(tool_messages(texts.iter().map(String::as_str)))?;
        let glue = self.after_turn(tool_messages(texts.iter().map(|_| OBSERVATION)))?;
        let bodies = bodies(&text, &glue, texts);

        let (tokens, starts) = self.tokenizer.encode_with_starts(&text)?;
        let author = |start: usize| {
            if bodies.iter().any(|body| body.contains(&start)) {
                Author::Tool
            } else {
                Author::Template
            }
        };
        Ok(Suffix {
            tokens,
            authors: starts.into_iter().map(author).collect(),
        })
    }

    /// What follows a turn when the user says this: the end of the turn, the message, the next
    /// generation prompt.
    pub(crate) fn user_suffix(&self, text: &str) -> Result<Suffix, ChatError> {
        let text = self.after_turn(vec![user_message(text)])?;
        self.glue_suffix(&text)
    }

    /// What follows a message that no turn has answered, in place of the generation prompt, when
    /// the user says this. `observed` where that message is a tool's, else it is a user's.
    pub(crate) fn user_suffix_unanswered(
        &self,
        observed: bool,
        text: &str,
    ) -> Result<Suffix, ChatError> {
        let mut messages = vec![user_message("u")];
        if observed {
            messages.push(assistant_message(TURN));
            messages.extend(tool_messages([OBSERVATION].into_iter()));
        }
        let before = self.render_minimal(&messages, false)?;
        messages.push(user_message(text));
        let whole = self.render_minimal(&messages, true)?;
        let suffix = whole.strip_prefix(&before).ok_or_else(|| {
            ChatError::Layout("it rewrites messages when a user's follows".to_owned())
        })?;
        self.glue_suffix(suffix)
    }

    /// The tokens with which the assistant is asked to go on.
    pub(crate) fn generation_prompt(&self) -> Result<Vec<u32>, ChatError> {
        self.encode(&self.layout.generation_prompt)
    }

    /// A turn as the policy would have written it after the generation prompt, with its stop
    /// token: what the template prints for the last turn of a conversation. Reasoning that
    /// the template would not print is written into the content with its tags, except where
    /// `enable_thinking = false` has closed it.
    pub fn expert_turn(
        &self,
        reasoning: &str,
        calls: &[ToolCall],
        answer: &str,
    ) -> Result<Vec<u32>, ChatError> {
        let mut tokens = self.encode(&self.expert_text(reasoning.trim(), calls, answer)?)?;
        let stop = |token: &u32| self.stop_tokens().contains(token);
        if let Some(last) = tokens.iter().rposition(stop) {
            tokens.truncate(last + 1);
        }
        Ok(tokens)
    }

    fn expert_text(
        &self,
        reasoning: &str,
        calls: &[ToolCall],
        answer: &str,
    ) -> Result<String, ChatError> {
        let native = Message {
            role: Role::Assistant,
            content: answer.to_owned(),
            reasoning_content: (!reasoning.is_empty()).then(|| reasoning.to_owned()),
            tool_calls: calls.to_vec(),
        };
        let printed = |text: &String| text.contains(reasoning);
        if let Some(text) = self.turn_text(&native, &self.layout.head)?.filter(printed) {
            return Ok(text);
        }

        let head = &self.layout.head;
        let prompt = &self.layout.generation_prompt;
        let mut plain = Message {
            reasoning_content: None,
            ..native
        };
        let text = if self.layout.opens_thinking {
            let opened = prompt.len() - prompt.rfind(THINK).unwrap_or(prompt.len());
            self.turn_text(&plain, &head[..head.len() - opened])?
                .map(|text| {
                    let end = if prompt.ends_with('\n') { "" } else { "\n" };
                    format!("{end}{reasoning}\n{THINK_END}\n\n{text}")
                })
        } else if prompt.contains(THINK_END) {
            let closed = prompt.len() - prompt.rfind(THINK).unwrap_or(prompt.len());
            match self.turn_text(&plain, head)? {
                None => self.turn_text(&plain, &head[..head.len() - closed])?,
                text => text,
            }
        } else {
            plain.content = format!("{THINK}\n{reasoning}\n{THINK_END}\n\n{answer}");
            self.turn_text(&plain, head)?.filter(printed)
        };
        text.ok_or_else(|| {
            ChatError::Layout(
                "an assistant's turn does not begin with its generation prompt".to_owned(),
            )
        })
    }

    /// What the template prints for a turn after `head`, to the end; none where it does not
    /// print `head` first.
    fn turn_text(&self, turn: &Message, head: &str) -> Result<Option<String>, ChatError> {
        let whole = self.render_minimal(&[user_message("u"), message_value(turn)], false)?;
        Ok(whole.strip_prefix(head).map(str::to_owned))
    }

    /// What the template prints after a turn that these messages follow.
    fn after_turn(&self, messages: Vec<Value>) -> Result<String, ChatError> {
        let mut conversation = vec![user_message("u"), assistant_message(TURN)];
        conversation.extend(messages);
        let text = self.render_minimal(&conversation, true)?;
        after_placeholder(&text).map(str::to_owned)
    }

    fn render_minimal(&self, messages: &[Value], go_on: bool) -> Result<String, ChatError> {
        self.render_values(messages, &[], go_on, self.config.enable_thinking)
    }

    fn glue_suffix(&self, text: &str) -> Result<Suffix, ChatError> {
        let tokens = self.encode(text)?;
        Ok(Suffix {
            authors: vec![Author::Template; tokens.len()],
            tokens,
        })
    }
}

/// Where the tools' texts lie in `text`, which is `glue` with them in place of its placeholders.
/// A template that rewrites texts leaves only what is equal at both ends to the template.
fn bodies(text: &str, glue: &str, texts: &[String]) -> Vec<std::ops::Range<usize>> {
    let pieces: Vec<&str> = glue.split(OBSERVATION).collect();
    let mut bodies = Vec::new();
    let mut at = 0;
    for (piece, body) in pieces.iter().zip(texts) {
        let start = at + piece.len();
        at = start + body.len();
        bodies.push(start..at);
    }
    let last = pieces.last().copied().unwrap_or_default();
    let placed = pieces
        .iter()
        .zip(texts)
        .zip(&bodies)
        .all(|((piece, body), range)| {
            text.get(range.clone()) == Some(body.as_str()) && text[..range.start].ends_with(piece)
        });
    if pieces.len() == texts.len() + 1 && placed && text.get(at..) == Some(last) {
        return bodies;
    }
    let start = text.starts_with(pieces[0]).then_some(pieces[0].len());
    let end = text.ends_with(last).then(|| text.len() - last.len());
    match (start, end) {
        (Some(start), Some(end)) if pieces.len() > 1 && start < end => {
            std::iter::once(start..end).collect()
        }
        _ => Vec::new(),
    }
}

fn after_placeholder(text: &str) -> Result<&str, ChatError> {
    text.split_once(TURN)
        .map(|(_, after)| after)
        .ok_or_else(|| ChatError::Layout("it does not print an assistant's content".to_owned()))
}

pub(crate) fn user_message(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

fn assistant_message(text: &str) -> Value {
    json!({"role": "assistant", "content": text})
}

pub(crate) fn tool_messages<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<Value> {
    texts
        .map(|text| json!({"role": "tool", "content": text}))
        .collect()
}
