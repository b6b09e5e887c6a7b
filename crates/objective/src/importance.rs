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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_weight_outside_its_bounds_is_moved_or_masked() {
        let check = |correction, level, low, expected: [f64; 3]| {
            // ratios 4, 1/4 and 3/2, whose product is 3/2
            let trainer = [0.8f32.ln(), 0.1f32.ln(), 0.6f32.ln()];
            let sampler = [0.2f32.ln(), 0.4f32.ln(), 0.4f32.ln()];
            let found = importance_weights(&trainer, &sampler, correction, level, low, 2.0);
            for (f, e) in found.iter().zip(expected) {
                assert!(
                    (f64::from(*f) - e).abs() < 1e-6,
                    "{correction:?} {level:?}: {found:?}"
                );
            }
        };
        check(Correction::None, Level::Token, 0.5, [1.0; 3]);
        check(Correction::Truncate, Level::Token, 0.0, [2.0, 0.25, 1.5]);
        check(Correction::Truncate, Level::Token, 0.5, [2.0, 0.5, 1.5]);
        check(Correction::Mask, Level::Token, 0.5, [0.0, 0.0, 1.5]);
        check(Correction::Mask, Level::Sequence, 0.5, [1.5; 3]);
        check(Correction::Mask, Level::Sequence, 1.6, [0.0; 3]);
    }

    #[test]
    fn a_rollout_without_tokens_has_no_weights() {
        let of = |level| importance_weights(&[], &[], Correction::Mask, level, 0.5, 2.0);
        assert!(of(Level::Token).is_empty() && of(Level::Sequence).is_empty());
    }

    proptest! {
        #[test]
        fn a_sampler_that_is_the_trainer_is_not_corrected(
            logprobs in prop::collection::vec(-90.0..0.0f32, 1..9),
        ) {
            for correction in [Correction::None, Correction::Truncate, Correction::Mask] {
                for level in [Level::Token, Level::Sequence] {
                    let found = importance_weights(&logprobs, &logprobs, correction, level, 0.5, 2.0);
                    prop_assert_eq!(found, vec![1.0; logprobs.len()]);
                }
            }
        }
    }
}
