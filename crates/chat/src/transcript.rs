//! An episode as it grows, token by token. What was sampled is kept as sampled; only what
//! follows it is printed and tokenised. Nothing here executes a call.

use episode::{Author, CallFormat, Message, ParseFailure, Part, Segment, ToolCall};
use serde_json::{Value, json};

use crate::chat::message_value;
use crate::layout::{Suffix, tool_messages, user_message};
use crate::turn::{self, THINK, THINK_END};
use crate::{Chat, ChatError, Thinking};

/// One sampled turn, read.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsedTurn {
    /// Which segment of the episode the turn lies in.
    pub segment: usize,
    /// Its first token within the segment.
    pub start: usize,
    /// One past its last token.
    pub end: usize,
    /// The sampled tokens as text, special tokens included.
    pub text: String,
    /// What it says outside its reasoning and its calls, without white space around and
    /// without the stop token; U+FFFD where its bytes are not UTF-8.
    pub content: String,
    /// The calls that could be read, in order.
    pub calls: Vec<ToolCall>,
    /// The calls that could not.
    pub failures: Vec<ParseFailure>,
}

/// A conversation between a policy and its tools, as tokens.
#[derive(Clone, Debug)]
pub struct Transcript<'a> {
    chat: &'a Chat,
    segments: Vec<Segment>,
    prompt_tokens: usize,
    last: Last,
    /// What `thinking = "strip"` prints again; empty otherwise.
    history: Vec<Value>,
    tools: Vec<Value>,
    /// How turns write their calls.
    calls: CallFormat,
}

/// What was pushed last.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Last {
    /// The prompt or a user's message.
    User,
    /// A turn, and the stop token that it ended with, if it did.
    Turn(Option<u32>),
    Observations,
}

impl<'a> Transcript<'a> {
    pub(crate) fn new(
        chat: &'a Chat,
        messages: &[Message],
        tools: &[Value],
        calls: CallFormat,
    ) -> Result<Self, ChatError> {
        let text = chat.render(messages, tools, true, chat.config.enable_thinking)?;
        let mut prompt = Segment::default();
        prompt.extend(&chat.encode(&text)?, Author::Template, Part::Context);
        let (history, tools) = match chat.config.thinking {
            Thinking::Keep => (Vec::new(), Vec::new()),
            Thinking::Strip => (messages.iter().map(message_value).collect(), tools.to_vec()),
        };
        Ok(Self {
            chat,
            prompt_tokens: prompt.tokens.len(),
            segments: vec![prompt],
            last: Last::User,
            history,
            tools,
            calls,
        })
    }
}

