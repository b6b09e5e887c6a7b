//! FTRL's rewards (<https://arxiv.org/abs/2508.08791>): what calls solved, turn by turn.

use episode::Turn;

use super::{Case, Judgement, Step, written};
use crate::UnsolvedSet;
use crate::metrics::normalise;

/// What a turn may not say unless it calls.
const TAGS: [&str; 3] = ["<tool_call>", "</tool_call>", "<tool_parsed_response>"];

/// Each turn as FTRL rewards its one turn from where the episode stood before it. The episode's
/// reward is the mean over its turns, 0 without one: FTRL has no reward of episodes.
pub(super) fn judge(step: Step, case: &Case<'_>) -> Judgement {
    let mut unsolved = case.unsolved();
    let answer = case.task.answer.as_deref();
    let turns: Vec<f64> = (case.turns.iter())
        .map(|turn| match turn.calls.len() {
            0 => without_calls(turn, answer, &unsolved),
            calls => with_calls(step, calls, solve(turn, &mut unsolved)),
        })
        .collect();
    Judgement {
        reward: turns.iter().sum::<f64>() / turns.len().max(1) as f64,
        turns,
    }
}

/// Share of what there was to solve that the policy's turns solved; all of nothing is 1.
pub(super) fn solve_r(case: &Case<'_>) -> f64 {
    let mut unsolved = case.unsolved();
    let total = unsolved.left();
    let solved: usize = (case.turns.iter())
        .map(|turn| solve(turn, &mut unsolved))
        .sum();
    if total == 0 {
        1.0
    } else {
        solved as f64 / total as f64
    }
}

/// How many sub-answers a turn solved. Calls that were not executed solve none.
fn solve(turn: &Turn, unsolved: &mut UnsolvedSet) -> usize {
    let executed = turn.calls.iter().zip(&turn.observations);
    let solving = |(call, observation): &(&episode::ToolCall, &episode::Observation)| {
        unsolved.observe(&call.name, observation).is_some()
    };
    executed.filter(solving).count()
}

fn with_calls(step: Step, calls: usize, solved: usize) -> f64 {
    let (calls, solved) = (calls as f64, solved as f64);
    match step {
        Step::SolveF1 => 2.0 * solved / (calls + 1.0),
        Step::SolvePr => solved * solved / calls,
        Step::SolveRate => solved,
        Step::SolvePrecision => solved / calls,
    }
}

/// The first that holds: silence, calls that cannot be read, the answer (reasoning is searched
/// too), an end with all solved, an end.
fn without_calls(turn: &Turn, answer: Option<&str>, unsolved: &UnsolvedSet) -> f64 {
    let text = written(turn);
    let answer = answer.map(normalise).filter(|answer| !answer.is_empty());
    if text.is_empty() {
        -0.5
    } else if TAGS.iter().any(|tag| text.contains(tag)) {
        -0.3
    } else if answer.is_some_and(|answer| normalise(text).contains(&answer)) {
        1.0 / (1.0 + unsolved.left() as f64)
    } else if unsolved.is_solved() {
        0.5
    } else {
        0.0
    }
}
