//! How good what was sampled was: from the rewards of episodes to an advantage for each token.

/// Keeps a group of equal rewards at an advantage of 0 rather than 0 / 0.
const STD_FLOOR: f64 = 1e-6;

/// Keeps a batch of equal returns at an advantage of 0; added to a variance.
const VARIANCE_FLOOR: f64 = 1e-8;

/// What the estimators need to know of one episode.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The reward of the whole episode.
    pub reward: f64,
    /// The reward of each turn, `[turns]`; only [`Estimator::Turns`] reads it.
    pub turn_rewards: Vec<f64>,
    /// How many tokens the policy sampled in each turn, `[turns]`; empty when it sampled none.
    pub turn_tokens: Vec<usize>,
}

impl Outcome {
    fn tokens(&self) -> usize {
        self.turn_tokens.iter().sum()
    }
}

/// How rewards become advantages. R is an episode's reward, G the size of its group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Estimator {
    /// GRPO, `(R - mean) / (std + 1e-6)`, with the sample standard deviation (n - 1).
    /// Shao et al. 2024, <https://arxiv.org/abs/2402.03300>. A lone episode has mean 0, std 1.
    Group {
        /// Without it, the division is left out: Dr. GRPO, <https://arxiv.org/abs/2503.20783>.
        normalise: bool,
    },
    /// RLOO, `R - mean of the others`, which is `G / (G - 1) (R - mean)`. Ahmadian et al. 2024,
    /// <https://arxiv.org/abs/2402.14740>. A lone episode's advantage is its reward.
    LeaveOneOut,
    /// REINFORCE++, the return of each token, whitened over all sampled tokens of the batch:
    /// `(return - mean) / sqrt(var + 1e-8)`, with the unbiased variance. Hu et al. 2025,
    /// <https://arxiv.org/abs/2501.03262>. A lone token has no variance, and advantage 0.
    Batch {
        /// Subtract the mean of the group from each reward first; that of a lone episode is 0.
        baseline: bool,
        /// Of the return, for each sampled token that lies before the reward. Observations in
        /// between neither discount a return nor end it.
        discount: f64,
    },
    /// MatchTIR, half of the z-score of the sum of an episode's turn rewards in the group, and
    /// half of the z-score of the turn's discounted return among the episodes of the group that
    /// reach this turn. <https://arxiv.org/abs/2601.10712>. Alone: mean 0, std 1.
    Turns {
        /// Of the return, for each turn.
        discount: f64,
    },
    /// Rejection sampling: 1 for the episodes that are kept, 0 for the others.
    Kept {
        /// The least reward of an episode that is kept.
        threshold: f64,
    },
}

/// The advantage of each sampled token, `[groups][episodes][sampled tokens]`, from outcomes
/// `[groups][episodes]`. A group holds the episodes of one prompt, and `groups` the whole batch.
pub fn advantages(groups: &[Vec<Outcome>], estimator: Estimator) -> Vec<Vec<Vec<f32>>> {
    let by_reward = |of_group: &dyn Fn(&[f64]) -> Vec<f64>| -> Vec<Vec<Vec<f32>>> {
        let spread = |group: &Vec<Outcome>| {
            let advantages = of_group(&rewards(group));
            let of_tokens = |(o, a): (&Outcome, f64)| vec![a as f32; o.tokens()];
            group.iter().zip(advantages).map(of_tokens).collect()
        };
        groups.iter().map(spread).collect()
    };
    match estimator {
        Estimator::Group { normalise } => by_reward(&|r| group_relative(r, normalise)),
        Estimator::LeaveOneOut => by_reward(&leave_one_out),
        Estimator::Kept { threshold } => by_reward(&|r| kept(r, threshold)),
        Estimator::Batch { baseline, discount } => whitened_returns(groups, baseline, discount),
        Estimator::Turns { discount } => groups.iter().map(|g| by_turn(g, discount)).collect(),
    }
}

