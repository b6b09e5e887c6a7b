//! How far the policy has gone from a reference.

use serde::{Deserialize, Serialize};

use crate::Likelihood;
use crate::surrogate::{cut_log_ratio, is_cut};

/// An estimate of KL(policy || reference) from one sampled token, with d = log-probability
/// less reference. Schulman 2020, <http://joschu.net/blog/kl-approx.html>.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KlEstimator {
    /// d: unbiased, of either sign; as a loss its gradient is 0 in the mean.
    K1,
    /// d^2 / 2: biased, never negative, and with the KL's own gradient on samples of the policy.
    K2,
    /// e^-d - 1 + d: unbiased and never negative; GRPO's.
    #[default]
    K3,
}

/// The KL to a reference, summed over the sampled tokens, as a penalty to minimise. Both
/// slices are `[tokens]`. The caller multiplies by beta, and divides as it does its surrogate.
///
/// A d beyond ±20 is cut and gives no gradient.
pub fn kl_penalty(estimator: KlEstimator, logprobs: &[f32], reference: &[f32]) -> Likelihood {
    assert!(
        logprobs.len() == reference.len(),
        "every token has one log-probability and one of the reference"
    );
    let mut penalty = Likelihood {
        loss: 0.0,
        coefficients: Vec::with_capacity(logprobs.len()),
    };
    for (&logprob, &reference) in logprobs.iter().zip(reference) {
        let (loss, coefficient) = token(estimator, f64::from(logprob) - f64::from(reference));
        penalty.loss += loss;
        penalty.coefficients.push(coefficient as f32);
    }
    penalty
}

/// Loss and coefficient.
fn token(estimator: KlEstimator, log_ratio: f64) -> (f64, f64) {
    let d = cut_log_ratio(log_ratio);
    let (loss, slope) = match estimator {
        KlEstimator::K1 => (d, 1.0),
        KlEstimator::K2 => (0.5 * d * d, d),
        // e^-d - 1, exact also where the policy has hardly moved.
        KlEstimator::K3 => ((-d).exp_m1() + d, -(-d).exp_m1()),
    };
    (loss, if is_cut(log_ratio) { 0.0 } else { slope })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differences::central_difference;
    use proptest::prelude::*;

    const ALL: [KlEstimator; 3] = [KlEstimator::K1, KlEstimator::K2, KlEstimator::K3];

    #[test]
    fn each_estimator_gives_the_hand_made_numbers() {
        let check = |estimator, loss: f64, coefficient: f32| {
            // The policy finds the token twice as likely as the reference does.
            let (logprob, reference) = (0.5f32.ln(), 0.25f32.ln());
            let found = kl_penalty(estimator, &[logprob], &[reference]);
            assert!((found.loss - loss).abs() < 1e-6, "{found:?}");
            assert!(
                (found.coefficients[0] - coefficient).abs() < 1e-6,
                "{found:?}"
            );
        };
        let d = 2f64.ln();
        check(KlEstimator::K1, d, 1.0);
        check(KlEstimator::K2, d * d / 2.0, d as f32);
        check(KlEstimator::K3, 0.5 - 1.0 + d, 0.5);
    }

    #[test]
    fn a_policy_that_is_its_reference_has_no_penalty() {
        for estimator in ALL {
            assert_eq!(kl_penalty(estimator, &[-1.5, 0.0], &[-1.5, 0.0]).loss, 0.0);
        }
    }

    #[test]
    fn a_log_ratio_beyond_all_bounds_stays_finite_and_gives_no_gradient() {
        let check = |estimator, loss: f64| {
            let found = kl_penalty(estimator, &[-80.0], &[0.0]);
            assert!((found.loss - loss).abs() < 1e-6, "{found:?}");
            assert_eq!(found.coefficients, [0.0]);
        };
        check(KlEstimator::K1, -20.0);
        check(KlEstimator::K2, 200.0);
        check(KlEstimator::K3, 20f64.exp() - 21.0);
    }

    proptest! {
        #[test]
        fn the_coefficient_is_the_slope_of_the_penalty(d in -3.0..3.0f64) {
            for estimator in ALL {
                let slope = central_difference(|d| token(estimator, d).0, d);
                prop_assert!((token(estimator, d).1 - slope).abs() < 1e-6);
            }
        }

        #[test]
        fn k2_and_k3_are_never_negative(d in -30.0..30.0f64) {
            prop_assert!(token(KlEstimator::K2, d).0 >= 0.0);
            prop_assert!(token(KlEstimator::K3, d).0 >= 0.0);
        }

        #[test]
        fn k1_and_k3_have_the_kl_as_their_mean(policy in 0.01..0.99f64, reference in 0.01..0.99f64) {
            // Two tokens, each weighed by how often the policy samples it.
            let tokens = [(policy, reference), (1.0 - policy, 1.0 - reference)];
            let kl: f64 = tokens.iter().map(|(p, q)| p * (p / q).ln()).sum();
            for estimator in [KlEstimator::K1, KlEstimator::K3] {
                let estimate = |(p, q): &(f64, f64)| p * token(estimator, (p / q).ln()).0;
                let mean: f64 = tokens.iter().map(estimate).sum();
                prop_assert!((mean - kl).abs() < 1e-9);
            }
        }
    }
}
