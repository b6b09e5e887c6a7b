//! A tokenizer with its chat template: what a folder of a model says about text.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use episode::{CallFormat, Message, Part, Task, Trace};
use serde_json::{Map, Value, json};

use crate::date::Date;
use crate::layout::Layout;
use crate::reasoning;
use crate::template::Template;
use crate::tokenizer::Tokenizer;
use crate::{ChatError, Config, Transcript};

const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

/// A tokenizer, a chat template, and how a run uses them. Shared by reference.
#[derive(Debug)]
pub struct Chat {
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) template: Template,
    pub(crate) layout: Layout,
    pub(crate) config: Config,
    stop_tokens: Vec<u32>,
}

impl Chat {
    /// Reads a Hugging Face folder: `tokenizer.json`, `tokenizer_config.json`, and where they
    /// exist `chat_template.jinja` (which wins), `generation_config.json` and `config.json`
    /// (for the tokens that end a turn).
    pub fn load(dir: &Path, config: Config) -> Result<Chat, ChatError> {
        let mut end_ids = Vec::new();
        for file in ["generation_config.json", "config.json"] {
            if let Some(text) = read_if_exists(&dir.join(file))? {
                let ids = token_ids(&parse_object(file, &text)?["eos_token_id"]);
                end_ids.extend(ids.into_iter().map(|id| (file, id)));
            }
        }
        build(
            tokenizer(&read(&dir.join("tokenizer.json"))?)?,
            &read(&dir.join(TOKENIZER_CONFIG))?,
            read_if_exists(&dir.join("chat_template.jinja"))?,
            &end_ids,
            config,
        )
    }

    /// The same from the texts of `tokenizer.json` and `tokenizer_config.json`.
    pub fn from_json(
        tokenizer: &str,
        tokenizer_config: &str,
        config: Config,
    ) -> Result<Chat, ChatError> {
        build(
            self::tokenizer(tokenizer)?,
            tokenizer_config,
            None,
            &[],
            config,
        )
    }

    /// The same tokenizer under the text of another `tokenizer_config.json`: for whoever tries
    /// many templates.
    #[doc(hidden)]
    pub fn with_template(&self, tokenizer_config: &str) -> Result<Chat, ChatError> {
        let tokenizer = Arc::clone(&self.tokenizer);
        build(tokenizer, tokenizer_config, None, &[], self.config.clone())
    }

    /// 1 + the largest token id.
    pub fn vocab_size(&self) -> usize {
        self.tokenizer.vocab_size()
    }

    /// The tokens that end a turn: every end of sequence that the folder names, and the special
    /// token that the template puts after an assistant's turn.
    pub fn stop_tokens(&self) -> &[u32] {
        &self.stop_tokens
    }

