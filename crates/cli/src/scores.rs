//! What an evaluation is worth, as programs and as people read it: percent, and counts.

use std::collections::BTreeMap;

use episode::{Episode, Evaluation, EvaluationMode, Group, TaskResult};
use serde_json::{Map, Value, json};

use crate::columns;

/// Metrics that count things; all others are fractions.
const COUNTS: [&str; 2] = ["calls", "errors"];

/// Metrics that are read first.
const FIRST: [&str; 3] = ["solve-p", "solve-r", "solve-f1"];

/// The result of a rollout over a suite's tasks.
pub(crate) struct Scores {
    suite: &'static str,
    headline: &'static str,
    evaluation: Evaluation,
    /// Episodes of each task, and in how many of them it was passed.
    passed: Vec<(usize, usize)>,
    /// Episodes that ended in each way.
    stops: BTreeMap<String, usize>,
}

impl Scores {
    pub(crate) fn of(
        suite: &'static str,
        headline: &'static str,
        mode: EvaluationMode,
        groups: &[Group],
    ) -> Self {
        let mut stops = BTreeMap::new();
        for episode in groups.iter().flat_map(|group| &group.episodes) {
            let name = serde_json::to_value(episode.stop).expect("a stop reason is a name");
            *stops
                .entry(name.as_str().unwrap_or_default().to_owned())
                .or_default() += 1;
        }
        let passes = |episode: &&Episode| episode.score.metrics.get(headline) == Some(&1.0);
        let passed = groups.iter().map(|group| {
            let passed = group.episodes.iter().filter(passes).count();
            (group.episodes.len(), passed)
        });
        Self {
            suite,
            headline,
            evaluation: Evaluation::of(0, mode, groups),
            passed: passed.collect(),
            stops,
        }
    }

    /// A metric as [`Scores::to_json`] gives it.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        metrics(&self.evaluation).get(name)?.as_f64()
    }

    /// The names of all metrics.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.evaluation.metrics.keys().map(String::as_str)
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("suite".to_owned(), json!(self.suite));
        object.insert("tasks".to_owned(), json!(self.evaluation.tasks.len()));
        object.extend(metrics(&self.evaluation));
        let scenarios = self.scenarios();
        if scenarios.len() > 1 {
            let of = |(name, part): (&str, Evaluation)| {
                let mut scenario = Map::new();
                scenario.insert("tasks".to_owned(), json!(part.tasks.len()));
                scenario.extend(metrics(&part));
                (name.to_owned(), Value::Object(scenario))
            };
            let scenarios: Map<String, Value> = scenarios.into_iter().map(of).collect();
            object.insert("scenarios".to_owned(), Value::Object(scenarios));
        }
        let columns = columns::published(self.suite, &self.evaluation);
        if !columns.is_empty() {
            let columns = columns.into_iter();
            let columns: Map<String, Value> = columns
                .map(|(name, value)| (name.to_owned(), json!(rounded(value))))
                .collect();
            object.insert("columns".to_owned(), Value::Object(columns));
        }
        let passes = self.pass_at();
        if !passes.is_empty() {
            let passes: Map<String, Value> = (passes.into_iter())
                .map(|(k, share)| (k.to_string(), json!(rounded(share))))
                .collect();
            object.insert("pass".to_owned(), Value::Object(passes));
        }
        object.insert("stops".to_owned(), json!(self.stops));
        Value::Object(object)
    }

    pub(crate) fn to_text(&self) -> String {
        let names = self.names();
        let (counts, fractions): (Vec<&str>, Vec<&str>) = in_order(names)
            .into_iter()
            .filter(|name| *name != self.headline)
            .partition(|name| COUNTS.contains(name));
        let table = report::evaluation_table(&self.evaluation, self.headline, &fractions, &counts);
        let mode = match self.evaluation.mode {
            EvaluationMode::Greedy => "greedy",
            EvaluationMode::Sampled => "sampled",
        };
        let mut text = format!("{}, {mode}\n{table}", self.suite);
        let mut line = |what: &str, values: Vec<String>| {
            if !values.is_empty() {
                text += &format!("{what}: {}\n", values.join(", "));
            }
        };
        let published = columns::published(self.suite, &self.evaluation).into_iter();
        let published = published.map(|(name, share)| format!("{name} {:.2}", 100.0 * share));
        line("as published", published.collect());
        let passes = self.pass_at().into_iter();
        let passes = passes.map(|(k, share)| format!("pass@{k} {:.2}", 100.0 * share));
        line("passed", passes.collect());
        let stops = self
            .stops
            .iter()
            .map(|(stop, count)| format!("{stop} {count}"));
        line("episodes", stops.collect());
        text
    }

    /// The tasks by scenario, in the order of the first of each.
    fn scenarios(&self) -> Vec<(&str, Evaluation)> {
        let mut parts: Vec<(&str, Vec<TaskResult>)> = Vec::new();
        for task in &self.evaluation.tasks {
            match parts.iter_mut().find(|(name, _)| *name == task.scenario) {
                Some((_, tasks)) => tasks.push(task.clone()),
                None => parts.push((&task.scenario, vec![task.clone()])),
            }
        }
        let mode = self.evaluation.mode;
        let parts = parts.into_iter();
        parts
            .map(|(name, tasks)| (name, Evaluation::of_tasks(0, mode, tasks)))
            .collect()
    }

    /// For k = 1, 2, 4, … the probability that at least one of k episodes of a task passes it,
    /// without bias from the n at hand: 1 - C(n - c, k) / C(n, k) where c of them pass (Chen et
    /// al. 2021, <https://arxiv.org/abs/2107.03374>, eq. 1), the mean over the tasks. Nothing
    /// where there is one episode a task.
    fn pass_at(&self) -> Vec<(usize, f64)> {
        let fewest = self.passed.iter().map(|(n, _)| *n).min().unwrap_or(0);
        if fewest < 2 {
            return Vec::new();
        }
        let mut ks: Vec<usize> = (0..)
            .map(|power| 1 << power)
            .take_while(|k| *k < fewest)
            .collect();
        ks.push(fewest);
        let at = |k: usize| {
            let share = self.passed.iter().map(|&(n, c)| {
                let all_fail = (0..k).map(|i| (n - c).saturating_sub(i) as f64 / (n - i) as f64);
                1.0 - all_fail.product::<f64>()
            });
            share.sum::<f64>() / self.passed.len() as f64
        };
        ks.into_iter().map(|k| (k, at(k))).collect()
    }
}

