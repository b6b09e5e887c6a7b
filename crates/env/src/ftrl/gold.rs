//! Traces from the `ground_truth` calls of the rows (MatchTIR's training set): their
//! observations come from running them.

use episode::{Task, ToolCall, Trace, TraceTurn};

use super::FtrlSuite;
use super::suite::SuiteRow;
use crate::metrics::verify;
use crate::trace::answer_text;

impl FtrlSuite {
    /// A trace for each row whose gold calls solve it; rows without such calls have none.
    /// Consecutive calls share a turn as long as none of them uses what another one found.
    pub fn gold_traces(&self) -> Vec<Trace> {
        self.rows()
            .filter_map(|(task, row)| self.gold_trace(task, row))
            .collect()
    }

    fn gold_trace(&self, task: &Task, row: &SuiteRow) -> Option<Trace> {
        if row.ground_truth.is_empty() {
            return None;
        }
        let mut episode = self.episode_of(row);
        let mut turns: Vec<TraceTurn> = Vec::new();
        let mut found_in_turn: Vec<String> = Vec::new();
        for call in &row.ground_truth {
            let (observation, found) = episode.solve(call);
            if turns.is_empty() || uses_any(call, &found_in_turn) {
                turns.push(TraceTurn {
                    reasoning: String::new(),
                    calls: Vec::new(),
                    results: Vec::new(),
                });
                found_in_turn.clear();
            }
            let turn = turns.last_mut().expect("a turn was begun");
            turn.calls.push(call.clone());
            turn.results.push(observation.text);
            found_in_turn.extend(found);
        }
        episode.is_solved().then(|| Trace {
            task: task.id.clone(),
            turns,
            answer_reasoning: String::new(),
            answer: task.answer.as_deref().map(|text| answer_text(task, text)),
        })
    }
}

fn uses_any(call: &ToolCall, goldens: &[String]) -> bool {
    let values = || call.arguments.values().map(ToString::to_string);
    goldens
        .iter()
        .any(|golden| values().any(|value| verify(&value, golden)))
}
