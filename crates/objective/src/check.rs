//! Which configs no run can mean: numbers out of range, and switches that contradict each
//! other or that the chosen algorithm does not read.

use std::ops::RangeInclusive;

use crate::config::{AnnealBy, AnswerAs, Beyond, Config, Sft};
use crate::{Aggregate, Algorithm, Correction, RatioOld};

/// A field whose value no run can mean.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("`{field}` {problem}")]
pub struct ConfigError {
    /// The field, as written below the objective's own table.
    pub field: &'static str,
    /// What it is, and what was expected.
    pub problem: String,
}

const SHARE: RangeInclusive<f64> = 0.0..=1.0;
const POSITIVE: RangeInclusive<f64> = 0.0..=f64::MAX;

impl Config {
    /// Refuses what no run can mean, all of it at once.
    pub fn check(&self) -> Result<(), Vec<ConfigError>> {
        let mut errors = Vec::new();
        self.check_numbers(&mut errors);
        self.check_sft(&mut errors);
        self.check_unread(&mut errors);
        self.check_contradictions(&mut errors);
        match errors.is_empty() {
            true => Ok(()),
            false => Err(errors),
        }
    }

    fn check_numbers(&self, errors: &mut Vec<ConfigError>) {
        let share = |field, value| (field, value, SHARE, "a share from 0 to 1");
        let positive = |field, value| (field, value, POSITIVE, "0 or more");
        let probability = |field, value| (field, value, SHARE, "a probability from 0 to 1");
        let fields = [
            (
                "clip-low",
                self.clip_low.unwrap_or(0.0),
                SHARE,
                "a number from 0 to 1",
            ),
            positive("clip-high", self.clip_high.unwrap_or(0.0)),
            (
                "clip-dual",
                self.clip_dual.unwrap_or(2.0),
                1.0..=f64::MAX,
                "1 or more",
            ),
            probability("anchor", self.anchor),
            probability("anchor-to", self.anchor_to.unwrap_or(0.0)),
            positive("entropy", self.entropy.unwrap_or(0.0)),
            positive("kl.weight", self.kl.weight.unwrap_or(0.0)),
            share("advantage.discount", self.advantage.discount.unwrap_or(1.0)),
            (
                "advantage.threshold",
                self.advantage.threshold,
                f64::MIN..=f64::MAX,
                "a number",
            ),
            positive("importance.low", self.importance.low),
            positive("importance.high", self.importance.high),
            share("chord.peak", self.chord.peak.unwrap_or(0.0)),
            share("chord.valley", self.chord.valley.unwrap_or(0.0)),
            (
                "luffy.gamma",
                self.luffy.gamma,
                1e-9..=f64::MAX,
                "more than 0",
            ),
            probability("hint.high", self.hint.high),
            probability("hint.low", self.hint.low),
            share("hint.share", self.hint.share),
            positive("hint.weight", self.hint.weight),
            positive("distillation.limit", self.distillation.limit),
        ];
        for (field, value, range, expected) in fields {
            within(errors, field, value, range, expected);
        }
        let counts = [
            ("resample.rounds", self.resample.rounds),
            ("hint.chunks", self.hint.chunks),
        ];
        for (field, count) in counts {
            if count == 0 {
                refuse(errors, field, "is 0, expected 1 or more");
            }
        }
    }

    fn check_sft(&self, errors: &mut Vec<ConfigError>) {
        let Sft {
            reasoning,
            calls,
            answer,
            ..
        } = &self.sft;
        within(errors, "sft.weight", self.sft.weight, POSITIVE, "0 or more");
        let components = [
            (
                [
                    "sft.reasoning.weight",
                    "sft.reasoning.from",
                    "sft.reasoning.to",
                ],
                reasoning.component(),
            ),
            (
                ["sft.calls.weight", "sft.calls.from", "sft.calls.to"],
                calls.component(),
            ),
            (
                ["sft.answer.weight", "sft.answer.from", "sft.answer.to"],
                answer.component(),
            ),
        ];
        for ([weight, from, to], component) in components {
            within(errors, weight, component.weight, POSITIVE, "0 or more");
            let (range, expected) = match component.by {
                AnnealBy::Segment => (SHARE, "a share from 0 to 1"),
                AnnealBy::None | AnnealBy::Scale => (POSITIVE, "0 or more"),
            };
            within(errors, from, component.anneal.from, range.clone(), expected);
            within(errors, to, component.anneal.to, range, expected);
        }
        if reasoning.beyond == Beyond::Drop && reasoning.anneal != AnnealBy::Segment {
            refuse(
                errors,
                "sft.reasoning.beyond",
                "is `drop`, but nothing is ever cut off, expected `mask`, or `sft.reasoning.anneal \
                 = \"segment\"`",
            );
        }
        let own = crate::Answer {
            target: answer.target,
            ..crate::Answer::default()
        };
        if answer.target != AnswerAs::Own && *answer != own {
            refuse(
                errors,
                "sft.answer",
                "has a weight or an annealing of its own, expected `sft.answer.target = \"own\"` \
                 beside it",
            );
        }
    }

