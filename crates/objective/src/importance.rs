//! Weights for rollouts whose sampler is not quite the policy that trains: another engine's
//! arithmetic, or weights from before.

use serde::{Deserialize, Serialize};

use crate::surrogate::cut_log_ratio;

/// What happens to a weight outside its bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Correction {
    /// Every weight is 1: the sampler is taken for the policy.
    #[default]
    None,
    /// It is moved to the bound: truncated importance sampling (TIS).
    Truncate,
    /// It becomes 0: masked importance sampling (MIS, IcePop),
    /// <https://arxiv.org/abs/2510.18855>.
    Mask,
}

/// What a weight is the ratio of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Each token's probabilities.
    #[default]
    Token,
    /// Those of all sampled tokens of the rollout together, whose product it is.
    Sequence,
}

/// The weight of each sampled token of one rollout, pi_trainer / pi_sampler, both of before
/// the update. Every slice is `[tokens]`. The weights are numbers, not functions of the policy:
/// the caller multiplies the advantages with them.
///
/// `low` and `high` bound the weight; truncation from above alone has `low` 0. Log-ratios are
/// cut at ±20.
pub fn importance_weights(
    trainer: &[f32],
    sampler: &[f32],
    correction: Correction,
    level: Level,
    low: f64,
    high: f64,
) -> Vec<f32> {
    assert!(
        trainer.len() == sampler.len(),
        "every token has one log-probability of the trainer and one of the sampler"
    );
    let log_ratios = trainer
        .iter()
        .zip(sampler)
        .map(|(&t, &s)| f64::from(t) - f64::from(s));
    let bounded = |log_ratio: f64| {
        let weight = cut_log_ratio(log_ratio).exp();
        let weight = match correction {
            Correction::None => 1.0,
            Correction::Truncate => weight.clamp(low, high),
            Correction::Mask if weight < low || weight > high => 0.0,
            Correction::Mask => weight,
        };
        weight as f32
    };
    match level {
        Level::Token => log_ratios.map(bounded).collect(),
        Level::Sequence => vec![bounded(log_ratios.sum()); trainer.len()],
    }
}
