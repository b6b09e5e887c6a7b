//! What an evaluation found: one line of `evaluations.jsonl`, the means and what each task adds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Episode, Group};

/// How an evaluation chose its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EvaluationMode {
    /// Always the likeliest token.
    Greedy,
    /// Drawn as in training.
    Sampled,
}

/// What one task was worth: each metric's mean over the task's samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskResult {
    /// The task's id.
    pub task: String,
    /// The suite's own division of its tasks.
    pub scenario: String,
    /// Fractions rather than percent, by the suite's names.
    pub metrics: BTreeMap<String, f64>,
}

/// One evaluation of one policy: a rollout whose episodes are scored and never trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Optimiser steps that the policy had behind it.
    pub step: u64,
    /// How its tokens were chosen.
    pub mode: EvaluationMode,
    /// Each metric's mean over the tasks.
    pub metrics: BTreeMap<String, f64>,
    /// One for each task, in the order in which they were rolled out.
    pub tasks: Vec<TaskResult>,
}

impl Evaluation {
    /// Means over all episodes, failed ones included: first over a task's samples, then over
    /// the tasks. A metric that an episode lacks counts there as 0. Groups without an episode
    /// are left out.
    pub fn of(step: u64, mode: EvaluationMode, groups: &[Group]) -> Self {
        Self::of_tasks(
            step,
            mode,
            groups.iter().filter_map(TaskResult::of).collect(),
        )
    }

    /// Means over tasks.
    pub fn of_tasks(step: u64, mode: EvaluationMode, tasks: Vec<TaskResult>) -> Self {
        let metrics = means(tasks.iter().map(|task| &task.metrics));
        Self {
            step,
            mode,
            metrics,
            tasks,
        }
    }
}

impl TaskResult {
    fn of(group: &Group) -> Option<Self> {
        let first: &Episode = group.episodes.first()?;
        Some(Self {
            task: group.task.clone(),
            scenario: first.scenario.clone(),
            metrics: means(group.episodes.iter().map(|episode| &episode.score.metrics)),
        })
    }
}

/// The mean of every metric that any of `maps` names, over all of them.
fn means<'a>(
    maps: impl ExactSizeIterator<Item = &'a BTreeMap<String, f64>>,
) -> BTreeMap<String, f64> {
    let count = maps.len() as f64;
    let mut sums = BTreeMap::<String, f64>::new();
    for (name, value) in maps.flatten() {
        *sums.entry(name.clone()).or_default() += value;
    }
    sums.into_iter()
        .map(|(name, sum)| (name, sum / count))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Score, Seed, StopReason};

    fn group(task: &str, scores: &[&[(&str, f64)]]) -> Group {
        let episodes = scores
            .iter()
            .enumerate()
            .map(|(sample, metrics)| Episode {
                task: task.into(),
                scenario: "single-hop".into(),
                sample,
                seed: Seed(0),
                stop: StopReason::Answered,
                score: Score {
                    reward: 0.0,
                    turn_rewards: vec![],
                    metrics: metrics.iter().map(|&(k, v)| (k.into(), v)).collect(),
                },
                prompt_tokens: 0,
                hint_turns: 0,
                turns: vec![],
                segments: vec![],
            })
            .collect();
        Group {
            task: task.into(),
            episodes,
        }
    }

    #[test]
    fn every_task_weighs_the_same_however_many_samples_it_has() {
        let groups = [
            group("a", &[&[("solve-p", 1.0)], &[("solve-p", 0.5)]]),
            group("b", &[&[("solve-p", 0.25)]]),
        ];
        let evaluation = Evaluation::of(3, EvaluationMode::Sampled, &groups);
        assert_eq!(evaluation.tasks[0].metrics["solve-p"], 0.75);
        assert_eq!(evaluation.metrics["solve-p"], 0.5);
    }

    #[test]
    fn an_episode_without_a_metric_counts_in_its_mean_as_zero() {
        let groups = [
            group("a", &[&[("solve-p", 1.0)], &[]]),
            group("b", &[&[]]),
            group("never sampled", &[]),
        ];
        let evaluation = Evaluation::of(0, EvaluationMode::Greedy, &groups);
        assert_eq!(evaluation.tasks.len(), 2);
        assert_eq!(evaluation.metrics["solve-p"], 0.25);
    }

    #[test]
    fn an_evaluation_is_written_as_one_line_in_the_words_of_the_run_folder() {
        let groups = [group("a", &[&[("solve-p", 1.0)]])];
        let line =
            serde_json::to_string(&Evaluation::of(2, EvaluationMode::Greedy, &groups)).unwrap();
        assert_eq!(
            line,
            r#"{"step":2,"mode":"greedy","metrics":{"solve-p":1.0},"tasks":[{"task":"a","scenario":"single-hop","metrics":{"solve-p":1.0}}]}"#
        );
    }
}
