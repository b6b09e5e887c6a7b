//! One evaluation as a table for a terminal: all tasks, then each scenario.

use episode::{Evaluation, TaskResult};

use crate::Estimate;
use crate::grid::Grid;
use crate::table::{percent, title};

/// One line for all tasks, and one for each scenario where there are several. `headline` comes
/// first, with its interval over the tasks ([`Estimate`]'s, of one seed); `fractions` follow
/// in percent, then `counts`, summed over the tasks. No task, no line.
pub fn evaluation_table(
    evaluation: &Evaluation,
    headline: &str,
    fractions: &[&str],
    counts: &[&str],
) -> String {
    let mut scenarios: Vec<&str> = Vec::new();
    for task in &evaluation.tasks {
        if !scenarios.contains(&task.scenario.as_str()) {
            scenarios.push(&task.scenario);
        }
    }
    let mut rows = Vec::new();
    if scenarios.len() != 1 {
        let all: Vec<&TaskResult> = evaluation.tasks.iter().collect();
        rows.extend(row("all", &all, headline, fractions, counts));
    }
    for scenario in scenarios {
        let tasks = evaluation.tasks.iter();
        let tasks: Vec<_> = tasks.filter(|task| task.scenario == scenario).collect();
        rows.extend(row(scenario, &tasks, headline, fractions, counts));
    }
    let titles: Vec<String> = fractions.iter().map(|name| title(name)).collect();
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    let grid = Grid::default().words(&["scenario"]).numbers(&["tasks"]);
    let grid = grid.numbers(&[&title(headline), "95% interval"]);
    let mut grid = grid.numbers(&titles).numbers(counts);
    grid.rows = rows;
    grid.to_text()
}

fn row(
    scenario: &str,
    tasks: &[&TaskResult],
    headline: &str,
    fractions: &[&str],
    counts: &[&str],
) -> Option<Vec<String>> {
    let values = |name: &str| -> Vec<f64> {
        let value = |task: &&TaskResult| task.metrics.get(name).copied().unwrap_or(0.0);
        tasks.iter().map(value).collect()
    };
    let sum = |name: &str| values(name).iter().sum::<f64>();
    if tasks.is_empty() {
        return None;
    }
    let estimate = Estimate::of(&[values(headline)]);
    let mut cells = vec![
        scenario.to_owned(),
        tasks.len().to_string(),
        percent(estimate.mean),
        format!("{} to {}", percent(estimate.low), percent(estimate.high)),
    ];
    let mean = |name: &&str| percent(sum(name) / tasks.len() as f64);
    cells.extend(fractions.iter().map(mean));
    cells.extend(counts.iter().map(|name| format!("{:.0}", sum(name))));
    Some(cells)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn task(name: &str, scenario: &str, f1: f64, calls: f64) -> TaskResult {
        TaskResult {
            task: name.to_owned(),
            scenario: scenario.to_owned(),
            metrics: BTreeMap::from([("solve-f1".to_owned(), f1), ("calls".to_owned(), calls)]),
        }
    }

    #[test]
    fn all_tasks_come_first_and_then_each_scenario() {
        let evaluation = |tasks| Evaluation {
            step: 0,
            mode: episode::EvaluationMode::Greedy,
            metrics: BTreeMap::new(),
            tasks,
        };
        let table = |tasks| evaluation_table(&evaluation(tasks), "solve-f1", &[], &["calls"]);
        insta::assert_snapshot!(table(vec![
            task("0", "single", 1.0, 1.0),
            task("1", "multi", 0.0, 3.0),
            task("2", "single", 1.0, 2.0),
        ]), @"
        scenario  tasks  Solve-F1      95% interval  calls
        all           3     66.67    0.00 to 100.00      6
        single        2    100.00  100.00 to 100.00      3
        multi         1      0.00      0.00 to 0.00      3
        ");
        let one = table(vec![task("0", "single", 1.0, 1.0)]);
        assert_eq!(
            one.lines().count(),
            2,
            "one scenario is all there is: {one}"
        );
    }
}
