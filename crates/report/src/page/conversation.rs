//! An episode as a conversation: who said what, what was called and what came back. Texts are as
//! they came, cut where they are too long to be read.

use std::collections::BTreeMap;

use episode::{Episode, Observation, ParseFailure, StopReason};
use serde::Serialize;

use super::Decode;
use crate::RecordedEpisode;
use crate::episode_text::{call_text, failure_text};
use crate::summary::{number, stop_name};

/// Characters of one text.
const LONGEST: usize = 4_000;
/// Characters of one name.
const LONGEST_NAME: usize = 160;
/// Turns of one conversation.
const TURNS: usize = 24;
/// Calls of one turn, and as many of what came back.
const CALLS: usize = 16;

/// An episode to read.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Conversation {
    /// Why it is shown: `best`, `worst`.
    pub(crate) why: &'static str,
    /// Training steps before it.
    pub(crate) step: u64,
    pub(crate) task: String,
    pub(crate) scenario: String,
    /// Which sample of its group it is.
    pub(crate) sample: usize,
    pub(crate) stop: StopReason,
    pub(crate) reward: f64,
    pub(crate) metrics: BTreeMap<String, f64>,
    /// Whether it was scored under the prompt alone, where it might not have been.
    pub(crate) anchored: Option<bool>,
    /// What the policy read before its first turn; `None` where nobody can turn tokens into text.
    pub(crate) prompt: Option<String>,
    pub(crate) turns: Vec<Turn>,
    /// Further turns, that are not here.
    pub(crate) turns_left_out: usize,
}

/// One turn, and what came back.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Turn {
    pub(crate) advantage: Option<f32>,
    pub(crate) reasoning: String,
    /// What it says outside its reasoning and its calls.
    pub(crate) content: String,
    pub(crate) calls: Vec<String>,
    pub(crate) failures: Vec<String>,
    pub(crate) observations: Vec<Observation>,
    pub(crate) reply: Option<String>,
}

impl Conversation {
    /// `decode` is the text of tokens, where there is somebody who knows it.
    pub(crate) fn of(
        why: &'static str,
        recorded: RecordedEpisode,
        decode: Option<&Decode>,
    ) -> Self {
        let (credit, episode) = (recorded.credit, recorded.episode);
        let prompt = decode.and_then(|decode| {
            let first = episode.segments.first()?;
            Some(cut(&decode(first.tokens.get(..episode.prompt_tokens)?)))
        });
        let advantages = credit.advantages.into_iter().map(Some);
        let turns = (episode.turns.iter().take(TURNS))
            .zip(advantages.chain(std::iter::repeat(None)))
            .map(|(turn, advantage)| Turn::of(turn, advantage));
        Self {
            why,
            step: recorded.step,
            prompt,
            turns: turns.collect(),
            turns_left_out: episode.turns.len().saturating_sub(TURNS),
            anchored: credit.anchored,
            reward: episode.score.reward,
            stop: episode.stop,
            sample: episode.sample,
            ..Self::names(why, episode)
        }
    }

    fn names(why: &'static str, episode: Episode) -> Self {
        Self {
            why,
            step: 0,
            task: brief(&episode.task),
            scenario: brief(&episode.scenario),
            sample: 0,
            stop: episode.stop,
            reward: 0.0,
            metrics: episode.score.metrics,
            anchored: None,
            prompt: None,
            turns: vec![],
            turns_left_out: 0,
        }
    }

    /// What it is, in a line.
    pub(crate) fn title(&self) -> String {
        format!(
            "{}: {}, reward {}",
            self.why,
            self.task,
            number(self.reward)
        )
    }

    /// What else is known of it.
    pub(crate) fn facts(&self) -> String {
        let mut facts = vec![
            format!("scenario {}", self.scenario),
            format!("sample {}", self.sample),
            after_steps(self.step),
            format!("ended as {}", stop_name(self.stop)),
        ];
        let metrics = self.metrics.iter().take(CALLS);
        facts.extend(metrics.map(|(name, value)| format!("{} {}", brief(name), number(*value))));
        facts.extend(self.anchored.map(|anchored| match anchored {
            true => "scored under the prompt alone".to_owned(),
            false => "scored under the trace".to_owned(),
        }));
        facts.join(" · ")
    }

