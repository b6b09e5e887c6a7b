//! The columns in which papers publish a suite's results, made of an evaluation's metrics.

use episode::{Evaluation, TaskResult};

/// Names and fractions; none for suites of which no table is published, and a column whose tasks
/// were not played is left out with the means over it.
pub(crate) fn published(suite: &str, evaluation: &Evaluation) -> Vec<(&'static str, f64)> {
    match suite {
        "ftrl" => ftrl(evaluation),
        "toolhop" => toolhop(evaluation),
        "bfcl" => leaderboard(evaluation),
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

/// Answer correctness in each scenario, and its mean over those that were played.
fn toolhop(evaluation: &Evaluation) -> Vec<(&'static str, f64)> {
    let names = [
        ("Direct", "direct"),
        ("Mandatory", "mandatory"),
        ("Free", "free"),
    ];
    let value = |(title, name)| Some((title, accuracy(evaluation, name, "ac")?));
    let mut columns: Vec<_> = names.into_iter().filter_map(value).collect();
    let sum: f64 = columns.iter().map(|(_, value)| value).sum();
    columns.push(("AC", sum / columns.len() as f64));
    columns
}

/// The four of multi-turn, search and memory with their means, and the leaderboard's overall
/// number, where a category that was not played counts as 0.
fn leaderboard(evaluation: &Evaluation) -> Vec<(&'static str, f64)> {
    let of = |category: &str| accuracy(evaluation, category, "accuracy");
    let board = bfcl::aggregate::aggregate(of);
    let names = [
        ("Base", "multi_turn_base"),
        ("Miss Func", "multi_turn_miss_func"),
        ("Miss Param", "multi_turn_miss_param"),
        ("Long Context", "multi_turn_long_context"),
    ];
    let value = |(title, name)| Some((title, of(name)?));
    let mut columns: Vec<_> = names.into_iter().filter_map(value).collect();
    let means = [
        ("Multi-Turn", &board.multi_turn),
        ("Search", &board.web_search),
        ("Memory", &board.memory),
        ("Avg", &board.average),
    ];
    let whole = means
        .into_iter()
        .filter(|(_, mean)| mean.not_run.is_empty());
    columns.extend(whole.map(|(title, mean)| (title, mean.accuracy)));
    columns.push(("Overall", board.overall.accuracy));
    columns
}

/// A metric's mean over the tasks of a scenario; none where there are none.
fn accuracy(evaluation: &Evaluation, scenario: &str, metric: &str) -> Option<f64> {
    let tasks = evaluation.tasks.iter();
    let tasks: Vec<_> = tasks.filter(|task| task.scenario == scenario).collect();
    let value = |task: &&TaskResult| task.metrics.get(metric).copied().unwrap_or(0.0);
    let sum: f64 = tasks.iter().map(value).sum();
    (!tasks.is_empty()).then(|| sum / tasks.len() as f64)
}
