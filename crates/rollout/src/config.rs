//! How episodes are rolled out: how many, how long, how they are sampled.

use env::{Protocol, UnreadCalls};
use serde::{Deserialize, Serialize};

/// Limits, widths and sampling of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Episodes sampled for each task of a training step. Advantages compare them, so 1
    /// teaches nothing; time grows in proportion, less what the shared prompt saves.
    pub group_size: usize,
    /// Turns of the policy after each message of the user; there is one message in most suites.
    /// The last turn's calls are still executed. Not set: as the suite's authors have it, and
    /// 10 where they do not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_turns: Option<usize>,
    /// What becomes of a call that cannot be read: `tell` the agent what was wrong with it, or
    /// `drop` it silently, which makes a turn without another call an answer. Not set: as the
    /// suite's authors have it, and `tell` where they do not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread_calls: Option<UnreadCalls>,
    /// Tokens sampled in one turn. A turn cut here ends its episode, and its calls are not
    /// executed.
    pub max_turn_tokens: usize,
    /// Tokens of the prompt. A task with a longer one is not sampled, and scores what an
    /// episode that did nothing scores.
    pub max_prompt_tokens: usize,
    /// Tokens of the whole episode: prompt, turns and observations. Bounds memory.
    pub max_tokens: usize,
    /// Seconds from an episode's first turn to its end. A turn under way when they are over
    /// is lost. With a limit, two runs of the same seed may differ; without one (the
    /// default) they do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_seconds: Option<f64>,
    /// Episodes that live at once. More decode faster and hold more caches in memory.
    pub concurrency: usize,
    /// Threads on which tools run while other episodes decode. Not used by suites whose
    /// tools answer at once.
    pub tool_threads: usize,
    /// Divides the logits before sampling; 0 is greedy.
    pub temperature: f64,
    /// Sample among the most probable tokens that together have this probability; 1 is all.
    /// Below 1, log-probabilities are those of the narrowed distribution.
    pub top_p: f64,
    /// Sample among this many of the most probable tokens; 0 is all.
    pub top_k: usize,
    /// Sample among tokens at least this fraction as probable as the most probable one; 0
    /// is all.
    pub min_p: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            group_size: 16,
            max_turns: None,
            unread_calls: None,
            max_turn_tokens: 2048,
            max_prompt_tokens: 7000,
            max_tokens: 30_000,
            max_seconds: None,
            concurrency: 64,
            tool_threads: 8,
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
        }
    }
}

/// A config with the suite's rules where it sets none of its own.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) config: &'a Config,
    pub(crate) max_turns: usize,
    pub(crate) unread_calls: UnreadCalls,
}

impl<'a> Rules<'a> {
    pub(crate) fn new(config: &'a Config, protocol: Protocol) -> Self {
        Self {
            config,
            max_turns: config.max_turns.unwrap_or(protocol.max_turns),
            unread_calls: config.unread_calls.unwrap_or(protocol.unread_calls),
        }
    }
}

/// A field whose value no rollout can have.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("`{field}` is {value}, expected {expected}")]
pub struct ConfigError {
    /// The field, as written below the rollout's own table.
    pub field: &'static str,
    /// What it was.
    pub value: f64,
    /// What it may be.
    pub expected: &'static str,
}

impl Config {
    /// Refuses numbers that no rollout can mean.
    pub fn check(&self) -> Result<(), ConfigError> {
        let seconds = self.max_seconds.unwrap_or(1.0);
        let count = |field, value: usize| (field, value as f64, value > 0, "1 or more");
        let fields = [
            count("group-size", self.group_size),
            count("max-turns", self.max_turns.unwrap_or(1)),
            count("max-turn-tokens", self.max_turn_tokens),
            count("max-prompt-tokens", self.max_prompt_tokens),
            count("max-tokens", self.max_tokens),
            count("concurrency", self.concurrency),
            count("tool-threads", self.tool_threads),
            (
                "max-seconds",
                seconds,
                (1e-9..1e9).contains(&seconds),
                "more than 0 and below 1e9",
            ),
            (
                "temperature",
                self.temperature,
                (0.0..f64::MAX).contains(&self.temperature),
                "0 or more",
            ),
            (
                "top-p",
                self.top_p,
                self.top_p > 0.0 && self.top_p <= 1.0,
                "more than 0 and at most 1",
            ),
            (
                "min-p",
                self.min_p,
                (0.0..1.0).contains(&self.min_p),
                "at least 0 and below 1",
            ),
        ];
        match fields.into_iter().find(|(_, _, holds, _)| !holds) {
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
    fn an_empty_file_is_the_published_setting() {
        let config: Config = toml::from_str("").expect("an empty table is a config");
        assert_eq!(config, Config::default());
        assert_eq!(config.check(), Ok(()));
        assert_eq!(config.group_size, 16);
        assert_eq!(
            (config.max_prompt_tokens, config.max_tokens),
            (7000, 30_000)
        );
    }

    #[test]
    fn a_config_survives_being_written_down() {
        let config = Config {
            max_seconds: Some(2.5),
            ..Config::default()
        };
        let text = toml::to_string(&config).expect("a config is TOML");
        assert_eq!(toml::from_str(&text), Ok(config));
    }

    #[test]
    fn a_number_that_makes_no_sense_is_named() {
        let check = |text: &str, expected: &str| {
            let config: Config = toml::from_str(text).expect("a known field");
            assert_eq!(config.check().expect_err(text).to_string(), expected);
        };
        check("max-turns = 0", "`max-turns` is 0, expected 1 or more");
        check(
            "top-p = 0.0",
            "`top-p` is 0, expected more than 0 and at most 1",
        );
        check(
            "temperature = -1.0",
            "`temperature` is -1, expected 0 or more",
        );
        check(
            "temperature = nan",
            "`temperature` is NaN, expected 0 or more",
        );
        check(
            "max-seconds = 0.0",
            "`max-seconds` is 0, expected more than 0 and below 1e9",
        );
    }
}
