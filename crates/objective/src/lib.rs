//! What to push on, and how hard: advantages from rewards, losses from log-probabilities.
//! Pure functions over slices; sums are taken in f64. Nothing here knows a model, a
//! tokenizer, a tensor or an environment.
//!
//! A loss comes with its derivative with respect to each log-probability, its coefficient.
//! The objectives of one step add up in a [`Stream`], which is what a model's backward pass
//! takes.

mod advantage;
mod anneal;
mod check;
mod component;
mod config;
mod distillation;
mod hint;
mod importance;
mod kl;
mod likelihood;
mod mu;
mod recipe;
mod stream;
mod surrogate;
mod trace;

pub use advantage::{
    Estimator, Outcome, advantages, has_signal, off_policy_advantage, overlong_penalty,
};
pub use anneal::{Anneal, Shape};
pub use check::ConfigError;
pub use component::{Component, Target, TargetCounts, TraceToken, component_weights};
pub use config::{
    Advantage, Aggregate, Algorithm, AnnealBy, Answer, AnswerAs, Beyond, Calls, Chord, Config,
    Distillation, Hint, Importance, Kl, Luffy, Normalise, Overlong, RatioOld, Reasoning, Resample,
    Sft,
};
pub use distillation::distillation_advantages;
pub use hint::hint_chunks;
pub use importance::{Correction, Level, importance_weights};
pub use kl::{KlEstimator, kl_penalty};
pub use likelihood::{Likelihood, TokenWeight, reweighted_nll, weighted_nll};
pub use mu::Mu;
pub use recipe::{Context, HintOdds, Imitation, Push, Recipe, RolloutCounts};
pub use stream::Stream;
pub use surrogate::{Clip, PolicyLoss, Surrogate, policy_loss};
pub use trace::{TraceLift, is_anchored, trace_lift};

#[cfg(test)]
mod differences;
