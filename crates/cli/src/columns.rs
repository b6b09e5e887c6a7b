//! The columns in which papers publish a suite's results, made of an evaluation's metrics.

use episode::Evaluation;

/// Names and fractions; none for suites of which no table is published, and a column whose tasks
/// were not played is left out with the means over it.
pub(crate) fn published(suite: &str, evaluation: &Evaluation) -> Vec<(&'static str, f64)> {
    match suite {
        "ftrl" => ftrl(evaluation),
        _ => Vec::new(),
    }
}

/// Solve-P, -R and -F1 with their mean, as in MatchTIR's tables
/// (<https://arxiv.org/abs/2601.10712>).
fn ftrl(evaluation: &Evaluation) -> Vec<(&'static str, f64)> {
    let names = [
        ("Solve-P", "solve-p"),
        ("Solve-R", "solve-r"),
        ("Solve-F1", "solve-f1"),
    ];
    let value = |(title, name)| Some((title, *evaluation.metrics.get(name)?));
    let mut columns: Vec<_> = names.into_iter().filter_map(value).collect();
    if columns.len() == names.len() {
        let sum: f64 = columns.iter().map(|(_, value)| value).sum();
        columns.push(("Avg", sum / names.len() as f64));
    }
    columns
}
