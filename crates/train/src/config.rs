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
    /// Warn of a step in which the sampler and the trainer differ by more than this many nats
    /// about a token.
    pub sampler_gap_warning: f64,
    /// Stop a run whose sampler and trainer differ by more than this many nats about a token; 0
    /// never does. At 1, a token is e times as probable to one as to the other, which rounding
    /// does not explain in any precision.
    pub sampler_gap_limit: f64,
    /// Steps in a row that may be skipped for a loss or a gradient that is not finite, before
    /// the run stops; 0 never does.
    pub max_skipped: u64,
    /// Seconds without any progress after which the run says what it waits for; 0 never does.
    pub heartbeat_seconds: f64,
    /// Keep only each layer's input for the backward pass: a third more arithmetic for about
    /// a tenth of the memory.
    pub activation_checkpointing: bool,
    /// Steps between evaluations; 0 evaluates before and after training only.
    pub evaluate_every: u64,
    /// Steps between checkpoints; 0 writes one at the end only.
    pub checkpoint_every: u64,
    /// Checkpoints that are kept, the newest first; 0 keeps all.
    pub keep_checkpoints: usize,
    /// Whether the run's numbers are written as TensorBoard's event files too, in `tensorboard` of
    /// the run's folder.
    pub tensorboard: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            steps: 100,
            prompts_per_step: 32,
            mini_batches: 1,
            inner_epochs: 1,
            worked_examples: 0.0,
            sampler_gap_warning: 0.01,
            sampler_gap_limit: 1.0,
            max_skipped: 5,
            heartbeat_seconds: 60.0,
            activation_checkpointing: false,
            evaluate_every: 0,
            checkpoint_every: 50,
            keep_checkpoints: 2,
            tensorboard: true,
        }
    }
}

/// Where the expert trace stands in the context of rollouts that are scored under it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// After the prompt, as the chat turns that it is, and then the request to solve the task
    /// again: the trace's own log-probabilities come out of the same pass.
    #[default]
    Turns,
    /// As text at the end of the system's message.
    System,
    /// As text at the end of the user's message.
    User,
}

/// What is done with a task that has no finished trace, by an algorithm that uses traces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// The run does not begin.
    #[default]
    Error,
    /// Its rollouts are scored under the prompt alone.
    Anchor,
    /// It is never drawn.
    Drop,
}

/// The expert trace in the context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Trace {
    /// Where it stands: `turns`, `system` or `user`. The last two cost a pass of their own for
    /// the trace as a target.
    pub place: Place,
    /// Whether what its tools returned is shown.
    pub observations: bool,
    /// Whether its reasoning is shown.
    pub reasoning: bool,
    /// The user's turn between a trace in `turns` and the rollout.
    pub again: String,
    /// A Jinja template of the trace as text, for `system` and `user`: it sees `turns` (each
    /// with `reasoning`, `calls` and `results`), `answer_reasoning` and `answer`. Not set: a
    /// plain list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Tokens of a trace beside its prompt; a longer one loses its last turns, in the context
    /// and as a target, and the run warns of it. 0 sets no bound.
    pub max_tokens: usize,
    /// What is done with tasks without a finished trace: `error`, `anchor` or `drop`.
    pub missing: Missing,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            place: Place::Turns,
            observations: true,
            reasoning: true,
            again: "That was a worked example. Now solve the task again from the start.".into(),
            template: None,
            max_tokens: 0,
            missing: Missing::Error,
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
    /// What an episode is worth.
    pub reward: env::reward::Config,
    /// What to push on.
    pub objective: objective::Config,
    /// The expert trace in the context.
    pub trace: Trace,
    /// How weights move.
    pub optimizer: model::OptimizerConfig,
    /// How the learning rate changes over the run.
    pub schedule: model::Schedule,
    /// The most bytes that a rollout's key-value cache may take; `None` takes what it needs.
    pub cache_bytes: Option<usize>,
}

impl Settings {
    /// What a step does.
    pub fn recipe(&self, step: u64) -> objective::Recipe {
        let longest = self.rollout.max_tokens;
        self.objective.recipe(step, self.train.steps, longest)
    }

    /// Whether a task without an expert trace has nothing to give to some step.
    pub fn needs_traces(&self) -> bool {
        self.objective.uses_traces() || self.reward_kind().needs_gold()
    }

    /// The reward that the config names, else the algorithm's own.
    pub fn reward_kind(&self) -> env::reward::RewardKind {
        crate::judge::Judge::of(self).kind
    }
}
