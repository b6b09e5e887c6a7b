//! An episode as a page reads it: its turns as text, and every token beside its author, part,
//! log-probability, advantage and trace lift.

use episode::{Author, Credit, Episode, Message, Part, Segment, Trace, Turn};
use serde::{Deserialize, Serialize};

/// The bytes of a token: tokens are pieces of bytes, and a character may lie in several.
pub type TokenBytes = Box<dyn Fn(u32) -> Vec<u8> + Send + Sync>;

/// One line of a file of episodes.
pub(crate) struct Recorded {
    step: Option<u64>,
    credit: Credit,
    episode: Episode,
}

#[derive(Deserialize)]
struct StepOfLine {
    step: Option<u64>,
}

impl Recorded {
    pub(crate) fn parse(line: &[u8]) -> serde_json::Result<Self> {
        let StepOfLine { step } = serde_json::from_slice(line)?;
        Ok(Self {
            step,
            credit: serde_json::from_slice(line)?,
            episode: serde_json::from_slice(line)?,
        })
    }
}

/// A line of `traces.jsonl`: the prompt of a task and how an expert did it.
#[derive(Deserialize, Serialize)]
pub(crate) struct Traced {
    #[serde(default)]
    messages: Vec<Message>,
    trace: Trace,
}

/// An expert's way as a page reads it.
#[derive(Serialize)]
pub(crate) struct ShownTrace {
    source: String,
    verified: Option<bool>,
    turns: Vec<ShownTraceTurn>,
}

#[derive(Serialize)]
struct ShownTraceTurn {
    reasoning: String,
    content: String,
    calls: Vec<ShownCall>,
    observations: Vec<ShownObservation>,
    reply: Option<String>,
}

impl Traced {
    /// The prompt and the trace.
    pub(crate) fn shown(self) -> (Vec<Message>, ShownTrace) {
        let trace = self.trace;
        let mut turns: Vec<_> = trace
            .turns
            .into_iter()
            .map(|turn| ShownTraceTurn {
                reasoning: turn.reasoning,
                content: turn.content,
                calls: turn.calls.iter().map(ShownCall::of).collect(),
                observations: turn
                    .results
                    .into_iter()
                    .map(|text| ShownObservation {
                        text,
                        failed: false,
                    })
                    .collect(),
                reply: turn.reply,
            })
            .collect();
        if let Some(answer) = trace.answer {
            turns.push(ShownTraceTurn {
                reasoning: trace.answer_reasoning,
                content: answer,
                calls: Vec::new(),
                observations: Vec::new(),
                reply: None,
            });
        }
        let shown = ShownTrace {
            source: trace.source,
            verified: trace.verified,
            turns,
        };
        (self.messages, shown)
    }
}

/// An episode as a page reads it.
#[derive(Serialize)]
pub(crate) struct Reading {
    step: Option<u64>,
    anchored: Option<bool>,
    task: String,
    scenario: String,
    sample: usize,
    /// As text: JavaScript's numbers do not hold it.
    seed: String,
    stop: episode::StopReason,
    reward: f64,
    turn_rewards: Vec<f64>,
    metrics: std::collections::BTreeMap<String, f64>,
    sampled_tokens: usize,
    prompt_tokens: usize,
    hint_turns: usize,
    turns: Vec<ShownTurn>,
    /// Nothing where tokens cannot be shown as text.
    segments: Option<Vec<ShownSegment>>,
    /// What there is to say about the tokens, where they are not shown or are not to be trusted.
    note: Option<String>,
}

#[derive(Serialize)]
struct ShownTurn {
    segment: usize,
    start: usize,
    end: usize,
    text: String,
    content: String,
    calls: Vec<ShownCall>,
    failures: Vec<String>,
    observations: Vec<ShownObservation>,
    reply: Option<String>,
    advantage: Option<f32>,
}

#[derive(Serialize)]
struct ShownCall {
    name: String,
    /// JSON over several lines, as text: numbers stay as they were written.
    arguments: String,
}