    pub(crate) fn left_out_note(&self) -> String {
        format!("{} further turns are left out.", self.turns_left_out)
    }
}

impl Turn {
    fn of(turn: &episode::Turn, advantage: Option<f32>) -> Self {
        let (reasoning, rest) = parts(&turn.text);
        // Episodes of earlier versions have no content of their own.
        let content = match turn.content.is_empty() && turn.calls.is_empty() {
            true if turn.failures.is_empty() => rest,
            _ => &turn.content,
        };
        let several = |items: Vec<String>| shortened(items, |more| format!("… ({more} more)"));
        let observations = turn.observations.iter().map(|observation| Observation {
            text: cut(&observation.text),
            failed: observation.failed,
        });
        Self {
            advantage,
            reasoning: cut(reasoning),
            content: cut(content),
            calls: several(
                turn.calls
                    .iter()
                    .map(|call| cut(&call_text(call)))
                    .collect(),
            ),
            failures: several(turn.failures.iter().map(failure).collect()),
            observations: shortened(observations.collect(), |more| Observation {
                text: format!("… ({more} more)"),
                failed: false,
            }),
            reply: turn.reply.as_deref().map(cut),
        }
    }
}

fn failure(failure: &ParseFailure) -> String {
    cut(&failure_text(failure))
}

/// The first [`CALLS`], and what says how many more there are.
fn shortened<T>(mut items: Vec<T>, more: impl Fn(usize) -> T) -> Vec<T> {
    let left_out = items.len().saturating_sub(CALLS);
    items.truncate(CALLS);
    if left_out > 0 {
        items.push(more(left_out));
    }
    items
}

/// `after 1 step`, `after 2 steps`.
pub(crate) fn after_steps(steps: u64) -> String {
    let plural = if steps == 1 { "" } else { "s" };
    format!("after {steps} step{plural}")
}

/// What a turn says between its thinking tags, and what it says after them.
fn parts(text: &str) -> (&str, &str) {
    match text.split_once("</think>") {
        Some((reasoning, rest)) => {
            let reasoning = reasoning.trim_start();
            let reasoning = reasoning.strip_prefix("<think>").unwrap_or(reasoning);
            (reasoning.trim(), rest.trim())
        }
        None => match text.trim_start().strip_prefix("<think>") {
            Some(reasoning) => (reasoning.trim(), ""),
            None => ("", text.trim()),
        },
    }
}

/// The beginning of a long text, and how much of it is not there.
pub(crate) fn cut(text: &str) -> String {
    cut_after(LONGEST, text)
}

/// The same of a name, or of what else is to stand in a line.
pub(crate) fn brief(text: &str) -> String {
    cut_after(LONGEST_NAME, text)
}

fn cut_after(longest: usize, text: &str) -> String {
    match text.char_indices().nth(longest) {
        None => text.to_owned(),
        Some((end, _)) => format!(
            "{}\n… ({} further characters are left out)",
            &text[..end],
            text[end..].chars().count()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_and_says_by_how_much() {
        assert_eq!(cut("ä"), "ä");
        let long = cut(&"ä".repeat(5_000_000));
        assert!(long.starts_with("ää") && long.chars().count() < LONGEST + 60);
        assert!(long.ends_with("… (4996000 further characters are left out)"));
    }

    #[test]
    fn reasoning_is_told_from_what_is_said() {
        assert_eq!(parts("<think>\na\n</think>\n\nb"), ("a", "b"));
        assert_eq!(parts("a</think>b"), ("a", "b"));
        assert_eq!(parts("<think>cut off"), ("cut off", ""));
        assert_eq!(parts("b"), ("", "b"));
    }
}
