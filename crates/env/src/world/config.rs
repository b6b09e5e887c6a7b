//! What the world's tasks are like: one knob for each kind of difficulty.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use super::lexicon::{PARAMETERS, RELATIONS};
use crate::EnvError;

/// Which tasks, how many, and how hard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// How many tasks `generate` makes.
    pub tasks: usize,
    /// Where all randomness comes from. A task depends on the seed, the split and its own
    /// index, never on how many tasks are made.
    pub seed: u64,
    /// Whose names: people and tool names of one split appear in no other, save that
    /// validation and test share tool names.
    pub split: Split,
    /// The protocol that the tools follow.
    pub family: Family,
    /// How often each scenario is drawn, as weights: single hop, parallel single hop, multi
    /// hop, parallel multi hop.
    pub scenarios: [f64; 4],
    /// Fewest and most relations in a chain of a multi-hop scenario.
    pub hops: [usize; 2],
    /// How often a chain of the plain family ends with the identifier of its last person, which
    /// the registry tells; in `0..=1`. The keyed family looks identifiers up at every hop.
    pub identifiers: f64,
    /// Fewest and most tools that answer nothing that was asked.
    pub distractors: [usize; 2],
    /// From how many providers the tools of a task come. A tool's name is its relation and its
    /// provider's name, an invented word that must be read from the listing; with more than
    /// one, it must also be told whose tool is whose.
    pub providers: usize,
    /// How many names tools draw the name of their one parameter from, 1 to 8. With more than
    /// one, it must be read from the listing too.
    pub parameter_names: usize,
    /// How often a look-up by name answers with an error that names the right key, so that
    /// the call must be made again; in `0..=1`.
    pub error_rate: f64,
    /// How often the expert, at each depth of a task, first asks tools that nobody asked for:
    /// each of the offered ones with this probability; in `0..=1`. Such a trace ends well, but
    /// not by the shortest way.
    pub detours: f64,
    /// Another family, of which some tasks are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_family: Option<Family>,
    /// How often a task is of the other family, if there is one; in `0..=1`.
    pub other: f64,
    /// How often a task (of the other family, if there is one) comes with its trace as a worked
    /// example: the conversation holds the expert's turns and the request to solve the task
    /// again; in `0..=1`. Only what follows is the agent's, so that imitation teaches to do as
    /// an example did, and not to do it unasked; an evaluation shows of what use a trace is.
    pub worked: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tasks: 1000,
            seed: 0,
            split: Split::Train,
            family: Family::Plain,
            scenarios: [1.0; 4],
            hops: [2, 3],
            identifiers: 0.0,
            distractors: [1, 4],
            providers: 1,
            parameter_names: 1,
            error_rate: 0.1,
            detours: 0.0,
            other_family: None,
            other: 0.0,
            worked: 0.0,
        }
    }
}

/// A part of the world's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// Eight tenths of the people, four fifths of the tool names.
    #[default]
    Train,
    /// A tenth of the people; tool names that training never has.
    Validation,
    /// Another tenth of the people; tool names that training never has.
    Test,
}

/// A protocol that tools follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Tools take names and answer with names.
    #[default]
    Plain,
    /// Tools take identifiers and answer with names; a registry gives a name's identifier.
    Keyed,
}

impl Split {
    /// `train`, `validation`, `test`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

impl Family {
    /// `plain`, `keyed`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Keyed => "keyed",
        }
    }
}

/// The most hops and distractors that a task has names enough for.
const MOST_HOPS: usize = 6;
const MOST_DISTRACTORS: usize = RELATIONS.len() - 2 * MOST_HOPS;

impl Config {
    /// Whether tasks can be generated from this config; the error names the field.
    pub fn check(&self) -> Result<(), EnvError> {
        let default = Self::default();
        let weights = &self.scenarios;
        let is_weight = |weight: &f64| weight.is_finite() && *weight >= 0.0;
        if !weights.iter().all(is_weight) || weights.iter().sum::<f64>() <= 0.0 {
            let expected = "four weights of at least 0, not all of them 0";
            return Err(wrong("scenarios", weights, expected, &default.scenarios));
        }
        if !is_range(self.hops, 1, MOST_HOPS) {
            let expected = format!("[fewest, most] within 1..={MOST_HOPS}");
            return Err(wrong("hops", &self.hops, &expected, &default.hops));
        }
        if !is_range(self.distractors, 0, MOST_DISTRACTORS) {
            let expected = format!("[fewest, most] within 0..={MOST_DISTRACTORS}");
            return Err(wrong(
                "distractors",
                &self.distractors,
                &expected,
                &default.distractors,
            ));
        }
        if self.providers == 0 {
            let (found, default) = (&self.providers, &default.providers);
            return Err(wrong("providers", found, "1 or more", default));
        }
        if !(1..=PARAMETERS.len()).contains(&self.parameter_names) {
            let expected = format!("a count within 1..={}", PARAMETERS.len());
            let (found, default) = (&self.parameter_names, &default.parameter_names);
            return Err(wrong("parameter-names", found, &expected, default));
        }
        let shares = [
            ("identifiers", self.identifiers, default.identifiers),
            ("error-rate", self.error_rate, default.error_rate),
            ("detours", self.detours, default.detours),
            ("other", self.other, default.other),
            ("worked", self.worked, default.worked),
        ];
        for (field, found, default) in shares {
            if !(0.0..=1.0).contains(&found) {
                return Err(wrong(field, &found, "a fraction within 0..=1", &default));
            }
        }
        if self.other > 0.0 && self.other_family.is_none() {
            let expected = "0 without an `other-family`";
            return Err(wrong("other", &self.other, expected, &default.other));
        }
        Ok(())
    }
}

fn is_range([fewest, most]: [usize; 2], lowest: usize, highest: usize) -> bool {
    lowest <= fewest && fewest <= most && most <= highest
}

fn wrong<T: Debug>(field: &str, found: &T, expected: &str, default: &T) -> EnvError {
    EnvError::World {
        problem: format!(
            "`{field}` is {found:?}, expected {expected}\nhint: the default is {default:?}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_says_which_field_is_out_of_range() {
        let check = |config: Config, field: &str| {
            let message = config.check().expect_err(field).to_string();
            assert!(
                message.starts_with(&format!("tool world: `{field}` is ")),
                "{message}"
            );
        };
        let default = Config::default;
        default()
            .check()
            .expect("the default can be generated from");
        check(
            Config {
                scenarios: [0.0; 4],
                ..default()
            },
            "scenarios",
        );
        check(
            Config {
                scenarios: [-1.0, 1.0, 1.0, 1.0],
                ..default()
            },
            "scenarios",
        );
        check(
            Config {
                hops: [3, 2],
                ..default()
            },
            "hops",
        );
        check(
            Config {
                hops: [0, 2],
                ..default()
            },
            "hops",
        );
        check(
            Config {
                distractors: [0, 13],
                ..default()
            },
            "distractors",
        );
        check(
            Config {
                providers: 0,
                ..default()
            },
            "providers",
        );
        check(
            Config {
                parameter_names: 9,
                ..default()
            },
            "parameter-names",
        );
        check(
            Config {
                error_rate: f64::NAN,
                ..default()
            },
            "error-rate",
        );
        check(
            Config {
                detours: 1.5,
                ..default()
            },
            "detours",
        );
        check(
            Config {
                worked: -0.1,
                ..default()
            },
            "worked",
        );
        check(
            Config {
                other: 0.5,
                ..default()
            },
            "other",
        );
    }
}
