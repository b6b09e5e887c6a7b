//! How much better an episode was than its group.

/// Keeps a group of equal rewards at an advantage of 0 rather than 0 / 0.
const STD_FLOOR: f64 = 1e-6;

/// GRPO's group-relative advantage, `(R - mean) / (std + 1e-6)`, with the sample standard
/// deviation (n - 1). Shao et al. 2024, <https://arxiv.org/abs/2402.03300>.
///
/// `rewards` is `[episodes of one task]`, and so is the result. Without `normalise`, the
/// division is left out (Dr. GRPO, <https://arxiv.org/abs/2503.20783>). A lone episode has
/// nothing to be compared with: its advantage is 0.
pub fn group_relative(rewards: &[f64], normalise: bool) -> Vec<f64> {
    let n = rewards.len();
    if n < 2 {
        return vec![0.0; n];
    }
    let mean = rewards.iter().sum::<f64>() / n as f64;
    let scale = if normalise {
        sample_std(rewards, mean) + STD_FLOOR
    } else {
        1.0
    };
    rewards.iter().map(|r| (r - mean) / scale).collect()
}

fn sample_std(values: &[f64], mean: f64) -> f64 {
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
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
    fn a_group_that_cannot_be_compared_has_no_advantage() {
        check(&[], true, &[]);
        check(&[0.7], true, &[0.0]);
        check(&[0.7], false, &[0.0]);
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
