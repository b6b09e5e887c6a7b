//! What a run has cost after each of its steps: time and tokens. Evaluations cost nothing here.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::Incomparable;
use crate::{ReportError, RunFolder};

/// The cost of a run's steps so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cost {
    /// Seconds that passed in rollouts and updates.
    pub(crate) wall_seconds: f64,
    /// These times the run's threads.
    pub(crate) processor_seconds: f64,
    /// Tokens that the policy sampled in training rollouts.
    pub(crate) sampled_tokens: f64,
    /// Tokens that carried loss: sampled ones and those of traces, counted once an update.
    pub(crate) trained_tokens: f64,
}

impl Cost {
    /// Both together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            wall_seconds: self.wall_seconds + other.wall_seconds,
            processor_seconds: self.processor_seconds + other.processor_seconds,
            sampled_tokens: self.sampled_tokens + other.sampled_tokens,
            trained_tokens: self.trained_tokens + other.trained_tokens,
        }
    }

    /// One of `count` equal parts.
    pub(crate) fn over(self, count: f64) -> Self {
        Self {
            wall_seconds: self.wall_seconds / count,
            processor_seconds: self.processor_seconds / count,
            sampled_tokens: self.sampled_tokens / count,
            trained_tokens: self.trained_tokens / count,
        }
    }
}

/// The costs of a run after 0, 1, 2, … steps.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Costs(Vec<Cost>);

impl Costs {
    /// Reads them from `metrics.jsonl`. Refuses a run whose config leaves the number of threads
    /// to the machine (`engine.threads = 0`): nothing says how many there were.
    pub(crate) fn read(folder: &Path) -> Result<Self, ReportError> {
        let run = RunFolder::open(folder)?;
        let config = run.config_table()?;
        let number = |table: &str, key: &str| {
            let value = config.get(table).and_then(|table| table.get(key));
            value.and_then(toml::Value::as_integer)
        };
        let threads = number("engine", "threads").unwrap_or(0) as f64;
        if threads == 0.0 {
            let folder = folder.to_owned();
            return Err(Incomparable::UnknownThreads { folder }.into());
        }
        let prompts = number("train", "prompts-per-step").unwrap_or(0);
        let episodes = (prompts * number("rollout", "group-size").unwrap_or(0)) as f64;
        let mut total = Cost::default();
        let mut totals = vec![total];
        for metrics in run.metrics()? {
            total = total.plus(of_step(&metrics, threads, episodes));
            totals.push(total);
        }
        Ok(Self(totals))
    }

    /// After `step` steps; after as many as are recorded where they are fewer.
    pub(crate) fn after(&self, step: u64) -> Cost {
        let last = self.0.len() - 1;
        self.0[usize::try_from(step).unwrap_or(last).min(last)]
    }

    /// How many steps are recorded.
    pub(crate) fn steps(&self) -> u64 {
        self.0.len() as u64 - 1
    }

    /// After all steps.
    pub(crate) fn total(&self) -> Cost {
        self.0[self.0.len() - 1]
    }
}

/// `episodes` is how many a step has where its metrics do not say it.
fn of_step(metrics: &Map<String, Value>, threads: f64, episodes: f64) -> Cost {
    let number = |name: &str| metrics.get(name).and_then(Value::as_f64);
    let or_zero = |name: &str| number(name).unwrap_or(0.0);
    let wall_seconds = or_zero("seconds-rollout") + or_zero("seconds-learn");
    Cost {
        wall_seconds,
        processor_seconds: wall_seconds * threads,
        sampled_tokens: or_zero("episode-tokens") * number("episodes").unwrap_or(episodes),
        trained_tokens: or_zero("sampled-tokens") + or_zero("target-tokens"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_run_that_does_not_say_its_threads_has_no_known_cost() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.toml"), "engine.threads = 0").unwrap();
        let error = Costs::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("`engine.threads` is 0"), "{error}");
    }

    #[test]
    fn costs_add_up_from_step_to_step() {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| fs::write(folder.path().join(file), text).unwrap();
        write(
            "config.toml",
            "engine.threads = 2\ntrain.prompts-per-step = 3\nrollout.group-size = 4\n",
        );
        write(
            "metrics.jsonl",
            "{\"step\":0,\"seconds-rollout\":1.0,\"seconds-learn\":0.5,\"episode-tokens\":10.0,\
             \"sampled-tokens\":60,\"target-tokens\":7}\n\
             {\"step\":1,\"seconds-learn\":0.5,\"episode-tokens\":10.0,\"episodes\":24,\
             \"sampled-tokens\":1,\"target-tokens\":1}\n",
        );
        let costs = Costs::read(folder.path()).unwrap();
        let cost = |wall_seconds, sampled_tokens, trained_tokens| Cost {
            wall_seconds,
            processor_seconds: 2.0 * wall_seconds,
            sampled_tokens,
            trained_tokens,
        };
        assert_eq!(costs.after(0), cost(0.0, 0.0, 0.0));
        assert_eq!(costs.after(1), cost(1.5, 120.0, 67.0));
        assert_eq!(costs.after(9), cost(2.0, 360.0, 69.0));
        assert_eq!(costs.total(), costs.after(2));
    }
}