    /// Tokens of a text, special tokens in it recognised, none added.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, ChatError> {
        self.tokenizer.encode(text)
    }

    /// The bytes of a token, which need not be whole characters; those of U+FFFD for an id that
    /// is no token.
    pub fn token_bytes(&self, token: u32) -> &[u8] {
        self.tokenizer.bytes(token)
    }

    /// Text of tokens, special tokens kept; U+FFFD where their bytes are not UTF-8.
    pub fn decode(&self, tokens: &[u32]) -> String {
        self.tokenizer.decode(tokens)
    }

    /// Prints a conversation as the template does. Here `enable_thinking` is the argument's
    /// alone, not the config's.
    pub fn render(
        &self,
        messages: &[Message],
        tools: &[Value],
        add_generation_prompt: bool,
        enable_thinking: Option<bool>,
    ) -> Result<String, ChatError> {
        self.render_values(
            &messages.iter().map(message_value).collect::<Vec<_>>(),
            tools,
            add_generation_prompt,
            enable_thinking,
        )
    }

    /// Prints messages of any form that the template takes: arguments as text, content that is
    /// null or a list, roles of its own.
    pub fn render_values(
        &self,
        messages: &[Value],
        tools: &[Value],
        add_generation_prompt: bool,
        enable_thinking: Option<bool>,
    ) -> Result<String, ChatError> {
        self.template
            .render(messages, tools, add_generation_prompt, enable_thinking)
    }

    /// A task's prompt with the generation prompt, for the policy to go on.
    pub fn transcript(&self, task: &Task) -> Result<Transcript<'_>, ChatError> {
        self.begin(&task.messages, &task.tools, task.calls)
    }

    /// A conversation with the generation prompt, for the policy to go on. `calls` is how its
    /// turns write their calls.
    pub fn begin(
        &self,
        messages: &[Message],
        tools: &[Value],
        calls: CallFormat,
    ) -> Result<Transcript<'_>, ChatError> {
        Transcript::new(self, messages, tools, calls)
    }

    /// A task's prompt and how the expert solved it, laid out as a rollout would be, in which
    /// the expert wrote what the policy would have. Where the trace has no answer it ends
    /// with a generation prompt, which [`Transcript::push_user`] takes back.
    pub fn expert(&self, task: &Task, trace: &Trace) -> Result<Transcript<'_>, ChatError> {
        self.worked(task, trace, true)
    }

    /// The same without what the tools returned, if not `observations`.
    pub fn worked(
        &self,
        task: &Task,
        trace: &Trace,
        observations: bool,
    ) -> Result<Transcript<'_>, ChatError> {
        let mut transcript = self.transcript(task)?;
        for (number, turn) in trace.turns.iter().enumerate() {
            if turn.calls.len() != turn.results.len() {
                return Err(ChatError::Trace {
                    task: trace.task.clone(),
                    turn: number,
                    calls: turn.calls.len(),
                    results: turn.results.len(),
                });
            }
            transcript.push_expert_turn(&turn.reasoning, &turn.calls, &turn.content)?;
            if let Some(reply) = &turn.reply {
                transcript.push_user(reply)?;
                continue;
            }
            let results: &[String] = if observations { &turn.results } else { &[] };
            transcript.push_observations(results)?;
        }
        if let Some(answer) = &trace.answer {
            transcript.push_expert_turn(&trace.answer_reasoning, &[], answer)?;
        }
        Ok(transcript)
    }

    /// The first `kept` semantic segments of a turn's reasoning, as text.
    pub fn first_segments<'a>(&self, reasoning: &'a str, kept: usize) -> &'a str {
        let cuts = reasoning::cuts(reasoning.as_bytes());
        let end = match kept {
            0 => 0,
            kept => cuts.get(kept - 1).copied().unwrap_or(reasoning.len()),
        };
        reasoning[..end].trim_end()
    }

    /// Cuts reasoning into semantic segments, which end at blank lines, else at the ends of
    /// sentences: ranges of token indices, in order, that together are all reasoning tokens.
    /// The tags belong to the first and last segment of each stretch of reasoning; tokens
    /// and parts are `[tokens]`, of one turn or of many.
    pub fn reasoning_segments(&self, tokens: &[u32], parts: &[Part]) -> Vec<Range<usize>> {
        assert_eq!(tokens.len(), parts.len(), "every token has one part");
        let mut segments = Vec::new();
        let mut start = 0;
        for stretch in parts.chunk_by(|a, b| a == b) {
            let range = start..start + stretch.len();
            start = range.end;
            if stretch[0] == Part::Reasoning {
                segments.extend(self.cut(tokens, range));
            }
        }
        segments
    }

    /// One stretch of reasoning; a token that lies across a cut ends the earlier segment.
    fn cut(&self, tokens: &[u32], range: Range<usize>) -> Vec<Range<usize>> {
        let cuts = reasoning::cuts(&self.tokenizer.concat(&tokens[range.clone()]));
        let mut cuts = cuts.into_iter().peekable();
        let mut segments = Vec::new();
        let (mut start, mut byte) = (range.start, 0);
        for i in range.clone() {
            let mut begins = false;
            while cuts.next_if(|&cut| cut <= byte).is_some() {
                begins = true;
            }
            if begins && start < i {
                segments.push(start..i);
                start = i;
            }
            byte += self.tokenizer.bytes(tokens[i]).len();
        }
        segments.push(start..range.end);
        segments
    }
}

fn tokenizer(json: &str) -> Result<Arc<Tokenizer>, ChatError> {
    Tokenizer::from_json(json).map(Arc::new)
}

