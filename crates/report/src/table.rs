//! Before and after as a small table for a terminal.

use std::collections::BTreeSet;

use episode::{Evaluation, TaskResult};

use crate::Comparison;
use crate::folder::mode_name;
use crate::grid::Grid;

/// The metrics that FTRL-shaped suites are measured by.
pub const SOLVE_METRICS: [&str; 3] = ["solve-p", "solve-r", "solve-f1"];

/// The metrics by which the authors of other suites rank.
const RANKING_METRICS: [&str; 4] = ["accuracy", "ac", "pass", "score"];

/// The metrics that a table of these evaluations shows: those that rank, and the Solve metrics,
/// of each what there is.
pub fn shown_metrics(evaluations: &[Evaluation]) -> Vec<&'static str> {
    let metrics = RANKING_METRICS.iter().chain(&SOLVE_METRICS).copied();
    let is_there = |name: &str| evaluations.iter().any(|it| it.metrics.contains_key(name));
    metrics.filter(|name| is_there(name)).collect()
}

/// How finely a table divides the tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breakdown {
    /// All tasks together.
    Whole,
    /// All together, then each scenario.
    Scenarios,
}

/// One line for each mode, scenario and metric that `before` and `after` share, in percent,
/// the interval being [`Comparison`]'s. Give one evaluation a mode in each.
pub fn table(
    before: &[Evaluation],
    after: &[Evaluation],
    metrics: &[&str],
    breakdown: Breakdown,
) -> String {
    let mut rows = Vec::new();
    for before in before {
        let Some(after) = after.iter().find(|after| after.mode == before.mode) else {
            continue;
        };
        for scenario in scenarios(before, breakdown) {
            rows.extend(rows_of(before, after, scenario, metrics));
        }
    }
    if rows.is_empty() {
        return "no task was evaluated both before and after\n".into();
    }
    let grid = Grid::default().words(&["rollouts", "scenario"]);
    let grid = grid.numbers(&["tasks"]).words(&["metric"]);
    let mut grid = grid.numbers(&["before", "after", "difference", "95% interval"]);
    grid.rows = rows;
    match breakdown {
        Breakdown::Whole => grid.without("scenario").to_text(),
        Breakdown::Scenarios => grid.to_text(),
    }
}

/// `None`, for all tasks, then the scenarios where they are wanted.
pub(crate) fn scenarios(evaluation: &Evaluation, breakdown: Breakdown) -> Vec<Option<&str>> {
    let mut scenarios = vec![None];
    if breakdown == Breakdown::Scenarios {
        let names: BTreeSet<_> = evaluation
            .tasks
            .iter()
            .map(|task| task.scenario.as_str())
            .collect();
        scenarios.extend(names.into_iter().map(Some));
    }
    scenarios
}

fn rows_of(
    before: &Evaluation,
    after: &Evaluation,
    scenario: Option<&str>,
    metrics: &[&str],
) -> Vec<Vec<String>> {
    let within = |evaluation| tasks_of(evaluation, scenario);
    metrics
        .iter()
        .filter_map(|metric| {
            let of = Comparison::of_tasks(&within(before), &within(after), metric)?;
            Some(vec![
                mode_name(before.mode).to_owned(),
                scenario.unwrap_or("all").to_owned(),
                of.tasks.to_string(),
                title(metric),
                percent(of.before),
                percent(of.after),
                signed(of.difference),
                format!("{} to {}", signed(of.low), signed(of.high)),
            ])
        })
        .collect()
}

pub(crate) fn tasks_of<'a>(
    evaluation: &'a Evaluation,
    scenario: Option<&str>,
) -> Vec<&'a TaskResult> {
    evaluation
        .tasks
        .iter()
        .filter(|task| scenario.is_none_or(|scenario| task.scenario == scenario))
        .collect()
}

/// `solve-f1` as papers write it: `Solve-F1`.
pub(crate) fn title(metric: &str) -> String {
    let mut start = true;
    metric
        .chars()
        .map(|c| {
            let c = if start { c.to_ascii_uppercase() } else { c };
            start = c == '-';
            c
        })
        .collect()
}

pub(crate) fn percent(fraction: f64) -> String {
    format!("{:.2}", 100.0 * fraction)
}

pub(crate) fn signed(fraction: f64) -> String {
    format!("{:+.2}", 100.0 * fraction)
}
