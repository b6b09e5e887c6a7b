//! When the trace is left out, and what it does where it is not.

/// Whether a prompt takes the ordinary surrogate, in the context of the prompt alone, rather
/// than the trace-conditioned one. `q` is the probability; `uniform` is drawn in `[0, 1)`,
/// once for each prompt and step.
pub fn is_anchored(q: f64, uniform: f64) -> bool {
    uniform < q
}

/// How much a trace in the context raises the log-probability of rollouts, in nats a token.
/// `None` where there was no such token.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TraceLift {
    /// Mean over the tokens of rollouts of positive advantage.
    pub positive: Option<f64>,
    /// Mean over those of negative advantage.
    pub negative: Option<f64>,
    /// Mean over all tokens, those of advantage 0 included: the privilege gap, which should
    /// shrink as the trace is internalised.
    pub privilege_gap: Option<f64>,
}

/// The trace lift, `mean_t [log pi(y|x,z) - log pi(y|x)]`. Every slice is `[sampled tokens]`,
/// of all rollouts of a step that were scored both ways.
pub fn trace_lift(under_trace: &[f32], under_prompt: &[f32], advantages: &[f32]) -> TraceLift {
    assert!(
        under_trace.len() == under_prompt.len() && under_trace.len() == advantages.len(),
        "every token has a log-probability in both contexts and one advantage"
    );
    let lifts = || {
        under_trace
            .iter()
            .zip(under_prompt)
            .map(|(&z, &x)| f64::from(z) - f64::from(x))
            .zip(advantages)
    };
    TraceLift {
        positive: mean(lifts().filter(|(_, a)| **a > 0.0).map(|(lift, _)| lift)),
        negative: mean(lifts().filter(|(_, a)| **a < 0.0).map(|(lift, _)| lift)),
        privilege_gap: mean(lifts().map(|(lift, _)| lift)),
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0usize, 0.0), |(n, sum), value| (n + 1, sum + value));
    (count > 0).then(|| sum / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_anchored_with_probability_q() {
        let anchored = |q: f64| {
            let draws = (0..1000).map(|i| f64::from(i) / 1000.0);
            draws.filter(|u| is_anchored(q, *u)).count()
        };
        assert_eq!(anchored(0.0), 0);
        assert_eq!(anchored(0.3), 300);
        assert_eq!(anchored(1.0), 1000);
    }

    #[test]
    fn the_lift_is_split_by_the_sign_of_the_advantage() {
        let under_trace = [-0.5, -1.0, -2.0, -1.0];
        let under_prompt = [-1.0, -1.25, -1.0, -1.0];
        let lift = trace_lift(&under_trace, &under_prompt, &[1.0, 0.5, -1.0, 0.0]);
        assert_eq!(lift.positive, Some(0.375));
        assert_eq!(lift.negative, Some(-1.0));
        assert_eq!(lift.privilege_gap, Some(-0.0625));
    }

    #[test]
    fn a_lift_of_no_token_is_not_zero_but_unknown() {
        assert_eq!(trace_lift(&[], &[], &[]), TraceLift::default());
        let lift = trace_lift(&[-1.0], &[-2.0], &[1.0]);
        assert_eq!((lift.positive, lift.negative), (Some(1.0), None));
    }
}
