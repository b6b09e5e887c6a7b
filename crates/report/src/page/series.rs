//! Numbers over the steps of a run, few enough to be drawn, and the pictures that they make.

use std::collections::BTreeMap;

use episode::{Evaluation, EvaluationMode};
use serde_json::{Map, Value};

use crate::Estimate;
use crate::folder::mode_name;
use crate::plot::{Line, Panel};
use crate::table::{shown_metrics, title};

use super::block::{Chart, Figure};
use super::tally::Tally;

/// Points that a line has at most; where there were more, each is the mean of its neighbours.
const POINTS: usize = 150;

/// What a picture is of.
pub(super) struct Sketch {
    pub(super) title: &'static str,
    pub(super) y: &'static str,
    /// How to read it.
    pub(super) caption: &'static str,
    /// Names of `metrics.jsonl`.
    pub(super) metrics: &'static [&'static str],
}

/// A line for each metric, by its name.
pub(super) fn lines(metrics: &[Map<String, Value>]) -> Vec<Line> {
    let mut all = BTreeMap::<&str, Vec<(f64, f64)>>::new();
    for record in metrics {
        let Some(step) = record.get("step").and_then(Value::as_f64) else {
            continue;
        };
        for (name, value) in record.iter().filter(|(name, _)| *name != "step") {
            if let Some(value) = value.as_f64() {
                all.entry(name).or_default().push((step, value));
            }
        }
    }
    let line = |(name, points): (&str, Vec<_>)| Line {
        name: name.to_owned(),
        points: thinned(&points),
        band: vec![],
    };
    all.into_iter().map(line).collect()
}

/// The mean reward of each step's episodes with its interval over the step's tasks.
pub(super) fn reward(tally: &Tally) -> Line {
    let steps = tally.steps.iter();
    let steps = steps.map(|(step, of)| (*step as f64, of.reward()));
    let points: Vec<_> = steps.clone().map(|(step, it)| (step, it.0)).collect();
    let end = |side: f64| -> Vec<(f64, f64)> {
        let ends = steps.clone();
        thinned(
            &ends
                .map(|(step, it)| (step, it.0 + side * it.1))
                .collect::<Vec<_>>(),
        )
    };
    let band = end(-1.0).into_iter().zip(end(1.0));
    Line {
        name: "reward".to_owned(),
        points: thinned(&points),
        band: band.map(|((_, low), (_, high))| (low, high)).collect(),
    }
}

/// The spread of each step's advantages.
pub(super) fn advantage_spread(tally: &Tally) -> Line {
    let steps = tally.steps.iter();
    let spreads = steps.filter_map(|(step, of)| Some((*step as f64, of.advantage_spread()?)));
    Line {
        name: "advantage-spread".to_owned(),
        points: thinned(&spreads.collect::<Vec<_>>()),
        band: vec![],
    }
}

/// A metric of the evaluations in one mode, with its interval over tasks.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub(super) struct Evaluated {
    pub(super) metric: String,
    pub(super) mode: EvaluationMode,
    /// In percent.
    pub(super) line: Line,
}

/// The metrics that the evaluations are judged by, mode by mode.
pub(super) fn evaluated(evaluations: &[Evaluation]) -> Vec<Evaluated> {
    let mut all = Vec::new();
    for metric in shown_metrics(evaluations) {
        for mode in [EvaluationMode::Greedy, EvaluationMode::Sampled] {
            let of_mode = evaluations.iter().filter(|it| it.mode == mode);
            let of_mode = of_mode.filter(|it| !it.tasks.is_empty());
            let estimates: Vec<(f64, Estimate)> = of_mode
                .map(|it| (it.step as f64, estimate(it, metric)))
                .collect();
            if estimates.is_empty() {
                continue;
            }
            let points = estimates.iter().map(|(step, it)| (*step, 100.0 * it.mean));
            let band = estimates
                .iter()
                .map(|(_, it)| (100.0 * it.low, 100.0 * it.high));
            all.push(Evaluated {
                metric: metric.to_owned(),
                mode,
                line: Line {
                    name: mode_name(mode).to_owned(),
                    points: points.collect(),
                    band: band.collect(),
                },
            });
        }
    }
    all
}