/// The advantage of an expert trace that joins a group: its reward less the mean of the
/// episodes that the policy sampled itself, without division. A lone one has mean 0, as in
/// its own advantage. LUFFY, Yan et al. 2025, <https://arxiv.org/abs/2504.14945>.
pub fn off_policy_advantage(reward: f64, on_policy: &[f64]) -> f64 {
    reward - baseline(on_policy)
}

/// DAPO's soft overlong punishment, which the caller adds to the reward: 0 for an episode of
/// up to `longest - cache` tokens, then falling in a line to -1 at `longest`, and -1
/// beyond. Yu et al. 2025, eq. 13, <https://arxiv.org/abs/2503.14476>.
pub fn overlong_penalty(tokens: usize, longest: usize, cache: usize) -> f64 {
    assert!(
        cache <= longest,
        "the cache is the last part of the longest episode"
    );
    if tokens > longest {
        return -1.0;
    }
    match tokens.saturating_sub(longest - cache) {
        0 => 0.0,
        beyond => -(beyond as f64) / cache as f64,
    }
}

/// Whether a group teaches anything: its rewards are not all equal. DAPO's dynamic sampling
/// draws another prompt where they are. <https://arxiv.org/abs/2503.14476>.
pub fn has_signal(rewards: &[f64]) -> bool {
    rewards.windows(2).any(|pair| pair[0] != pair[1])
}

/// The advantages of [`Estimator::Group`] for the `rewards` of one group, `[episodes]`.
fn group_relative(rewards: &[f64], normalise: bool) -> Vec<f64> {
    let mean = baseline(rewards);
    let scale = match rewards.len() {
        _ if !normalise => 1.0,
        0 | 1 => 1.0 + STD_FLOOR,
        _ => sample_variance(rewards, mean).sqrt() + STD_FLOOR,
    };
    rewards.iter().map(|r| (r - mean) / scale).collect()
}

fn leave_one_out(rewards: &[f64]) -> Vec<f64> {
    let n = rewards.len() as f64;
    let scale = if rewards.len() > 1 {
        n / (n - 1.0)
    } else {
        1.0
    };
    let mean = baseline(rewards);
    rewards.iter().map(|r| scale * (r - mean)).collect()
}

fn kept(rewards: &[f64], threshold: f64) -> Vec<f64> {
    let keep = |r: &f64| if *r >= threshold { 1.0 } else { 0.0 };
    rewards.iter().map(keep).collect()
}

fn whitened_returns(groups: &[Vec<Outcome>], subtract: bool, discount: f64) -> Vec<Vec<Vec<f32>>> {
    let of_group = |group: &Vec<Outcome>| -> Vec<Vec<f64>> {
        let mean = if subtract {
            baseline(&rewards(group))
        } else {
            0.0
        };
        let of_episode = |o: &Outcome| token_returns(o.reward - mean, o.tokens(), discount);
        group.iter().map(of_episode).collect()
    };
    let returns: Vec<Vec<Vec<f64>>> = groups.iter().map(of_group).collect();
    let all: Vec<f64> = returns.iter().flatten().flatten().copied().collect();
    let mean = mean(&all);
    let variance = match all.len() {
        0 | 1 => 0.0,
        _ => sample_variance(&all, mean),
    };
    let std = (variance + VARIANCE_FLOOR).sqrt();
    let whiten = |episode: Vec<f64>| -> Vec<f32> {
        episode.iter().map(|r| ((r - mean) / std) as f32).collect()
    };
    let of_group = |group: Vec<Vec<f64>>| group.into_iter().map(whiten).collect();
    returns.into_iter().map(of_group).collect()
}

/// The return of each of an episode's sampled tokens, of which the last one is rewarded.
fn token_returns(reward: f64, tokens: usize, discount: f64) -> Vec<f64> {
    let mut rewards = vec![0.0; tokens];
    if let Some(last) = rewards.last_mut() {
        *last = reward;
    }
    discounted(&rewards, discount)
}

