//! Your own tasks as a suite, and one episode of a task: calls to sessions, and a score from
//! whoever knows one.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use episode::{Observation, Score, StopReason, Task, ToolCall, Trace, Turn};
use serde::{Deserialize, Serialize};

use super::file::{Loaded, check_toolboxes, read};
use super::{Record, Session, Toolbox};
use crate::reward::{answer_of, is_exact_answer};
use crate::{EnvError, Environment, Health, Suite, UnsolvedSet, verify};

/// The reward as a metric, which it stays where training maximises another.
const HEADLINE: &str = "score";

/// When an answer is one of those that a task accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accept {
    /// It contains one, in lower case and without commas ([`verify`]).
    #[default]
    Contains,
    /// It is one, after SQuAD's normalisation: case, punctuation and articles do not count.
    Exact,
}

/// Tasks of a file, with the toolboxes that act on them.
///
/// The reward is the toolbox's own where it judges; else, for a task with goldens, Solve-F1;
/// else, for a task with answers, 1 for one that is accepted; else 0. Whatever is known beside
/// it is among the metrics: `score`, which is the reward, `calls` and `errors` always, `solve-p`, `solve-r` and `solve-f1`
/// with goldens, `answer` with answers, and `unscored`, 1 where a toolbox that judges could
/// not.
pub struct OwnSuite {
    tasks: Vec<Task>,
    traces: Vec<Trace>,
    /// By the task's id.
    plans: HashMap<String, Arc<Loaded>>,
    toolboxes: Arc<[Arc<dyn Toolbox>]>,
    accept: Accept,
}

impl OwnSuite {
    /// Reads a file of tasks. The first thing that is wrong, with the toolboxes or a row, is an
    /// error; [`check_file`](super::check_file) lists them all.
    pub fn load(
        path: &Path,
        toolboxes: Vec<Arc<dyn Toolbox>>,
        accept: Accept,
    ) -> Result<Self, EnvError> {
        if let Some(problem) = check_toolboxes(&toolboxes).into_iter().next() {
            return Err(problem);
        }
        let (rows, problems) = read(path, &toolboxes)?;
        if let Some(problem) = problems.into_iter().next() {
            return Err(problem);
        }
        Ok(Self {
            tasks: rows.iter().map(|it| it.task.clone()).collect(),
            traces: rows.iter().filter_map(|it| it.row.trace.clone()).collect(),
            plans: rows
                .into_iter()
                .map(|it| (it.row.id.clone(), Arc::new(it)))
                .collect(),
            toolboxes: toolboxes.into(),
            accept,
        })
    }

    /// The traces of the rows that have one.
    pub fn traces(&self) -> &[Trace] {
        &self.traces
    }

    fn plan(&self, task: &Task) -> &Arc<Loaded> {
        let plan = self.plans.get(&task.id);
        plan.expect("an episode is opened for a task of this suite")
    }
}

impl Suite for OwnSuite {
    fn name(&self) -> &'static str {
        "own"
    }

    fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    fn open(&self, task: &Task) -> Box<dyn Environment> {
        let plan = Arc::clone(self.plan(task));
        Box::new(OwnEpisode {
            sessions: self.toolboxes.iter().map(|_| None).collect(),
            toolboxes: Arc::clone(&self.toolboxes),
            unsolved: UnsolvedSet::new(plan.row.goldens.clone().unwrap_or_default()),
            plan,
            accept: self.accept,
            record: Record::default(),
            judged: None,
        })
    }

    fn unsolved(&self, task: &Task) -> Option<UnsolvedSet> {
        let goldens = self.plan(task).row.goldens.clone();
        goldens.map(UnsolvedSet::new)
    }

    fn headline(&self) -> &'static str {
        HEADLINE
    }

    fn health(&self) -> Health {
        let mut sum = Health::default();
        (self.toolboxes.iter()).for_each(|toolbox| sum.absorb(toolbox.health()));
        sum
    }

    fn is_instant(&self) -> bool {
        false
    }
}

/// One episode of one task. Each toolbox's session is opened when it is first needed.
struct OwnEpisode {
    plan: Arc<Loaded>,
    toolboxes: Arc<[Arc<dyn Toolbox>]>,
    /// `[toolboxes]`: not opened yet, open, or why it could not be opened.
    sessions: Vec<Option<Result<Box<dyn Session>, String>>>,
    unsolved: UnsolvedSet,
    accept: Accept,
    record: Record,
    judged: Option<Result<Score, String>>,
}

