//! Where a run's time and memory went, and what sharing saved.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::grid::Grid;
use crate::plot::Line;
use crate::plot::stacked::Stacked;
use crate::summary::number;

use super::block::{Block, Chart, Figure};
use super::series::{Sketch, figures};
use super::tally::Tally;

/// Bars of the picture of time.
const BARS: usize = 30;
/// What the main thread does, one at a time.
const PHASES: [&str; 4] = ["rollout", "learn", "evaluation", "checkpoint"];
const SECONDS: &str = "seconds-";
const GIB: f64 = (1_u64 << 30) as f64;
const RATES: &str = "tokens-per-second-";

const SKETCHES: [Sketch; 2] = [
    Sketch {
        title: "Tokens shared",
        y: "share of tokens",
        caption: "What the token tree saved: tokens that were computed once for many sequences.",
        metrics: &["tokens-shared"],
    },
    Sketch {
        title: "Memory",
        y: "GiB",
        caption: "The most that the process held so far.",
        metrics: &["memory-peak"],
    },
];

/// Where time and memory went.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Cost {
    pub(super) phases: Vec<Phase>,
    /// What is known of speed and memory, with its unit.
    pub(super) totals: Vec<Total>,
    pub(super) figures: Vec<Figure>,
}

/// What a run spends time on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Phase {
    pub(super) name: String,
    pub(super) seconds: f64,
    /// Of all that is measured.
    pub(super) share: f64,
}

/// A number of the whole run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Total {
    pub(super) name: String,
    pub(super) value: f64,
    pub(super) unit: &'static str,
}

impl Cost {
    pub(super) fn of(metrics: &[Map<String, Value>], lines: &[Line], tally: &Tally) -> Self {
        let sum = |name: &str| -> f64 { metrics.iter().filter_map(|step| get(step, name)).sum() };
        let seconds = |name: &str| sum(&format!("{SECONDS}{name}"));
        let names = PHASES.into_iter().filter(|name| seconds(name) > 0.0);
        let names: Vec<&str> = names.collect();
        let all: f64 = names.iter().map(|name| seconds(name)).sum();
        let phase = |name: &&str| Phase {
            name: (*name).to_owned(),
            seconds: seconds(name),
            share: if all > 0.0 { seconds(name) / all } else { 0.0 },
        };
        let phases: Vec<Phase> = names.iter().map(phase).collect();

        let mut pictures = Vec::new();
        if !phases.is_empty() {
            pictures.push(time(metrics, &names));
        }
        let rates: Vec<Line> = (lines.iter())
            .filter_map(|line| {
                let name = line.name.strip_prefix(RATES)?.to_owned();
                Some(Line {
                    name,
                    ..line.clone()
                })
            })
            .collect();
        if !rates.is_empty() {
            pictures.push(Figure {
                title: "Speed".to_owned(),
                caption: "Tokens a second, by phase.".to_owned(),
                chart: Chart::Lines(crate::Panel {
                    title: String::new(),
                    x: "steps".to_owned(),
                    y: "tokens/s".to_owned(),
                    lines: rates,
                }),
            });
        }
        let lines: Vec<Line> = lines.iter().map(in_gib).collect();
        pictures.extend(figures(&[("", &lines)], &SKETCHES));
        Self {
            totals: totals(metrics, &sum, tally),
            phases,
            figures: pictures,
        }
    }

    pub(super) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        if self.phases.is_empty() {
            blocks.push(Block::Note("No step says how long it took.".into()));
        } else {
            let mut grid = Grid::default()
                .words(&["phase"])
                .numbers(&["seconds", "share"]);
            grid.rows = (self.phases.iter())
                .map(|it| {
                    let share = format!("{:.1}%", 100.0 * it.share);
                    vec![it.name.clone(), format!("{:.1}", it.seconds), share]
                })
                .collect();
            blocks.push(Block::Table("Time by phase, all steps together", grid));
        }
        if !self.totals.is_empty() {
            let grid = Grid::default().words(&["what"]).numbers(&["number"]);
            let mut grid = grid.words(&["unit"]);
            grid.rows = (self.totals.iter())
                .map(|it| vec![it.name.clone(), rounded(it.value), it.unit.to_owned()])
                .collect();
            blocks.push(Block::Table("Tokens, speed and memory", grid));
        }
        if !self.figures.is_empty() {
            blocks.push(Block::Figures(self.figures.clone()));
        }
        blocks
    }
}