fn by_turn(group: &[Outcome], discount: f64) -> Vec<Vec<f32>> {
    let of_trajectory = |o: &Outcome| o.turn_rewards.iter().sum();
    let trajectories = group_relative(&group.iter().map(of_trajectory).collect::<Vec<_>>(), true);
    let turns = turn_scores(group, discount);
    let of_episode = |((outcome, trajectory), turns): ((&Outcome, f64), Vec<f64>)| {
        let of_turn = |(turn, tokens): (f64, &usize)| {
            std::iter::repeat_n((0.5 * (trajectory + turn)) as f32, *tokens)
        };
        turns
            .into_iter()
            .zip(&outcome.turn_tokens)
            .flat_map(of_turn)
            .collect()
    };
    group
        .iter()
        .zip(trajectories)
        .zip(turns)
        .map(of_episode)
        .collect()
}

/// The z-score of each turn's return among the episodes that reach it, `[episodes][turns]`.
fn turn_scores(group: &[Outcome], discount: f64) -> Vec<Vec<f64>> {
    let of_episode = |outcome: &Outcome| {
        assert!(
            outcome.turn_rewards.len() == outcome.turn_tokens.len(),
            "every turn has one reward and one count of tokens"
        );
        discounted(&outcome.turn_rewards, discount)
    };
    let mut scores: Vec<Vec<f64>> = group.iter().map(of_episode).collect();
    let longest = scores.iter().map(Vec::len).max().unwrap_or(0);
    for turn in 0..longest {
        let mut reaching: Vec<&mut f64> =
            scores.iter_mut().filter_map(|e| e.get_mut(turn)).collect();
        let returns: Vec<f64> = reaching.iter().map(|r| **r).collect();
        for (place, score) in reaching.iter_mut().zip(group_relative(&returns, true)) {
            **place = score;
        }
    }
    scores
}

/// `sum_{k >= t} discount^(k - t) rewards_k` for each t.
fn discounted(rewards: &[f64], discount: f64) -> Vec<f64> {
    let mut returns = rewards.to_vec();
    for t in (1..returns.len()).rev() {
        returns[t - 1] += discount * returns[t];
    }
    returns
}

fn rewards(group: &[Outcome]) -> Vec<f64> {
    group.iter().map(|o| o.reward).collect()
}

/// What a group's rewards are compared with: their mean, or 0 where there is nothing to compare.
fn baseline(rewards: &[f64]) -> f64 {
    if rewards.len() > 1 {
        mean(rewards)
    } else {
        0.0
    }
}

