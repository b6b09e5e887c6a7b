//! Why a training step was skipped: the first line of `skipped/step-NNNNNN.jsonl` of a run
//! folder. The step's episodes follow it, as in `episodes.jsonl`.

use serde::{Deserialize, Serialize};

/// A step whose weights were not moved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Skipped {
    /// Counted from 0.
    pub step: u64,
    /// The ids of its tasks.
    pub tasks: Vec<String>,
    /// What was not finite, of each update that was not made. A step has one, unless its batch
    /// is cut or gone through again.
    pub refused: Vec<Refused>,
}

/// An update that was not made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Refused {
    /// What was not finite: the earliest in the order in which they are computed.
    pub what: NotFinite,
    /// Norm of the gradient; `None` where it is not finite itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grad_norm: Option<f64>,
    /// Whose loss was not finite; empty where every loss was.
    #[serde(default)]
    pub losses: Vec<Culprit>,
}

/// What can be infinite, or no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotFinite {
    /// What the model says of the batch's tokens.
    LogProbabilities,
    /// What the objective makes of it.
    Loss,
    /// What the backward pass makes of the loss.
    Gradient,
}

impl NotFinite {
    /// As the run folder writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::LogProbabilities => "log-probabilities",
            Self::Loss => "loss",
            Self::Gradient => "gradient",
        }
    }
}

/// A part of the loss.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Culprit {
    /// The task's id.
    pub task: String,
    /// Which rollout of it; `None` for its expert trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<usize>,
}
