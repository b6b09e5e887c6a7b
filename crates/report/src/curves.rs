//! Learning curves: a study's metric over the steps and over the processor time of its methods.

use std::collections::BTreeSet;

use episode::{Evaluation, EvaluationMode};

use crate::folder::mode_name;
use crate::plot::{Line, Panel};
use crate::study::StudyMethod;
use crate::table::title;

/// Two panels a mode that any method was evaluated in on the way: over steps, and over
/// processor seconds. Each point is the mean over a method's seeds and the tasks that all
/// evaluations of all methods have; the band is one standard error over the seeds to either
/// side.
pub(crate) fn panels(methods: &[&StudyMethod], metric: &str) -> Vec<Panel> {
    let modes = [EvaluationMode::Greedy, EvaluationMode::Sampled];
    let mut panels = Vec::new();
    for mode in modes {
        let curves: Vec<Curve> = (methods.iter())
            .filter_map(|method| Curve::of(method, metric, mode, &common_tasks(methods, mode)))
            .collect();
        if curves.iter().all(|curve| curve.points.len() < 2) {
            continue;
        }
        let panel = |x: &str, of: fn(&Point) -> f64| Panel {
            title: mode_name(mode).to_owned(),
            x: x.to_owned(),
            y: format!("{}, percent", title(metric)),
            lines: curves.iter().map(|curve| curve.line(of)).collect(),
        };
        panels.push(panel("steps", |point| point.steps));
        panels.push(panel("processor seconds", |point| point.processor_seconds));
    }
    panels
}

/// The tasks of every evaluation of these methods.
fn common_tasks(methods: &[&StudyMethod], mode: EvaluationMode) -> BTreeSet<String> {
    let runs = methods.iter().flat_map(|it| &it.method.runs);
    let evaluations = runs.flat_map(|run| run.evaluations.iter().filter(|it| it.mode == mode));
    let mut sets = evaluations
        .map(|it| -> BTreeSet<String> { it.tasks.iter().map(|task| task.task.clone()).collect() });
    let first = sets.next().unwrap_or_default();
    sets.fold(first, |common, tasks| &common & &tasks)
}

struct Curve {
    name: String,
    points: Vec<Point>,
}

struct Point {
    steps: f64,
    processor_seconds: f64,
    /// Percent.
    mean: f64,
    /// Of the mean, over the seeds, in percent points; 0 with one seed.
    standard_error: f64,
}

impl Curve {
    /// `None` for a method that was not evaluated.
    fn of(
        method: &StudyMethod,
        metric: &str,
        mode: EvaluationMode,
        tasks: &BTreeSet<String>,
    ) -> Option<Self> {
        let steps = method.evaluated(mode);
        if steps.is_empty() || tasks.is_empty() {
            return None;
        }
        let points = steps.into_iter().map(|step| {
            let runs = method.method.runs.iter();
            let is_it = |it: &&Evaluation| it.mode == mode && it.step == step;
            let evaluations = runs.filter_map(|run| run.evaluations.iter().find(is_it));
            let scores: Vec<f64> = evaluations
                .map(|it| 100.0 * score(it, metric, tasks))
                .collect();
            let (mean, standard_error) = mean_and_error(&scores);
            Point {
                steps: method.steps(step) as f64,
                processor_seconds: method.cost(step).processor_seconds,
                mean,
                standard_error,
            }
        });
        Some(Self {
            name: method.method.name.clone(),
            points: points.collect(),
        })
    }

    fn line(&self, x: fn(&Point) -> f64) -> Line {
        let points = || self.points.iter();
        Line {
            name: self.name.clone(),
            points: points().map(|point| (x(point), point.mean)).collect(),
            band: points()
                .map(|it| (it.mean - it.standard_error, it.mean + it.standard_error))
                .collect(),
        }
    }
}

/// The mean over `tasks`, those without the metric as 0.
fn score(evaluation: &Evaluation, metric: &str, tasks: &BTreeSet<String>) -> f64 {
    let wanted = evaluation
        .tasks
        .iter()
        .filter(|it| tasks.contains(&it.task));
    let values = wanted.map(|it| it.metrics.get(metric).copied().unwrap_or(0.0));
    values.sum::<f64>() / tasks.len() as f64
}

fn mean_and_error(scores: &[f64]) -> (f64, f64) {
    let count = scores.len() as f64;
    let mean = scores.iter().sum::<f64>() / count;
    if scores.len() < 2 {
        return (mean, 0.0);
    }
    let squares = scores.iter().map(|score| (score - mean).powi(2));
    let variance = squares.sum::<f64>() / (count - 1.0);
    (mean, (variance / count).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_error_is_of_the_mean() {
        // Deviations -1, 0, 1: variance 1, of the mean a third.
        let (mean, error) = mean_and_error(&[1.0, 2.0, 3.0]);
        assert_eq!((mean, error), (2.0, (1.0_f64 / 3.0).sqrt()));
        assert_eq!(mean_and_error(&[4.0]), (4.0, 0.0));
    }
}
