//! Plays episodes of a suite by hand, as the turn loop does.

use std::path::{Path, PathBuf};

use bfcl::BfclSuite;
use env::{Environment, Suite};
use episode::{Episode, Score, Seed, StopReason, Task, ToolCall, Trace, Turn};
use serde_json::json;

/// The data set, where the machine has it.
#[expect(
    clippy::disallowed_methods,
    reason = "tests find their data through PACT_DATA"
)]
pub(crate) fn data_folder() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let root = std::env::var("PACT_DATA").unwrap_or_else(|_| beside.to_owned());
    let folder = Path::new(&root).join("bfcl");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: PACT_DATA has no `bfcl`");
    None
}

/// An episode under way.
pub(crate) struct Player<'a> {
    pub(crate) environment: Box<dyn Environment>,
    task: &'a Task,
    pub(crate) turns: Vec<Turn>,
}

impl<'a> Player<'a> {
    pub(crate) fn new(suite: &'a BfclSuite, id: &str) -> Self {
        let task = suite.tasks().iter().find(|task| task.id == id);
        let task = task.unwrap_or_else(|| panic!("no task `{id}`"));
        Self {
            environment: suite.open(task),
            task,
            turns: Vec::new(),
        }
    }

    /// A turn that calls, as Qwen3 writes it.
    pub(crate) fn call(&mut self, calls: &[ToolCall]) -> Vec<String> {
        let mut turn = Turn {
            text: format!("{}<|im_end|>", tagged(calls)),
            calls: calls.to_vec(),
            ..Turn::default()
        };
        turn.observations = calls.iter().map(|it| self.environment.call(it)).collect();
        let results = turn.observations.iter().map(|it| it.text.clone()).collect();
        self.turns.push(turn);
        results
    }

    /// A turn that does not; what the user says next.
    pub(crate) fn answer(&mut self, text: &str) -> Option<String> {
        let mut turn = Turn {
            text: format!("{text}<|im_end|>"),
            content: text.to_owned(),
            ..Turn::default()
        };
        turn.reply = self.environment.answer(&turn);
        self.turns.push(turn);
        self.turns.last()?.reply.clone()
    }

    /// The end.
    pub(crate) fn finish(mut self, stop: StopReason) -> Episode {
        self.environment.close(stop, &self.turns);
        episode(self.task, self.environment.score(), stop, self.turns)
    }
}

/// A call by name.
pub(crate) fn call(name: &str, arguments: serde_json::Value) -> ToolCall {
    ToolCall {
        name: name.to_owned(),
        arguments: arguments.as_object().expect("an object").clone(),
    }
}

fn tagged(calls: &[ToolCall]) -> String {
    let block = |call: &ToolCall| {
        let call = json!({"name": call.name, "arguments": call.arguments});
        format!("<tool_call>\n{call}\n</tool_call>")
    };
    calls.iter().map(block).collect::<Vec<_>>().join("\n")
}

fn episode(task: &Task, score: Score, stop: StopReason, turns: Vec<Turn>) -> Episode {
    Episode {
        task: task.id.clone(),
        scenario: task.scenario.clone(),
        sample: 0,
        seed: Seed(0),
        stop,
        score,
        prompt_tokens: 0,
        hint_turns: 0,
        turns,
        segments: Vec::new(),
    }
}

/// Plays a trace to where it ends, which may be before the user is done.
pub(crate) fn play(suite: &BfclSuite, trace: &Trace) -> Episode {
    let mut player = Player::new(suite, &trace.task);
    for turn in &trace.turns {
        match turn.calls.is_empty() {
            false => drop(player.call(&turn.calls)),
            true => drop(player.answer(&turn.content)),
        }
    }
    player.finish(StopReason::ScriptEnded)
}

/// Plays a trace; every result and every reply must be as it says.
pub(crate) fn replay(suite: &BfclSuite, trace: &Trace) -> Episode {
    let mut player = Player::new(suite, &trace.task);
    for turn in &trace.turns {
        match turn.calls.is_empty() {
            false => assert_eq!(player.call(&turn.calls), turn.results, "{}", trace.task),
            true => assert_eq!(player.answer(&turn.content), turn.reply, "{}", trace.task),
        }
    }
    let answer = trace.answer.as_deref().expect("a trace that ends");
    assert_eq!(player.answer(answer), None, "{}", trace.task);
    player.finish(StopReason::Answered)
}
