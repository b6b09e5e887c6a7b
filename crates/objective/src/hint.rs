//! How much of an expert's solution UFT puts in front of a rollout.

/// How many of a solution's `chunks` are given as a hint: drawn from the binomial distribution
/// of `chunks` tries with `p(t) = low + (high - low) (1 + cos(pi t / T)) / 2`, and 0 from
/// t = T on, where t is `progress_steps` and T `hint_steps`. Liu et al. 2025 (UFT),
/// <https://arxiv.org/abs/2505.16984>.
///
/// `uniforms` is `[chunks]`, drawn in `[0, 1)`. `total` is the steps of the whole training.
pub fn hint_chunks(
    progress_steps: u64,
    total: u64,
    hint_steps: u64,
    chunks: usize,
    low: f64,
    high: f64,
    uniforms: &[f64],
) -> usize {
    assert!(
        progress_steps <= total,
        "step {progress_steps} lies within a training of {total}"
    );
    assert!(uniforms.len() == chunks, "every chunk has one draw");
    if progress_steps >= hint_steps {
        return 0;
    }
    let angle = std::f64::consts::PI * progress_steps as f64 / hint_steps as f64;
    let probability = low + 0.5 * (high - low) * (1.0 + angle.cos());
    uniforms.iter().filter(|u| **u < probability).count()
}
