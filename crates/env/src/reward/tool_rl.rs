//! ToolRL's reward (<https://arxiv.org/abs/2504.13958>) over the calls of a whole episode.

use std::iter;

use episode::{ToolCall, Turn};

use super::{Case, likeness, written};

/// R_correct in -3..=3, as MatchTIR's release has it: an episode without a call earns 0. With
/// `format` the paper's whole formula: R_format + R_correct, where an episode without a call
/// earns -3, and 0 where the expert has none either.
pub(super) fn judge(format: bool, case: &Case<'_>) -> f64 {
    let gold = case.gold_calls();
    let calls: Vec<&ToolCall> = case.turns.iter().flat_map(|turn| &turn.calls).collect();
    let is_neutral = if format {
        gold.is_empty()
    } else {
        calls.is_empty()
    };
    let correct = if is_neutral {
        0.0
    } else {
        correct(&calls, &gold)
    };
    correct + f64::from(format && has_form(case.turns))
}

/// R_correct = 6 s / s_max - 3, where s is the overlap of the tools' names, and for each of the
/// expert's calls in order the likeness of the arguments of the most alike call of the same
/// name that is still free; s_max is 1, and for each of the expert's calls 1 + its arguments.
fn correct(calls: &[&ToolCall], gold: &[&ToolCall]) -> f64 {
    let mut free: Vec<&ToolCall> = calls.to_vec();
    let mut score = likeness::overlap(
        gold.iter().map(|call| call.name.as_str()),
        calls.iter().map(|call| call.name.as_str()),
    );
    for gold in gold {
        let mut best = (0.0, None);
        for (index, call) in free.iter().enumerate() {
            let alike = likeness::of_arguments(call, gold);
            if call.name == gold.name && alike > best.0 {
                best = (alike, Some(index));
            }
        }
        score += best.0;
        if let Some(index) = best.1 {
            free.remove(index);
        }
    }
    let arguments = gold.iter().map(|call| 1.0 + call.arguments.len() as f64);
    let most: f64 = iter::once(1.0).chain(arguments).sum();
    6.0 * score / most - 3.0
}

/// R_format, for an episode: whether every turn is reasoning in its tags, and after it either
/// calls in theirs and nothing else, or text. ToolRL asks this of its one turn, whose calls
/// share one pair of tags and whose text has tags of its own; white space is not looked at.
fn has_form(turns: &[Turn]) -> bool {
    !turns.is_empty() && turns.iter().all(turn_has_form)
}

fn turn_has_form(turn: &Turn) -> bool {
    // A prompt may have opened the reasoning already.
    let text = written(turn);
    let Some((reasoning, rest)) = text.split_once("</think>") else {
        return false;
    };
    let reasoning = reasoning.trim_start();
    let reasoning = reasoning.strip_prefix("<think>").unwrap_or(reasoning);
    let one_reasoning = ![reasoning, rest]
        .iter()
        .any(|part| part.contains("<think>") || part.contains("</think>"));
    let count = |tag: &str| rest.matches(tag).count();
    let (open, closed) = (count("<tool_call>"), count("</tool_call>"));
    let calls = turn.calls.len();
    let well_called = turn.failures.is_empty() && open == calls && closed == calls;
    one_reasoning && well_called && (calls > 0) == turn.content.is_empty()
}
