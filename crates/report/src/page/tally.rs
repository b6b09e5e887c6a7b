//! The training episodes in one pass, a line at a time: what each step came to, what went wrong,
//! and the best and worst of the last step. Of a run of any length it keeps numbers a step.

use std::collections::BTreeMap;

use episode::{ParseFailure, StopReason};
use serde::{Deserialize, Serialize};

use crate::ReportError;
use crate::folder::RunFolder;

use super::problems::Problems;

/// Kinds of tool errors that are told apart; all others are counted together.
const ERRORS: usize = 200;
/// Letters of a tool's message that tell it from others.
const MESSAGE: usize = 120;
/// Episodes kept from each end.
const EXTREMES: usize = 2;

/// What is read of a line; its tokens are skipped.
#[derive(Deserialize)]
struct Line {
    step: u64,
    task: String,
    stop: StopReason,
    score: ScoreLine,
    turns: Vec<TurnLine>,
    #[serde(default)]
    advantages: Vec<f32>,
}

#[derive(Deserialize)]
struct ScoreLine {
    reward: f64,
}

#[derive(Deserialize)]
struct TurnLine {
    start: usize,
    end: usize,
    calls: Vec<CallLine>,
    failures: Vec<ParseFailure>,
    observations: Vec<ObservationLine>,
}

#[derive(Deserialize)]
struct CallLine {
    name: String,
}

#[derive(Deserialize)]
struct ObservationLine {
    text: String,
    failed: bool,
}

/// All training episodes in numbers.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) episodes: usize,
    pub(crate) turns: usize,
    pub(crate) calls: usize,
    pub(crate) sampled_tokens: usize,
    pub(crate) steps: BTreeMap<u64, StepTally>,
    /// Failures to read a call, by kind.
    pub(crate) parse_failures: BTreeMap<&'static str, Seen>,
    /// Calls that failed, by tool and message.
    pub(crate) tool_errors: BTreeMap<(String, String), Seen>,
    /// Calls that failed and are not told apart.
    pub(crate) other_tool_errors: u64,
    /// The lines of the last step's best and worst episodes.
    pub(crate) extremes: Extremes,
}

/// One step's episodes in numbers.
#[derive(Default)]
pub(crate) struct StepTally {
    pub(crate) episodes: usize,
    pub(crate) sampled_tokens: usize,
    pub(crate) stops: BTreeMap<StopReason, usize>,
    /// Sum of the rewards and number of the episodes of each task.
    tasks: BTreeMap<String, (f64, usize)>,
    /// Of the turns' advantages: number, sum and sum of squares.
    advantages: (usize, f64, f64),
}

/// How often something was seen, and in which steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Seen {
    pub(crate) count: u64,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Seen {
    fn again(&mut self, step: u64) {
        if self.count == 0 {
            self.first = step;
        }
        self.count += 1;
        self.last = step;
    }
}

impl Tally {
    pub(crate) fn read(run: &RunFolder, problems: &mut Problems) -> Result<Self, ReportError> {
        let mut tally = Self::default();
        let lines = run.parsed("episodes.jsonl", "an episode", |text| {
            Ok((serde_json::from_str::<Line>(text)?, text.to_owned()))
        })?;
        let mut last = 0;
        for (line, text) in problems.without(lines) {
            if line.step > last {
                (last, tally.extremes) = (line.step, Extremes::default());
            }
            if line.step == last {
                tally.extremes.offer(line.score.reward, text);
            }
            tally.add(&line);
        }
        tally.extremes.part();
        Ok(tally)
    }

    fn add(&mut self, line: &Line) {
        let tokens = |turn: &TurnLine| turn.end.saturating_sub(turn.start);
        // A file may say anything, and sums of what it says may be beyond all numbers.
        let sampled = line.turns.iter().map(tokens).fold(0, usize::saturating_add);
        self.episodes += 1;
        self.turns += line.turns.len();
        self.sampled_tokens = self.sampled_tokens.saturating_add(sampled);
        for turn in &line.turns {
            self.calls += turn.calls.len();
            for failure in &turn.failures {
                let seen = self.parse_failures.entry(kind(failure)).or_default();
                seen.again(line.step);
            }
            // One observation for each call, in order; those of what could not be read follow.
            for (call, observation) in turn.calls.iter().zip(&turn.observations) {
                if observation.failed {
                    self.tool_error(&call.name, &observation.text, line.step);
                }
            }
        }
        let step = self.steps.entry(line.step).or_default();
        step.episodes += 1;
        step.sampled_tokens = step.sampled_tokens.saturating_add(sampled);
        *step.stops.entry(line.stop).or_default() += 1;
        let (sum, count) = step.tasks.entry(line.task.clone()).or_default();
        (*sum, *count) = (*sum + line.score.reward, *count + 1);
        for advantage in line.advantages.iter().map(|it| f64::from(*it)) {
            let (count, sum, squares) = step.advantages;
            step.advantages = (count + 1, sum + advantage, squares + advantage * advantage);
        }
    }

