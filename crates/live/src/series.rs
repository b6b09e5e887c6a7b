//! The numbers of a run's steps, by name.

use std::collections::BTreeMap;
use std::ops::Add;

use report::MetricGroup;
use serde_json::{Map, Value};

/// Every metric of every step so far.
#[derive(Debug, Default)]
pub(crate) struct Series {
    /// Of each step, in order: how many steps the policy had behind it.
    steps: Vec<f64>,
    /// By name, one for each of `steps`; NaN where a step lacks it.
    values: BTreeMap<String, Vec<f64>>,
}

impl Series {
    /// Adds one line of metrics.jsonl.
    pub(crate) fn push(&mut self, line: &Map<String, Value>) {
        let count = self.steps.len();
        let step = line.get("step").and_then(Value::as_f64);
        self.steps.push(step.unwrap_or(count as f64));
        for (name, value) in line.iter().filter(|(name, _)| *name != "step") {
            if let Some(value) = value.as_f64() {
                let values = self.values.entry(name.clone()).or_default();
                values.resize(count, f64::NAN);
                values.push(value);
            }
        }
    }

    /// How many steps there are.
    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    /// The metrics of a group, the foremost first.
    pub(crate) fn names(&self, group: MetricGroup) -> Vec<&str> {
        let names = self.values.keys().map(String::as_str);
        let mut names: Vec<&str> = names.filter(|it| MetricGroup::of(it) == group).collect();
        names.sort_by_key(|name| (group.rank(name), *name));
        names
    }

    /// A metric of every step; NaN where a step lacks it.
    pub(crate) fn of(&self, name: &str) -> Vec<f64> {
        let mut values = self.values.get(name).cloned().unwrap_or_default();
        values.resize(self.steps.len(), f64::NAN);
        values
    }

    /// Its last value that is known.
    pub(crate) fn last(&self, name: &str) -> Option<f64> {
        let values = self.values.get(name)?;
        values.iter().rev().copied().find(|value| !value.is_nan())
    }

    /// A metric over the steps, where it is known.
    pub(crate) fn points(&self, name: &str) -> Vec<(f64, f64)> {
        let values = self.values.get(name).map_or(&[][..], Vec::as_slice);
        let points = self.steps.iter().copied().zip(values.iter().copied());
        points.filter(|(_, value)| !value.is_nan()).collect()
    }

    /// Seconds that a step takes, evaluations and checkpoints between two included: the mean over
    /// the last twenty.
    pub(crate) fn seconds_per_step(&self) -> Option<f64> {
        let parts = ["rollout", "learn", "evaluation", "checkpoint"];
        let parts = parts.map(|part| self.of(&format!("seconds-{part}")));
        let last = (0..self.len()).rev().take(20);
        let sums: Vec<f64> = last
            .filter_map(|step| {
                let known = parts.iter().map(|part| part[step]);
                known.filter(|seconds| seconds.is_finite()).reduce(Add::add)
            })
            .collect();
        (!sums.is_empty()).then(|| sums.iter().sum::<f64>() / sums.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_metric_that_comes_and_goes_keeps_its_steps() {
        let mut series = Series::default();
        series.push(&line(r#"{"step":0,"reward":0.5}"#));
        series.push(&line(r#"{"step":1,"reward":null,"kl":2}"#));
        series.push(&line(r#"{"step":2,"reward":1}"#));
        assert_eq!(series.points("reward"), [(0.0, 0.5), (2.0, 1.0)]);
        assert_eq!(series.points("kl"), [(1.0, 2.0)]);
        assert_eq!(series.of("kl").len(), 3);
        assert_eq!((series.last("kl"), series.last("x")), (Some(2.0), None));
        assert_eq!(series.names(MetricGroup::Loss), ["kl"]);
    }
}
