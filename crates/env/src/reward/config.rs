//! What can be chosen about the reward that training maximises.

use serde::{Deserialize, Serialize};

/// Whose reward, and how it is computed. Evaluation always reports the suite's own score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// What an episode earns: `solve-f1`, `solve-r`, `ftrl`, `tool-rl`, `match-tir`,
    /// `answer-f1` or `exact-answer`. Not set, it is the algorithm's own. `tool-rl` and
    /// `match-tir` compare calls with those of the expert trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<RewardKind>,
    /// FTRL's: what a turn with calls earns, `solve-f1`, `solve-pr`, `solve-rate` or
    /// `solve-precision`.
    pub step: Step,
    /// MatchTIR's: which call is compared with which of the expert's, `hard`, `greedy` or
    /// `transport`.
    pub matching: Matching,
    /// MatchTIR's: what a call that matches none of the expert's earns, under `hard` and
    /// `greedy`. The release has 0, its paper a penalty.
    pub unmatched: f64,
    /// ToolRL's: the formula of its paper, which adds 1 for turns in the form that it asks for
    /// and punishes an episode without a call; without it, the form that MatchTIR's release
    /// compares with, in which an episode without a call earns 0.
    pub format: bool,
}

/// A reward by the method that it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RewardKind {
    /// The environment's own: Solve-F1 over the whole episode.
    SolveF1,
    /// Share of the sub-answers that the episode solved (MatchTIR's baseline FTRL-M).
    SolveR,
    /// FTRL's reward of every turn; the episode's is their mean.
    Ftrl,
    /// ToolRL's likeness of the episode's calls to the expert's.
    ToolRl,
    /// MatchTIR's reward of every turn; the episode's is their sum.
    MatchTir,
    /// Token F1 of the answer.
    AnswerF1,
    /// 1 for the expected answer, else 0.
    ExactAnswer,
}

impl RewardKind {
    /// Whether episodes can only be judged beside an expert trace.
    pub fn needs_gold(self) -> bool {
        matches!(self, Self::ToolRl | Self::MatchTir)
    }

    /// Whether episodes can only be judged where the suite's tasks have sub-answers.
    pub fn needs_unsolved(self) -> bool {
        matches!(self, Self::SolveR | Self::Ftrl)
    }

    /// Whether episodes can only be judged where the task has an expected answer.
    pub fn needs_answer(self) -> bool {
        matches!(self, Self::AnswerF1 | Self::ExactAnswer)
    }

    /// Whether every turn has a reward of its own.
    pub fn has_turn_rewards(self) -> bool {
        matches!(self, Self::Ftrl | Self::MatchTir)
    }
}

/// What FTRL gives for a turn of `n` calls that solved `s` sub-answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// 2s / (n + 1), which FTRL trains with.
    #[default]
    SolveF1,
    /// s² / n.
    SolvePr,
    /// s.
    SolveRate,
    /// s / n.
    SolvePrecision,
}

/// How MatchTIR pairs calls with the expert's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Matching {
    /// One to one, with the largest sum of similarities (the paper's).
    #[default]
    Hard,
    /// One to one, the most similar pair first (its release's).
    Greedy,
    /// Each call with a share of each of the expert's, by entropic optimal transport.
    Transport,
}

/// A field whose value no reward can have.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("`{field}` is {value}, expected {expected}")]
pub struct ConfigError {
    /// The field, as written below the reward's own table.
    pub field: &'static str,
    /// What it was.
    pub value: f64,
    /// What it may be.
    pub expected: &'static str,
}

impl Config {
    /// Refuses numbers that no reward can mean.
    pub fn check(&self) -> Result<(), ConfigError> {
        if (-1e9..=1.0).contains(&self.unmatched) {
            return Ok(());
        }
        Err(ConfigError {
            field: "unmatched",
            value: self.unmatched,
            expected: "at most 1, which a perfect match earns, and at least -1e9",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rewards_are_chosen_by_name() {
        let check = |text: &str, kind: Option<RewardKind>| {
            let config: Config = serde_json::from_str(text).expect("a config");
            assert_eq!(
                config,
                Config {
                    kind,
                    ..Config::default()
                }
            );
        };
        check("{}", None);
        for (name, kind) in [
            ("solve-f1", RewardKind::SolveF1),
            ("solve-r", RewardKind::SolveR),
            ("ftrl", RewardKind::Ftrl),
            ("tool-rl", RewardKind::ToolRl),
            ("match-tir", RewardKind::MatchTir),
            ("answer-f1", RewardKind::AnswerF1),
            ("exact-answer", RewardKind::ExactAnswer),
        ] {
            check(&format!(r#"{{"kind": "{name}"}}"#), Some(kind));
        }
    }

    #[test]
    fn a_penalty_is_a_number_and_no_more_than_a_match_earns() {
        let check = |unmatched: f64| {
            Config {
                unmatched,
                ..Config::default()
            }
            .check()
        };
        assert_eq!(check(-0.5), Ok(()));
        assert_eq!(
            check(1.5).expect_err("too much").to_string(),
            "`unmatched` is 1.5, expected at most 1, which a perfect match earns, and at least -1e9"
        );
        assert!(check(f64::NAN).is_err());
    }
}