/// Without decimals where there are digits enough before them.
fn rounded(value: f64) -> String {
    match value {
        ..100.0 => number(value),
        _ => format!("{value:.0}"),
    }
}

/// `memory-peak` is in bytes.
fn in_gib(line: &Line) -> Line {
    let mut line = line.clone();
    if line.name == "memory-peak" {
        line.points.iter_mut().for_each(|(_, bytes)| *bytes /= GIB);
    }
    line
}

fn get(step: &Map<String, Value>, name: &str) -> Option<f64> {
    step.get(name)?.as_f64()
}

/// The phases of each step; of many steps, their means over neighbours.
fn time(metrics: &[Map<String, Value>], names: &[&str]) -> Figure {
    let size = metrics.len().div_ceil(BARS).max(1);
    let bars = metrics.chunks(size).map(|chunk| {
        let mean = |name: &&str| {
            let seconds = chunk
                .iter()
                .filter_map(|step| get(step, &format!("{SECONDS}{name}")));
            seconds.sum::<f64>() / chunk.len() as f64
        };
        let step = get(&chunk[0], "step").unwrap_or_default();
        (step, names.iter().map(mean).collect())
    });
    let each = match size {
        1 => "A bar a step.".to_owned(),
        size => format!("A bar is the mean of {size} steps, and stands at the first."),
    };
    Figure {
        title: "Seconds of a step".to_owned(),
        caption: each,
        chart: Chart::Stacked(Stacked {
            x: "steps".to_owned(),
            y: "seconds".to_owned(),
            parts: names.iter().map(|name| (*name).to_owned()).collect(),
            bars: bars.collect(),
        }),
    }
}

fn totals(metrics: &[Map<String, Value>], sum: &dyn Fn(&str) -> f64, tally: &Tally) -> Vec<Total> {
    let mut totals = Vec::new();
    let mut add = |name: &str, value: f64, unit: &'static str| {
        if value > 0.0 && value.is_finite() {
            let name = name.to_owned();
            totals.push(Total { name, value, unit });
        }
    };
    let sampled = tally.sampled_tokens as f64;
    let tree = sum("tree-tokens");
    add("sampled in training rollouts", sampled, "tokens");
    add(
        "that carried loss",
        sum("sampled-tokens") + sum("target-tokens"),
        "tokens",
    );
    add("that the model computed in training", tree, "tokens");
    // A step's share is 1 less computed over unshared.
    let unshared = metrics.iter().filter_map(|step| {
        let (tree, shared) = (get(step, "tree-tokens")?, get(step, "tokens-shared")?);
        (shared < 1.0).then(|| tree / (1.0 - shared))
    });
    add(
        "that the token tree saved",
        unshared.sum::<f64>() - tree,
        "tokens",
    );
    add(
        "sampled a second of rollout",
        sampled / sum("seconds-rollout"),
        "tokens/s",
    );
    add(
        "computed a second of learning",
        tree / sum("seconds-learn"),
        "tokens/s",
    );
    let peak = metrics.iter().filter_map(|step| get(step, "memory-peak"));
    add("memory, at most", peak.fold(0.0, f64::max) / GIB, "GiB");
    totals
}

/// Whether a metric is drawn here.
pub(super) fn is_drawn(name: &str) -> bool {
    let phase = name.strip_prefix(SECONDS);
    phase.is_some_and(|phase| PHASES.contains(&phase))
        || name.starts_with(RATES)
        || SKETCHES.iter().any(|sketch| sketch.metrics.contains(&name))
}
