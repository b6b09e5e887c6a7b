//! What to push on, and how hard: advantages from rewards, losses from log-probabilities.
//! Pure functions over slices; sums are taken in f64. Nothing here knows a model, a
//! tokenizer, a tensor or an environment.
//!
//! A loss comes with its derivative with respect to each log-probability, its coefficient.
//! The objectives of one step add up in a [`Stream`], which is what a model's backward pass
//! takes.
//!
//! Two rollouts of one prompt, of which the first was right, and what GRPO makes of them:
//!
//! ```
//! use objective::{Clip, Estimator, Outcome, PolicyLoss, Stream, advantages, policy_loss};
//!
//! let group = [1.0, 0.0].map(|reward| Outcome {
//!     reward,
//!     turn_tokens: vec![2],
//!     ..Outcome::default()
//! });
//! let advantages = advantages(&[group.into()], Estimator::Group { normalise: true });
//! let ppo = PolicyLoss::Clipped {
//!     clip: Clip { low: 0.2, high: 0.2 },
//!     dual: None,
//! };
//!
//! // The sampler's log-probabilities are still the policy's own: every ratio is 1.
//! let (right, wrong) = ([-0.5, -1.0], [-0.5, -2.0]);
//! let mut stream = Stream::new(4);
//! for (places, logprobs, advantages) in [
//!     ([0, 1], right, &advantages[0][0]),
//!     ([2, 3], wrong, &advantages[0][1]),
//! ] {
//!     let surrogate = policy_loss(ppo, &logprobs, &logprobs, advantages);
//!     stream.add(&places, surrogate.loss, &surrogate.coefficients, 1.0 / 4.0);
//! }
//!
//! // The loss falls as the right tokens become likelier, and the wrong ones less so.
//! let [a, _, _, d] = stream.coefficients()[..] else { panic!("four tokens") };
//! assert!(a < 0.0 && d > 0.0);
//! ```

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
