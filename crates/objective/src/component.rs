//! What each component of an expert trace weighs at a moment of training.

use std::ops::AddAssign;

use crate::{Anneal, AnnealBy, AnswerAs, Normalise, Sft};

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

/// Which component of a trace a token belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Reasoning.
    Reasoning,
    /// A call.
    Call,
    /// The final answer.
    Answer,
}

/// A token that the expert wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceToken {
    /// Its component.
    pub component: Target,
    /// Whether it is a target at this moment of training; otherwise it is watched only.
    pub supervised: bool,
}

/// How many target tokens of each component a batch has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetCounts {
    /// Tokens of [`Target::Reasoning`].
    pub reasoning: usize,
    /// Tokens of [`Target::Call`].
    pub calls: usize,
    /// Tokens of [`Target::Answer`].
    pub answers: usize,
}

impl TargetCounts {
    /// Counts the targets of one trace.
    pub fn of(tokens: &[TraceToken]) -> Self {
        let targets = |component| {
            let is_target = |t: &&TraceToken| t.supervised && t.component == component;
            tokens.iter().filter(is_target).count()
        };
        Self {
            reasoning: targets(Target::Reasoning),
            calls: targets(Target::Call),
            answers: targets(Target::Answer),
        }
    }

    /// Target tokens in all.
    pub fn total(self) -> usize {
        self.reasoning + self.calls + self.answers
    }
}

impl AddAssign for TargetCounts {
    fn add_assign(&mut self, other: Self) {
        self.reasoning += other.reasoning;
        self.calls += other.calls;
        self.answers += other.answers;
    }
}

/// The weights with which [`weighted_nll`](crate::weighted_nll) gives method.md's
/// `w_sft (L_reasoning + lambda(p) L_calls)`. `tokens` and the result are `[tokens]`.
///
/// `counts` are those of the whole batch: with [`Normalise::Component`] each component is a
/// mean over its own target tokens, so that none dilutes another, with [`Normalise::Joint`]
/// all are one mean; cutting the batch changes nothing either way. An answer that counts as
/// a call is divided as one.
pub fn component_weights(
    tokens: &[TraceToken],
    counts: TargetCounts,
    sft: &Sft,
    progress: f64,
) -> Vec<f32> {
    let like_call = sft.answer.target == AnswerAs::Call;
    let own = |count: usize| match sft.normalise {
        Normalise::Component => count,
        Normalise::Joint => counts.total(),
    };
    let share = |component: Component, count: usize| {
        let weight = sft.weight * component.weight_at(progress);
        (weight / own(count).max(1) as f64) as f32
    };
    let calls = counts.calls + if like_call { counts.answers } else { 0 };
    let reasoning = share(sft.reasoning.component(), counts.reasoning);
    let call = share(sft.calls.component(), calls);
    let answer = match sft.answer.target {
        AnswerAs::Call => call,
        AnswerAs::Own => share(sft.answer.component(), counts.answers),
        AnswerAs::None => 0.0,
    };
    let weight = |token: &TraceToken| match (token.supervised, token.component) {
        (false, _) => 0.0,
        (true, Target::Reasoning) => reasoning,
        (true, Target::Call) => call,
        (true, Target::Answer) => answer,
    };
    tokens.iter().map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Calls, Reasoning, weighted_nll};

    const R: TraceToken = token(Target::Reasoning, true);
    const C: TraceToken = token(Target::Call, true);
    const A: TraceToken = token(Target::Answer, true);
    /// Reasoning that is only watched.
    const W: TraceToken = token(Target::Reasoning, false);

    const fn token(component: Target, supervised: bool) -> TraceToken {
        TraceToken {
            component,
            supervised,
        }
    }

    #[test]
    fn each_component_is_divided_by_its_own_count() {
        let targets = [W, R, R, R, R, C, C, W];
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
    fn an_answer_is_a_call_or_a_component_or_context() {
        let targets = [C, C, C, A];
        let counts = TargetCounts::of(&targets);
        let weights = |target: AnswerAs, normalise: Normalise| {
            let mut sft = Sft::default();
            sft.answer.target = target;
            sft.answer.weight = 2.0;
            sft.normalise = normalise;
            component_weights(&targets, counts, &sft, 0.0)
        };
        let check = |target, normalise, call: f32, answer: f32| {
            assert_eq!(weights(target, normalise), [call, call, call, answer]);
        };
        check(AnswerAs::Call, Normalise::Component, 0.2, 0.2);
        check(AnswerAs::Own, Normalise::Component, 0.8 / 3.0, 1.6);
        check(AnswerAs::Own, Normalise::Joint, 0.2, 0.4);
        check(AnswerAs::None, Normalise::Component, 0.8 / 3.0, 0.0);
    }

    #[test]
    fn plain_imitation_is_one_mean_over_all_tokens() {
        let targets = [R, C, C, A];
        let weights =
            component_weights(&targets, TargetCounts::of(&targets), &Sft::plain(2.0), 0.9);
        assert_eq!(weights, [0.5; 4]);
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
        let (a, b) = ([R, C, W], [C, C, R]);
        let whole = [a, b].concat();
        let logprobs = [-0.5, -1.0, -3.0, -0.25, -2.0, -0.75];
        let mut counts = TargetCounts::of(&a);
        counts += TargetCounts::of(&b);
        assert_eq!(counts, TargetCounts::of(&whole));
        let loss = |targets: &[TraceToken], logprobs: &[f32]| {
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
