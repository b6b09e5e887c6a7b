//! What changed between two evaluations of the same tasks, and how sure that is.

use std::collections::BTreeMap;

use episode::{Evaluation, TaskResult};

use crate::Estimate;

/// One metric before and after, over the tasks that both evaluations have.
/// Fractions, as in the evaluations.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Number of tasks that both evaluations have.
    pub tasks: usize,
    /// Mean over the tasks before.
    pub before: f64,
    /// Mean over the tasks after.
    pub after: f64,
    /// After less before.
    pub difference: f64,
    /// Lower end of the difference's 95% interval.
    pub low: f64,
    /// Upper end of the difference's 95% interval.
    pub high: f64,
}

impl Comparison {
    /// Compares `metric` task by task. The interval is the percentile bootstrap's over the
    /// tasks' differences (Efron and Tibshirani 1993, chapter 13), from a seed of its own, so
    /// the same evaluations always give the same interval. It says how the choice of tasks
    /// moves the difference; it does not say what another training run would give.
    ///
    /// `None` where no task is in both, or none of them has the metric. A task without the
    /// metric counts as 0, as it does in the evaluations' means.
    pub fn of(before: &Evaluation, after: &Evaluation, metric: &str) -> Option<Self> {
        let before: Vec<_> = before.tasks.iter().collect();
        let after: Vec<_> = after.tasks.iter().collect();
        Self::of_tasks(&before, &after, metric)
    }

    /// The same over a part of the tasks.
    pub(crate) fn of_tasks(
        before: &[&TaskResult],
        after: &[&TaskResult],
        metric: &str,
    ) -> Option<Self> {
        let after: BTreeMap<_, _> = after
            .iter()
            .map(|task| (task.task.as_str(), *task))
            .collect();
        let pairs: Vec<_> = before
            .iter()
            .filter_map(|before| Some((*before, *after.get(before.task.as_str())?)))
            .collect();
        if !pairs
            .iter()
            .any(|(b, a)| b.metrics.contains_key(metric) || a.metrics.contains_key(metric))
        {
            return None;
        }

        let value = |task: &TaskResult| task.metrics.get(metric).copied().unwrap_or(0.0);
        let before = mean(pairs.iter().map(|(before, _)| value(before)));
        let after = mean(pairs.iter().map(|(_, after)| value(after)));
        let differences: Vec<_> = pairs.iter().map(|(b, a)| value(a) - value(b)).collect();
        let Estimate { low, high, .. } = Estimate::of(&[differences]);
        Some(Self {
            tasks: pairs.len(),
            before,
            after,
            difference: after - before,
            low,
            high,
        })
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

#[cfg(test)]
mod tests {
    use super::*;
    use episode::EvaluationMode;

    fn evaluation(values: &[(&str, f64)]) -> Evaluation {
        let tasks: Vec<_> = values
            .iter()
            .map(|&(task, value)| TaskResult {
                task: task.into(),
                scenario: "single-hop".into(),
                metrics: BTreeMap::from([("solve-f1".into(), value)]),
            })
            .collect();
        Evaluation {
            step: 0,
            mode: EvaluationMode::Greedy,
            metrics: BTreeMap::new(),
            tasks,
        }
    }

    fn numbered(count: usize, value: impl Fn(usize) -> f64) -> Evaluation {
        let names: Vec<_> = (0..count).map(|i| i.to_string()).collect();
        let values: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(i, name)| (name.as_str(), value(i)))
            .collect();
        evaluation(&values)
    }

    #[test]
    fn tasks_are_paired_by_name_and_the_unpaired_left_out() {
        let before = evaluation(&[("a", 0.0), ("b", 0.5), ("only before", 1.0)]);
        let after = evaluation(&[("b", 1.0), ("only after", 0.0), ("a", 0.25)]);
        let comparison = Comparison::of(&before, &after, "solve-f1").unwrap();
        assert_eq!(comparison.tasks, 2);
        assert_eq!((comparison.before, comparison.after), (0.25, 0.625));
        assert_eq!(comparison.difference, 0.375);
    }

    #[test]
    fn without_a_common_task_or_the_metric_there_is_nothing_to_compare() {
        let a = evaluation(&[("a", 0.0)]);
        let b = evaluation(&[("b", 0.0)]);
        assert_eq!(Comparison::of(&a, &b, "solve-f1"), None);
        assert_eq!(Comparison::of(&a, &a, "no such metric"), None);
    }

    /// 400 tasks whose differences have mean 0.1 and standard deviation 0.3, so that the
    /// normal interval is 0.1 ± 1.96 · 0.3 / 20 = 0.1 ± 0.0294.
    #[test]
    fn the_interval_agrees_with_the_normal_one_on_many_tasks() {
        let before = numbered(400, |_| 0.5);
        let after = numbered(400, |i| 0.5 + if i % 2 == 0 { 0.4 } else { -0.2 });
        let comparison = Comparison::of(&before, &after, "solve-f1").unwrap();
        assert!(
            (comparison.low - 0.0706).abs() < 0.002 && (comparison.high - 0.1294).abs() < 0.002,
            "{comparison:?}"
        );
    }

    /// Unpaired, the spread of the tasks would make it ± 0.14.
    #[test]
    fn pairing_takes_the_spread_of_the_tasks_out_of_the_interval() {
        let before = numbered(100, |i| (i % 2) as f64);
        let after = numbered(100, |i| (i % 2) as f64 + 0.25);
        let comparison = Comparison::of(&before, &after, "solve-f1").unwrap();
        assert_eq!(
            (comparison.low, comparison.difference, comparison.high),
            (0.25, 0.25, 0.25)
        );
    }

    #[test]
    fn the_same_evaluations_give_the_same_interval() {
        let before = numbered(30, |i| (i % 3) as f64);
        let after = numbered(30, |i| (i % 5) as f64);
        assert_eq!(
            Comparison::of(&before, &after, "solve-f1"),
            Comparison::of(&before, &after, "solve-f1")
        );
    }
}
