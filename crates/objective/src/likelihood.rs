//! The likelihood of what an expert wrote.

use serde::{Deserialize, Serialize};

/// A likelihood's loss and derivative over some tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Likelihood {
    /// Weighted sum over the tokens.
    pub loss: f64,
    /// d loss / d log-probability, `[tokens]`.
    pub coefficients: Vec<f32>,
}

/// What a target token weighs by its own probability p, which is taken as a number and not
/// differentiated. Zhang et al. 2025 (CHORD), <https://arxiv.org/abs/2508.11408>.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenWeight {
    /// 1.
    #[default]
    None,
    /// p: what the policy finds unlikely pulls less (SFT-IS).
    Probability,
    /// phi = p (1 - p): what the policy is sure of pulls less as well (CHORD-phi).
    Phi,
}

impl TokenWeight {
    fn of(self, logprob: f32) -> f64 {
        let logprob = f64::from(logprob);
        match self {
            Self::None => 1.0,
            Self::Probability => logprob.exp(),
            // 1 - p, exact also where p is almost 1.
            Self::Phi => logprob.exp() * -logprob.exp_m1(),
        }
    }
}

/// [`weighted_nll`] with each weight multiplied by what the token's own probability makes of
/// it. Both slices are `[tokens]`; the weights carry every normalisation.
pub fn reweighted_nll(logprobs: &[f32], weights: &[f32], by: TokenWeight) -> Likelihood {
    assert!(
        logprobs.len() == weights.len(),
        "every token has one log-probability and one weight"
    );
    let by_probability =
        |(&logprob, &weight): (&f32, &f32)| (f64::from(weight) * by.of(logprob)) as f32;
    let weights: Vec<f32> = logprobs.iter().zip(weights).map(by_probability).collect();
    weighted_nll(logprobs, &weights)
}

/// Negative log-likelihood, `-sum_t w_t log p_t`. Both slices are `[tokens]`.
///
/// Every normalisation lies in the weights (see [`component_weights`](crate::component_weights));
/// the caller divides no more. A token of weight 0 has no loss, whatever its log-probability.
pub fn weighted_nll(logprobs: &[f32], weights: &[f32]) -> Likelihood {
    assert!(
        logprobs.len() == weights.len(),
        "every token has one log-probability and one weight"
    );
    let targets = logprobs.iter().zip(weights).filter(|(_, w)| **w != 0.0);
    Likelihood {
        loss: targets
            .map(|(&logprob, &weight)| -f64::from(weight) * f64::from(logprob))
            .sum::<f64>(),
        coefficients: weights.iter().map(|w| 0.0 - w).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differences::central_difference;
    use proptest::prelude::*;

    #[test]
    fn the_likelihood_is_the_hand_made_number() {
        let found = weighted_nll(&[-1.0, -0.5, -2.0], &[0.5, 0.25, 0.0]);
        assert_eq!(found.loss, 0.625);
        assert_eq!(found.coefficients, [-0.5, -0.25, 0.0]);
    }

    #[test]
    fn a_token_without_weight_has_no_loss_even_if_it_is_impossible() {
        let found = weighted_nll(&[f32::NEG_INFINITY, -1.0], &[0.0, 1.0]);
        assert_eq!(found.loss, 1.0);
    }

    #[test]
    fn a_token_counts_by_its_own_probability() {
        let check = |by, expected: f64| {
            let found = reweighted_nll(&[0.25f32.ln()], &[2.0], by);
            assert!(
                (found.loss - expected * 4f64.ln()).abs() < 1e-6,
                "{by:?}: {found:?}"
            );
            assert!((f64::from(found.coefficients[0]) + expected).abs() < 1e-6);
        };
        check(TokenWeight::None, 2.0);
        check(TokenWeight::Probability, 0.5);
        check(TokenWeight::Phi, 0.375);
    }

    #[test]
    fn phi_ignores_what_is_certain_and_what_is_impossible() {
        let found = reweighted_nll(&[0.0, -200.0], &[1.0, 1.0], TokenWeight::Phi);
        assert_eq!((found.loss, found.coefficients), (0.0, vec![0.0, 0.0]));
    }

    proptest! {
        #[test]
        fn the_coefficient_is_the_slope_of_the_loss(
            tokens in prop::collection::vec((-3.0..0.0f32, 0.0..2.0f32), 1..10),
        ) {
            let (logprobs, weights): (Vec<f32>, Vec<f32>) = tokens.into_iter().unzip();
            let found = weighted_nll(&logprobs, &weights);
            for (t, coefficient) in found.coefficients.iter().enumerate() {
                // The argument is f32, so the step must be large; the loss is linear.
                let loss = |offset: f64| {
                    let mut moved = logprobs.clone();
                    moved[t] += (offset * 1e4) as f32;
                    weighted_nll(&moved, &weights).loss
                };
                let slope = central_difference(loss, 0.0) / 1e4;
                prop_assert!((f64::from(*coefficient) - slope).abs() < 1e-4);
            }
        }

        #[test]
        fn the_probability_beside_the_logarithm_is_a_number(
            logprob in -3.0..0.0f32, weight in 0.0..2.0f32,
        ) {
            for by in [TokenWeight::None, TokenWeight::Probability, TokenWeight::Phi] {
                let found = reweighted_nll(&[logprob], &[weight], by);
                // What the token weighs stands still while its logarithm moves.
                let still = f64::from(weight) * by.of(logprob);
                let slope = central_difference(|l| -still * l, f64::from(logprob));
                prop_assert!((f64::from(found.coefficients[0]) - slope).abs() < 1e-6);
            }
        }

        #[test]
        fn a_token_of_weight_zero_is_as_if_it_were_not_there(
            logprobs in prop::collection::vec(-3.0..0.0f32, 1..10), place in 0usize..10,
        ) {
            let place = place % logprobs.len();
            let mut weights = vec![1.0; logprobs.len()];
            weights[place] = 0.0;
            let mut without = logprobs.clone();
            without.remove(place);
            for by in [TokenWeight::None, TokenWeight::Probability, TokenWeight::Phi] {
                let mut masked = reweighted_nll(&logprobs, &weights, by);
                prop_assert_eq!(masked.coefficients.remove(place), 0.0);
                prop_assert_eq!(masked, reweighted_nll(&without, &vec![1.0; without.len()], by));
            }
        }
    }
}