/// Every metric, fractions in percent to two decimals, counts summed over the tasks.
pub(crate) fn metrics(evaluation: &Evaluation) -> Map<String, Value> {
    let tasks = evaluation.tasks.len() as f64;
    let value = |name: &str, mean: f64| match COUNTS.contains(&name) {
        true => json!((mean * tasks).round() as u64),
        false => json!(rounded(mean)),
    };
    in_order(evaluation.metrics.keys().map(String::as_str))
        .into_iter()
        .map(|name| (name.to_owned(), value(name, evaluation.metrics[name])))
        .collect()
}

/// Those that are read first, then the others in the order of their names.
fn in_order<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<&str> = names.collect();
    names.sort_by_key(|name| {
        let place = FIRST.iter().position(|first| first == name);
        place.unwrap_or(FIRST.len())
    });
    names
}

/// A fraction in percent to two decimals.
fn rounded(fraction: f64) -> f64 {
    (fraction * 10_000.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use episode::{Episode, Score, Seed, StopReason};

    fn group(task: &str, f1: f64, calls: f64) -> Group {
        let metrics = BTreeMap::from([("solve-f1".into(), f1), ("calls".into(), calls)]);
        let episode = Episode {
            task: task.into(),
            scenario: "single-hop".into(),
            sample: 0,
            seed: Seed(0),
            stop: StopReason::Answered,
            score: Score {
                reward: f1,
                turn_rewards: Vec::new(),
                metrics,
            },
            prompt_tokens: 0,
            hint_turns: 0,
            turns: Vec::new(),
            segments: Vec::new(),
        };
        Group {
            task: task.into(),
            episodes: vec![episode],
        }
    }

    #[test]
    fn fractions_become_percent_and_counts_are_summed() {
        let groups = [
            group("a", 1.0, 2.0),
            group("b", 1.0, 3.0),
            group("c", 0.0, 0.0),
        ];
        let scores = Scores::of("world", "solve-f1", EvaluationMode::Greedy, &groups);
        let expected = json!({
            "suite": "world", "tasks": 3, "solve-f1": 66.67, "calls": 5,
            "stops": {"answered": 3},
        });
        assert_eq!(scores.to_json(), expected);
        insta::assert_snapshot!(scores.to_text(), @"
        world, greedy
        scenario    tasks  Solve-F1    95% interval  calls
        single-hop      3     66.67  0.00 to 100.00      5
        episodes: answered 3
        ");
    }

    #[test]
    fn a_pass_at_k_is_free_of_bias_from_the_samples_at_hand() {
        let of = |f1s: [f64; 4]| {
            let mut four = group("a", 0.0, 1.0);
            let one = four.episodes.remove(0);
            four.episodes
                .extend(f1s.into_iter().enumerate().map(|(sample, f1)| {
                    let mut episode = one.clone();
                    episode.sample = sample;
                    episode.score.metrics.insert("solve-f1".into(), f1);
                    episode
                }));
            four
        };
        let groups = [of([1.0, 0.0, 0.5, 1.0]), of([0.0; 4])];
        let scores = Scores::of("world", "solve-f1", EvaluationMode::Sampled, &groups);
        // Two of four pass: one draw passes in 1/2, two in 1 - 1/6, four in 1; a half is no pass.
        let expected = [(1, 0.25), (2, 5.0 / 12.0), (4, 0.5)];
        for ((k, found), (expected_k, expected)) in scores.pass_at().into_iter().zip(expected) {
            assert_eq!(k, expected_k);
            assert!((found - expected).abs() < 1e-12, "pass@{k} is {found}");
        }
        assert_eq!(scores.pass_at().len(), 3);
    }
}
