//! What training made of an episode: beside the episode in a line of `episodes.jsonl`.

use serde::{Deserialize, Serialize};

/// Who got the credit, and where.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Credit {
    /// Whether it was scored under the prompt alone, where it might have been scored under the
    /// trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anchored: Option<bool>,
    /// The advantage of each of the policy's turns, in order; empty where the episode was left
    /// out of the loss.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub advantages: Vec<f32>,
    /// Log-probability of each token that the policy sampled under the trace, in the order in which
    /// they were sampled; empty where it was not scored there. Less the log-probability when sampled, it
    /// is the token's trace lift.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub under_trace: Vec<f32>,
}