/// Of no values: 0.
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Of two values or more.
fn sample_variance(values: &[f64], mean: f64) -> f64 {
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    squares / (values.len() - 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GRPO: Estimator = Estimator::Group { normalise: true };
    const DR_GRPO: Estimator = Estimator::Group { normalise: false };

    /// A z-score as GRPO has it.
    fn z(deviation: f64, std: f64) -> f64 {
        deviation / (std + 1e-6)
    }

    /// An episode of one turn and one token.
    fn single(reward: f64) -> Outcome {
        episode(reward, &[(reward, 1)])
    }

    /// From each turn's reward and count of tokens.
    fn episode(reward: f64, turns: &[(f64, usize)]) -> Outcome {
        Outcome {
            reward,
            turn_rewards: turns.iter().map(|t| t.0).collect(),
            turn_tokens: turns.iter().map(|t| t.1).collect(),
        }
    }

    /// A batch of one group.
    fn check(group: &[Outcome], estimator: Estimator, expected: &[&[f64]]) {
        let found = advantages(&[group.to_vec()], estimator).remove(0);
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            let case = format!("{estimator:?}: {found:?}, expected {expected:?}");
            assert_eq!(found.len(), expected.len(), "{case}");
            for (f, e) in found.iter().zip(*expected) {
                assert!((f64::from(*f) - e).abs() < 1e-6, "{case}");
            }
        }
    }

    #[test]
    fn group_relative_advantages_are_the_hand_made_numbers() {
        // mean 2, deviations -2 0 2, sample variance 8 / 2 = 4, std 2
        let group = [0.0, 2.0, 4.0].map(single);
        let unit = z(2.0, 2.0);
        check(&group, GRPO, &[&[-unit], &[0.0], &[unit]]);
        check(&group, DR_GRPO, &[&[-2.0], &[0.0], &[2.0]]);
        // mean 1/4, sample variance (9 + 1 + 1 + 1) / 16 / 3 = 1/4, std 1/2
        let group = [1.0, 0.0, 0.0, 0.0].map(single);
        let (high, low) = (z(0.75, 0.5), z(-0.25, 0.5));
        check(&group, GRPO, &[&[high], &[low], &[low], &[low]]);
        // against the means 0, 1/3, 1/3, 1/3 of the others
        let third = -1.0 / 3.0;
        let expected: [&[f64]; 4] = [&[1.0], &[third], &[third], &[third]];
        check(&group, Estimator::LeaveOneOut, &expected);
    }

    #[test]
    fn every_sampled_token_has_the_advantage_of_its_episode() {
        let group = [
            episode(1.0, &[(0.0, 2), (0.0, 1)]),
            episode(3.0, &[(0.0, 1)]),
        ];
        check(&group, DR_GRPO, &[&[-1.0, -1.0, -1.0], &[1.0]]);
    }

    #[test]
    fn a_lone_episode_is_compared_with_nothing() {
        let lone = [single(0.7)];
        check(&lone, GRPO, &[&[0.7 / 1.000001]]);
        check(&lone, DR_GRPO, &[&[0.7]]);
        check(&lone, Estimator::LeaveOneOut, &[&[0.7]]);
        check(
            &lone,
            Estimator::Turns { discount: 0.9 },
            &[&[0.7 / 1.000001]],
        );
        assert_eq!(off_policy_advantage(1.0, &[0.7]), 1.0);
    }

    #[test]
    fn equals_have_no_advantage_and_no_signal() {
        let group = [0.5, 0.5, 0.5].map(single);
        let batch = |baseline| Estimator::Batch {
            baseline,
            discount: 1.0,
        };
        let turns = Estimator::Turns { discount: 0.9 };
        for estimator in [
            GRPO,
            DR_GRPO,
            Estimator::LeaveOneOut,
            batch(false),
            batch(true),
            turns,
        ] {
            check(&group, estimator, &[&[0.0], &[0.0], &[0.0]]);
        }
        assert!(!has_signal(&[0.5, 0.5, 0.5]));
        assert!(!has_signal(&[0.5]) && !has_signal(&[]));
        assert!(has_signal(&[0.5, 0.5, 0.25]));
    }

    #[test]
    fn returns_are_whitened_over_the_sampled_tokens_of_the_whole_batch() {
        let groups = [
            vec![episode(1.0, &[(0.0, 1), (0.0, 2)])],
            vec![single(-3.0)],
        ];
        let batch = Estimator::Batch {
            baseline: false,
            discount: 1.0,
        };
        // 1 1 1 -3: mean 0, variance (1 + 1 + 1 + 9) / 3 = 4
        assert_eq!(advantages(&groups, batch), [[vec![0.5; 3]], [vec![-1.5]]]);
        let discounted = Estimator::Batch {
            baseline: false,
            discount: 0.5,
        };
        // 0.25 0.5 1 over two turns, as over one
        let one_turn = [vec![episode(1.0, &[(0.0, 3)])], vec![single(-3.0)]];
        let found = advantages(&groups, discounted);
        assert_eq!(found, advantages(&one_turn, discounted));
        assert!(found[0][0][0] < found[0][0][1] && found[0][0][1] < found[0][0][2]);
    }

    #[test]
    fn the_baseline_is_subtracted_before_the_batch_is_whitened() {
        let groups = [
            [9.0, 7.0].map(single).to_vec(),
            [0.0, 2.0].map(single).to_vec(),
        ];
        let batch = Estimator::Batch {
            baseline: true,
            discount: 1.0,
        };
        // 1 -1 -1 1: variance 4 / 3
        let unit = (0.75f64).sqrt() as f32;
        let found = advantages(&groups, batch).concat().concat();
        for (found, expected) in found.iter().zip([unit, -unit, -unit, unit]) {
            assert!((found - expected).abs() < 1e-6, "{found}");
        }
    }

    #[test]
    fn a_turn_is_compared_with_the_same_turn_of_the_others_that_reach_it() {
        let group = [
            episode(0.0, &[(1.0, 2), (1.0, 1)]),
            episode(0.0, &[(0.0, 1), (0.0, 1)]),
            episode(0.0, &[(0.5, 1)]),
        ];
        // sums 2 0 0.5, mean 5/6; first returns with discount 1/2: 1.5 0 0.5, mean 2/3;
        // second returns 1 0, mean 1/2, std sqrt(1/2)
        let std = |values: [f64; 3]| {
            let mean = values.iter().sum::<f64>() / 3.0;
            (values.map(|v| (v - mean).powi(2)).iter().sum::<f64>() / 2.0).sqrt()
        };
        let whole = [2.0, 0.0, 0.5].map(|v| z(v - 5.0 / 6.0, std([2.0, 0.0, 0.5])));
        let first = [1.5, 0.0, 0.5].map(|v| z(v - 2.0 / 3.0, std([1.5, 0.0, 0.5])));
        let second = [0.5, -0.5].map(|d| z(d, 0.5f64.sqrt()));
        let half = |a: f64, b: f64| 0.5 * (a + b);
        let (a, b) = (half(whole[0], first[0]), half(whole[0], second[0]));
        let (c, d) = (half(whole[1], first[1]), half(whole[1], second[1]));
        let estimator = Estimator::Turns { discount: 0.5 };
        check(
            &group,
            estimator,
            &[&[a, a, b], &[c, d], &[half(whole[2], first[2])]],
        );
    }

    #[test]
    #[should_panic(expected = "every turn has one reward")]
    fn a_turn_without_a_reward_is_a_mistake() {
        let outcome = Outcome {
            turn_tokens: vec![1, 1],
            ..single(1.0)
        };
        advantages(&[vec![outcome]], Estimator::Turns { discount: 0.9 });
    }

    #[test]
    fn what_reaches_the_threshold_is_kept() {
        let group = [0.4, 0.5, 1.0].map(single);
        let kept = Estimator::Kept { threshold: 0.5 };
        check(&group, kept, &[&[0.0], &[1.0], &[1.0]]);
    }

    #[test]
    fn an_empty_batch_and_an_empty_group_have_no_advantages() {
        let all = [
            GRPO,
            Estimator::LeaveOneOut,
            Estimator::Batch {
                baseline: true,
                discount: 1.0,
            },
            Estimator::Turns { discount: 0.9 },
            Estimator::Kept { threshold: 0.0 },
        ];
        for estimator in all {
            assert!(advantages(&[], estimator).is_empty());
            assert_eq!(advantages(&[vec![]], estimator), [Vec::<Vec<f32>>::new()]);
            let silent = advantages(&[vec![Outcome::default()]], estimator);
            assert_eq!(silent, [[Vec::<f32>::new()]]);
        }
    }

    #[test]
    fn a_trace_is_compared_with_the_policys_own_episodes() {
        assert_eq!(off_policy_advantage(1.0, &[0.0, 0.5]), 0.75);
        assert_eq!(off_policy_advantage(1.0, &[]), 1.0);
    }

    #[test]
    fn an_overlong_episode_is_punished_by_how_far_it_goes_on() {
        let check = |tokens, expected| assert_eq!(overlong_penalty(tokens, 100, 20), expected);
        check(0, 0.0);
        check(80, 0.0);
        check(85, -0.25);
        check(100, -1.0);
        check(101, -1.0);
        // Without a cache, it is a step.
        assert_eq!(
            (overlong_penalty(9, 9, 0), overlong_penalty(10, 9, 0)),
            (0.0, -1.0)
        );
    }

    fn rewards() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(-3.0..3.0f64, 2..12)
    }

    /// The advantage of each episode's only token.
    fn of(rewards: &[f64], estimator: Estimator) -> Vec<f64> {
        let group = rewards.iter().copied().map(single).collect();
        let found = advantages(&[group], estimator).concat().concat();
        found.into_iter().map(f64::from).collect()
    }

    proptest! {
        #[test]
        fn advantages_sum_to_zero_and_ignore_a_shift(
            rewards in rewards(), shift in -5.0..5.0f64, normalise: bool,
        ) {
            // Rewards that all but agree are z-scored by what rounding leaves of them.
            prop_assume!(sample_variance(&rewards, mean(&rewards)) > 1e-3);
            let shifted: Vec<f64> = rewards.iter().map(|r| r + shift).collect();
            let estimator = Estimator::Group { normalise };
            let here = of(&rewards, estimator);
            prop_assert!(here.iter().sum::<f64>().abs() < 1e-5);
            for (a, b) in here.iter().zip(of(&shifted, estimator)) {
                prop_assert!((a - b).abs() < 1e-5);
            }
        }

        #[test]
        fn leaving_one_out_is_the_mean_baseline_times_g_over_g_less_one(rewards in rewards()) {
            let g = rewards.len() as f64;
            let mean_baseline = of(&rewards, DR_GRPO);
            for (a, b) in of(&rewards, Estimator::LeaveOneOut).iter().zip(mean_baseline) {
                prop_assert!((a - g / (g - 1.0) * b).abs() < 1e-5);
            }
        }

        #[test]
        fn a_whitened_batch_has_mean_zero_and_variance_one(
            rewards in rewards(), baseline: bool, tokens in 1usize..4,
        ) {
            let n = rewards.len();
            let spread = |r: &f64| episode(*r, &[(*r, tokens)]);
            let group: Vec<Outcome> = rewards.iter().map(spread).collect();
            prop_assume!(sample_variance(&rewards, mean(&rewards)) > 1e-3);
            let whitened = Estimator::Batch { baseline, discount: 1.0 };
            let found = advantages(&[group], whitened).concat().concat();
            let found: Vec<f64> = found.into_iter().map(f64::from).collect();
            prop_assert_eq!(found.len(), n * tokens);
            prop_assert!(mean(&found).abs() < 1e-5);
            prop_assert!((sample_variance(&found, mean(&found)) - 1.0).abs() < 1e-4);
        }

        #[test]
        fn turns_that_are_all_perfect_have_no_advantage_over_each_other(
            episodes in 2usize..6, turns in 1usize..5, tokens in 1usize..4, discount in 0.0..1.0f64,
        ) {
            let perfect = episode(1.0, &vec![(1.0, tokens); turns]);
            let found = advantages(&[vec![perfect; episodes]], Estimator::Turns { discount });
            // Equals differ by what rounding leaves of their mean, which 1e-6 still divides.
            prop_assert!(found.iter().flatten().flatten().all(|a| a.abs() < 1e-8));
        }

        #[test]
        fn one_group_does_not_move_another_but_for_the_batch_whitened(
            a in rewards(), b in rewards(),
        ) {
            let group = |r: &[f64]| r.iter().copied().map(single).collect::<Vec<_>>();
            let all = [
                GRPO, DR_GRPO, Estimator::LeaveOneOut,
                Estimator::Turns { discount: 0.9 }, Estimator::Kept { threshold: 0.5 },
            ];
            for estimator in all {
                let both = advantages(&[group(&a), group(&b)], estimator);
                let alone = [advantages(&[group(&a)], estimator), advantages(&[group(&b)], estimator)];
                prop_assert_eq!(both, alone.concat());
            }
        }
    }
}
