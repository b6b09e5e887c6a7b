//! Who got the credit, and how the traces' part was annealed.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::grid::Grid;
use crate::plot::Line;

use super::block::{Block, Figure};
use super::series::{Sketch, figures};

const SKETCHES: [Sketch; 8] = [
    Sketch {
        title: "Spread of advantages",
        y: "standard deviation",
        caption: "Over all turns of a step; 0 teaches nothing.",
        metrics: &["advantage-spread"],
    },
    Sketch {
        title: "Flat groups",
        y: "share of groups",
        caption: "Groups whose rewards are all equal: their rollouts teach nothing.",
        metrics: &["flat-groups"],
    },
    Sketch {
        title: "Anchoring",
        y: "share of prompts",
        caption: "Prompts whose rollouts were scored under the prompt alone, and how likely that was.",
        metrics: &["anchored", "anchor"],
    },
    Sketch {
        title: "Trace lift",
        y: "nats a token",
        caption: "How much likelier the trace makes rollouts of positive and of negative advantage, \
                  and all (the privilege gap, which shrinks as traces are internalised).",
        metrics: &[
            "trace-lift-positive",
            "trace-lift-negative",
            "privilege-gap",
        ],
    },
    Sketch {
        title: "How well traces are known",
        y: "log-probability, nats",
        caption: "Of the traces' reasoning, calls and answers under the prompt, a token.",
        metrics: &["reasoning-logprob", "calls-logprob", "answer-logprob"],
    },
    Sketch {
        title: "Imitation weight",
        y: "weight",
        caption: "What the traces' likelihood weighs, and how far annealing has come.",
        metrics: &["imitation-weight", "progress"],
    },
    Sketch {
        title: "Reward of traces",
        y: "reward",
        caption: "Where traces are members of their groups.",
        metrics: &["trace-reward"],
    },
    Sketch {
        title: "Hints",
        y: "turns",
        caption: "Turns of the trace that a rollout began with.",
        metrics: &["hint-turns"],
    },
];

/// Who got the credit.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Credit {
    /// How the objective was configured to weigh the trace's parts.
    pub(super) components: BTreeMap<String, String>,
    pub(super) figures: Vec<Figure>,
}

impl Credit {
    pub(super) fn of(config: &toml::Table, lines: &[Line]) -> Self {
        let settings = super::setup::flat(config).into_iter();
        let prefix = "objective.";
        let components = settings.filter_map(|(key, value)| {
            Some((
                key.strip_prefix(prefix)?.to_owned(),
                super::conversation::cut(&value),
            ))
        });
        Self {
            components: components.collect(),
            figures: figures(&[("", lines)], &SKETCHES),
        }
    }

    pub(super) fn blocks(&self) -> Vec<Block> {
        let mut blocks = match self.figures.is_empty() {
            true => vec![Block::Note("No step says who got the credit.".into())],
            false => vec![Block::Figures(self.figures.clone())],
        };
        let mut grid = Grid::default().words(&["objective", "value"]);
        let rows = self.components.iter();
        grid.rows = rows
            .map(|(key, value)| vec![key.clone(), value.clone()])
            .collect();
        if !grid.rows.is_empty() {
            let table = Block::Table("The objective as configured", grid);
            let summary = "Weights, annealing and anchoring as configured";
            blocks.push(Block::Fold(summary.to_owned(), vec![table]));
        }
        blocks
    }
}

/// The metrics that are drawn here.
pub(super) fn drawn() -> impl Iterator<Item = &'static str> {
    SKETCHES
        .iter()
        .flat_map(|sketch| sketch.metrics.iter().copied())
}
