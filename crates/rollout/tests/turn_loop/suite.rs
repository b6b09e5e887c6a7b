//! A suite of tools that say, wait and break, with which the turn loop is tested.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use env::{Environment, Protocol, Suite};
use episode::{CallFormat, Message, Observation, Role, Score, StopReason, Task, ToolCall, Turn};

/// A task that says nothing but its id.
pub(crate) fn task(id: &str) -> Task {
    Task {
        id: id.to_owned(),
        scenario: "test".to_owned(),
        messages: vec![Message::new(Role::User, format!("Do {id}."))],
        tools: Vec::new(),
        answer: None,
        calls: CallFormat::Tagged,
    }
}

/// The tools: `say` returns its `text` after `ms` milliseconds, `open` opens the suite's
/// gate, `pass` waits for it, `end` ends the episode, `break` panics, and there are no others.
#[derive(Default)]
pub(crate) struct TestSuite {
    pub(crate) instant: bool,
    pub(crate) gate: Arc<Gate>,
    /// What the user says to each answer, in order; to the next one nothing.
    pub(crate) replies: Vec<&'static str>,
    pub(crate) protocol: Protocol,
}

#[derive(Default)]
pub(crate) struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Suite for TestSuite {
    fn name(&self) -> &'static str {
        "test"
    }

    fn tasks(&self) -> &[Task] {
        &[]
    }

    fn open(&self, _task: &Task) -> Box<dyn Environment> {
        Box::new(TestEnvironment {
            gate: Arc::clone(&self.gate),
            replies: self.replies.clone().into(),
            is_over: false,
            score: Score::default(),
        })
    }

    fn protocol(&self) -> Protocol {
        self.protocol
    }

    fn is_instant(&self) -> bool {
        self.instant
    }
}

struct TestEnvironment {
    gate: Arc<Gate>,
    replies: VecDeque<&'static str>,
    is_over: bool,
    score: Score,
}

impl Environment for TestEnvironment {
    fn call(&mut self, call: &ToolCall) -> Observation {
        let result = match call.name.as_str() {
            "say" => Ok(say(call)),
            "open" => Ok(self.gate.open()),
            "pass" => self.gate.pass(),
            "end" => {
                self.is_over = true;
                Ok("ended".to_owned())
            }
            "break" => panic!("the tool broke"),
            name => Err(format!("no tool is called {name}")),
        };
        if result.is_ok() {
            self.score.reward += 1.0;
        }
        let calls = self.score.reward;
        self.score.metrics.insert("calls".to_owned(), calls);
        Observation {
            failed: result.is_err(),
            text: result.unwrap_or_else(|error| error),
        }
    }

    fn answer(&mut self, turn: &Turn) -> Option<String> {
        assert!(turn.calls.is_empty(), "a turn that calls is no answer");
        self.replies.pop_front().map(str::to_owned)
    }

    fn is_over(&self) -> bool {
        self.is_over
    }

    fn close(&mut self, stop: StopReason, turns: &[Turn]) {
        let name = format!("{stop:?} after {}", turns.len());
        self.score.metrics.insert(name, 1.0);
    }

    fn score(&self) -> Score {
        self.score.clone()
    }
}

fn say(call: &ToolCall) -> String {
    let milliseconds = call.arguments.get("ms").and_then(|ms| ms.as_u64());
    thread::sleep(Duration::from_millis(milliseconds.unwrap_or(0)));
    let text = call.arguments.get("text").and_then(|text| text.as_str());
    text.unwrap_or("nothing").to_owned()
}

impl Gate {
    pub(crate) fn open(&self) -> String {
        *self.open.lock().expect("no gatekeeper panics") = true;
        self.opened.notify_all();
        "opened".to_owned()
    }

    fn pass(&self) -> Result<String, String> {
        let open = self.open.lock().expect("no gatekeeper panics");
        let (open, _) = self
            .opened
            .wait_timeout_while(open, Duration::from_secs(20), |open| !*open)
            .expect("no gatekeeper panics");
        if *open {
            Ok("passed".to_owned())
        } else {
            Err("nobody opened the gate".to_owned())
        }
    }
}