    /// A table that is set and that the algorithm does not read.
    fn check_unread(&self, errors: &mut Vec<ConfigError>) {
        use Algorithm::{
            ChordMu, ChordPhi, ComponentSft, Luffy, MatchTir, Pact, ReinforcePlusPlus,
            ReinforcePlusPlusBaseline, RejectionSft, SelfDistillation, Uft,
        };
        let default = Self::default();
        let anchored = |it: &Self| (it.anchor, it.anchor_to, it.anchor_shape, it.ratio_old);
        let bounds = self.policy_loss().bounds();
        for (field, is_set, is_read) in [
            ("clip-low", self.clip_low.is_some(), bounds.ratio),
            ("clip-high", self.clip_high.is_some(), bounds.ratio),
            ("clip-dual", self.clip_dual.is_some(), bounds.dual),
        ] {
            if is_set && !(is_read && self.algorithm.samples()) {
                let name = self.algorithm.name();
                let problem = format!("is set, but the loss of `{name}` has no such bound");
                refuse(errors, field, &problem);
            }
        }
        let tables: [(&'static str, bool, &[Algorithm]); 9] = [
            ("sft", self.sft != default.sft, &[Pact, ComponentSft]),
            ("anchor", anchored(self) != anchored(&default), &[Pact]),
            ("chord", self.chord != default.chord, &[ChordMu, ChordPhi]),
            ("luffy", self.luffy != default.luffy, &[Luffy]),
            ("hint", self.hint != default.hint, &[Uft]),
            (
                "distillation",
                self.distillation != default.distillation,
                &[SelfDistillation],
            ),
            (
                "advantage.threshold",
                self.advantage.threshold != default.advantage.threshold,
                &[RejectionSft],
            ),
            (
                "advantage.discount",
                self.advantage.discount.is_some(),
                &[ReinforcePlusPlus, ReinforcePlusPlusBaseline, MatchTir],
            ),
            (
                "advantage.normalise",
                self.advantage.normalise.is_some() && !self.algorithm.has_group_std(),
                &[],
            ),
        ];
        for (field, is_set, readers) in tables {
            if is_set && !readers.contains(&self.algorithm) {
                let name = self.algorithm.name();
                let readers: Vec<_> = readers.iter().map(|reader| reader.name()).collect();
                let expected = match readers.is_empty() {
                    true => "an algorithm with a group's standard deviation".to_owned(),
                    false => format!("`{}`", readers.join("` or `")),
                };
                let problem = format!(
                    "is set, but `objective.algorithm = \"{name}\"` does not read it, expected \
                     {expected}"
                );
                refuse(errors, field, &problem);
            }
        }
    }

    fn check_contradictions(&self, errors: &mut Vec<ConfigError>) {
        if !self.algorithm.samples() {
            let rollouts = [
                ("kl.weight", self.kl.weight.unwrap_or(0.0) > 0.0),
                ("entropy", self.entropy.unwrap_or(0.0) > 0.0),
                (
                    "importance.correction",
                    self.importance.correction != Correction::None,
                ),
                ("resample.enabled", self.resample.enabled == Some(true)),
                ("overlong.filter", self.overlong.filter),
                ("overlong.cache", self.overlong.cache.is_some()),
                ("aggregate", self.aggregate.is_some()),
            ];
            for (field, _) in rollouts.into_iter().filter(|(_, is_set)| *is_set) {
                let name = self.algorithm.name();
                let problem = format!("is about rollouts, and `{name}` samples none");
                refuse(errors, field, &problem);
            }
        }
        if self.importance.low > self.importance.high {
            let high = self.importance.high;
            let problem = format!(
                "is {}, above `importance.high` ({high})",
                self.importance.low
            );
            refuse(errors, "importance.low", &problem);
        }
        if self.hint.low > self.hint.high {
            let problem = format!(
                "is {}, above `hint.high` ({})",
                self.hint.low, self.hint.high
            );
            refuse(errors, "hint.low", &problem);
        }
        if self.algorithm == Algorithm::Gspo && self.aggregate == Some(Aggregate::Token) {
            refuse(
                errors,
                "aggregate",
                "is `token`, but GSPO's ratio is a whole rollout's, expected `sequence`",
            );
        }
        let always_conditioned = self.algorithm == Algorithm::Pact
            && self.anchor == 0.0
            && self.anchor_to.is_none_or(|to| to == 0.0);
        if always_conditioned && self.importance.correction != Correction::None {
            refuse(
                errors,
                "importance.correction",
                "is about rollouts scored under the prompt, of which `anchor = 0` leaves none",
            );
        }
        let never_conditioned = self.anchor == 1.0 && self.anchor_to.is_none_or(|to| to == 1.0);
        if never_conditioned && self.ratio_old == RatioOld::Prompt {
            refuse(
                errors,
                "ratio-old",
                "is `prompt`, but with `anchor = 1` no ratio is taken under a trace",
            );
        }
    }
}

fn within(
    errors: &mut Vec<ConfigError>,
    field: &'static str,
    value: f64,
    range: RangeInclusive<f64>,
    expected: &str,
) {
    if !range.contains(&value) {
        refuse(errors, field, &format!("is {value}, expected {expected}"));
    }
}

fn refuse(errors: &mut Vec<ConfigError>, field: &'static str, problem: &str) {
    errors.push(ConfigError {
        field,
        problem: problem.to_owned(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(text: &str) -> Vec<String> {
        let config: Config = toml::from_str(text).expect("a known field");
        let errors = config.check().err().unwrap_or_default();
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_number_that_makes_no_sense_is_named() {
        let check = |text: &str, expected: &str| assert_eq!(errors(text), [expected]);
        check(
            "anchor = 3.0",
            "`anchor` is 3, expected a probability from 0 to 1",
        );
        check("clip-high = -1.0", "`clip-high` is -1, expected 0 or more");
        check(
            "sft.weight = nan",
            "`sft.weight` is NaN, expected 0 or more",
        );
        check(
            "sft.reasoning.from = 2.0",
            "`sft.reasoning.from` is 2, expected a share from 0 to 1",
        );
        assert_eq!(errors("sft.calls.from = 2.0"), [""; 0]);
    }

    #[test]
    fn everything_that_contradicts_is_refused_at_once() {
        let found = errors(
            "algorithm = \"sft\"\nkl.weight = 0.1\nsft.weight = 2.0\nchord.peak = 2.0\n\
             importance.low = 3.0",
        );
        assert_eq!(
            found,
            [
                "`chord.peak` is 2, expected a share from 0 to 1",
                "`sft` is set, but `objective.algorithm = \"sft\"` does not read it, expected \
                 `pact` or `component-sft`",
                "`chord` is set, but `objective.algorithm = \"sft\"` does not read it, expected \
                 `chord-mu` or `chord-phi`",
                "`kl.weight` is about rollouts, and `sft` samples none",
                "`importance.low` is 3, above `importance.high` (2)",
            ]
        );
    }

    #[test]
    fn a_switch_without_effect_is_refused() {
        let check = |text: &str, field: &str| {
            let found = errors(text);
            assert!(
                found.iter().any(|error| error.starts_with(field)),
                "{text}: {found:?}"
            );
        };
        check("algorithm = \"grpo\"\nanchor = 0.5", "`anchor` is set");
        check(
            "algorithm = \"gspo\"\naggregate = \"token\"",
            "`aggregate` is",
        );
        check("anchor = 1.0\nratio-old = \"prompt\"", "`ratio-old` is");
        check("algorithm = \"luffy\"\nclip-low = 0.1", "`clip-low` is set");
        check("algorithm = \"sft\"\nclip-high = 0.1", "`clip-high` is set");
        check(
            "algorithm = \"cispo\"\nclip-dual = 3.0",
            "`clip-dual` is set",
        );
        check(
            "anchor = 0.0\nimportance.correction = \"mask\"",
            "`importance.correction` is",
        );
        check("sft.answer.weight = 2.0", "`sft.answer` has");
        check(
            "sft.reasoning = { beyond = \"drop\", anneal = \"none\" }",
            "`sft.reasoning.beyond` is",
        );
        check(
            "algorithm = \"rloo\"\nadvantage.normalise = true",
            "`advantage.normalise` is set",
        );
    }
}
