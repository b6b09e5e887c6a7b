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
/// up to `longest - cache` sampled tokens, then falling in a line to -1 at `longest`, and -1
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
pub fn group_relative(rewards: &[f64], normalise: bool) -> Vec<f64> {
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

    fn check(rewards: &[f64], normalise: bool, expected: &[f64]) {
        let found = group_relative(rewards, normalise);
        assert_eq!(found.len(), expected.len());
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() < 1e-9, "{rewards:?}: {found:?}");
        }
    }

    #[test]
    fn advantages_are_the_hand_made_numbers() {
        // mean 2, deviations -2 0 2, sample variance 8 / 2 = 4, std 2
        let unit = 2.0 / 2.000001;
        check(&[0.0, 2.0, 4.0], true, &[-unit, 0.0, unit]);
        check(&[0.0, 2.0, 4.0], false, &[-2.0, 0.0, 2.0]);
        // mean 1/4, sample variance (9 + 1 + 1 + 1) / 16 / 3 = 1/4, std 1/2
        let (high, low) = (0.75 / 0.500001, -0.25 / 0.500001);
        check(&[1.0, 0.0, 0.0, 0.0], true, &[high, low, low, low]);
    }

    #[test]
    fn a_lone_episode_is_compared_with_nothing_and_equals_with_themselves() {
        check(&[], true, &[]);
        check(&[0.7], true, &[0.7 / 1.000001]);
        check(&[0.7], false, &[0.7]);
        check(&[0.5, 0.5, 0.5], true, &[0.0, 0.0, 0.0]);
    }

    proptest! {
        #[test]
        fn advantages_sum_to_zero_and_ignore_a_shift(
            rewards in prop::collection::vec(-3.0..3.0f64, 2..12),
            shift in -5.0..5.0f64,
            normalise: bool,
        ) {
            let shifted: Vec<f64> = rewards.iter().map(|r| r + shift).collect();
            let here = group_relative(&rewards, normalise);
            prop_assert!(here.iter().sum::<f64>().abs() < 1e-6);
            for (a, b) in here.iter().zip(group_relative(&shifted, normalise)) {
                prop_assert!((a - b).abs() < 1e-6);
            }
        }
    }
}
