//! The policy-gradient surrogate.

/// How far the ratio may go from 1 before a token stops being pushed further.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clip {
    /// The ratio stops at `1 - low`.
    pub low: f64,
    /// The ratio stops at `1 + high`.
    pub high: f64,
}

/// A surrogate's loss and derivative over some tokens, in sum form.
#[derive(Clone, Debug, PartialEq)]
pub struct Surrogate {
    /// Sum over the tokens.
    pub loss: f64,
    /// d loss / d log-probability, `[tokens]`.
    pub coefficients: Vec<f32>,
    /// How many tokens the clip keeps from being pushed further.
    pub clipped: usize,
}

/// Log-ratios beyond this are cut, and give no gradient: e^20 is far outside every clip, and
/// a larger ratio with a negative advantage would only overflow.
const LOG_RATIO_LIMIT: f64 = 20.0;

/// PPO's clipped surrogate, summed over the sampled tokens, as a loss to minimise.
/// Schulman et al. 2017, eq. 7, <https://arxiv.org/abs/1707.06347>. Every slice is `[tokens]`.
///
/// `logprobs` are the policy's now, `old` those that the ratio is taken against. A token
/// whose advantage is 0 has no loss and no coefficient. The caller divides once, by the
/// count of sampled tokens in the whole batch.
pub fn clipped_surrogate(
    logprobs: &[f32],
    old: &[f32],
    advantages: &[f32],
    clip: Clip,
) -> Surrogate {
    assert!(
        logprobs.len() == old.len() && logprobs.len() == advantages.len(),
        "every token has one log-probability, one old one and one advantage"
    );
    let mut surrogate = Surrogate {
        loss: 0.0,
        coefficients: Vec::with_capacity(logprobs.len()),
        clipped: 0,
    };
    for ((&logprob, &old), &advantage) in logprobs.iter().zip(old).zip(advantages) {
        let log_ratio = f64::from(logprob) - f64::from(old);
        let token = token(log_ratio, f64::from(advantage), clip);
        surrogate.loss += token.loss;
        surrogate.coefficients.push(token.coefficient as f32);
        surrogate.clipped += usize::from(token.clipped);
    }
    surrogate
}

struct Token {
    loss: f64,
    coefficient: f64,
    clipped: bool,
}

fn token(log_ratio: f64, advantage: f64, clip: Clip) -> Token {
    if advantage == 0.0 {
        return Token {
            loss: 0.0,
            coefficient: 0.0,
            clipped: false,
        };
    }
    let ratio = log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp();
    let bounded = ratio.clamp(1.0 - clip.low, 1.0 + clip.high);
    // Equal products (a ratio inside the clip) keep their gradient.
    let clipped = bounded * advantage < ratio * advantage;
    let cut = log_ratio.abs() > LOG_RATIO_LIMIT;
    Token {
        loss: -(ratio * advantage).min(bounded * advantage),
        coefficient: if clipped || cut {
            0.0
        } else {
            -ratio * advantage
        },
        clipped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differences::central_difference;
    use proptest::prelude::*;

    const CLIP: Clip = Clip {
        low: 0.2,
        high: 0.3,
    };

    #[test]
    fn each_side_of_the_clip_gives_the_hand_made_numbers() {
        // (ratio, advantage) -> (loss, coefficient, clipped)
        let check = |ratio: f64, advantage: f32, loss: f64, coefficient: f32, clipped: usize| {
            let found = clipped_surrogate(&[ratio.ln() as f32], &[0.0], &[advantage], CLIP);
            let case = format!("ratio {ratio}, advantage {advantage}: {found:?}");
            assert!((found.loss - loss).abs() < 1e-6, "{case}");
            assert!((found.coefficients[0] - coefficient).abs() < 1e-6, "{case}");
            assert_eq!(found.clipped, clipped, "{case}");
        };
        check(1.1, 2.0, -2.2, -2.2, 0);
        check(1.5, 2.0, -2.6, 0.0, 1);
        check(0.5, 2.0, -1.0, -1.0, 0);
        check(0.9, -2.0, 1.8, 1.8, 0);
        check(0.5, -2.0, 1.6, 0.0, 1);
        check(1.5, -2.0, 3.0, 3.0, 0);
        check(1.5, 0.0, 0.0, 0.0, 0);
    }

    #[test]
    fn a_ratio_beyond_all_bounds_stays_finite() {
        let found = clipped_surrogate(&[-0.1], &[-200.0], &[-1.0], CLIP);
        assert!((found.loss - 20f64.exp()).abs() < 1.0);
        assert_eq!(found.coefficients, [0.0]);
    }

    #[test]
    #[should_panic(expected = "every token has one log-probability")]
    fn slices_of_different_lengths_are_a_mistake() {
        clipped_surrogate(&[0.0], &[0.0, 0.0], &[1.0], CLIP);
    }

    fn tokens() -> impl Strategy<Value = Vec<(f32, f32, f32)>> {
        let token = (-4.0..-0.01f32, -4.0..-0.01f32, -2.0..2.0f32);
        prop::collection::vec(token, 1..20)
    }

    fn columns(tokens: &[(f32, f32, f32)]) -> [Vec<f32>; 3] {
        [
            tokens.iter().map(|t| t.0).collect(),
            tokens.iter().map(|t| t.1).collect(),
            tokens.iter().map(|t| t.2).collect(),
        ]
    }

    proptest! {
        #[test]
        fn the_coefficient_is_the_slope_of_the_loss(
            log_ratio in -1.0..1.0f64, advantage in -2.0..2.0f64,
        ) {
            // The loss has a corner at each bound, where no slope is defined.
            let ratio = log_ratio.exp();
            prop_assume!((ratio - 0.8).abs() > 1e-3 && (ratio - 1.3).abs() > 1e-3);
            let slope = central_difference(|l| token(l, advantage, CLIP).loss, log_ratio);
            prop_assert!((token(log_ratio, advantage, CLIP).coefficient - slope).abs() < 1e-6);
        }

        #[test]
        fn an_unchanged_policy_has_ratio_one(tokens in tokens()) {
            let [logprobs, _, advantages] = columns(&tokens);
            let found = clipped_surrogate(&logprobs, &logprobs, &advantages, CLIP);
            let sum: f64 = advantages.iter().map(|&a| f64::from(a)).sum();
            prop_assert_eq!(found.loss, -sum);
            prop_assert_eq!(found.clipped, 0);
            prop_assert!(found.coefficients.iter().zip(&advantages).all(|(c, a)| *c == -a));
        }

        #[test]
        fn parts_of_a_batch_sum_to_the_whole(tokens in tokens(), cut in 0usize..20) {
            let [logprobs, old, advantages] = columns(&tokens);
            let cut = cut.min(tokens.len());
            let part = |range: std::ops::Range<usize>| {
                clipped_surrogate(
                    &logprobs[range.clone()], &old[range.clone()], &advantages[range], CLIP,
                )
            };
            let (whole, a, b) = (part(0..tokens.len()), part(0..cut), part(cut..tokens.len()));
            prop_assert!((whole.loss - a.loss - b.loss).abs() < 1e-9);
            prop_assert_eq!(whole.clipped, a.clipped + b.clipped);
            prop_assert_eq!(whole.coefficients, [a.coefficients, b.coefficients].concat());
        }
    }
}
