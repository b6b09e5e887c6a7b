//! Where environments act: at once, or on threads while other episodes decode.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;

use env::Environment;
use episode::{Observation, Score, StopReason, ToolCall, Turn};

use crate::Activity;
use crate::activity::On;

/// Something for an environment to do.
pub(crate) struct Job {
    pub(crate) episode: usize,
    pub(crate) environment: Box<dyn Environment>,
    pub(crate) act: Act,
}

/// What an environment is asked for.
pub(crate) enum Act {
    /// To execute the calls of a turn.
    Call(Vec<ToolCall>),
    /// To hear an answer.
    Hear(Turn),
    /// To keep what outlives the episode, and score it.
    Close(StopReason, Vec<Turn>),
}

/// What became of a job.
pub(crate) struct Outcome {
    pub(crate) episode: usize,
    pub(crate) result: Result<Acted, Panicked>,
}

/// What an environment has done.
pub(crate) enum Acted {
    /// One observation for each call.
    Called {
        environment: Box<dyn Environment>,
        observations: Vec<Observation>,
    },
    /// What the user says next, or nothing.
    Heard {
        environment: Box<dyn Environment>,
        reply: Option<String>,
    },
    /// The episode is over, and these were its turns.
    Closed {
        stop: StopReason,
        turns: Vec<Turn>,
        score: Score,
    },
}

/// An environment broke its promise never to fail.
pub(crate) struct Panicked {
    /// What it was doing.
    pub(crate) act: String,
    pub(crate) message: String,
}

/// Executes jobs; outcomes come back in the order in which they are ready.
pub(crate) struct Tools {
    /// Empty where jobs are executed as they are submitted.
    threads: Option<Sender<Job>>,
    finished: Sender<Outcome>,
    outcomes: Receiver<Outcome>,
    running: usize,
    activity: Activity,
}

impl Tools {
    /// Executes each job as it is submitted.
    pub(crate) fn inline(activity: &Activity) -> Self {
        let (finished, outcomes) = channel();
        Self {
            threads: None,
            finished,
            outcomes,
            running: 0,
            activity: activity.clone(),
        }
    }

    /// Executes jobs on threads that live until this value is dropped.
    pub(crate) fn threaded<'scope>(
        scope: &'scope Scope<'scope, '_>,
        threads: usize,
        activity: &Activity,
    ) -> Self {
        let (submit, jobs) = channel::<Job>();
        let jobs = Arc::new(Mutex::new(jobs));
        let tools = Self {
            threads: Some(submit),
            ..Self::inline(activity)
        };
        for _ in 0..threads {
            let (jobs, finished) = (Arc::clone(&jobs), tools.finished.clone());
            let activity = activity.clone();
            scope.spawn(move || {
                while let Some(job) = next(&jobs) {
                    if finished.send(execute(job, &activity)).is_err() {
                        break;
                    }
                }
            });
        }
        tools
    }

    pub(crate) fn submit(&mut self, job: Job) {
        self.running += 1;
        self.activity.waits(job.episode, On::Thread);
        let sent = match &self.threads {
            Some(threads) => threads.send(job).is_ok(),
            None => self.finished.send(execute(job, &self.activity)).is_ok(),
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

/// Does a job. A panic is caught here, so that it is reported rather than waited for.
fn execute(job: Job, activity: &Activity) -> Outcome {
    let Job {
        episode,
        environment,
        act,
    } = job;
    let mut doing = On::Thread;
    let mut waits = |on: On| {
        activity.waits(episode, on.clone());
        doing = on;
    };
    let result = catch_unwind(AssertUnwindSafe(|| perform(environment, act, &mut waits)));
    // What it did is over, though nobody has looked at its outcome yet.
    activity.waits(episode, On::Others);
    Outcome {
        episode,
        result: result.map_err(|panic| Panicked {
            act: doing.to_string(),
            message: message(&*panic),
        }),
    }
}

/// `waits` is told what is under way.
fn perform(mut environment: Box<dyn Environment>, act: Act, waits: &mut dyn FnMut(On)) -> Acted {
    match act {
        Act::Call(calls) => {
            let mut observations = Vec::with_capacity(calls.len());
            for call in &calls {
                waits(On::Tool(call.name.clone()));
                observations.push(environment.call(call));
            }
            Acted::Called {
                environment,
                observations,
            }
        }
        Act::Hear(turn) => {
            waits(On::User);
            let reply = environment.answer(&turn);
            Acted::Heard { environment, reply }
        }
        Act::Close(stop, turns) => {
            waits(On::Scoring);
            environment.close(stop, &turns);
            let score = environment.score();
            Acted::Closed { stop, turns, score }
        }
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
