//! The policy-gradient surrogates.

/// How far the ratio may go from 1 before a token stops being pushed further.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clip {
    /// The ratio stops at `1 - low`.
    pub low: f64,
    /// The ratio stops at `1 + high`.
    pub high: f64,
}

impl Clip {
    fn bound(self, ratio: f64) -> f64 {
        ratio.clamp(1.0 - self.low, 1.0 + self.high)
    }
}

/// What a sampled token's log-probability p is pushed with, as a loss to minimise. A is the
/// token's advantage, r = p / p_old its ratio, sg(x) is x as a number that is not differentiated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PolicyLoss {
    /// PPO, `-min(r A, clip(r) A)`. Schulman et al. 2017, eq. 7,
    /// <https://arxiv.org/abs/1707.06347>.
    Clipped {
        /// Bounds of the ratio.
        clip: Clip,
        /// c of the dual clip, above 1: a token of negative advantage loses no more than
        /// `-c A`. Ye et al. 2020, eq. 5, <https://arxiv.org/abs/1912.09729>.
        dual: Option<f64>,
    },
    /// GSPO, `-min(s A, clip(s) A)`, with one ratio for all tokens of the rollout,
    /// `s = exp(mean_t log r_t)`. Zheng et al. 2025, <https://arxiv.org/abs/2507.18071>.
    /// The coefficients are of its token form (eq. 14), `sg(s) p / sg(p)` in the place of s:
    /// where a rollout has one advantage, they are those of GSPO itself.
    Sequence {
        /// Bounds of the rollout's ratio.
        clip: Clip,
    },
    /// CISPO, `-sg(clip(r)) A log p`: no token is kept from being pushed. MiniMax 2025, eq. 4,
    /// <https://arxiv.org/abs/2506.13585>.
    Cispo {
        /// Bounds of the ratio.
        clip: Clip,
    },
    /// `-r A`, without any clip: LUFFY's term for its own rollouts.
    Ratio,
    /// `-A log p`: REINFORCE, and with advantages of 0 and 1 rejection sampling.
    Likelihood,
    /// LUFFY's term for an expert's tokens, `-A p / (p + gamma)`: the old probability is taken
    /// as 1, and unlikely tokens are pushed harder than p alone would. Yan et al. 2025,
    /// <https://arxiv.org/abs/2504.14945>.
    Shaped {
        /// The probability at which the shape is at one half; above 0.
        gamma: f64,
    },
}

impl PolicyLoss {
    /// Which bounds it has.
    pub(crate) fn bounds(self) -> Bounds {
        Bounds {
            ratio: matches!(
                self,
                Self::Clipped { .. } | Self::Sequence { .. } | Self::Cispo { .. }
            ),
            dual: matches!(self, Self::Clipped { .. }),
        }
    }

    fn has_ratio(self) -> bool {
        !matches!(self, Self::Likelihood | Self::Shaped { .. })
    }
}

/// Which bounds a loss has.
pub(crate) struct Bounds {
    /// Of the ratio, below and above.
    pub(crate) ratio: bool,
    /// Of a token of negative advantage.
    pub(crate) dual: bool,
}

/// A surrogate's loss and derivative over some tokens, in sum form.
#[derive(Clone, Debug, PartialEq)]
pub struct Surrogate {
    /// Sum over the tokens.
    pub loss: f64,
    /// d loss / d log-probability, `[tokens]`.
    pub coefficients: Vec<f32>,
    /// How many tokens a bound of the clip, or of the dual clip, acts upon.
    pub clipped: usize,
}

/// Log-ratios beyond this are cut, and give no gradient: e^20 is far outside every clip, and
/// a larger ratio with a negative advantage would only overflow.
const LOG_RATIO_LIMIT: f64 = 20.0;

pub(crate) fn cut_log_ratio(log_ratio: f64) -> f64 {
    log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
}

pub(crate) fn is_cut(log_ratio: f64) -> bool {
    log_ratio.abs() > LOG_RATIO_LIMIT
}

