//! The final answer against the expected one.

use std::collections::HashSet;

use episode::{Task, Turn};

use super::Case;
use crate::trace::asks_for_answer_tags;

const TAG: &str = "<answer>";
const TAG_END: &str = "</answer>";

/// Token F1 of the episode's answer, 0 without one: the outcome reward that MatchTIR's release
/// trains its GRPO baseline with.
pub(super) fn f1(case: &Case<'_>) -> f64 {
    answer(case).map_or(0.0, |answer| token_f1(answer, expected(case)))
}

/// 1 for an answer that is the expected one after SQuAD's normalisation
/// (Rajpurkar et al. 2016, <https://arxiv.org/abs/1606.05250>), else 0.
pub(super) fn exact(case: &Case<'_>) -> f64 {
    let is_exact = |answer| is_exact_answer(answer, expected(case));
    f64::from(answer(case).is_some_and(is_exact))
}

/// Whether two answers are the same after SQuAD's normalisation.
pub(crate) fn is_exact_answer(answer: &str, expected: &str) -> bool {
    normalise(answer) == normalise(expected)
}

fn expected<'a>(case: &Case<'a>) -> &'a str {
    let answer = case.task.answer.as_deref();
    answer.expect("this reward compares with an expected answer")
}

fn answer<'a>(case: &Case<'a>) -> Option<&'a str> {
    let mut turns = case.turns.iter();
    turns.find_map(|turn| answer_of(case.task, turn))
}

/// What a turn answers: what stands between its first `<answer>` tags; where the prompt does
/// not ask for tags, also the whole of a turn without a call. Reasoning is no answer.
pub(crate) fn answer_of<'a>(task: &Task, turn: &'a Turn) -> Option<&'a str> {
    let tagged = turn.content.split_once(TAG);
    if let Some((answer, _)) = tagged.and_then(|(_, rest)| rest.split_once(TAG_END)) {
        return Some(answer.trim());
    }
    let calls = !turn.calls.is_empty() || !turn.failures.is_empty();
    (!calls && !asks_for_answer_tags(task)).then_some(turn.content.as_str())
}

/// F1 of two texts' sets of words: lower case, ASCII punctuation as white space. A text
/// without a word has nothing in common with any.
pub(super) fn token_f1(answer: &str, expected: &str) -> f64 {
    let (answer, expected) = (words(answer), words(expected));
    let common = answer.intersection(&expected).count();
    let total = answer.len() + expected.len();
    2.0 * common as f64 / total.max(1) as f64
}

fn words(text: &str) -> HashSet<String> {
    text.to_lowercase()
        .split(|c: char| c.is_whitespace() || c.is_ascii_punctuation())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Lower case, without ASCII punctuation, without English articles.
fn normalise(text: &str) -> Vec<String> {
    text.to_lowercase()
        .replace(|c: char| c.is_ascii_punctuation(), "")
        .split_whitespace()
        .filter(|word| !["a", "an", "the"].contains(word))
        .map(str::to_owned)
        .collect()
}
