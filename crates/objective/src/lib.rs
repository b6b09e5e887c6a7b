//! What to push on, and how hard: advantages from rewards, losses from log-probabilities.
//! Pure functions over slices; sums are taken in f64. Nothing here knows a model, a
//! tokenizer, a tensor or an environment.
//!
//! A loss comes with its derivative with respect to each log-probability, its coefficient.
//! The objectives of one step add up in a [`Stream`], which is what a model's backward pass
//! takes.

mod advantage;
mod anneal;
mod component;
mod config;
mod likelihood;
mod stream;
mod surrogate;
mod trace;

pub use advantage::group_relative;
pub use anneal::{Anneal, Shape};
pub use component::{Component, Target, TargetCounts, component_weights};
pub use config::{
    Advantage, Algorithm, AnnealBy, AnswerAs, Calls, Config, ConfigError, RatioOld, Reasoning, Sft,
};
pub use likelihood::{Likelihood, weighted_nll};
pub use stream::Stream;
pub use surrogate::{Clip, Surrogate, clipped_surrogate};
pub use trace::{TraceLift, is_anchored, trace_lift};

#[cfg(test)]
mod differences;
