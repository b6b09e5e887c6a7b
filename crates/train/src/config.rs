//! What can be chosen about training itself, and all choices of a run together.

use serde::{Deserialize, Serialize};

/// How long to train, and on how much at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Training steps of the whole run; annealing and the learning rate's schedule span them.
    pub steps: u64,
    /// Tasks drawn for each step.
    pub prompts_per_step: usize,
    /// Updates into which a step's prompts are cut. Each is divided by its own token count.
    pub mini_batches: usize,
    /// Times that each step's prompts are gone through. More than one update on a batch costs
    /// a scoring pass, which fixes the old log-probabilities.
    pub inner_epochs: usize,
    /// With `algorithm = "sft"`: share of examples in which the trace, once worked, is
    /// followed by the request to solve the task again and by the trace once more, so that
    /// the model learns to use a trace in its context. 0 to 1.
    pub worked_examples: f64,
    /// The user's turn between an expert trace in the context and the rollout scored under it.
    pub again: String,
    /// Keep only each layer's input for the backward pass: a third more arithmetic for about
    /// a tenth of the memory.
    pub activation_checkpointing: bool,
    /// Steps between evaluations; 0 evaluates before and after training only.
    pub evaluate_every: u64,
    /// Steps between checkpoints; 0 writes one at the end only.
    pub checkpoint_every: u64,
    /// Checkpoints that are kept, the newest first; 0 keeps all.
    pub keep_checkpoints: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            steps: 100,
            prompts_per_step: 32,
            mini_batches: 1,
            inner_epochs: 1,
            worked_examples: 0.0,
            again: "That was a worked example. Now solve the task again from the start.".into(),
            activation_checkpointing: false,
            evaluate_every: 0,
            checkpoint_every: 50,
            keep_checkpoints: 2,
        }
    }
}

/// Everything that a training run is made of but its model and its data.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where all randomness comes from.
    pub seed: episode::Seed,
    /// How long, and on how much at a time.
    pub train: Config,
    /// How episodes are rolled out.
    pub rollout: rollout::Config,
    /// What to push on.
    pub objective: objective::Config,
    /// How weights move.
    pub optimizer: model::OptimizerConfig,
    /// How the learning rate changes over the run.
    pub schedule: model::Schedule,
    /// The most bytes that a rollout's key-value cache may take; `None` takes what it needs.
    pub cache_bytes: Option<usize>,
}
