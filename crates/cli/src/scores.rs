//! What an evaluation is worth, as programs and as people read it: percent, and counts.

use std::collections::BTreeMap;

use episode::{Evaluation, EvaluationMode, Group};
use serde_json::{Map, Value, json};

/// Metrics that count things; all others are fractions.
const COUNTS: [&str; 2] = ["calls", "errors"];

/// Metrics that are read first.
const FIRST: [&str; 3] = ["solve-p", "solve-r", "solve-f1"];

/// The result of a rollout over a suite's tasks.
pub(crate) struct Scores {
    suite: &'static str,
    evaluation: Evaluation,
    /// Episodes that ended in each way.
    stops: BTreeMap<String, usize>,
}

impl Scores {
    pub(crate) fn of(suite: &'static str, mode: EvaluationMode, groups: &[Group]) -> Self {
        let mut stops = BTreeMap::new();
        for episode in groups.iter().flat_map(|group| &group.episodes) {
            let name = serde_json::to_value(episode.stop).expect("a stop reason is a name");
            *stops
                .entry(name.as_str().unwrap_or_default().to_owned())
                .or_default() += 1;
        }
        Self {
            suite,
            evaluation: Evaluation::of(0, mode, groups),
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
        object.insert("stops".to_owned(), json!(self.stops));
        Value::Object(object)
    }

    pub(crate) fn to_text(&self) -> String {
        let mut lines = vec![
            ("suite".to_owned(), self.suite.to_owned()),
            ("tasks".to_owned(), self.evaluation.tasks.len().to_string()),
        ];
        for (name, value) in metrics(&self.evaluation) {
            let is_count = COUNTS.contains(&name.as_str());
            let number = value.as_f64().unwrap_or_default();
            let decimals = if is_count { 0 } else { 2 };
            lines.push((title(&name), format!("{number:.decimals$}")));
        }
        for (stop, count) in &self.stops {
            lines.push((stop.clone(), count.to_string()));
        }
        let width = |of: fn(&(String, String)) -> usize| lines.iter().map(of).max().unwrap_or(0);
        let (names, values) = (width(|line| line.0.len()), width(|line| line.1.len()));
        lines
            .iter()
            .map(|(name, value)| format!("{name:names$}  {value:>values$}\n"))
            .collect()
    }
}

/// Every metric, fractions in percent to two decimals, counts summed over the tasks.
pub(crate) fn metrics(evaluation: &Evaluation) -> Map<String, Value> {
    let tasks = evaluation.tasks.len() as f64;
    let value = |name: &str, mean: f64| match COUNTS.contains(&name) {
        true => json!((mean * tasks).round() as u64),
        false => json!((mean * 10_000.0).round() / 100.0),
    };
    let mut names: Vec<&String> = evaluation.metrics.keys().collect();
    names.sort_by_key(|name| {
        let place = FIRST.iter().position(|first| first == name);
        place.unwrap_or(FIRST.len())
    });
    names
        .into_iter()
        .map(|name| (name.clone(), value(name, evaluation.metrics[name])))
        .collect()
}

/// `solve-f1` as papers write it: `Solve-F1`; other names as they are.
fn title(name: &str) -> String {
    match name.strip_prefix("solve-") {
        Some(rest) => format!("Solve-{}", rest.to_uppercase()),
        None => name.to_owned(),
    }
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
        let scores = Scores::of("world", EvaluationMode::Greedy, &groups);
        let expected = json!({
            "suite": "world", "tasks": 3, "solve-f1": 66.67, "calls": 5,
            "stops": {"answered": 3},
        });
        assert_eq!(scores.to_json(), expected);
        let expected = "suite     world\ntasks         3\nSolve-F1  66.67\n\
                        calls         5\nanswered      3\n";
        assert_eq!(scores.to_text(), expected);
    }
}
