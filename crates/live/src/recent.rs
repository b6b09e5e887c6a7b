//! The newest episodes of a run, and how the latest of them fared by scenario.

use std::collections::{BTreeMap, VecDeque};

use episode::Episode;
use serde::Deserialize;

/// Episodes that can be read.
const READABLE: usize = 32;

/// Episodes over which success is counted.
const COUNTED: usize = 256;

/// One line of episodes.jsonl.
#[derive(Debug, Deserialize)]
pub(crate) struct Seen {
    /// The step that sampled it.
    pub(crate) step: u64,
    /// What happened.
    #[serde(flatten)]
    pub(crate) episode: Episode,
}

/// How an episode fared.
#[derive(Debug)]
struct Fared {
    scenario: String,
    metrics: BTreeMap<String, f64>,
}

/// What came last.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// How many came before those in `readable`: an episode's number is its place plus this.
    passed: u64,
    readable: VecDeque<Seen>,
    fared: VecDeque<Fared>,
}

impl Recent {
    pub(crate) fn push(&mut self, seen: Seen) {
        self.fared.push_back(Fared {
            scenario: seen.episode.scenario.clone(),
            metrics: seen.episode.score.metrics.clone(),
        });
        if self.fared.len() > COUNTED {
            self.fared.pop_front();
        }
        self.readable.push_back(seen);
        if self.readable.len() > READABLE {
            self.readable.pop_front();
            self.passed += 1;
        }
    }

    /// The numbers of the episodes that can be read, oldest and newest; `None` where there is none.
    pub(crate) fn numbers(&self) -> Option<(u64, u64)> {
        let count = self.readable.len() as u64;
        (count > 0).then(|| (self.passed, self.passed + count - 1))
    }

    /// The episode of this number, else the nearest that can still be read.
    pub(crate) fn nearest(&self, number: u64) -> Option<(u64, &Seen)> {
        let (oldest, newest) = self.numbers()?;
        let number = number.clamp(oldest, newest);
        let place = usize::try_from(number - self.passed).ok()?;
        Some((number, self.readable.get(place)?))
    }

    /// The mean of a metric over the latest episodes of a scenario; one without it counts as 0.
    pub(crate) fn mean(&self, scenario: &str, metric: &str) -> Option<f64> {
        let of_it = self.fared.iter().filter(|it| it.scenario == scenario);
        let values = of_it.map(|it| it.metrics.get(metric).copied().unwrap_or(0.0));
        let (count, sum) = values.fold((0.0, 0.0), |(count, sum), it| (count + 1.0, sum + it));
        (count > 0.0).then(|| sum / count)
    }

    /// The metrics that any of the latest episodes has.
    pub(crate) fn metrics(&self) -> impl Iterator<Item = &str> {
        let all = self.fared.iter().flat_map(|it| it.metrics.keys());
        all.map(String::as_str)
    }

    /// The scenarios of the latest episodes.
    pub(crate) fn scenarios(&self) -> impl Iterator<Item = &str> {
        self.fared.iter().map(|it| it.scenario.as_str())
    }
}
