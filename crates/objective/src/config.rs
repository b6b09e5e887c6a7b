//! What can be chosen about the objective. Each field says what it does and what it costs.

use serde::{Deserialize, Serialize};

use crate::{Anneal, Clip, Component, Shape};

/// Which signals a step is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// The expert traces alone; nothing is sampled.
    Sft,
    /// The rollouts alone, under the prompt that they were sampled from.
    Grpo,
    /// Rollouts under the expert trace, anchoring under the prompt, and the traces themselves.
    #[default]
    Pact,
}

/// Which context the old log-probabilities of the trace-conditioned ratio have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RatioOld {
    /// Prompt and trace, as the numerator: the ratio is exactly 1 on the first inner step.
    /// Costs a scoring pass when a batch takes several inner steps.
    #[default]
    Trace,
    /// The prompt alone, as sampled: the ratio carries the whole privilege gap, and is
    /// clipped from the first step on.
    Prompt,
}

/// In which way a component of the trace is annealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnnealBy {
    /// Not at all; `from` and `to` are not read.
    None,
    /// By the share of its segments, counted from the first, that are targets.
    Segment,
    /// By its weight.
    Scale,
}

/// What the trace's final answer counts as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerAs {
    /// A target, like a call.
    #[default]
    Call,
    /// Context.
    None,
}

/// How rewards become advantages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Advantage {
    /// Divide by the group's standard deviation (plus 1e-6) after subtracting its mean.
    /// Without it, groups that nearly agree weigh less.
    pub normalise: bool,
}

impl Default for Advantage {
    fn default() -> Self {
        Self { normalise: true }
    }
}

/// The reasoning of a trace as a target.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Reasoning {
    /// Weight beside the calls, on top of any annealing.
    pub weight: f64,
    /// `none`, `segment` or `scale`.
    pub anneal: AnnealBy,
    /// Share of segments, or scale, at the start of training.
    pub from: f64,
    /// Share of segments, or scale, at its end.
    pub to: f64,
    /// `linear` or `cosine`.
    pub shape: Shape,
}

impl Default for Reasoning {
    fn default() -> Self {
        Self {
            weight: 1.0,
            anneal: AnnealBy::Segment,
            from: 1.0,
            to: 0.0,
            shape: Shape::Linear,
        }
    }
}

impl Reasoning {
    /// The component that these fields describe.
    pub fn component(&self) -> Component {
        Component {
            weight: self.weight,
            by: self.anneal,
            anneal: Anneal {
                from: self.from,
                to: self.to,
                shape: self.shape,
            },
        }
    }
}

/// The tool calls of a trace as a target. The fields are those of [`Reasoning`]; the
/// defaults are not, which is why this is a type of its own.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Calls {
    /// Weight beside the reasoning, on top of any annealing.
    pub weight: f64,
    /// `none`, `segment` (the first calls of a trace) or `scale`.
    pub anneal: AnnealBy,
    /// Share of calls, or scale, at the start of training.
    pub from: f64,
    /// Share of calls, or scale, at its end.
    pub to: f64,
    /// `linear` or `cosine`.
    pub shape: Shape,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            weight: 1.0,
            anneal: AnnealBy::Scale,
            from: 0.8,
            to: 0.2,
            shape: Shape::Linear,
        }
    }
}

impl Calls {
    /// The component that these fields describe.
    pub fn component(&self) -> Component {
        Component {
            weight: self.weight,
            by: self.anneal,
            anneal: Anneal {
                from: self.from,
                to: self.to,
                shape: self.shape,
            },
        }
    }
}

/// The expert trace as a target (component-aware SFT).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sft {
    /// Weight of the whole signal beside the rollouts'; 0 turns it off.
    pub weight: f64,
    /// What each turn's reasoning weighs, and how that changes.
    pub reasoning: Reasoning,
    /// What the tool calls weigh, and how that changes.
    pub calls: Calls,
    /// Whether the final answer is a target: `call` or `none`.
    pub answer: AnswerAs,
}

impl Default for Sft {
    fn default() -> Self {
        Self {
            weight: 1.0,
            reasoning: Reasoning::default(),
            calls: Calls::default(),
            answer: AnswerAs::default(),
        }
    }
}