/// A policy loss, summed over the sampled tokens of one rollout. Every slice is `[tokens]`.
///
/// `logprobs` are the policy's now, `old` those that the ratio is taken against; a loss without
/// a ratio does not read `old`, which may be empty. A token whose advantage is 0 has no loss
/// and no coefficient. The caller divides: by the sampled tokens of the batch, by those of the
/// rollout and then the rollouts, or by a constant.
pub fn policy_loss(
    loss: PolicyLoss,
    logprobs: &[f32],
    old: &[f32],
    advantages: &[f32],
) -> Surrogate {
    assert!(
        (logprobs.len() == old.len() || !loss.has_ratio()) && logprobs.len() == advantages.len(),
        "every token has one log-probability, one old one and one advantage"
    );
    let mut surrogate = Surrogate {
        loss: 0.0,
        coefficients: Vec::with_capacity(logprobs.len()),
        clipped: 0,
    };
    let log_ratios = log_ratios(loss, logprobs, old);
    for ((&logprob, log_ratio), &advantage) in logprobs.iter().zip(log_ratios).zip(advantages) {
        let token = token(loss, f64::from(logprob), log_ratio, f64::from(advantage));
        surrogate.loss += token.loss;
        surrogate.coefficients.push(token.coefficient as f32);
        surrogate.clipped += usize::from(token.clipped);
    }
    surrogate
}

/// The log-ratio that each token is pushed with; 0 where the loss has none.
fn log_ratios(loss: PolicyLoss, logprobs: &[f32], old: &[f32]) -> Vec<f64> {
    let tokens = logprobs.len();
    if !loss.has_ratio() {
        return vec![0.0; tokens];
    }
    let log_ratio = |(&now, &old): (&f32, &f32)| f64::from(now) - f64::from(old);
    let own = logprobs.iter().zip(old).map(log_ratio);
    match loss {
        PolicyLoss::Sequence { .. } => vec![own.sum::<f64>() / tokens.max(1) as f64; tokens],
        _ => own.collect(),
    }
}

#[derive(Default)]
struct Token {
    loss: f64,
    coefficient: f64,
    clipped: bool,
}

fn token(loss: PolicyLoss, logprob: f64, log_ratio: f64, advantage: f64) -> Token {
    if advantage == 0.0 {
        return Token::default();
    }
    let unclipped = |loss, coefficient| Token {
        loss,
        coefficient,
        clipped: false,
    };
    match loss {
        PolicyLoss::Clipped { clip, dual } => clipped(log_ratio, advantage, clip, dual),
        PolicyLoss::Sequence { clip } => clipped(log_ratio, advantage, clip, None),
        PolicyLoss::Cispo { clip } => {
            let ratio = cut_log_ratio(log_ratio).exp();
            let bounded = clip.bound(ratio);
            Token {
                loss: -bounded * advantage * logprob,
                coefficient: -bounded * advantage,
                clipped: bounded != ratio,
            }
        }
        PolicyLoss::Ratio => {
            let loss = -cut_log_ratio(log_ratio).exp() * advantage;
            unclipped(loss, if is_cut(log_ratio) { 0.0 } else { loss })
        }
        PolicyLoss::Likelihood => unclipped(-advantage * logprob, -advantage),
        PolicyLoss::Shaped { gamma } => {
            let p = logprob.exp();
            let shape = p / (p + gamma);
            unclipped(-advantage * shape, -advantage * shape * gamma / (p + gamma))
        }
    }
}

