//! MatchTIR's turn rewards (<https://arxiv.org/abs/2601.10712>): calls matched with the
//! expert's over the whole episode, and the answer's token F1.

use episode::ToolCall;

use super::{Case, Config, Judgement, Matching, answer, assignment, likeness, transport};

/// A turn earns the mean of its calls' rewards; a turn that answers earns its answer's F1, and
/// its calls are not looked at; a turn that does neither earns 0. The episode's reward is the
/// sum over its turns. Without an expected answer an answer earns 0.
pub(super) fn judge(config: &Config, case: &Case<'_>) -> Judgement {
    let answers: Vec<Option<&str>> = (case.turns.iter())
        .map(|turn| answer::answer_of(case.task, turn))
        .collect();
    let turns = || case.turns.iter().zip(&answers);
    let calling = turns().filter(|(_, answer)| answer.is_none());
    let calls: Vec<&ToolCall> = calling.flat_map(|(turn, _)| &turn.calls).collect();
    let mut earned = rewards(config, &calls, &case.gold_calls()).into_iter();
    let expected = case.task.answer.as_deref();
    let turns: Vec<f64> = turns()
        .map(|(turn, answer)| match answer {
            Some(answer) => expected.map_or(0.0, |expected| answer::token_f1(answer, expected)),
            None => {
                let calls = turn.calls.len();
                earned.by_ref().take(calls).sum::<f64>() / calls.max(1) as f64
            }
        })
        .collect();
    Judgement {
        reward: turns.iter().sum(),
        turns,
    }
}

/// What each call earns, `[calls]`. Matched one to one, its similarity with its match; under
/// `transport`, its similarities weighted by the plan, which sum over all calls to 1 at most.
fn rewards(config: &Config, calls: &[&ToolCall], gold: &[&ToolCall]) -> Vec<f64> {
    let similarities: Vec<Vec<f64>> = (calls.iter())
        .map(|call| gold.iter().map(|gold| similarity(call, gold)).collect())
        .collect();
    let assigned = match config.matching {
        Matching::Hard => assignment::optimal(&similarities, gold.len()),
        Matching::Greedy => assignment::greedy(&similarities, gold.len()),
        Matching::Transport => {
            let plan = transport::sinkhorn(&similarities, gold.len());
            let rows = plan.iter().zip(&similarities);
            let earned = |(plan, row): (&Vec<f64>, &Vec<f64>)| {
                plan.iter().zip(row).map(|(share, s)| share * s).sum()
            };
            return rows.map(earned).collect();
        }
    };
    let earned = |(row, column): (&Vec<f64>, Option<usize>)| {
        column.map_or(config.unmatched, |column| row[column])
    };
    similarities.iter().zip(assigned).map(earned).collect()
}

/// S, in `0..=1`: 0 unless both name the same tool (case does not matter), else
/// (1 + overlap of argument names + equal values) / (2 + the expert's arguments).
fn similarity(call: &ToolCall, gold: &ToolCall) -> f64 {
    if call.name.to_lowercase() != gold.name.to_lowercase() {
        return 0.0;
    }
    (1.0 + likeness::of_arguments(call, gold)) / (2.0 + gold.arguments.len() as f64)
}