impl OwnEpisode {
    fn session(&mut self, owner: usize) -> &mut Result<Box<dyn Session>, String> {
        let (toolbox, row) = (&self.toolboxes[owner], &self.plan.row);
        self.sessions[owner].get_or_insert_with(|| toolbox.open(row))
    }

    fn observe(&mut self, call: &ToolCall) -> Observation {
        let Some(owner) = self.plan.owners.get(&call.name).copied() else {
            let names: Vec<&str> = self.plan.owners.keys().map(String::as_str).collect();
            let names = names.join(", ");
            return failed(format!(
                "error: there is no tool `{}`; the tools are {names}",
                call.name
            ));
        };
        match self.session(owner) {
            Ok(session) => session.call(call),
            Err(problem) => failed(format!("error: the tools cannot be used: {problem}")),
        }
    }

    /// The toolbox that the task may use and that judges, or replies.
    fn who(&self, does: impl Fn(&dyn Toolbox) -> bool) -> Option<usize> {
        let suite = self.plan.row.suite.as_deref();
        let in_reach = |it: &dyn Toolbox| suite.is_none_or(|suite| suite == it.name());
        let mut toolboxes = self.toolboxes.iter();
        toolboxes.position(|it| does(&**it) && in_reach(&**it))
    }

    fn is_accepted(&self, answer: &str) -> bool {
        self.plan
            .row
            .answers
            .iter()
            .any(|accepted| match self.accept {
                Accept::Contains => verify(answer, accepted),
                Accept::Exact => is_exact_answer(answer, accepted),
            })
    }
}

impl Environment for OwnEpisode {
    fn call(&mut self, call: &ToolCall) -> Observation {
        let observation = self.observe(call);
        self.unsolved.observe(&call.name, &observation);
        self.record.calls.push((call.clone(), observation.clone()));
        observation
    }

    fn answer(&mut self, turn: &Turn) -> Option<String> {
        self.record.answer = answer_of(&self.plan.task, turn).map(str::to_owned);
        let replier = self.who(|it| it.replies())?;
        self.session(replier).as_mut().ok()?.reply(turn)
    }

    fn is_over(&self) -> bool {
        let open = self.sessions.iter().flatten().flatten();
        open.into_iter().any(|session| session.is_over())
    }

    fn close(&mut self, stop: StopReason, _turns: &[Turn]) {
        self.record.stop = Some(stop);
        if let Some(judge) = self.who(|it| it.judges()) {
            let record = std::mem::take(&mut self.record);
            let judged = match self.session(judge) {
                Ok(session) => session.judge(&record),
                Err(problem) => Err(problem.clone()),
            };
            if let Err(problem) = &judged {
                let task = &self.plan.row.id;
                tracing::warn!("task `{task}`: the episode is not scored: {problem}");
            }
            self.record = record;
            self.judged = Some(judged);
        }
        // Sessions hold processes and connections, which nobody needs any more.
        self.sessions.fill_with(|| None);
    }

    fn score(&self) -> Score {
        let row = &self.plan.row;
        let mut score = self.unsolved.score();
        if row.goldens.is_none() {
            score.reward = 0.0;
            score.metrics.retain(|name, _| !name.starts_with("solve-"));
        }
        if !row.answers.is_empty() {
            let answer = self.record.answer.as_deref();
            let accepted = f64::from(answer.is_some_and(|answer| self.is_accepted(answer)));
            score.metrics.insert("answer".to_owned(), accepted);
            if row.goldens.is_none() {
                score.reward = accepted;
            }
        }
        match &self.judged {
            None => {}
            Some(Ok(judged)) => {
                score.reward = judged.reward;
                score.metrics.extend(judged.metrics.clone());
            }
            Some(Err(_)) => {
                score.reward = 0.0;
                score.metrics.insert("unscored".to_owned(), 1.0);
            }
        }
        score.metrics.insert(HEADLINE.to_owned(), score.reward);
        score
    }
}

fn failed(text: String) -> Observation {
    Observation { text, failed: true }
}
