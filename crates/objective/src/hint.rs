//! How much of an expert's solution UFT puts in front of a rollout.

/// How many of a solution's `chunks` are given as a hint: drawn from the binomial distribution
/// of `chunks` tries with `p(t) = low + (high - low) (1 + cos(pi t / T)) / 2`, and 0 from
/// t = T on, where t is `progress_steps` and T `hint_steps`. Liu et al. 2025 (UFT),
/// <https://arxiv.org/abs/2505.16984>.
///
/// `uniforms` is `[chunks]`, drawn in `[0, 1)`.
pub fn hint_chunks(
    progress_steps: u64,
    hint_steps: u64,
    chunks: usize,
    low: f64,
    high: f64,
    uniforms: &[f64],
) -> usize {
    assert!(uniforms.len() == chunks, "every chunk has one draw");
    if progress_steps >= hint_steps {
        return 0;
    }
    let angle = std::f64::consts::PI * progress_steps as f64 / hint_steps as f64;
    let probability = low + 0.5 * (high - low) * (1.0 + angle.cos());
    uniforms.iter().filter(|u| **u < probability).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(step: u64, expected: usize) {
        // p falls from 0.9 by 0.5 at half of the hints' steps to 0.1
        let uniforms = [0.05, 0.3, 0.55, 0.7, 0.95];
        let found = hint_chunks(step, 300, 5, 0.1, 0.9, &uniforms);
        assert_eq!(found, expected, "step {step}");
    }

    #[test]
    fn hints_grow_shorter_and_end() {
        check(0, 4);
        check(150, 2);
        check(299, 1);
        check(300, 0);
        check(500, 0);
    }

    #[test]
    fn no_steps_of_hints_are_no_hints() {
        assert_eq!(hint_chunks(0, 0, 1, 1.0, 1.0, &[0.0]), 0);
    }

    #[test]
    fn a_probability_of_one_gives_the_whole_solution() {
        assert_eq!(hint_chunks(7, 300, 2, 1.0, 1.0, &[0.0, 0.999]), 2);
    }
}
