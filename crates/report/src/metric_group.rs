//! Which of a step's numbers belong together, for whoever shows many of them.

/// A part of training that a metric tells about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetricGroup {
    /// What the rollouts did and were worth.
    Rollout,
    /// What was learned from, and how the policy moved.
    Loss,
    /// What the expert trace weighs, and what it changes.
    Trace,
    /// Seconds, tokens a second and memory.
    Time,
}

/// The numbers of a step that are not the rollouts', the foremost of a group first. Every other is
/// the rollouts': their environments name metrics of their own.
const GROUPS: [(MetricGroup, &[&str]); 3] = [
    (
        MetricGroup::Loss,
        &[
            "loss-rollouts",
            "loss-trace",
            "grad-norm",
            "entropy",
            "kl",
            "clipped",
            "clipped-prompt",
            "clipped-trace",
            "sampler-gap",
            "importance",
            "skipped",
            "sampled-tokens",
            "target-tokens",
        ],
    ),
    (
        MetricGroup::Trace,
        &[
            "imitation-weight",
            "anchor",
            "anchored",
            "trace-lift-positive",
            "trace-lift-negative",
            "privilege-gap",
            "reasoning-logprob",
            "calls-logprob",
            "answer-logprob",
            "trace-tokens",
            "traces-cut",
            "progress",
        ],
    ),
    (
        MetricGroup::Time,
        &[
            "seconds-rollout",
            "seconds-learn",
            "tokens-per-second-rollout",
            "tokens-per-second-learn",
            "memory-peak",
            "cache-peak",
            "seconds-tools",
            "seconds-evaluation",
            "seconds-checkpoint",
            "tokens-shared",
            "tree-tokens",
        ],
    ),
];

/// The foremost numbers of the rollouts.
const ROLLOUT: [&str; 12] = [
    "reward",
    "trace-reward",
    "solve-f1",
    "solve-p",
    "solve-r",
    "cut-off",
    "flat-groups",
    "calls",
    "errors",
    "parse-failures",
    "turns",
    "episode-tokens",
];

impl MetricGroup {
    /// The group of the metric called `name`.
    pub fn of(name: &str) -> Self {
        let listed = GROUPS.iter().find(|(_, names)| names.contains(&name));
        match listed {
            Some((group, _)) => *group,
            None if name.starts_with("clipped-") => Self::Loss,
            None if is_of_time(name) => Self::Time,
            None => Self::Rollout,
        }
    }

    /// Its name: `rollout`, `loss`, `trace` or `time`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rollout => "rollout",
            Self::Loss => "loss",
            Self::Trace => "trace",
            Self::Time => "time",
        }
    }

    /// How far behind the foremost of its group a metric stands: the listed ones in their order,
    /// then all others.
    pub fn rank(self, name: &str) -> usize {
        let listed = GROUPS.iter().find(|(group, _)| *group == self);
        let names = listed.map_or(&ROLLOUT[..], |(_, names)| names);
        names
            .iter()
            .position(|it| *it == name)
            .unwrap_or(names.len())
    }
}

fn is_of_time(name: &str) -> bool {
    let beginnings = ["seconds-", "tokens-per-second-", "memory-", "cache-"];
    beginnings.iter().any(|it| name.starts_with(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_a_group_and_unknown_ones_are_the_rollouts() {
        for (name, group) in [
            ("reward", MetricGroup::Rollout),
            ("a-suites-own", MetricGroup::Rollout),
            ("kl", MetricGroup::Loss),
            ("clipped-trace-epoch-2", MetricGroup::Loss),
            ("anchor", MetricGroup::Trace),
            ("seconds-learn", MetricGroup::Time),
            ("memory-peak", MetricGroup::Time),
        ] {
            assert_eq!(MetricGroup::of(name), group, "{name}");
        }
    }

    #[test]
    fn the_listed_come_first_and_in_order() {
        let rank = |name| MetricGroup::Rollout.rank(name);
        assert!(rank("reward") < rank("solve-f1") && rank("solve-f1") < rank("a-suites-own"));
    }
}
