//! How alike two calls are: what ToolRL and MatchTIR have in common.

use std::collections::HashMap;

use episode::ToolCall;
use serde_json::Value;

/// Jaccard index of two multisets, |A ∩ B| / |A ∪ B|; two empty ones are equal, 1.
pub(super) fn overlap<'a>(
    a: impl ExactSizeIterator<Item = &'a str>,
    b: impl ExactSizeIterator<Item = &'a str>,
) -> f64 {
    let total = a.len() + b.len();
    if total == 0 {
        return 1.0;
    }
    let mut counts: HashMap<&str, usize> = HashMap::new();
    a.for_each(|item| *counts.entry(item).or_default() += 1);
    let mut common = 0;
    for item in b {
        if let Some(count) = counts.get_mut(item).filter(|count| **count > 0) {
            *count -= 1;
            common += 1;
        }
    }
    common as f64 / (total - common) as f64
}

/// How alike the arguments are, in `0..=1 + (gold's arguments)`: the overlap of their names,
/// and 1 for each of gold's that has gold's value.
pub(super) fn of_arguments(call: &ToolCall, gold: &ToolCall) -> f64 {
    let (ours, golds) = (&call.arguments, &gold.arguments);
    let equal = golds
        .iter()
        .filter(|(name, value)| ours.get(*name).is_some_and(|ours| same(ours, value)))
        .count();
    overlap(
        golds.keys().map(String::as_str),
        ours.keys().map(String::as_str),
    ) + equal as f64
}

/// Whether two JSON values are the same. Nothing is normalised, but 1 and 1.0 are one number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || (a.is_f64() != b.is_f64() && a.as_f64() == b.as_f64())
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let in_b = |(name, a): (&String, &Value)| b.get(name).is_some_and(|b| same(a, b));
            a.len() == b.len() && a.iter().all(in_b)
        }
        _ => a == b,
    }
}
