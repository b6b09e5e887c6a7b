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