impl ShownCall {
    fn of(call: &episode::ToolCall) -> Self {
        Self {
            name: call.name.clone(),
            arguments: serde_json::to_string_pretty(&call.arguments)
                .expect("a map of JSON values is JSON"),
        }
    }
}

#[derive(Serialize)]
struct ShownObservation {
    text: String,
    failed: bool,
}

/// A segment, column by column, `[tokens]` each.
#[derive(Serialize)]
struct ShownSegment {
    /// The ids.
    tokens: Vec<u32>,
    /// The characters that each token completes; empty for one that only begins a character.
    texts: Vec<String>,
    authors: Vec<Author>,
    parts: Vec<Part>,
    /// Nothing for tokens that were not sampled.
    logprobs: Vec<Option<f32>>,
    /// Nothing for tokens that were not sampled, and where the episode was left out of the loss.
    advantages: Vec<Option<f32>>,
    /// How much likelier the trace makes a sampled token, as a difference of log-probabilities.
    lifts: Vec<Option<f32>>,
}

impl Reading {
    pub(crate) fn of(recorded: Recorded, bytes: Option<&TokenBytes>) -> Self {
        let Recorded {
            step,
            credit,
            episode,
        } = recorded;
        let (segments, note) = match bytes {
            Some(bytes) => match shown_segments(&episode, &credit, bytes) {
                Ok(segments) => {
                    let note = other_tokenizer(&episode, &segments);
                    (Some(segments), note)
                }
                Err(problem) => (None, Some(problem)),
            },
            None => (None, Some("the run's tokenizer was not found".to_owned())),
        };
        let advantages = of_turns(&credit, &episode);
        Self {
            step,
            anchored: credit.anchored,
            sampled_tokens: episode.sampled_tokens(),
            task: episode.task,
            scenario: episode.scenario,
            sample: episode.sample,
            seed: episode.seed.0.to_string(),
            stop: episode.stop,
            reward: episode.score.reward,
            turn_rewards: episode.score.turn_rewards,
            metrics: episode.score.metrics,
            prompt_tokens: episode.prompt_tokens,
            hint_turns: episode.hint_turns,
            turns: (episode.turns.into_iter())
                .zip(advantages)
                .map(|(turn, advantage)| ShownTurn::of(turn, advantage))
                .collect(),
            segments,
            note,
        }
    }
}

impl ShownTurn {
    fn of(turn: Turn, advantage: Option<f32>) -> Self {
        Self {
            segment: turn.segment,
            start: turn.start,
            end: turn.end,
            calls: turn.calls.iter().map(ShownCall::of).collect(),
            failures: turn.failures.iter().map(report::failure_text).collect(),
            observations: (turn.observations.into_iter())
                .map(|observation| ShownObservation {
                    text: observation.text,
                    failed: observation.failed,
                })
                .collect(),
            text: turn.text,
            content: turn.content,
            reply: turn.reply,
            advantage,
        }
    }
}

/// The advantage of each turn, where the credit tells one for every turn.
fn of_turns(credit: &Credit, episode: &Episode) -> Vec<Option<f32>> {
    match credit.advantages.len() == episode.turns.len() {
        true => credit.advantages.iter().copied().map(Some).collect(),
        false => vec![None; episode.turns.len()],
    }
}

