//! Running a trace's calls again, and what that says of it.

use std::fmt;

use episode::{Score, Trace};

use crate::Suite;

/// What came of running a trace's calls again.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplayReport {
    /// Number of calls that were run.
    pub calls: usize,
    /// Calls that did not return what was recorded.
    pub mismatches: Vec<Mismatch>,
    /// The episode's score after the last call.
    pub score: Score,
}

impl ReplayReport {
    /// All that speaks against a trace of which this came. A trace is verified where nothing
    /// does: every call returned what is recorded, the task is solved, and it is answered.
    pub fn problems(&self, trace: &Trace) -> Vec<String> {
        let mut problems: Vec<String> = self.mismatches.iter().map(Mismatch::to_string).collect();
        match self.score.metrics.get("solve-r") {
            Some(1.0) => {}
            Some(solved) => problems.push(format!("solve-r is {solved:.2}, expected 1")),
            None => problems.push("its suite does not say whether it solves the task".to_owned()),
        }
        if trace.answer.is_none() {
            problems.push("it has no answer".to_owned());
        }
        problems
    }
}

/// A call that did not return what was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Mismatch {
    /// Which turn, from 0.
    pub turn: usize,
    /// The tool.
    pub tool: String,
    /// What the trace says.
    pub recorded: String,
    /// What the tool returned.
    pub returned: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "turn {}: tool `{}` returned {:?}, and not {:?} as recorded",
            self.turn, self.tool, self.returned, self.recorded
        )
    }
}

/// Runs every call of a trace in a fresh environment. The trace's task is one of the suite's,
/// as [`load_traces`](crate::load_traces) makes sure.
pub fn replay(suite: &dyn Suite, trace: &Trace) -> ReplayReport {
    let task = suite
        .tasks()
        .iter()
        .find(|task| task.id == trace.task)
        .expect("a trace that is replayed names a task of the suite");
    let mut environment = suite.open(task);
    let mut calls = 0;
    let mut mismatches = Vec::new();
    for (index, turn) in trace.turns.iter().enumerate() {
        for (call, recorded) in turn.calls.iter().zip(&turn.results) {
            let returned = environment.call(call).text;
            calls += 1;
            if returned != *recorded {
                mismatches.push(Mismatch {
                    turn: index,
                    tool: call.name.clone(),
                    recorded: recorded.clone(),
                    returned,
                });
            }
        }
    }
    ReplayReport {
        calls,
        mismatches,
        score: environment.score(),
    }
}
