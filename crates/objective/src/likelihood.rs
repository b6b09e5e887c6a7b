//! The likelihood of what an expert wrote.

/// A likelihood's loss and derivative over some tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Likelihood {
    /// Weighted sum over the tokens.
    pub loss: f64,
    /// d loss / d log-probability, `[tokens]`.
    pub coefficients: Vec<f32>,
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
    }
}
