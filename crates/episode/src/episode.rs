//! What happened when a policy met an environment, token by token.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{Seed, ToolCall};

/// Who wrote a token. Only the policy's tokens carry loss; all are attended to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Author {
    /// The prompt, and what the chat template puts between turns.
    Template,
    /// Sampled by the policy (or, in a trace, written by the expert in its place).
    Policy,
    /// Returned by a tool.
    Tool,
}

/// Which part of an assistant's turn a token belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Not written by the policy.
    Context,
    /// Inside, and including, the thinking tags.
    Reasoning,
    /// A tool call with its tags; in a turn that calls, also what ends the turn.
    Call,
    /// Everything else that the policy wrote.
    Answer,
}

/// A run of tokens that the model reads from left to right. Parallel vectors, all `[tokens]`.
/// An append-only episode is one segment; where a template rewrites earlier turns
/// (`thinking = "strip"`), each rewriting begins a new one, and what it rendered again is
/// the template's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// Token ids, as the model reads them.
    pub tokens: Vec<u32>,
    /// Who wrote each token.
    pub authors: Vec<Author>,
    /// Which part of a turn each token belongs to.
    pub parts: Vec<Part>,
    /// Log-probability of each token under the distribution that it was sampled from;
    /// 0 where the policy was not the author.
    pub logprobs: Vec<f32>,
}

impl Segment {
    /// The runs of tokens that `author` wrote, in order: of the policy, its turns.
    pub fn runs_of(&self, author: Author) -> Vec<Range<usize>> {
        let mut runs = Vec::new();
        let mut start = 0;
        for run in self.authors.chunk_by(|a, b| a == b) {
            let end = start + run.len();
            if run[0] == author {
                runs.push(start..end);
            }
            start = end;
        }
        runs
    }

    /// Appends tokens that share an author and a part, with no log-probabilities.
    pub fn extend(&mut self, tokens: &[u32], author: Author, part: Part) {
        self.tokens.extend_from_slice(tokens);
        self.authors.resize(self.tokens.len(), author);
        self.parts.resize(self.tokens.len(), part);
        self.logprobs.resize(self.tokens.len(), 0.0);
    }

    /// Appends the policy's tokens as sampled. All slices are `[tokens]`.
    pub fn extend_sampled(&mut self, tokens: &[u32], parts: &[Part], logprobs: &[f32]) {
        assert!(
            tokens.len() == parts.len() && tokens.len() == logprobs.len(),
            "every sampled token has one part and one log-probability"
        );
        self.tokens.extend_from_slice(tokens);
        self.authors.resize(self.tokens.len(), Author::Policy);
        self.parts.extend_from_slice(parts);
        self.logprobs.extend_from_slice(logprobs);
    }
}

/// Why an assistant's turn could not be read as calls. The agent is told; nothing is executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ParseFailure {
    /// The text between the call tags is not JSON; the reason is serde's.
    NotJson(String),
    /// JSON, but not an object with `name` and `arguments`.
    NotACall(String),
    /// The turn ended inside a call, before its closing tag.
    Unclosed,
}

/// What a tool returned, as the agent reads it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The result, or what went wrong.
    pub text: String,
    /// The call itself failed (unknown tool, wrong arguments, exception, time-out), as
    /// opposed to a tool that answers with an error of its own.
    pub failed: bool,
}

/// One turn of the policy and what came back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// Which segment of the episode the sampled tokens lie in.
    pub segment: usize,
    /// The first sampled token, within the segment.
    pub start: usize,
    /// One past the last sampled token.
    pub end: usize,
    /// The sampled tokens as text, special tokens included.
    pub text: String,
    /// What the turn says outside its reasoning and its calls, without white space around and
    /// without the token that ends it. Episodes written before it was kept have none.
    #[serde(default)]
    pub content: String,
    /// The calls that could be read, in order.
    pub calls: Vec<ToolCall>,
    /// What looked like a call and could not be read.
    pub failures: Vec<ParseFailure>,
    /// One for each call, in order; a parse failure adds one that says so, where the agent is
    /// told.
    pub observations: Vec<Observation>,
    /// What the user said next, where the turn was an answer and did not end the episode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
}

