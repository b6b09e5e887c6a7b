//! What an episode solved: goldens against feedback, and the Solve metrics over them
//! (FTRL, <https://arxiv.org/abs/2508.08791>). Knows nothing of how a tool is run.

use std::collections::BTreeMap;

use episode::{Observation, Score};
use indexmap::IndexMap;

/// The sub-answers of one task that no call has returned yet, by tool, and how the episode
/// stands against them.
#[derive(Clone, Debug, PartialEq)]
pub struct UnsolvedSet {
    remaining: IndexMap<String, Vec<String>>,
    total: usize,
    calls: usize,
    errors: usize,
}

impl UnsolvedSet {
    /// The sub-answers that each tool is to return. One list item is one sub-question.
    pub fn new(goldens: IndexMap<String, Vec<String>>) -> Self {
        let total = goldens.values().map(Vec::len).sum();
        Self {
            remaining: goldens,
            total,
            calls: 0,
            errors: 0,
        }
    }

    /// Counts one parsed call and takes out the first remaining golden of its tool that the
    /// feedback contains: at most one a call, so a golden that stands twice takes two calls.
    /// The text of a failed call is matched too. Returns the golden that was solved.
    pub fn observe(&mut self, tool: &str, feedback: &Observation) -> Option<String> {
        self.calls += 1;
        self.errors += usize::from(feedback.failed);
        self.take(tool, &feedback.text)
    }

    /// Takes out what a text solves, as [`observe`](Self::observe) does, without counting a
    /// call.
    pub(crate) fn take(&mut self, tool: &str, text: &str) -> Option<String> {
        let goldens = self.remaining.get_mut(tool)?;
        let solved = goldens.iter().position(|golden| verify(text, golden))?;
        Some(goldens.remove(solved))
    }

    /// What remains to be solved; a tool with nothing left stays, with an empty list.
    pub fn remaining(&self) -> &IndexMap<String, Vec<String>> {
        &self.remaining
    }

    /// How many goldens remain.
    pub fn left(&self) -> usize {
        self.remaining.values().map(Vec::len).sum()
    }

    /// Whether every golden was returned.
    pub fn is_solved(&self) -> bool {
        self.left() == 0
    }

    /// Solve-P is solved / calls (1 without a call), Solve-R solved / total, Solve-F1, which
    /// is also the reward, 2 solved / (calls + total). Nothing to solve counts as solved.
    pub fn score(&self) -> Score {
        let solved = self.total - self.left();
        let f1 = ratio(2 * solved, self.calls + self.total);
        let metrics = [
            ("solve-p", ratio(solved, self.calls)),
            ("solve-r", ratio(solved, self.total)),
            ("solve-f1", f1),
            ("calls", self.calls as f64),
            ("errors", self.errors as f64),
        ];
        Score {
            reward: f1,
            turn_rewards: Vec::new(),
            metrics: BTreeMap::from(metrics.map(|(name, value)| (name.to_owned(), value))),
        }
    }
}

/// A share of a whole; all of nothing is 1.
fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        return 1.0;
    }
    part as f64 / whole as f64
}

/// Whether a tool's output gives a golden: every `", "`-separated piece of the golden is part
/// of the output, in lower case and without commas. Words are not told apart from parts of
/// words: `2` is in `2024`.
pub fn verify(output: &str, golden: &str) -> bool {
    let output = normalise(output);
    golden
        .split(", ")
        .all(|piece| output.contains(&normalise(piece)))
}

/// Lower case, no comma, no white space around; white space as Python's `strip` has it.
pub(crate) fn normalise(text: &str) -> String {
    text.to_lowercase()
        .replace(',', "")
        .trim_matches(|c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c))
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unsolved(goldens: &[(&str, &[&str])]) -> UnsolvedSet {
        UnsolvedSet::new(
            goldens
                .iter()
                .map(|(tool, list)| {
                    let list = list.iter().map(|&golden| golden.to_owned()).collect();
                    ((*tool).to_owned(), list)
                })
                .collect(),
        )
    }

    fn said(text: &str) -> Observation {
        Observation {
            text: text.to_owned(),
            failed: false,
        }
    }

    #[test]
    fn a_golden_is_verified_piece_by_piece_without_case_and_commas() {
        let cases = [
            ("It is 3,903 m high", "3,903", true),
            ("It is 3903 m high", "3,903", true),
            ("born in ULM, 1879", "1879, Ulm", true),
            ("born in Ulm", "1879, Ulm", false),
            ("year 2024", "2", true),
            ("ÉCLAIR", "éclair", true),
            ("plain", "\u{1f} plain \u{1c}", true),
            ("", "x", false),
        ];
        for (output, golden, expected) in cases {
            assert_eq!(verify(output, golden), expected, "{golden:?} in {output:?}");
        }
    }

    #[test]
    fn one_call_solves_at_most_one_golden_and_a_double_one_takes_two_calls() {
        let mut set = unsolved(&[("storage", &["1,024", "1,024"])]);
        assert_eq!(
            set.observe("storage", &said("1024 GB")),
            Some("1,024".into())
        );
        assert_eq!(set.score().metrics["solve-r"], 0.5);
        set.observe("storage", &said("1024 GB"));
        assert!(set.is_solved());
        assert_eq!(set.observe("storage", &said("1024 GB")), None);
    }

    #[test]
    fn only_the_tool_that_owes_a_golden_can_give_it() {
        let mut set = unsolved(&[("crop", &["Rice"])]);
        assert_eq!(set.observe("weather", &said("rice")), None);
        assert_eq!(set.remaining()["crop"], ["Rice"]);
    }

    #[test]
    fn a_failed_call_is_counted_and_its_text_is_matched() {
        let mut set = unsolved(&[("crop", &["Rice"])]);
        set.observe(
            "crop",
            &Observation {
                text: "an error occured when call crop: no rice".into(),
                failed: true,
            },
        );
        let score = set.score();
        assert_eq!(score.metrics["errors"], 1.0);
        assert_eq!(score.metrics["solve-r"], 1.0);
    }

    #[test]
    fn the_metrics_of_three_calls_for_two_of_four_goldens() {
        let mut set = unsolved(&[("a", &["1", "2"]), ("b", &["3", "4"])]);
        for (tool, text) in [("a", "1"), ("b", "nothing"), ("b", "4")] {
            set.observe(tool, &said(text));
        }
        let score = set.score();
        assert_eq!(score.metrics["solve-p"], 2.0 / 3.0);
        assert_eq!(score.metrics["solve-r"], 0.5);
        assert_eq!(score.metrics["solve-f1"], 4.0 / 7.0);
        assert_eq!(score.metrics["calls"], 3.0);
        assert_eq!(score.reward, 4.0 / 7.0);
    }

    #[test]
    fn an_episode_without_a_call_is_precise_and_worth_nothing() {
        let score = unsolved(&[("a", &["1"])]).score();
        assert_eq!(score.metrics["solve-p"], 1.0);
        assert_eq!(score.metrics["solve-r"], 0.0);
        assert_eq!(score.reward, 0.0);
    }
}
