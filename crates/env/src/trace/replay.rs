//! Running a trace's calls again, and what that says of it.

use std::fmt;

use episode::{Score, StopReason, Trace, Turn};

use crate::Suite;

/// What came of running a trace's calls again.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplayReport {
    /// Number of calls that were run.
    pub calls: usize,
    /// Calls that did not return what was recorded.
    pub mismatches: Vec<Mismatch>,
    /// The episode's score at its end.
    pub score: Score,
    /// The metric that is 1 where the task is solved.
    pub measure: &'static str,
}

impl ReplayReport {
    /// All that speaks against a trace of which this came. A trace is verified where nothing
    /// does: every call returned what is recorded, the task is solved, and it is answered.
    pub fn problems(&self, trace: &Trace) -> Vec<String> {
        let mut problems: Vec<String> = self.mismatches.iter().map(Mismatch::to_string).collect();
        match self.score.metrics.get(self.measure) {
            Some(1.0) => {}
            Some(solved) => problems.push(format!("{} is {solved:.2}, expected 1", self.measure)),
            None => problems.push("its suite does not say whether it solves the task".to_owned()),
        }
        if trace.answer.is_none() {
            problems.push("it has no answer".to_owned());
        }
        problems
    }
}

/// A call that did not return what was recorded, or a user who did not say it.
#[derive(Clone, Debug, PartialEq)]
pub struct Mismatch {
    /// Which turn, from 0.
    pub turn: usize,
    /// The tool; `None` is the user.
    pub tool: Option<String>,
    /// What the trace says.
    pub recorded: String,
    /// What the tool returned.
    pub returned: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            turn,
            tool,
            recorded,
            returned,
        } = self;
        match tool {
            Some(tool) => write!(f, "turn {turn}: tool `{tool}` returned"),
            None => write!(f, "turn {turn}: the user said"),
        }?;
        write!(f, " {returned:?}, and not {recorded:?} as recorded")
    }
}

/// Acts a trace out in a fresh environment: runs its calls, and gives its answers. The trace's
/// task is one of the suite's, as [`load_traces`](crate::load_traces) makes sure.
pub fn replay(suite: &dyn Suite, trace: &Trace) -> ReplayReport {
    let task = suite
        .tasks()
        .iter()
        .find(|task| task.id == trace.task)
        .expect("a trace that is replayed names a task of the suite");
    let mut environment = suite.open(task);
    let mut calls = 0;
    let mut mismatches = Vec::new();
    let mut turns = Vec::new();
    for (index, turn) in trace.turns.iter().enumerate() {
        let mut played = said(&turn.content);
        for (call, recorded) in turn.calls.iter().zip(&turn.results) {
            let observation = environment.call(call);
            calls += 1;
            if observation.text != *recorded {
                mismatches.push(Mismatch {
                    turn: index,
                    tool: Some(call.name.clone()),
                    recorded: recorded.clone(),
                    returned: observation.text.clone(),
                });
            }
            played.calls.push(call.clone());
            played.observations.push(observation);
        }
        if let Some(recorded) = &turn.reply {
            played.reply = environment.answer(&played);
            let returned = played.reply.clone().unwrap_or_default();
            if returned != *recorded {
                mismatches.push(Mismatch {
                    turn: index,
                    tool: None,
                    recorded: recorded.clone(),
                    returned,
                });
            }
        }
        turns.push(played);
    }
    if let Some(answer) = &trace.answer {
        let answer = said(answer);
        environment.answer(&answer);
        turns.push(answer);
    }
    environment.close(StopReason::Answered, &turns);
    let score = environment.score();
    let measure = match score.metrics.contains_key(SOLVED) {
        true => SOLVED,
        false => suite.headline(),
    };
    ReplayReport {
        calls,
        mismatches,
        score,
        measure,
    }
}

/// What of its goldens an episode has solved, in the suites that have goldens.
const SOLVED: &str = "solve-r";

/// A turn that says this and calls nothing so far.
fn said(content: &str) -> Turn {
    Turn {
        text: content.to_owned(),
        content: content.to_owned(),
        ..Turn::default()
    }
}