    fn tool_error(&mut self, tool: &str, message: &str, step: u64) {
        let key = (beginning(tool), pattern(message));
        if self.tool_errors.len() < ERRORS || self.tool_errors.contains_key(&key) {
            self.tool_errors.entry(key).or_default().again(step);
        } else {
            self.other_tool_errors += 1;
        }
    }
}

impl StepTally {
    /// The mean reward over tasks, and half of its 95% interval: 1.96 standard errors over the
    /// tasks, since the rollouts of one task are no independent draws. 0 with one task.
    pub(crate) fn reward(&self) -> (f64, f64) {
        let means = || self.tasks.values().map(|(sum, count)| sum / *count as f64);
        let count = self.tasks.len() as f64;
        let mean = means().sum::<f64>() / count;
        if self.tasks.len() < 2 {
            return (mean, 0.0);
        }
        let squares = means().map(|value| (value - mean).powi(2)).sum::<f64>();
        (mean, 1.96 * (squares / (count - 1.0) / count).sqrt())
    }

    /// The standard deviation of the turns' advantages; `None` where none is recorded.
    pub(crate) fn advantage_spread(&self) -> Option<f64> {
        let (count, sum, squares) = self.advantages;
        let mean = sum / count as f64;
        (count > 0).then(|| (squares / count as f64 - mean * mean).max(0.0).sqrt())
    }
}

/// The lines of the best and of the worst of many episodes; of equal ones the first.
#[derive(Clone, Default)]
pub(crate) struct Extremes {
    /// From the best.
    pub(crate) best: Vec<(f64, String)>,
    /// From the worst; none that is among the best.
    pub(crate) worst: Vec<(f64, String)>,
}

impl Extremes {
    pub(crate) fn offer(&mut self, reward: f64, line: String) {
        let place = self.best.iter().position(|(best, _)| reward > *best);
        self.best
            .insert(place.unwrap_or(self.best.len()), (reward, line));
        if self.best.len() > EXTREMES
            && let Some((reward, line)) = self.best.pop()
        {
            let place = self.worst.iter().position(|(worst, _)| reward < *worst);
            self.worst
                .insert(place.unwrap_or(self.worst.len()), (reward, line));
            self.worst.truncate(EXTREMES);
        }
    }

    /// After the last one: where all are among the best, the last of them is the worst.
    pub(crate) fn part(&mut self) {
        if self.worst.is_empty() && self.best.len() > 1 {
            self.worst.extend(self.best.pop());
        }
    }
}

fn kind(failure: &ParseFailure) -> &'static str {
    match failure {
        ParseFailure::NotJson(_) => "not JSON",
        ParseFailure::NotACall(_) => "JSON without `name` and `arguments`",
        ParseFailure::Unclosed => "cut off before its closing tag",
    }
}

fn beginning(text: &str) -> String {
    text.chars().take(MESSAGE).collect()
}

/// A message without what tells one occurrence from the next: each number as `N`.
fn pattern(message: &str) -> String {
    let mut pattern = String::new();
    for c in message.chars().take(MESSAGE) {
        match c {
            c if c.is_ascii_digit() => {
                if !pattern.ends_with('N') {
                    pattern.push('N');
                }
            }
            c => pattern.push(c),
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_and_the_worst_are_found_whatever_their_order() {
        let mut extremes = Extremes::default();
        for reward in [0.5, 0.1, 0.9, 0.3, 0.7, 0.9, 0.1] {
            extremes.offer(reward, String::new());
        }
        let rewards = |lines: &[(f64, String)]| lines.iter().map(|it| it.0).collect::<Vec<_>>();
        assert_eq!(rewards(&extremes.best), [0.9, 0.9]);
        assert_eq!(rewards(&extremes.worst), [0.1, 0.1]);
        let mut one = Extremes::default();
        one.offer(0.5, "only".into());
        assert_eq!((one.best.len(), one.worst.len()), (1, 0));
    }

    #[test]
    fn messages_that_differ_in_numbers_are_one_kind() {
        assert_eq!(pattern("no record of #387 in 12s"), "no record of #N in Ns");
    }

    #[test]
    fn a_rewards_interval_is_over_tasks() {
        let tasks = [("a", (2.0, 2)), ("b", (0.0, 1))];
        let step = StepTally {
            tasks: tasks.map(|(task, it)| (task.to_owned(), it)).into(),
            ..StepTally::default()
        };
        // Means 1 and 0: variance a half, of the mean a quarter.
        assert_eq!(step.reward(), (0.5, 1.96 * 0.5));
    }
}