fn estimate(evaluation: &Evaluation, metric: &str) -> Estimate {
    let value = |task: &episode::TaskResult| task.metrics.get(metric).copied().unwrap_or(0.0);
    Estimate::of(&[evaluation.tasks.iter().map(value).collect()])
}

/// One picture a metric: of one run a line a mode, of several a line a run, greedy where there
/// is such.
pub(super) fn evaluated_figures(runs: &[(&str, &[Evaluated])]) -> Vec<Figure> {
    let mut metrics: Vec<&str> = Vec::new();
    for it in runs.iter().flat_map(|(_, all)| *all) {
        if !metrics.contains(&it.metric.as_str()) {
            metrics.push(&it.metric);
        }
    }
    let figure = |metric: &str| {
        let of = |all: &[Evaluated]| -> Vec<Line> {
            let lines = all.iter().filter(|it| it.metric == metric);
            lines.map(|it| it.line.clone()).collect()
        };
        let lines = match runs {
            [(_, only)] => of(only),
            _ => (runs.iter())
                .filter_map(|(name, all)| {
                    let line = of(all).into_iter().next()?;
                    Some(Line {
                        name: format!("{name}, {}", line.name),
                        ..line
                    })
                })
                .collect(),
        };
        Figure {
            title: format!("Held-out {}", title(metric)),
            caption: "Mean over tasks, with its 95% bootstrap interval.".to_owned(),
            chart: Chart::Lines(Panel {
                title: String::new(),
                x: "steps".to_owned(),
                y: "percent".to_owned(),
                lines,
            }),
        }
    };
    metrics.into_iter().map(figure).collect()
}

/// The pictures of what is there. Of one run a picture's metrics share their axes; of several
/// each metric has a picture, with a line a run.
pub(super) fn figures(runs: &[(&str, &[Line])], sketches: &[Sketch]) -> Vec<Figure> {
    let find = |lines: &[Line], metric: &str| {
        lines
            .iter()
            .find(|line| line.name == metric && !line.points.is_empty())
            .cloned()
    };
    let figure = |sketch: &Sketch, title: String, lines: Vec<Line>| {
        (!lines.is_empty()).then(|| Figure {
            title,
            caption: sketch.caption.to_owned(),
            chart: Chart::Lines(Panel {
                title: String::new(),
                x: "steps".to_owned(),
                y: sketch.y.to_owned(),
                lines,
            }),
        })
    };
    let mut all = Vec::new();
    for sketch in sketches {
        match runs {
            [(_, only)] => {
                let lines = sketch
                    .metrics
                    .iter()
                    .filter_map(|metric| find(only, metric));
                all.extend(figure(sketch, sketch.title.to_owned(), lines.collect()));
            }
            _ => {
                for metric in sketch.metrics {
                    let lines = runs.iter().filter_map(|(name, lines)| {
                        let name = (*name).to_owned();
                        Some(Line {
                            name,
                            ..find(lines, metric)?
                        })
                    });
                    let title = match sketch.metrics {
                        [_] => sketch.title.to_owned(),
                        _ => format!("{}: {metric}", sketch.title),
                    };
                    all.extend(figure(sketch, title, lines.collect()));
                }
            }
        }
    }
    all
}

/// As many neighbours each, and their means.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let size = points.len().div_ceil(POINTS).max(1);
    let mean = |chunk: &[(f64, f64)]| {
        let count = chunk.len() as f64;
        let sum = |of: fn(&(f64, f64)) -> f64| chunk.iter().map(of).sum::<f64>();
        (sum(|point| point.0) / count, sum(|point| point.1) / count)
    };
    points.chunks(size).map(mean).collect()
}

/// How many neighbours a point of so many is the mean of.
pub(super) fn neighbours(points: usize) -> usize {
    points.div_ceil(POINTS).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_points_are_drawn_as_they_are_and_many_as_means() {
        let points: Vec<_> = (0..300).map(|i| (f64::from(i), f64::from(i % 2))).collect();
        assert_eq!(thinned(&points[..3]), points[..3]);
        let thin = thinned(&points);
        assert_eq!((thin.len(), thin[1]), (150, (2.5, 0.5)));
        assert_eq!(neighbours(300), 2);
        assert_eq!(thinned(&[]), []);
    }
}
