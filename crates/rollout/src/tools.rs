//! Where calls are executed: at once, or on threads while other episodes decode.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;

use env::Environment;
use episode::{Observation, ToolCall};

/// Calls of one turn, with the environment that they act on.
pub(crate) struct Job {
    pub(crate) episode: usize,
    pub(crate) environment: Box<dyn Environment>,
    pub(crate) calls: Vec<ToolCall>,
}

/// What became of a job.
pub(crate) struct Outcome {
    pub(crate) episode: usize,
    pub(crate) result: Result<Acted, Panicked>,
}

/// The environment, back, and one observation for each call.
pub(crate) struct Acted {
    pub(crate) environment: Box<dyn Environment>,
    pub(crate) observations: Vec<Observation>,
}

/// An environment broke its promise never to fail.
pub(crate) struct Panicked {
    pub(crate) tool: String,
    pub(crate) message: String,
}

/// Executes jobs; outcomes come back in the order in which they are ready.
pub(crate) struct Tools {
    /// Empty where jobs are executed as they are submitted.
    threads: Option<Sender<Job>>,
    finished: Sender<Outcome>,
    outcomes: Receiver<Outcome>,
    running: usize,
}

impl Tools {
    /// Executes each job as it is submitted.
    pub(crate) fn inline() -> Self {
        let (finished, outcomes) = channel();
        Self {
            threads: None,
            finished,
            outcomes,
            running: 0,
        }
    }

    /// Executes jobs on threads that live until this value is dropped.
    pub(crate) fn threaded<'scope>(scope: &'scope Scope<'scope, '_>, threads: usize) -> Self {
        let (submit, jobs) = channel::<Job>();
        let jobs = Arc::new(Mutex::new(jobs));
        let tools = Self {
            threads: Some(submit),
            ..Self::inline()
        };
        for _ in 0..threads {
            let (jobs, finished) = (Arc::clone(&jobs), tools.finished.clone());
            scope.spawn(move || {
                while let Some(job) = next(&jobs) {
                    if finished.send(execute(job)).is_err() {
                        break;
                    }
                }
            });
        }
        tools
    }

    pub(crate) fn submit(&mut self, job: Job) {
        self.running += 1;
        let sent = match &self.threads {
            Some(threads) => threads.send(job).is_ok(),
            None => self.finished.send(execute(job)).is_ok(),
        };
        assert!(sent, "both ends of the channels live as long as the tools");
    }

    /// The outcomes that are ready; with `wait`, at least one if any job is running.
    pub(crate) fn collect(&mut self, wait: bool) -> Vec<Outcome> {
        let mut ready = Vec::new();
        if wait && self.running > 0 {
            let outcome = self.outcomes.recv();
            ready.push(outcome.expect("every job that is running has an outcome"));
        }
        ready.extend(self.outcomes.try_iter());
        self.running -= ready.len();
        ready
    }
}

fn next(jobs: &Mutex<Receiver<Job>>) -> Option<Job> {
    let jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
    jobs.recv().ok()
}

/// Executes the calls in order. A panic is caught here, so that it is reported rather than
/// waited for.
fn execute(job: Job) -> Outcome {
    let Job {
        episode,
        mut environment,
        calls,
    } = job;
    let mut observations = Vec::with_capacity(calls.len());
    let result = catch_unwind(AssertUnwindSafe(|| {
        for call in &calls {
            observations.push(environment.call(call));
        }
    }));
    let result = match result {
        Ok(()) => Ok(Acted {
            environment,
            observations,
        }),
        Err(panic) => Err(Panicked {
            tool: calls[observations.len()].name.clone(),
            message: message(&*panic),
        }),
    };
    Outcome { episode, result }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