fn build(
    tokenizer: Arc<Tokenizer>,
    tokenizer_config: &str,
    template: Option<String>,
    end_ids: &[(&str, u64)],
    config: Config,
) -> Result<Chat, ChatError> {
    let settings = parse_object(TOKENIZER_CONFIG, tokenizer_config)?;
    let specials = special_tokens(&settings);
    let source = template
        .or_else(|| chat_template(&settings["chat_template"]))
        .ok_or(ChatError::NoTemplate)?;
    let template = Template::parse(&source, &specials, Date::parse(&config.date)?)?;
    let layout = Layout::of(&template, config.enable_thinking)?;

    let mut stop_tokens = Vec::new();
    if let Some(token) = specials.get("eos_token").and_then(Value::as_str) {
        let id = tokenizer.id(token);
        stop_tokens.push(id.ok_or_else(|| unknown_token(TOKENIZER_CONFIG, token))?);
    }
    for &(file, id) in end_ids {
        let known = u32::try_from(id)
            .ok()
            .filter(|&id| (id as usize) < tokenizer.vocab_size());
        stop_tokens.push(known.ok_or_else(|| unknown_token(file, id))?);
    }
    let turn_end = tokenizer.encode(layout.turn_end())?;
    stop_tokens.extend(turn_end.first().filter(|&&id| tokenizer.is_special(id)));
    let mut seen = std::collections::HashSet::new();
    stop_tokens.retain(|id| seen.insert(*id));
    if stop_tokens.is_empty() {
        return Err(ChatError::NoStopToken);
    }

    layout.check_boundary(&tokenizer)?;
    Ok(Chat {
        tokenizer,
        template,
        layout,
        config,
        stop_tokens,
    })
}

/// A message in the form that templates read.
pub(crate) fn message_value(message: &Message) -> Value {
    let mut value = json!({"role": message.role, "content": message.content});
    if let Some(reasoning) = &message.reasoning_content {
        value["reasoning_content"] = Value::from(reasoning.as_str());
    }
    if !message.tool_calls.is_empty() {
        let calls = message
            .tool_calls
            .iter()
            .map(|call| json!({"type": "function", "function": call}));
        value["tool_calls"] = calls.collect();
    }
    value
}

/// `chat_template` is a template, or a list of named ones of which `default` is meant.
fn chat_template(value: &Value) -> Option<String> {
    match value {
        Value::String(template) => Some(template.clone()),
        Value::Array(named) => named
            .iter()
            .find(|entry| entry["name"] == "default")
            .and_then(|entry| entry["template"].as_str())
            .map(str::to_owned),
        _ => None,
    }
}

/// `bos_token`, `eos_token` and so on; each is a text, or an object with it as `content`.
fn special_tokens(settings: &Value) -> Map<String, Value> {
    settings
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| name.ends_with("_token"))
        .filter_map(|(name, value)| {
            let text = value.as_str().or_else(|| value["content"].as_str())?;
            Some((name.clone(), Value::from(text)))
        })
        .collect()
}

/// Ids that are given as one number or as a list.
fn token_ids(value: &Value) -> Vec<u64> {
    match value {
        Value::Array(ids) => ids.iter().filter_map(Value::as_u64).collect(),
        id => id.as_u64().into_iter().collect(),
    }
}

fn unknown_token(file: &str, token: impl ToString) -> ChatError {
    ChatError::StopToken {
        file: file.to_owned(),
        token: token.to_string(),
    }
}

fn parse_object(file: &str, text: &str) -> Result<Value, ChatError> {
    let wrong = |message: String| ChatError::Json {
        file: file.to_owned(),
        message,
    };
    let value: Value = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(wrong("expected an object".to_owned()))
    }
}

fn read(path: &Path) -> Result<String, ChatError> {
    std::fs::read_to_string(path).map_err(|source| ChatError::Read {
        path: path.to_owned(),
        source,
    })
}

fn read_if_exists(path: &Path) -> Result<Option<String>, ChatError> {
    match read(path) {
        Ok(text) => Ok(Some(text)),
        Err(ChatError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
