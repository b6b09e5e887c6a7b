//! On-policy self-distillation: the policy that has seen the trace teaches the one that has not.

/// The advantage of each sampled token, `log pi(y_t | x, z, y_<t) - log pi(y_t | x, y_<t)`, cut
/// to ±`limit`: a one-sample estimate of -KL(student || teacher), for
/// [`PolicyLoss::Clipped`](crate::PolicyLoss::Clipped). Zhao et al. 2026 (OPSD),
/// <https://arxiv.org/abs/2601.18734>, in prime-rl's sampled-token form.
///
/// Every slice is `[tokens]`, of a rollout of the student. The advantages are numbers, not
/// functions of the policy.
pub fn distillation_advantages(teacher: &[f32], student: &[f32], limit: f64) -> Vec<f32> {
    assert!(
        teacher.len() == student.len(),
        "every token has one log-probability of the teacher and one of the student"
    );
    let advantage =
        |(&t, &s): (&f32, &f32)| (f64::from(t) - f64::from(s)).clamp(-limit, limit) as f32;
    teacher.iter().zip(student).map(advantage).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_the_trace_makes_likelier_is_pushed_up_within_the_limit() {
        let teacher = [-0.5, -3.0, -1.0, -80.0, 0.0];
        let student = [-1.0, -1.0, -1.0, -0.5, -80.0];
        let found = distillation_advantages(&teacher, &student, 5.0);
        assert_eq!(found, [0.5, -2.0, 0.0, -5.0, 5.0]);
    }
}
