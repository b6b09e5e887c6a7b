//! Traces from the `ground_truth` calls of the rows (MatchTIR's training set): their
//! observations come from running them.

use episode::{Task, ToolCall, Trace, TraceTurn};

use super::FtrlSuite;
use super::suite::SuiteRow;
use crate::metrics::verify;
use crate::trace::answer_text;

/// A gold call that was run.
struct GoldStep {
    call: ToolCall,
    result: String,
    /// The golden that it solved, if it did.
    found: Option<String>,
}

impl FtrlSuite {
    /// A trace for each row with gold calls, in the order of the rows. Consecutive calls share
    /// a turn as long as none of them uses what another one found. Where they do not solve the
    /// row, the trace ends with its last observation, without an answer.
    pub fn gold_traces(&self) -> Vec<Trace> {
        self.rows()
            .filter(|(_, row)| !row.ground_truth.is_empty())
            .map(|(task, row)| self.gold_trace(task, row))
            .collect()
    }

    fn gold_trace(&self, task: &Task, row: &SuiteRow) -> Trace {
        let mut episode = self.episode_of(row);
        let steps = row
            .ground_truth
            .iter()
            .map(|call| {
                let (observation, found) = episode.solve(call);
                GoldStep {
                    call: call.clone(),
                    result: observation.text,
                    found,
                }
            })
            .collect();
        let answer = task.answer.as_deref().filter(|_| episode.is_solved());
        Trace {
            task: task.id.clone(),
            source: "gold-calls".to_owned(),
            turns: into_turns(steps),
            answer: answer.map(|text| answer_text(task, text)),
            ..Trace::default()
        }
    }
}

/// A call begins a turn where its arguments hold a golden that its turn has found.
fn into_turns(steps: Vec<GoldStep>) -> Vec<TraceTurn> {
    let mut turns: Vec<TraceTurn> = Vec::new();
    let mut found_in_turn: Vec<String> = Vec::new();
    for step in steps {
        if turns.is_empty() || uses_any(&step.call, &found_in_turn) {
            turns.push(TraceTurn::default());
            found_in_turn.clear();
        }
        let turn = turns.last_mut().expect("a turn was begun");
        turn.calls.push(step.call);
        turn.results.push(step.result);
        found_in_turn.extend(step.found);
    }
    turns
}

fn uses_any(call: &ToolCall, goldens: &[String]) -> bool {
    let values = || call.arguments.values().map(ToString::to_string);
    goldens
        .iter()
        .any(|golden| values().any(|value| verify(&value, golden)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn step(name: &str, arguments: Value, found: Option<&str>) -> GoldStep {
        let arguments = arguments.as_object().expect("an object").clone();
        GoldStep {
            call: ToolCall {
                name: name.to_owned(),
                arguments,
            },
            result: format!("{name} says"),
            found: found.map(str::to_owned),
        }
    }

    #[test]
    fn gold_calls_share_a_turn_until_one_uses_what_its_turn_has_found() {
        let check = |steps: Vec<GoldStep>, expected: &[&[&str]]| {
            let turns: Vec<Vec<String>> = into_turns(steps)
                .into_iter()
                .map(|turn| turn.calls.into_iter().map(|call| call.name).collect())
                .collect();
            assert_eq!(turns, expected);
        };
        check(vec![], &[]);
        // A chain: each needs the one before.
        check(
            vec![
                step("quake", json!({"year": 2015}), Some("Nepal")),
                step("crop", json!({"country": "nepal"}), Some("Rice")),
            ],
            &[&["quake"], &["crop"]],
        );
        // Two chains side by side: first hops, second hops, then what adds them up.
        check(
            vec![
                step("mayor", json!({"city": "Ulm"}), Some("Ann")),
                step("mayor", json!({"city": "Bonn"}), Some("Bea")),
                step("age", json!({"name": "Ann"}), Some("40")),
                step("age", json!({"name": "Bea"}), Some("50")),
                step("sum", json!({"numbers": [40, 50]}), Some("90")),
            ],
            &[&["mayor", "mayor"], &["age", "age"], &["sum"]],
        );
        // What an earlier turn found does not part two calls, nor what nobody found.
        check(
            vec![
                step("a", json!({"x": "one"}), Some("Two")),
                step("b", json!({"x": "two"}), None),
                step("c", json!({"x": "b says", "y": "Two"}), None),
            ],
            &[&["a"], &["b", "c"]],
        );
        // A golden in pieces, inside a nested argument.
        check(
            vec![
                step("a", json!({}), Some("1879, Ulm")),
                step("b", json!({"who": {"born": ["ULM", "in 1879"]}}), None),
            ],
            &[&["a"], &["b"]],
        );
    }
}
