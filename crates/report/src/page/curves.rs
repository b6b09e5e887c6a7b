//! How a run's numbers went over its steps.

use std::collections::BTreeSet;

use crate::grid::Grid;
use crate::plot::Line;
use crate::summary::number;

use super::block::{Block, Figure};
use super::run::RunReport;
use super::series::{Sketch, evaluated_figures, figures, neighbours};

const SKETCHES: [Sketch; 9] = [
    Sketch {
        title: "Training reward",
        y: "reward",
        caption: "Mean of a step's rollouts, with its 95% interval over the step's tasks.",
        metrics: &["reward"],
    },
    Sketch {
        title: "Training Solve metrics",
        y: "share",
        caption: "Means of a step's rollouts: precision, recall and F1 of solved sub-answers.",
        metrics: &["solve-p", "solve-r", "solve-f1"],
    },
    Sketch {
        title: "Loss of the rollouts",
        y: "loss",
        caption: "Near 0 by its making; it says little of how well a run goes.",
        metrics: &["loss-rollouts"],
    },
    Sketch {
        title: "Loss of the traces",
        y: "loss",
        caption: "Negative log-likelihood of the supervised tokens, as weighed.",
        metrics: &["loss-trace"],
    },
    Sketch {
        title: "Entropy",
        y: "nats",
        caption: "Of the rollouts' distributions; a fall to 0 ends exploration.",
        metrics: &["entropy"],
    },
    Sketch {
        title: "Divergence from the reference",
        y: "nats a token",
        caption: "As estimated.",
        metrics: &["kl"],
    },
    Sketch {
        title: "Clipped tokens",
        y: "share of tokens",
        caption: "Rollout tokens that the clip keeps from being pushed further; all, and those \
                  scored under the prompt and under the trace.",
        metrics: &["clipped", "clipped-prompt", "clipped-trace"],
    },
    Sketch {
        title: "Gradient norm",
        y: "norm",
        caption: "Before it is clipped.",
        metrics: &["grad-norm"],
    },
    Sketch {
        title: "Sampler gap",
        y: "nats",
        caption: "Largest distance between a token's log-probability when sampled and when \
                  scored; rounding only, unless the two disagree.",
        metrics: &["sampler-gap"],
    },
];

/// The pictures of all runs, then the numbers that no picture is of.
pub(super) fn blocks(runs: &[RunReport]) -> Vec<Block> {
    let training: Vec<(&str, &[Line])> = (runs.iter())
        .map(|run| (run.name.as_str(), &run.training[..]))
        .collect();
    let evaluated: Vec<_> = (runs.iter())
        .map(|run| (run.name.as_str(), &run.evaluated[..]))
        .collect();
    let mut pictures: Vec<Figure> = evaluated_figures(&evaluated);
    let mut blocks = Vec::new();
    if pictures.is_empty() {
        blocks.push(Block::Note("No evaluation is recorded.".into()));
    }
    pictures.extend(figures(&training, &SKETCHES));
    if training.iter().all(|(_, lines)| lines.is_empty()) {
        blocks.push(Block::Note("No step is recorded.".into()));
    }
    if !pictures.is_empty() {
        blocks.push(Block::Figures(pictures));
    }
    let most = runs
        .iter()
        .map(|run| neighbours(run.steps))
        .max()
        .unwrap_or(1);
    if most > 1 {
        let note = format!("Of long runs each point is the mean of up to {most} steps.");
        blocks.push(Block::Note(note));
    }
    blocks.extend(further(runs));
    blocks
}

/// The metrics without a picture: where they begin and end.
fn further(runs: &[RunReport]) -> Option<Block> {
    let own = SKETCHES
        .iter()
        .flat_map(|sketch| sketch.metrics.iter().copied());
    let drawn = own
        .chain(super::credit::drawn())
        .chain(super::failures::drawn());
    let drawn: BTreeSet<&str> = drawn.collect();
    let mut grid = Grid::default().words(&["run", "metric"]);
    grid = grid.numbers(&["first", "last", "least", "greatest"]);
    for run in runs {
        for line in &run.training {
            let name = line.name.as_str();
            if drawn.contains(name) || super::cost::is_drawn(name) {
                continue;
            }
            let ys = || line.points.iter().map(|(_, y)| *y);
            let (Some(first), Some(last)) = (ys().next(), ys().next_back()) else {
                continue;
            };
            let ends = [
                first,
                last,
                ys().fold(f64::INFINITY, f64::min),
                ys().fold(f64::NEG_INFINITY, f64::max),
            ];
            let ends: Vec<String> = ends.map(number).into();
            grid.rows
                .push([vec![run.name.clone(), name.to_owned()], ends].concat());
        }
    }
    if runs.len() == 1 {
        grid = grid.without("run");
    }
    (!grid.rows.is_empty()).then(|| {
        let table = Block::Table("Further metrics", grid);
        Block::Fold("All further metrics".into(), vec![table])
    })
}