/// The segments, or what in the file does not fit together.
fn shown_segments(
    episode: &Episode,
    credit: &Credit,
    bytes: &TokenBytes,
) -> Result<Vec<ShownSegment>, String> {
    let mut shown = Vec::new();
    for (index, segment) in episode.segments.iter().enumerate() {
        let tokens = segment.tokens.len();
        let fits = [
            segment.authors.len(),
            segment.parts.len(),
            segment.logprobs.len(),
        ];
        if fits.iter().any(|&length| length != tokens) {
            return Err(format!(
                "segment {} has {tokens} tokens, and not as many authors, parts and \
                 log-probabilities",
                index + 1
            ));
        }
        shown.push(ShownSegment::of(segment, bytes));
    }
    let mut under_trace = Some(credit.under_trace.iter())
        .filter(|under_trace| under_trace.len() == episode.sampled_tokens());
    for (number, (turn, advantage)) in (episode.turns.iter())
        .zip(of_turns(credit, episode))
        .enumerate()
    {
        let of_turn = shown
            .get_mut(turn.segment)
            .filter(|segment| turn.start <= turn.end && turn.end <= segment.tokens.len())
            .ok_or_else(|| format!("turn {} lies outside its segment", number + 1))?;
        for token in turn.start..turn.end {
            let logprob = episode.segments[turn.segment].logprobs[token];
            of_turn.logprobs[token] = Some(logprob);
            of_turn.advantages[token] = advantage;
            let under = under_trace.as_mut().and_then(Iterator::next);
            of_turn.lifts[token] = under.map(|under| under - logprob);
        }
    }
    Ok(shown)
}

impl ShownSegment {
    fn of(segment: &Segment, bytes: &TokenBytes) -> Self {
        let tokens = segment.tokens.len();
        Self {
            tokens: segment.tokens.clone(),
            texts: texts(segment.tokens.iter().map(|&token| bytes(token))),
            authors: segment.authors.clone(),
            parts: segment.parts.clone(),
            logprobs: vec![None; tokens],
            advantages: vec![None; tokens],
            lifts: vec![None; tokens],
        }
    }
}

/// Cuts bytes into texts, one a token: the characters that it completes. Together they are the
/// text of all bytes, with U+FFFD where these are not UTF-8.
fn texts(tokens: impl Iterator<Item = Vec<u8>>) -> Vec<String> {
    let mut rest = Vec::new();
    let mut texts: Vec<String> = tokens
        .map(|bytes| {
            rest.extend(bytes);
            let mut text = String::new();
            loop {
                match std::str::from_utf8(&rest) {
                    Ok(valid) => {
                        text.push_str(valid);
                        rest.clear();
                        return text;
                    }
                    Err(error) => {
                        let valid = error.valid_up_to();
                        text.push_str(&String::from_utf8_lossy(&rest[..valid]));
                        let Some(wrong) = error.error_len() else {
                            rest.drain(..valid);
                            return text;
                        };
                        text.push(char::REPLACEMENT_CHARACTER);
                        rest.drain(..valid + wrong);
                    }
                }
            }
        })
        .collect();
    if let (false, Some(last)) = (rest.is_empty(), texts.last_mut()) {
        last.push(char::REPLACEMENT_CHARACTER);
    }
    texts
}

/// A warning where the tokens of a turn do not spell its text.
fn other_tokenizer(episode: &Episode, segments: &[ShownSegment]) -> Option<String> {
    let spells = |turn: &Turn| {
        let texts = &segments[turn.segment].texts[turn.start..turn.end];
        texts.concat() == turn.text
    };
    let wrong = episode.turns.iter().position(|turn| !spells(turn))?;
    Some(format!(
        "the tokens of turn {} do not spell its text: this is not the tokenizer of the run",
        wrong + 1
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(tokens: &[&[u8]], expected: &[&str]) {
        let texts = texts(tokens.iter().map(|token| token.to_vec()));
        assert_eq!(texts, expected);
        let all = tokens.concat();
        assert_eq!(texts.concat(), String::from_utf8_lossy(&all));
    }

    #[test]
    fn a_character_belongs_to_the_token_that_completes_it() {
        check(&[b"a", b"bc"], &["a", "bc"]);
        check(&[b"\xe2\x82", b"\xac!"], &["", "€!"]);
        check(&[b"\xf0", b"\x9f\x98", b"\x80"], &["", "", "😀"]);
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_such() {
        check(&[b"\xff", b"a"], &["\u{fffd}", "a"]);
        check(&[b"a\xe2\x82", b"b"], &["a", "\u{fffd}b"]);
        check(&[b"a", b"\xe2\x82"], &["a", "\u{fffd}"]);
        check(&[], &[]);
    }
}
