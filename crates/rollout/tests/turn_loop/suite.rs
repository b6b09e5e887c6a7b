//! A suite of tools that say, wait and break, with which the turn loop is tested.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use env::{Environment, Suite};
use episode::{Message, Observation, Role, Score, Task, ToolCall};

/// A task that says nothing but its id.
pub(crate) fn task(id: &str) -> Task {
    Task {
        id: id.to_owned(),
        scenario: "test".to_owned(),
        messages: vec![Message::new(Role::User, format!("Do {id}."))],
        tools: Vec::new(),
        answer: None,
    }
}

/// The tools: `say` returns its `text` after `ms` milliseconds, `open` opens the suite's
/// gate, `pass` waits for it, `break` panics, and there are no others.
#[derive(Default)]
pub(crate) struct TestSuite {
    pub(crate) instant: bool,
    pub(crate) gate: Arc<Gate>,
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
            score: Score::default(),
        })
    }

    fn is_instant(&self) -> bool {
        self.instant
    }
}

struct TestEnvironment {
    gate: Arc<Gate>,
    score: Score,
}

impl Environment for TestEnvironment {
    fn call(&mut self, call: &ToolCall) -> Observation {
        let result = match call.name.as_str() {
            "say" => Ok(say(call)),
            "open" => Ok(self.gate.open()),
            "pass" => self.gate.pass(),
            "break" => panic!("the tool broke"),
            name => Err(format!("no tool is called {name}")),
        };
        if result.is_ok() {
            self.score.reward += 1.0;
        }
        self.score.metrics = BTreeMap::from([("calls".to_owned(), self.score.reward)]);
        Observation {
            failed: result.is_err(),
            text: result.unwrap_or_else(|error| error),
        }
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
    fn open(&self) -> String {
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
