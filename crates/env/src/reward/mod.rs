//! What an episode was worth, by the rules of the methods that are compared. A reward is
//! chosen apart from the algorithm that learns from it.
//! Pure functions of calls, observations and texts. Nothing here runs a tool or knows a token.

mod answer;
mod assignment;
mod config;
mod ftrl;
mod likeness;
mod match_tir;
#[cfg(test)]
mod tests;
mod tool_rl;
mod transport;

pub(crate) use answer::{answer_of, is_exact_answer};
pub use config::{Config, ConfigError, Matching, RewardKind, Step};

use episode::{Score, Task, ToolCall, Trace, TraceTurn, Turn};

use crate::UnsolvedSet;

/// An episode, and what it is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// What was asked, and the expected answer.
    pub task: &'a Task,
    /// How an expert did it; only the kinds of [`RewardKind::needs_gold`] look.
    pub gold: Option<&'a Trace>,
    /// With how many of the trace's turns the rollout began. What they did was not the
    /// policy's: their calls are not looked for, and what they solved is not to be solved.
    /// More than 0 only with a trace.
    pub hint_turns: usize,
    /// The policy's turns.
    pub turns: &'a [Turn],
    /// The environment's score.
    pub score: &'a Score,
    /// What there was to solve when the episode began, [`crate::Suite::unsolved`]; only the
    /// kinds of [`RewardKind::needs_unsolved`] look.
    pub unsolved: Option<&'a UnsolvedSet>,
}

/// What an episode was worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// The episode as a whole.
    pub reward: f64,
    /// `[turns]`, or empty for the kinds that do not tell turns apart.
    pub turns: Vec<f64>,
}

/// Judges an episode by the reward of that kind; `config.kind` is not read, since the
/// algorithm may have had a say. The case has what the kind needs.
pub fn judge(kind: RewardKind, config: &Config, case: &Case<'_>) -> Judgement {
    match kind {
        RewardKind::SolveF1 => Judgement::whole(case.score.reward),
        RewardKind::SolveR => Judgement::whole(ftrl::solve_r(case)),
        RewardKind::Ftrl => ftrl::judge(config.step, case),
        RewardKind::ToolRl => Judgement::whole(tool_rl::judge(config.format, case)),
        RewardKind::MatchTir => match_tir::judge(config, case),
        RewardKind::AnswerF1 => Judgement::whole(answer::f1(case)),
        RewardKind::ExactAnswer => Judgement::whole(answer::exact(case)),
    }
}

impl<'a> Case<'a> {
    /// The calls that are left for the policy to make.
    fn gold_calls(&self) -> Vec<&'a ToolCall> {
        let gold = self.gold.expect("this reward compares with a trace");
        let left = &gold.turns[self.hint_turns..];
        left.iter().flat_map(|turn| &turn.calls).collect()
    }

    /// What there was to solve when the policy began.
    fn unsolved(&self) -> UnsolvedSet {
        let fresh = self.unsolved.expect("this reward counts sub-answers");
        let mut unsolved = fresh.clone();
        for turn in self.hint() {
            for (call, result) in turn.calls.iter().zip(&turn.results) {
                unsolved.take(&call.name, result);
            }
        }
        unsolved
    }

    fn hint(&self) -> &'a [TraceTurn] {
        match self.gold {
            Some(gold) => &gold.turns[..self.hint_turns],
            None => &[],
        }
    }
}

/// A turn's text with its reasoning and its calls, without the special tokens that end it.
pub(crate) fn written(turn: &Turn) -> &str {
    let mut text = turn.text.trim();
    while let Some((before, _)) = text
        .strip_suffix("|>")
        .and_then(|rest| rest.rsplit_once("<|"))
        .filter(|(_, name)| !name.contains(char::is_whitespace))
    {
        text = before.trim_end();
    }
    text
}

impl Judgement {
    fn whole(reward: f64) -> Self {
        Self {
            reward,
            turns: Vec::new(),
        }
    }
}
