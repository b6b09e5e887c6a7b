//! Running a trace's calls again, and what that says of it.

use std::fmt;

use episode::{Score, StopReason, Trace, TraceTurn, Turn};

use crate::{Environment, Suite};

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
            None if self.score.reward == 1.0 => {}
            None => problems.push(format!(
                "the reward is {:.2}, expected 1",
                self.score.reward
            )),
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

/// Plays a trace in a fresh environment, its answers included: every call, and what users
/// said. The trace's task is one of the suite's, as [`load_traces`](crate::load_traces) makes
/// sure.
pub fn replay(suite: &dyn Suite, trace: &Trace) -> ReplayReport {
    let task = suite
        .tasks()
        .iter()
        .find(|task| task.id == trace.task)
        .expect("a trace that is replayed names a task of the suite");
    let mut environment = suite.open(task);
    let mut turns = Vec::new();
    let mut mismatches = Vec::new();
    for (index, recorded) in trace.turns.iter().enumerate() {
        let turn = play(environment.as_mut(), recorded);
        mismatches.extend(differences(index, recorded, &turn));
        turns.push(turn);
    }
    let mut stop = StopReason::ScriptEnded;
    if let Some(answer) = &trace.answer {
        let turn = said(answer);
        environment.answer(&turn);
        turns.push(turn);
        stop = StopReason::Answered;
    }
    if environment.is_over() {
        stop = StopReason::Ended;
    }
    environment.close(stop, &turns);
    ReplayReport {
        calls: turns.iter().map(|turn| turn.calls.len()).sum(),
        mismatches,
        score: environment.score(),
    }
}

fn said(text: &str) -> Turn {
    Turn {
        text: text.to_owned(),
        content: text.to_owned(),
        ..Turn::default()
    }
}

fn play(environment: &mut dyn Environment, recorded: &TraceTurn) -> Turn {
    let mut turn = said(&recorded.content);
    for call in &recorded.calls {
        turn.observations.push(environment.call(call));
        turn.calls.push(call.clone());
    }
    if turn.calls.is_empty() {
        turn.reply = environment.answer(&turn);
    }
    turn
}

fn differences<'a>(
    index: usize,
    recorded: &'a TraceTurn,
    turn: &'a Turn,
) -> impl Iterator<Item = Mismatch> + 'a {
    let returned = turn.observations.iter().map(|it| it.text.as_str());
    let named = recorded.calls.iter().map(|call| call.name.as_str());
    let of_tools = named.zip(&recorded.results).zip(returned);
    let of_user = (recorded.reply != turn.reply).then(|| {
        let text = |reply: &'a Option<String>| reply.as_deref().unwrap_or_default();
        (("the user", text(&recorded.reply)), text(&turn.reply))
    });
    let of_tools =
        of_tools.map(|((tool, recorded), returned)| ((tool, recorded.as_str()), returned));
    of_tools
        .chain(of_user)
        .filter(|((_, recorded), returned)| recorded != returned)
        .map(move |((tool, recorded), returned)| Mismatch {
            turn: index,
            tool: tool.to_owned(),
            recorded: recorded.to_owned(),
            returned: returned.to_owned(),
        })
}