impl Transcript<'_> {
    /// What the policy sees now: the tokens of the last segment.
    pub fn context(&self) -> &[u32] {
        &self.current().tokens
    }

    /// Length of the prompt in the first segment, its generation prompt included.
    pub fn prompt_tokens(&self) -> usize {
        self.prompt_tokens
    }

    /// Appends a turn as sampled, with the stop token if there is one; both slices are
    /// `[tokens]`. `cut_off` where a limit ended the turn: a call that it cut is
    /// [`ParseFailure::Unclosed`], and the calls before it stay, for the caller to decide on.
    pub fn push_turn(
        &mut self,
        tokens: &[u32],
        logprobs: &[f32],
        cut_off: bool,
    ) -> Result<ParsedTurn, ChatError> {
        if let Last::Turn(_) = self.last {
            return Err(ChatError::OutOfTurn {
                found: "a turn",
                expected: "observations or a user's message after the last turn",
            });
        }
        let tokenizer = &self.chat.tokenizer;
        let is_stop = |token: &&u32| self.chat.stop_tokens().contains(token);
        let stop = tokens.last().filter(is_stop).copied();
        let said = &tokens[..tokens.len() - usize::from(stop.is_some())];

        let bytes = tokenizer.concat(said);
        let thinking = self.chat.layout.opens_thinking;
        let reading = match self.calls {
            CallFormat::Tagged => turn::read(&bytes, thinking, cut_off),
            CallFormat::Python => turn::read_list(&bytes, thinking, cut_off),
        };
        let lengths = said.iter().map(|&token| tokenizer.bytes(token).len());
        let mut parts = reading.parts_of_tokens(lengths);
        parts.extend(stop.map(|_| reading.stop_part()));

        if self.chat.config.thinking == Thinking::Strip {
            self.history.push(self.turn_message(said));
        }
        let segment = self.segments.len() - 1;
        let start = self.context().len();
        self.segments[segment].extend_sampled(tokens, &parts, logprobs);
        self.last = Last::Turn(stop);
        Ok(ParsedTurn {
            segment,
            start,
            end: start + tokens.len(),
            text: self.chat.decode(tokens),
            content: reading.content(&bytes),
            calls: reading.calls,
            failures: reading.failures,
        })
    }

    /// Appends what the expert wrote in the policy's place, with log-probabilities of 0. Where
    /// calls are a Python list, a turn that calls says nothing else.
    pub fn push_expert_turn(
        &mut self,
        reasoning: &str,
        calls: &[ToolCall],
        answer: &str,
    ) -> Result<(), ChatError> {
        let tokens = match self.calls {
            CallFormat::Python if !calls.is_empty() => {
                self.chat
                    .expert_turn(reasoning, &[], &turn::print_list(calls))?
            }
            _ => self.chat.expert_turn(reasoning, calls, answer)?,
        };
        self.push_turn(&tokens, &vec![0.0; tokens.len()], false)?;
        Ok(())
    }

    /// Appends what the expert wrote as a hint: the same tokens, given rather than sampled, so
    /// that nothing of it is the policy's.
    pub fn push_hint_turn(&mut self, reasoning: &str, calls: &[ToolCall]) -> Result<(), ChatError> {
        let start = self.context().len();
        self.push_expert_turn(reasoning, calls, "")?;
        let last = self.segments.len() - 1;
        let segment = &mut self.segments[last];
        segment.authors[start..].fill(Author::Template);
        segment.parts[start..].fill(Part::Context);
        Ok(())
    }

    /// Appends what the tools returned to the last turn, one text for each tool message, with
    /// all that the template puts around them up to the next generation prompt.
    pub fn push_observations(&mut self, texts: &[String]) -> Result<(), ChatError> {
        let Last::Turn(stop) = self.last else {
            return Err(ChatError::OutOfTurn {
                found: "an observation",
                expected: "a turn that called for it",
            });
        };
        let mut suffix = self.chat.observations_suffix(texts)?;
        self.drop_end_of_turn(&mut suffix, stop);
        self.append(suffix, tool_messages(texts.iter().map(String::as_str)))?;
        self.last = Last::Observations;
        Ok(())
    }

    /// Appends a user's message and the next generation prompt. If the last one has not been
    /// answered, it is taken back first.
    pub fn push_user(&mut self, text: &str) -> Result<(), ChatError> {
        let suffix = match self.last {
            Last::Turn(stop) => {
                let mut suffix = self.chat.user_suffix(text)?;
                self.drop_end_of_turn(&mut suffix, stop);
                suffix
            }
            last => {
                let suffix = self
                    .chat
                    .user_suffix_unanswered(last == Last::Observations, text)?;
                self.take_back_generation_prompt()?;
                suffix
            }
        };
        let still_prompt =
            self.segments.len() == 1 && self.prompt_tokens >= self.segments[0].tokens.len();
        self.append(suffix, vec![user_message(text)])?;
        if still_prompt {
            self.prompt_tokens = self.segments[0].tokens.len();
        }
        self.last = Last::User;
        Ok(())
    }

    /// The segments so far.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The segments, to be kept.
    pub fn into_segments(self) -> Vec<Segment> {
        self.segments
    }

    fn current(&self) -> &Segment {
        self.segments
            .last()
            .expect("a transcript begins with its prompt")
    }

    /// Appends to the current segment; with `thinking = "strip"`, begins a new one wherever the
    /// template prints the conversation in another way.
    fn append(&mut self, suffix: Suffix, messages: Vec<Value>) -> Result<(), ChatError> {
        if self.chat.config.thinking == Thinking::Strip {
            self.history.extend(messages);
            let text = self.chat.render_values(
                &self.history,
                &self.tools,
                true,
                self.chat.config.enable_thinking,
            )?;
            let rendered = self.chat.encode(&text)?;
            if rendered.strip_prefix(self.context()) != Some(&suffix.tokens) {
                let mut segment = Segment::default();
                segment.extend(&rendered, Author::Template, Part::Context);
                self.segments.push(segment);
                return Ok(());
            }
        }
        let last = self.segments.len() - 1;
        for (token, author) in suffix.tokens.iter().zip(&suffix.authors) {
            self.segments[last].extend(&[*token], *author, Part::Context);
        }
        Ok(())
    }

    /// A turn that ended with its stop token needs no second one.
    fn drop_end_of_turn(&self, suffix: &mut Suffix, stop: Option<u32>) {
        let Some(stop) = stop else { return };
        let Some(at) = suffix.tokens.iter().position(|&token| token == stop) else {
            return;
        };
        if self.chat.decode(&suffix.tokens[..at]).trim().is_empty() {
            suffix.tokens.drain(..=at);
            suffix.authors.drain(..=at);
        }
    }

    fn take_back_generation_prompt(&mut self) -> Result<(), ChatError> {
        let prompt = self.chat.generation_prompt()?;
        let kept = self
            .context()
            .strip_suffix(prompt.as_slice())
            .map(<[u32]>::len)
            .ok_or_else(|| ChatError::Boundary {
                text: self.chat.layout.generation_prompt.clone(),
            })?;
        let last = self.segments.len() - 1;
        let segment = &mut self.segments[last];
        segment.tokens.truncate(kept);
        segment.authors.truncate(kept);
        segment.parts.truncate(kept);
        segment.logprobs.truncate(kept);
        if last == 0 {
            self.prompt_tokens = self.prompt_tokens.min(kept);
        }
        Ok(())
    }

    /// A turn as a message for the template to print: its reasoning apart, its calls as the
    /// text that they are.
    fn turn_message(&self, said: &[u32]) -> Value {
        let text = self.chat.decode(said);
        match text.split_once(THINK_END) {
            Some((reasoning, content)) => json!({
                "role": "assistant",
                "content": content.trim_start_matches('\n'),
                "reasoning_content": reasoning.trim_start().trim_start_matches(THINK).trim_matches('\n'),
            }),
            None => json!({"role": "assistant", "content": text}),
        }
    }
}
