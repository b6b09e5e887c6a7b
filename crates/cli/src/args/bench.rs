//! What can be typed after `pact bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::StoredAs;
use crate::config::Preset;

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Training steps: forward, loss of every token, backward, AdamW
    Train(BenchTrain),
    /// Decoding: many sequences sampled together, from prompts of their own or shared ones
    Decode(BenchDecode),
    /// An update on a token tree against the same update on its sequences one by one
    Tree(BenchTree),
    /// Whole steps of a run: rollouts with tools, rewards, update
    Rollout(BenchRollout),
    /// How speed and memory change with threads, batch, context and model: a table and a plot
    Scale(BenchScale),
    /// No speed: how far every operation of a pass is from the same in f64, and whole passes from
    /// each other
    Operations(BenchOperations),
    /// No speed: the loss of every step of a training on given tokens, to hold it to another
    /// program's
    Losses(BenchLosses),
}

#[derive(Debug, Args)]
#[command(after_long_help = "\
Every step is AdamW's (betas 0.9 and 0.999, no decay, the gradient's norm clipped at 1) on all
sequences, and its loss the mean over all tokens but each sequence's first.

Examples:
  pact bench losses --model model --tokens tokens.json --steps 3
  pact bench losses --model model --tokens tokens.json --steps 1 --weights bf16 --json")]
pub(crate) struct BenchLosses {
    /// A model folder to begin with; it needs no tokenizer
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// Sequences of token ids: a JSON list of lists
    #[arg(long, value_name = "FILE")]
    pub(crate) tokens: PathBuf,
    /// Steps, each on all sequences
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = positive)]
    pub(crate) steps: usize,
    /// Learning rate of AdamW
    #[arg(long, value_name = "RATE", default_value_t = 1e-4)]
    pub(crate) learning_rate: f32,
    /// What passes read the weights in
    #[arg(long, default_value = "f32")]
    pub(crate) weights: StoredAs,
    /// Threads; 0 is as many as the machine runs at once
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) threads: usize,
    /// What computes: `cpu`, or a graphics card, `cuda` or `cuda:N`
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub(crate) device: model::Place,
    /// Print losses, norms of gradients, and the first log-probability of every token as one JSON
    /// object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pact bench operations
  pact bench operations --json")]
pub(crate) struct BenchOperations {
    /// What computes: `cpu`, or a graphics card, `cuda` or `cuda:N`
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub(crate) device: model::Place,
    /// Print the outcome as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Whose speed is measured, and how.
#[derive(Debug, Args)]
pub(crate) struct BenchSubject {
    /// A Hugging Face `config.json` whose model, with random weights, is measured
    #[arg(long, value_name = "FILE", conflicts_with_all = ["preset", "vocabulary"])]
    pub(crate) config: Option<PathBuf>,
    /// A size instead
    #[arg(long, default_value = "small")]
    pub(crate) preset: Preset,
    /// Tokens of a preset's vocabulary
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = positive)]
    pub(crate) vocabulary: usize,
    /// What passes read the weights in
    #[arg(long, default_value = "f32")]
    pub(crate) weights: StoredAs,
    /// Rank of a LoRA adapter that is trained instead of the weights; 0 is none
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) lora_rank: usize,
    /// Threads; 0 is as many as the machine runs at once
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) threads: usize,
    /// What computes: `cpu`, or a graphics card, `cuda` or `cuda:N`
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub(crate) device: model::Place,
    /// Times that it is measured, after one that does not count
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = positive)]
    pub(crate) repetitions: usize,
    /// Where weights and tokens come from
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Print the outcome as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Measure also which phase takes which share of the threads' time
    #[arg(long)]
    pub(crate) profile: bool,
}

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pact bench train --preset tiny --batch 2 --tokens 64 --repetitions 2
  pact bench train --preset tiny --batch 1 --tokens 32 --threads 1 --repetitions 1 --json")]
