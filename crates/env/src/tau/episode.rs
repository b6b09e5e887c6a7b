//! One episode of one task: calls to the database, answers to the user, and a look at both.

use std::collections::BTreeMap;
use std::sync::Arc;

use episode::{Observation, Score, StopReason, ToolCall, Turn};
use sandbox::{Failure, Pool, call_error};

use super::User;
use super::domain::{Domain, Store};
use super::suite::Plan;
use crate::Environment;

/// The tool that hands the user on, and with it ends the episode.
const HAND_ON: &str = "transfer_to_human_agents";
/// What a simulated user says when all is done.
const STOP: &str = "###STOP###";

pub(super) struct TauEpisode {
    plan: Arc<Plan>,
    pool: Pool,
    /// Opened by the first call; a problem where it could not be.
    store: Option<Result<Store, String>>,
    user: Box<dyn User>,
    calls: usize,
    errors: usize,
    is_handed_on: bool,
    verdict: Verdict,
}

/// What the end of an episode comes to.
#[derive(Default)]
struct Verdict {
    pass: bool,
    state: bool,
    /// Share of the outputs that the user was told; all of none is 1.
    outputs: f64,
    /// Nobody could tell, since a process was not to be had.
    unscored: bool,
}

impl TauEpisode {
    pub(super) fn new(plan: Arc<Plan>, pool: Pool, user: Box<dyn User>) -> Self {
        Self {
            plan,
            pool,
            store: None,
            user,
            calls: 0,
            errors: 0,
            is_handed_on: false,
            verdict: Verdict::default(),
        }
    }

    fn store(&mut self) -> &mut Result<Store, String> {
        let (plan, pool) = (&self.plan, &self.pool);
        self.store.get_or_insert_with(|| plan.domain.open(pool))
    }

    /// Whether the database is as the actions leave it.
    fn is_as_wanted(&mut self) -> Result<bool, String> {
        let store = self.store().as_mut().map_err(|problem| problem.clone())?;
        match store.digest() {
            Ok(digest) => Ok(digest == self.plan.gold(&self.pool)?),
            // The agent's calls have ended the process, or left what is no JSON.
            Err(_) => Ok(false),
        }
    }
}

/// Runs one call. What goes wrong is said in the words of FTRL's executor.
pub(super) fn execute(
    domain: &Domain,
    store: &mut Result<Store, String>,
    call: &ToolCall,
) -> Observation {
    let said = match store {
        _ if !domain.has(&call.name) => Err(format!("'{}'", call.name)),
        Err(problem) => Err(problem.clone()),
        Ok(store) => store
            .call(&call.name, &call.arguments)
            .map_err(|it| match it {
                Failure::Raised { message, .. } => message,
                ended => ended.to_string(),
            }),
    };
    match said {
        Ok(text) => Observation {
            text,
            failed: false,
        },
        Err(exception) => call_error(&call.name, &exception),
    }
}

impl Environment for TauEpisode {
    fn call(&mut self, call: &ToolCall) -> Observation {
        let plan = Arc::clone(&self.plan);
        let observation = execute(&plan.domain, self.store(), call);
        self.calls += 1;
        self.errors += usize::from(observation.failed);
        self.is_handed_on |= call.name == HAND_ON;
        observation
    }

    fn answer(&mut self, turn: &Turn) -> Option<String> {
        let reply = self.user.reply(&turn.content)?;
        (!reply.contains(STOP)).then_some(reply)
    }

    fn is_over(&self) -> bool {
        self.is_handed_on
    }

    /// Only an agent that comes to an end can pass.
    fn close(&mut self, stop: StopReason, turns: &[Turn]) {
        let state = self.is_as_wanted();
        let outputs = told(&self.plan.row.outputs, turns);
        let has_ended = matches!(stop, StopReason::Answered | StopReason::Ended);
        let is_as_wanted = state.as_ref().is_ok_and(|it| *it);
        self.verdict = Verdict {
            pass: has_ended && is_as_wanted && outputs == 1.0,
            state: is_as_wanted,
            outputs,
            unscored: state.is_err(),
        };
        // Its process is no longer needed.
        self.store = Some(Err("the episode is over".to_owned()));
    }

    fn score(&self) -> Score {
        let verdict = &self.verdict;
        let metrics = [
            ("pass", f64::from(verdict.pass)),
            ("state", f64::from(verdict.state)),
            ("outputs", verdict.outputs),
            ("unscored", f64::from(verdict.unscored)),
            ("calls", self.calls as f64),
            ("errors", self.errors as f64),
        ];
        Score {
            reward: f64::from(verdict.pass),
            turn_rewards: Vec::new(),
            metrics: BTreeMap::from(metrics.map(|(name, value)| (name.to_owned(), value))),
        }
    }
}

/// The share of outputs that stand in something the agent said: in lower case, and in what was
/// said without commas.
fn told(outputs: &[String], turns: &[Turn]) -> f64 {
    if outputs.is_empty() {
        return 1.0;
    }
    let said: Vec<String> = (turns.iter())
        .map(|turn| turn.content.to_lowercase().replace(',', ""))
        .collect();
    let is_told = |output: &&String| {
        said.iter()
            .any(|text| text.contains(&output.to_lowercase()))
    };
    outputs.iter().filter(is_told).count() as f64 / outputs.len() as f64
}
