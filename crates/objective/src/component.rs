//! What each component of an expert trace weighs at a moment of training.

use std::ops::AddAssign;

use crate::{Anneal, AnnealBy, Sft};

/// A component of the trace, reasoning or calls, with its annealing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Component {
    /// Weight on top of any annealing.
    pub weight: f64,
    /// What the annealing changes.
    pub by: AnnealBy,
    /// How it changes.
    pub anneal: Anneal,
}

impl Component {
    /// The component's weight at a progress.
    pub fn weight_at(&self, progress: f64) -> f64 {
        match self.by {
            AnnealBy::Scale => self.weight * self.anneal.at(progress),
            AnnealBy::None | AnnealBy::Segment => self.weight,
        }
    }

    /// How many of its segments, from the first, are targets at a progress.
    pub fn segments_at(&self, segments: usize, progress: f64) -> usize {
        match self.by {
            AnnealBy::Segment => self.anneal.segments_kept(segments, progress),
            AnnealBy::None | AnnealBy::Scale => segments,
        }
    }
}

/// What a target token of a trace counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Reasoning, in a segment that is still supervised.
    Reasoning,
    /// A call; the final answer too, where it is supervised.
    Call,
}

/// How many target tokens of each component a batch has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetCounts {
    /// Tokens of [`Target::Reasoning`].
    pub reasoning: usize,
    /// Tokens of [`Target::Call`].
    pub calls: usize,
}

impl TargetCounts {
    /// Counts the targets of one trace; a token that is `None` is context.
    pub fn of(targets: &[Option<Target>]) -> Self {
        let count = |kind| targets.iter().filter(|t| **t == Some(kind)).count();
        Self {
            reasoning: count(Target::Reasoning),
            calls: count(Target::Call),
        }
    }
}

impl AddAssign for TargetCounts {
    fn add_assign(&mut self, other: Self) {
        self.reasoning += other.reasoning;
        self.calls += other.calls;
    }
}

/// The weights with which [`weighted_nll`](crate::weighted_nll) gives method.md's
/// `w_sft (L_reasoning + lambda(p) L_calls)`. `targets` and the result are `[tokens]`.
///
/// `counts` are those of the whole batch: each component is a mean over its own target
/// tokens, so that neither dilutes the other, and cutting the batch changes nothing.
pub fn component_weights(
    targets: &[Option<Target>],
    counts: TargetCounts,
    sft: &Sft,
    progress: f64,
) -> Vec<f32> {
    let share = |weight: f64, count: usize| (sft.weight * weight / count.max(1) as f64) as f32;
    let reasoning = share(
        sft.reasoning.component().weight_at(progress),
        counts.reasoning,
    );
    let call = share(sft.calls.component().weight_at(progress), counts.calls);
    targets
        .iter()
        .map(|target| match target {
            None => 0.0,
            Some(Target::Reasoning) => reasoning,
            Some(Target::Call) => call,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Calls, Reasoning, weighted_nll};

    const R: Option<Target> = Some(Target::Reasoning);
    const C: Option<Target> = Some(Target::Call);

    #[test]
    fn each_component_is_divided_by_its_own_count() {
        let targets = [None, R, R, R, R, C, C, None];
        let counts = TargetCounts::of(&targets);
        assert_eq!((counts.reasoning, counts.calls), (4, 2));
        let weights = component_weights(&targets, counts, &Sft::default(), 0.5);
        // calls weigh 0.5 half-way between 0.8 and 0.2
        let expected = [0.0, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.0];
        assert_eq!(weights, expected);
    }

    #[test]
    fn the_weight_of_the_whole_signal_multiplies_both() {
        let sft = Sft {
            weight: 2.0,
            ..Sft::default()
        };
        let weights = component_weights(&[R, C], TargetCounts::of(&[R, C]), &sft, 0.0);
        assert_eq!(weights, [2.0, 1.6]);
    }

    #[test]
    fn either_component_can_be_annealed_either_way() {
        let sft = Sft {
            reasoning: Reasoning {
                anneal: AnnealBy::Scale,
                ..Reasoning::default()
            },
            calls: Calls {
                anneal: AnnealBy::Segment,
                ..Calls::default()
            },
            ..Sft::default()
        };
        let (reasoning, calls) = (sft.reasoning.component(), sft.calls.component());
        assert_eq!(reasoning.weight_at(0.75), 0.25);
        assert_eq!(reasoning.segments_at(8, 0.75), 8);
        assert_eq!(calls.weight_at(0.75), 1.0);
        assert_eq!(calls.segments_at(5, 0.0), 4);
    }

    #[test]
    fn a_component_that_is_not_annealed_stays_whole() {
        let component = Component {
            by: AnnealBy::None,
            ..Reasoning::default().component()
        };
        assert_eq!(component.weight_at(0.9), 1.0);
        assert_eq!(component.segments_at(7, 0.9), 7);
    }

    #[test]
    fn cutting_a_batch_of_traces_changes_nothing() {
        let (a, b) = ([R, C, None], [C, C, R]);
        let whole = [a, b].concat();
        let logprobs = [-0.5, -1.0, -3.0, -0.25, -2.0, -0.75];
        let mut counts = TargetCounts::of(&a);
        counts += TargetCounts::of(&b);
        assert_eq!(counts, TargetCounts::of(&whole));
        let loss = |targets: &[Option<Target>], logprobs: &[f32]| {
            let weights = component_weights(targets, counts, &Sft::default(), 0.5);
            weighted_nll(logprobs, &weights).loss
        };
        // (0.5 + 0.75) / 2 + 0.5 (1 + 0.25 + 2) / 3
        let expected = 0.625 + 0.5 * 3.25 / 3.0;
        assert!((loss(&whole, &logprobs) - expected).abs() < 1e-6);
        let parts = loss(&a, &logprobs[..3]) + loss(&b, &logprobs[3..]);
        assert!((parts - expected).abs() < 1e-6);
    }
}