/// Everything that can be chosen about the objective.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// `sft`, `grpo` or `pact`.
    pub algorithm: Algorithm,
    /// How far below 1 the ratio may fall before a token stops being pushed down.
    pub clip_low: f64,
    /// How far above 1 the ratio may rise before a token stops being pushed up.
    pub clip_high: f64,
    /// The probability that a prompt's rollouts are scored under the prompt alone rather
    /// than under the trace; 0.2 to 0.5 generalised best in the paper.
    pub anchor: f64,
    /// Which context the ratio's denominator has: `trace` or `prompt`.
    pub ratio_old: RatioOld,
    /// How rewards become advantages.
    pub advantage: Advantage,
    /// The expert trace as a target.
    pub sft: Sft,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::default(),
            clip_low: 0.2,
            clip_high: 0.2,
            anchor: 0.3,
            ratio_old: RatioOld::default(),
            advantage: Advantage::default(),
            sft: Sft::default(),
        }
    }
}

/// A field whose value makes no sense.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("`{field}` is {value}, expected {expected}")]
pub struct ConfigError {
    /// The field, as written below the objective's own table.
    pub field: &'static str,
    /// What it was.
    pub value: f64,
    /// What it may be.
    pub expected: &'static str,
}

impl Config {
    /// How far the ratio may go.
    pub fn clip(&self) -> Clip {
        Clip {
            low: self.clip_low,
            high: self.clip_high,
        }
    }

    /// Refuses numbers that no run can mean.
    pub fn check(&self) -> Result<(), ConfigError> {
        let (reasoning, calls) = (&self.sft.reasoning, &self.sft.calls);
        let share = 0.0..=1.0;
        let positive = 0.0..=f64::MAX;
        let bounds = |by| match by {
            AnnealBy::Segment => (&share, "a share from 0 to 1"),
            AnnealBy::None | AnnealBy::Scale => (&positive, "0 or more"),
        };
        let (reasoning_range, reasoning_text) = bounds(reasoning.anneal);
        let (calls_range, calls_text) = bounds(calls.anneal);
        let fields = [
            ("clip-low", self.clip_low, &share, "a number from 0 to 1"),
            ("clip-high", self.clip_high, &positive, "0 or more"),
            ("anchor", self.anchor, &share, "a probability from 0 to 1"),
            ("sft.weight", self.sft.weight, &positive, "0 or more"),
            (
                "sft.reasoning.weight",
                reasoning.weight,
                &positive,
                "0 or more",
            ),
            (
                "sft.reasoning.from",
                reasoning.from,
                reasoning_range,
                reasoning_text,
            ),
            (
                "sft.reasoning.to",
                reasoning.to,
                reasoning_range,
                reasoning_text,
            ),
            ("sft.calls.weight", calls.weight, &positive, "0 or more"),
            ("sft.calls.from", calls.from, calls_range, calls_text),
            ("sft.calls.to", calls.to, calls_range, calls_text),
        ];
        match fields
            .into_iter()
            .find(|(_, value, range, _)| !range.contains(value))
        {
            Some((field, value, _, expected)) => Err(ConfigError {
                field,
                value,
                expected,
            }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_method_as_published() {
        let config: Config = toml::from_str("").expect("an empty table is a config");
        assert_eq!(config, Config::default());
        assert_eq!(config.check(), Ok(()));
        assert_eq!(config.algorithm, Algorithm::Pact);
        assert_eq!(config.ratio_old, RatioOld::Trace);
        assert_eq!(
            (config.clip_low, config.clip_high, config.anchor),
            (0.2, 0.2, 0.3)
        );
    }

    #[test]
    fn a_field_that_is_not_given_keeps_its_own_components_default() {
        let config: Config = toml::from_str("sft.calls.to = 0.5").expect("a known field");
        assert_eq!(config.sft.calls.from, 0.8);
        assert_eq!(config.sft.calls.anneal, AnnealBy::Scale);
        assert_eq!(config.sft.reasoning, Reasoning::default());
    }

    #[test]
    fn a_config_survives_being_written_down() {
        let text = toml::to_string(&Config::default()).expect("a config is TOML");
        assert!(text.contains("clip-low = 0.2\n"), "{text}");
        assert_eq!(toml::from_str(&text), Ok(Config::default()));
    }

    #[test]
    fn an_unknown_field_is_refused() {
        for text in ["anchr = 0.1", "sft.calls.form = 1.0", "algorithm = \"ppo\""] {
            assert!(toml::from_str::<Config>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_that_makes_no_sense_is_named() {
        let check = |text: &str, expected: &str| {
            let config: Config = toml::from_str(text).expect("a known field");
            let error = config.check().expect_err(text);
            assert_eq!(error.to_string(), expected);
        };
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
        let scale = "sft.calls.from = 2.0";
        let config: Config = toml::from_str(scale).expect("a known field");
        assert_eq!(config.check(), Ok(()));
    }
}