fn clipped(log_ratio: f64, advantage: f64, clip: Clip, dual: Option<f64>) -> Token {
    let ratio = cut_log_ratio(log_ratio).exp();
    let bounded = clip.bound(ratio);
    let loss = -(ratio * advantage).min(bounded * advantage);
    let most = match dual {
        Some(c) if advantage < 0.0 => -c * advantage,
        _ => f64::INFINITY,
    };
    // Equal products (a ratio inside the clip) keep their gradient.
    let clipped = bounded * advantage < ratio * advantage || loss > most;
    Token {
        loss: loss.min(most),
        coefficient: if clipped || is_cut(log_ratio) {
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
    const PPO: PolicyLoss = PolicyLoss::Clipped {
        clip: CLIP,
        dual: None,
    };
    const DUAL: PolicyLoss = PolicyLoss::Clipped {
        clip: CLIP,
        dual: Some(2.0),
    };
    const CISPO: PolicyLoss = PolicyLoss::Cispo { clip: CLIP };
    const GSPO: PolicyLoss = PolicyLoss::Sequence { clip: CLIP };
    const SHAPED: PolicyLoss = PolicyLoss::Shaped { gamma: 0.1 };

    const ALL: [PolicyLoss; 7] = [
        PPO,
        DUAL,
        GSPO,
        CISPO,
        PolicyLoss::Ratio,
        PolicyLoss::Likelihood,
        SHAPED,
    ];

    /// One token of probability 1/2, whose ratio is as given.
    fn check(
        loss: PolicyLoss,
        (ratio, advantage): (f64, f32),
        expected: (f64, f32),
        clipped: usize,
    ) {
        let logprob = 0.5f64.ln();
        let old = (logprob - ratio.ln()) as f32;
        let found = policy_loss(loss, &[logprob as f32], &[old], &[advantage]);
        let case = format!("{loss:?}, ratio {ratio}, advantage {advantage}: {found:?}");
        assert!((found.loss - expected.0).abs() < 1e-6, "{case}");
        assert!((found.coefficients[0] - expected.1).abs() < 1e-6, "{case}");
        assert_eq!(found.clipped, clipped, "{case}");
    }

    #[test]
    fn each_side_of_the_clip_gives_the_hand_made_numbers() {
        for loss in [PPO, GSPO] {
            check(loss, (1.1, 2.0), (-2.2, -2.2), 0);
            check(loss, (1.5, 2.0), (-2.6, 0.0), 1);
            check(loss, (0.5, 2.0), (-1.0, -1.0), 0);
            check(loss, (0.9, -2.0), (1.8, 1.8), 0);
            check(loss, (0.5, -2.0), (1.6, 0.0), 1);
            check(loss, (1.5, -2.0), (3.0, 3.0), 0);
            check(loss, (1.5, 0.0), (0.0, 0.0), 0);
        }
    }

    #[test]
    fn the_dual_clip_bounds_what_a_bad_token_can_lose() {
        check(DUAL, (1.5, -2.0), (3.0, 3.0), 0);
        check(DUAL, (2.5, -2.0), (4.0, 0.0), 1);
        check(DUAL, (0.5, -2.0), (1.6, 0.0), 1);
        check(DUAL, (2.5, 2.0), (-2.6, 0.0), 1);
    }

    #[test]
    fn a_loss_without_a_surrogates_clip_gives_the_hand_made_numbers() {
        let nat = 2.0 * 0.5f64.ln();
        // CISPO's clip bounds the weight, and every token is pushed.
        check(CISPO, (1.1, 2.0), (-1.1 * nat, -2.2), 0);
        check(CISPO, (2.0, 2.0), (-1.3 * nat, -2.6), 1);
        check(CISPO, (0.1, -2.0), (0.8 * nat, 1.6), 1);
        check(PolicyLoss::Ratio, (3.0, 2.0), (-6.0, -6.0), 0);
        check(PolicyLoss::Likelihood, (3.0, 2.0), (-nat, -2.0), 0);
        // 2 x 0.5 / 0.6, and of that 0.1 / 0.6
        check(SHAPED, (3.0, 2.0), (-1.0 / 0.6, -0.1 / 0.36), 0);
    }

    #[test]
    fn a_rollout_has_one_ratio_for_all_its_tokens_under_gspo() {
        // log-ratios 0.3 and -0.1, whose mean is 0.1
        let found = policy_loss(GSPO, &[-0.2, -0.6], &[-0.5, -0.5], &[1.0, -2.0]);
        let s = 0.1f64.exp();
        assert!((found.loss - s).abs() < 1e-6, "{found:?}");
        assert!((f64::from(found.coefficients[0]) + s).abs() < 1e-6);
        assert!((f64::from(found.coefficients[1]) - 2.0 * s).abs() < 1e-6);
    }

    #[test]
    fn a_ratio_beyond_all_bounds_stays_finite() {
        for loss in [PPO, GSPO, PolicyLoss::Ratio] {
            let found = policy_loss(loss, &[-0.1], &[-200.0], &[-1.0]);
            assert!((found.loss - 20f64.exp()).abs() < 1.0);
            assert_eq!(found.coefficients, [0.0]);
        }
    }

    #[test]
    fn an_impossible_expert_token_is_neither_lost_on_nor_pushed() {
        let found = policy_loss(SHAPED, &[f32::NEG_INFINITY], &[], &[1.0]);
        assert_eq!((found.loss, found.coefficients[0]), (0.0, 0.0));
    }

    #[test]
    fn a_rollout_without_tokens_has_no_loss() {
        for loss in ALL {
            let found = policy_loss(loss, &[], &[], &[]);
            assert_eq!((found.loss, found.coefficients.len()), (0.0, 0));
        }
    }

    #[test]
    #[should_panic(expected = "every token has one log-probability")]
    fn slices_of_different_lengths_are_a_mistake() {
        policy_loss(PPO, &[0.0], &[0.0, 0.0], &[1.0]);
    }

    fn losses() -> impl Strategy<Value = PolicyLoss> {
        prop::sample::select(&ALL[..])
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
            loss in losses(),
            logprob in -4.0..-0.01f64,
            log_ratio in -1.0..1.0f64,
            advantage in -2.0..2.0f64,
        ) {
            // The loss has a corner at each bound, where no slope is defined.
            let ratio = log_ratio.exp();
            prop_assume!([0.8, 1.3, 2.0].iter().all(|bound| (ratio - bound).abs() > 1e-3));
            let moved = |by: f64| match loss {
                // Its ratio is a number: only the log-probability beside it moves.
                PolicyLoss::Cispo { .. } => token(loss, logprob + by, log_ratio, advantage),
                _ => token(loss, logprob + by, log_ratio + by, advantage),
            };
            let slope = central_difference(|by| moved(by).loss, 0.0);
            prop_assert!((moved(0.0).coefficient - slope).abs() < 1e-6);
        }

        #[test]
        fn an_unchanged_policy_has_ratio_one(tokens in tokens()) {
            let [logprobs, _, advantages] = columns(&tokens);
            let sum: f64 = advantages.iter().map(|&a| f64::from(a)).sum();
            for loss in [PPO, DUAL, GSPO, PolicyLoss::Ratio] {
                let found = policy_loss(loss, &logprobs, &logprobs, &advantages);
                prop_assert_eq!(found.loss, -sum);
                prop_assert_eq!(found.clipped, 0);
                prop_assert!(found.coefficients.iter().zip(&advantages).all(|(c, a)| *c == -a));
            }
        }

        #[test]
        fn an_advantage_of_zero_gives_neither_loss_nor_gradient(
            loss in losses(), tokens in tokens(),
        ) {
            let [logprobs, old, _] = columns(&tokens);
            let found = policy_loss(loss, &logprobs, &old, &vec![0.0; tokens.len()]);
            prop_assert_eq!(found.loss, 0.0);
            prop_assert!(found.coefficients.iter().all(|c| *c == 0.0));
            prop_assert_eq!(found.clipped, 0);
        }

        #[test]
        fn parts_of_a_batch_sum_to_the_whole(
            loss in losses(), tokens in tokens(), cut in 0usize..20,
        ) {
            // GSPO's ratio is the rollout's: a rollout is never cut.
            prop_assume!(loss != GSPO);
            let [logprobs, old, advantages] = columns(&tokens);
            let cut = cut.min(tokens.len());
            let part = |range: std::ops::Range<usize>| {
                policy_loss(
                    loss, &logprobs[range.clone()], &old[range.clone()], &advantages[range],
                )
            };
            let (whole, a, b) = (part(0..tokens.len()), part(0..cut), part(cut..tokens.len()));
            prop_assert!((whole.loss - a.loss - b.loss).abs() < 1e-9);
            prop_assert_eq!(whole.clipped, a.clipped + b.clipped);
            prop_assert_eq!(whole.coefficients, [a.coefficients, b.coefficients].concat());
        }
    }
}
