//! Before and after as a small table for a terminal.

use std::collections::BTreeSet;

use episode::{Evaluation, TaskResult};

use crate::Comparison;
use crate::folder::mode_name;

/// The metrics that FTRL-shaped suites are measured by.
pub const SOLVE_METRICS: [&str; 3] = ["solve-p", "solve-r", "solve-f1"];

/// How finely a table divides the tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breakdown {
    /// All tasks together.
    Whole,
    /// All together, then each scenario.
    Scenarios,
}

const HEADINGS: [&str; 8] = [
    "rollouts",
    "scenario",
    "tasks",
    "metric",
    "before",
    "after",
    "difference",
    "95% interval",
];
const SCENARIO: usize = 1;
/// The columns of numbers stand to the right.
const RIGHT: [bool; 8] = [false, false, true, false, true, true, true, true];

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
    aligned(&rows, breakdown)
}

/// `None`, for all tasks, then the scenarios where they are wanted.
fn scenarios(evaluation: &Evaluation, breakdown: Breakdown) -> Vec<Option<&str>> {
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
) -> Vec<[String; 8]> {
    let within = |evaluation| tasks_of(evaluation, scenario);
    metrics
        .iter()
        .filter_map(|metric| {
            let of = Comparison::of_tasks(&within(before), &within(after), metric)?;
            Some([
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

fn tasks_of<'a>(evaluation: &'a Evaluation, scenario: Option<&str>) -> Vec<&'a TaskResult> {
    evaluation
        .tasks
        .iter()
        .filter(|task| scenario.is_none_or(|scenario| task.scenario == scenario))
        .collect()
}

/// `solve-f1` as papers write it: `Solve-F1`.
fn title(metric: &str) -> String {
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

fn percent(fraction: f64) -> String {
    format!("{:.2}", 100.0 * fraction)
}

fn signed(fraction: f64) -> String {
    format!("{:+.2}", 100.0 * fraction)
}

/// Two spaces between columns, each as wide as its widest cell.
fn aligned(rows: &[[String; 8]], breakdown: Breakdown) -> String {
    let headings = HEADINGS.map(str::to_owned);
    let lines = || std::iter::once(&headings).chain(rows);
    let columns: Vec<_> = (0..HEADINGS.len())
        .filter(|&column| column != SCENARIO || breakdown == Breakdown::Scenarios)
        .map(|column| {
            let width = lines().map(|line| line[column].chars().count()).max();
            (column, width.unwrap_or(0))
        })
        .collect();

    let mut text = String::new();
    for line in lines() {
        let cells: Vec<_> = columns
            .iter()
            .map(|&(column, width)| match RIGHT[column] {
                true => format!("{:>width$}", line[column]),
                false => format!("{:<width$}", line[column]),
            })
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}