pub(crate) struct BenchTrain {
    #[command(flatten)]
    pub(crate) subject: BenchSubject,
    /// Sequences of a step
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = positive)]
    pub(crate) batch: usize,
    /// Tokens of each sequence
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = two_or_more)]
    pub(crate) tokens: usize,
    /// Keep only each layer's input for the backward pass
    #[arg(long)]
    pub(crate) checkpointing: bool,
}

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pact bench decode --preset tiny --batch 4 --prompt 16 --new 8 --repetitions 2
  pact bench decode --preset tiny --groups 2 --group-size 4 --prompt 32 --new 4 --repetitions 1")]
pub(crate) struct BenchDecode {
    #[command(flatten)]
    pub(crate) subject: BenchSubject,
    /// Sequences, each with a prompt of its own
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = positive,
        conflicts_with = "groups")]
    pub(crate) batch: usize,
    /// Groups of sequences instead, each with one prompt
    #[arg(long, value_name = "N", requires = "group_size", value_parser = positive)]
    pub(crate) groups: Option<usize>,
    /// Sequences of a group
    #[arg(long, value_name = "N", requires = "groups", value_parser = positive)]
    pub(crate) group_size: Option<usize>,
    /// Tokens of a prompt
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = two_or_more)]
    pub(crate) prompt: usize,
    /// Tokens that each sequence samples
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = positive)]
    pub(crate) new: usize,
}

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pact bench tree --preset tiny --context 64 --rollouts 4 --rollout-tokens 16 --repetitions 2")]
pub(crate) struct BenchTree {
    #[command(flatten)]
    pub(crate) subject: BenchSubject,
    /// Tokens that all rollouts follow: the prompt and the expert's trace
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = positive)]
    pub(crate) context: usize,
    /// Rollouts of the group
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = positive)]
    pub(crate) rollouts: usize,
    /// Tokens of a rollout, all of them the policy's
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = positive)]
    pub(crate) rollout_tokens: usize,
    /// Keep only each layer's input for the backward pass
    #[arg(long)]
    pub(crate) checkpointing: bool,
}

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pact bench rollout --repetitions 1 --set rollout.max-turn-tokens=8
  pact bench rollout --model model --repetitions 1 --set rollout.group-size=4 --json
  pact bench rollout runs/quickstart.toml --repetitions 1 --set train.prompts-per-step=2")]
pub(crate) struct BenchRollout {
    /// A run's config, TOML, whose first steps are measured [default: GRPO on 4 tasks of the tool
    /// world, 8 episodes each of a turn of 64 tokens or more, by a fresh tiny model]
    pub(crate) config: Option<PathBuf>,
    /// Change one key of the config
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// A model folder to begin with
    #[arg(long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
    /// Threads; 0 is as many as the machine runs at once [default: the config's]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Steps that are measured, after one that does not count
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = positive)]
    pub(crate) repetitions: usize,
    /// Print the outcome as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pact bench scale --preset tiny --budget 1 --out scale")]
pub(crate) struct BenchScale {
    /// The model of all curves but that of models
    #[arg(long, default_value = "small")]
    pub(crate) preset: Preset,
    /// Tokens of every model's vocabulary
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = positive)]
    pub(crate) vocabulary: usize,
    /// The most threads; 0 is as many as the machine runs at once
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) threads: usize,
    /// Seconds that all measurements together may take; the cheapest are made first
    #[arg(long, value_name = "SECONDS", default_value_t = 600.0, value_parser = seconds)]
    pub(crate) budget: f64,
    /// Write scale.json, scale.md and scale.svg into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Print the outcome as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| *number > 0.0);
    number.ok_or_else(|| "expected a number of seconds above 0".to_owned())
}

pub(super) fn positive(text: &str) -> Result<usize, String> {
    from(1, text)
}

fn two_or_more(text: &str) -> Result<usize, String> {
    from(2, text)
}

fn from(least: usize, text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number >= least);
    number.ok_or_else(|| format!("expected a whole number from {least} up"))
}