/// Every way in which an episode can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// A turn without a call: the policy gave its answer.
    Answered,
    /// The environment has ended it: a tool that closes the case, a server that is done.
    Ended,
    /// The last turn allowed after a message of the user still called tools.
    TurnLimit,
    /// A turn used up its tokens before it ended.
    TurnTokenLimit,
    /// The episode's token budget was used up.
    TokenLimit,
    /// The episode's time was used up.
    TimeLimit,
    /// The prompt alone exceeds the limit; nothing was sampled.
    PromptTooLong,
    /// Served models only: there was no reply, since the conversation is longer than the model
    /// reads, or every try failed.
    Unanswered,
    /// Replay only: the script has no further turn.
    ScriptEnded,
}

/// What an episode was worth. A failed episode has a score too, and counts in every mean.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// What training maximises.
    pub reward: f64,
    /// What each turn of the policy was worth, for rewards that tell turns apart; empty for
    /// those that do not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub turn_rewards: Vec<f64>,
    /// The suite's metrics by name, fractions rather than percent: `solve-p`, `calls`, …
    pub metrics: BTreeMap<String, f64>,
}

/// One complete attempt at one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    /// The id of the task that was attempted.
    pub task: String,
    /// The task's scenario.
    pub scenario: String,
    /// Which sample of its group this is.
    pub sample: usize,
    /// Where its sampling drew from.
    pub seed: Seed,
    /// Why it ended.
    pub stop: StopReason,
    /// What it was worth.
    pub score: Score,
    /// Length of the prompt in the first segment.
    pub prompt_tokens: usize,
    /// How many turns of the expert's trace follow the prompt and were given, not sampled: a
    /// hint. They are not among `turns`, and their tokens are not the policy's.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hint_turns: usize,
    /// The policy's turns, in order.
    pub turns: Vec<Turn>,
    /// What the model read; one segment as long as the episode only grows.
    pub segments: Vec<Segment>,
}

impl Episode {
    /// Number of tokens that the policy sampled; a turn that ends before it begins has none.
    pub fn sampled_tokens(&self) -> usize {
        let turns = self.turns.iter();
        turns
            .map(|turn| turn.end.saturating_sub(turn.start))
            .fold(0, usize::saturating_add)
    }
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// The episodes sampled for one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The id of the task.
    pub task: String,
    /// Its samples, in order.
    pub episodes: Vec<Episode>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policys_runs_are_its_turns() {
        let mut segment = Segment::default();
        assert_eq!(segment.runs_of(Author::Policy), []);
        segment.extend(&[1, 2], Author::Template, Part::Context);
        segment.extend(&[3], Author::Policy, Part::Reasoning);
        segment.extend(&[4], Author::Policy, Part::Call);
        segment.extend(&[5], Author::Tool, Part::Context);
        segment.extend(&[6], Author::Policy, Part::Answer);
        assert_eq!(segment.runs_of(Author::Policy), [2..4, 5..6]);
        segment.extend(&[7], Author::Template, Part::Context);
        assert_eq!(segment.runs_of(Author::Template), [0..2, 6..7]);
    }

    #[test]
    fn an_episode_of_an_earlier_version_still_loads() {
        let turn = r#"{"segment":0,"start":2,"end":3,"text":"hi","calls":[],"failures":[],"observations":[]}"#;
        let line = format!(
            r#"{{"task":"a","scenario":"s","sample":0,"seed":1,"stop":"answered","score":{{"reward":0.5,"metrics":{{}}}},"prompt_tokens":2,"turns":[{turn}],"segments":[]}}"#
        );
        let episode: Episode = serde_json::from_str(&line).expect("an episode");
        assert_eq!(episode.turns[0].content, "");
        assert_eq!(episode.score.turn_rewards, [0.0; 0]);
        assert_eq!(episode.hint_turns, 0);
        let written = serde_json::to_string(&episode).expect("an episode is JSON");
        let now = line.replace(r#""calls""#, r#""content":"","calls""#);
        assert_eq!(written, now, "what is empty is not written");
    }
}
