//! What acts: whoever continues a context with sampled tokens.

use episode::{CallFormat, Message, Seed};
use serde_json::Value;

/// A turn that a policy is asked to sample.
#[derive(Clone, Copy, Debug)]
pub struct TurnRequest<'a> {
    /// The episode's number within its rollout; the name under which the turn comes back.
    pub episode: usize,
    /// The task's id.
    pub task: &'a str,
    /// Which sample of its task the episode is.
    pub sample: usize,
    /// Which turn of the episode this is, from 0.
    pub turn: usize,
    /// Everything that the policy reads, from the first token. A later turn's context
    /// extends the earlier one's and what was sampled after it, except where the chat
    /// template rewrites history.
    pub context: &'a [u32],
    /// The same as messages, for a policy that reads no tokens. What the policy said is without
    /// its reasoning.
    pub messages: &'a [Message],
    /// The tools that may be called, as the task has them.
    pub tools: &'a [Value],
    /// How calls are to be written.
    pub calls: CallFormat,
    /// The turn ends here at the latest.
    pub max_tokens: usize,
    /// All of the turn's randomness.
    pub seed: Seed,
}

/// How a sampled turn came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnEnd {
    /// A stop token, which is the last of the tokens.
    Stop,
    /// The request's `max_tokens`.
    TokenLimit,
    /// A served model has no reply; there are no tokens.
    Unanswered,
    /// A script has no such turn; there are no tokens.
    ScriptEnded,
}

/// A turn as sampled.
#[derive(Clone, Debug, PartialEq)]
pub struct SampledTurn {
    /// The request's `episode`.
    pub episode: usize,
    /// What was sampled, the stop token included.
    pub tokens: Vec<u32>,
    /// The log-probability of each token under the distribution that it was drawn from.
    pub logprobs: Vec<f32>,
    /// Why there are no more.
    pub end: TurnEnd,
}

/// A policy cannot go on: a broken model, a server that is gone. Never a bad turn, which is
/// data.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PolicyError(#[from] pub Box<dyn std::error::Error + Send + Sync>);

/// Samples turns, many at once. A turn is begun, advances with every [`step`](Policy::step),
/// and is handed over by the step that ends it.
pub trait Policy {
    /// Takes up a turn. Episodes of one task begin their first turns one after the other,
    /// before the next step, so that what they share can be computed once.
    fn begin(&mut self, request: &TurnRequest<'_>) -> Result<(), PolicyError>;

    /// Advances every turn under way by a token or more; returns those that ended.
    fn step(&mut self) -> Result<Vec<SampledTurn>, PolicyError>;

    /// The episode is over: what is kept for it may go, and a turn that is under way is
    /// dropped.
    fn release(&mut self, episode: usize);
}
