//! tau-bench's tasks as a suite: `tau-bench.jsonl`, and beside it a folder for each domain.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use episode::{CallFormat, Message, Role, Task, ToolCall, Trace, TraceTurn};
use sandbox::Pool;
use serde_json::Value;

use super::Users;
use super::domain::Domain;
use super::episode::{TauEpisode, execute};
use crate::jsonl::{Fields, LineProblem};
use crate::message::read_call;
use crate::{EnvError, Environment, Health, Protocol, Suite, UnreadCalls, table};

/// How its authors let an agent play.
const PROTOCOL: Protocol = Protocol {
    max_turns: 30,
    unread_calls: UnreadCalls::Drop,
};

/// One task as its file has it.
#[derive(Clone, Debug, PartialEq)]
pub struct TauRow {
    /// What the user wants, as it is told to whoever plays the user.
    pub instruction: String,
    /// Calls that leave the database as it should be in the end.
    pub actions: Vec<ToolCall>,
    /// What the user must be told.
    pub outputs: Vec<String>,
    /// The folder of its domain, `tau-bench/retail`.
    pub data_source: String,
}

impl TauRow {
    /// Reads one line.
    pub fn parse(line: &str) -> Result<Self, LineProblem> {
        Self::read(Fields::parse(line)?)
    }

    pub(crate) fn read(mut fields: Fields) -> Result<Self, LineProblem> {
        let actions: Vec<Value> = fields.required("actions")?;
        let action = |(index, value)| {
            read_call(value).map_err(|problem| {
                LineProblem::in_field("actions", format!("action {index}: {problem}"))
            })
        };
        Ok(Self {
            instruction: fields.required("instruction")?,
            actions: actions
                .iter()
                .enumerate()
                .map(action)
                .collect::<Result<_, _>>()?,
            outputs: fields.required("outputs")?,
            data_source: fields.required("data_source")?,
        })
    }
}

/// The tasks of one file.
///
/// The reward, and the metric `pass`, is 1 where the agent ended the conversation with the
/// database as the actions leave it (`state`) and has told the user every output (`outputs`, a
/// share of them); else 0. Every call of a turn is run, where its authors run the first.
pub struct TauSuite {
    tasks: Vec<Task>,
    /// By the task's id.
    plans: HashMap<String, Arc<Plan>>,
    users: Arc<dyn Users>,
    pool: Pool,
}

/// What an episode needs of a task, and the policy never sees.
pub(super) struct Plan {
    pub(super) row: TauRow,
    pub(super) domain: Arc<Domain>,
    /// The digest of the database after the actions, once somebody wanted to know.
    gold: Mutex<Option<String>>,
}

impl TauSuite {
    /// Reads a file of tasks and the domains that they name, which lie beside it.
    pub fn load(path: &Path, pool: Pool, users: Arc<dyn Users>) -> Result<Self, EnvError> {
        let mut suite = Self {
            tasks: Vec::new(),
            plans: HashMap::new(),
            users,
            pool,
        };
        let mut domains: HashMap<String, Arc<Domain>> = HashMap::new();
        for (place, fields) in table::read(path)? {
            let row = fields.and_then(TauRow::read);
            let row = row.map_err(|problem| problem.at(path, place))?;
            let name = row.data_source.clone();
            let domain = match domains.get(&name) {
                Some(domain) => Arc::clone(domain),
                None => {
                    let folder = path.parent().unwrap_or(Path::new("")).join(&name);
                    if !folder.is_dir() {
                        let problem = format!("no folder `{}` beside the tasks", folder.display());
                        let problem = LineProblem::in_field("data_source", problem);
                        return Err(problem.at(path, place));
                    }
                    let domain = Domain::load(&name, &folder, &suite.pool)?;
                    Arc::clone(domains.entry(name).or_insert(Arc::new(domain)))
                }
            };
            if let Some(action) = row.actions.iter().find(|call| !domain.has(&call.name)) {
                let problem = format!("`{}` is no tool of the domain", action.name);
                return Err(LineProblem::in_field("actions", problem).at(path, place));
            }
            suite.add(row, domain);
        }
        Ok(suite)
    }

    fn add(&mut self, row: TauRow, domain: Arc<Domain>) {
        let id = self.tasks.len().to_string();
        self.tasks.push(Task {
            id: id.clone(),
            scenario: row.data_source.clone(),
            messages: vec![
                Message::new(Role::System, &domain.rules),
                Message::new(Role::User, &row.instruction),
            ],
            tools: domain.tools.clone(),
            answer: None,
            calls: CallFormat::Tagged,
        });
        let plan = Plan {
            row,
            domain,
            gold: Mutex::default(),
        };
        self.plans.insert(id, Arc::new(plan));
    }

    /// A trace for each task: its actions, one a turn, with what they return, and an answer that
    /// tells the user every output.
    pub fn gold_traces(&self) -> Vec<Trace> {
        self.tasks
            .iter()
            .map(|task| self.gold_trace(task))
            .collect()
    }

    fn gold_trace(&self, task: &Task) -> Trace {
        let plan = self.plan(task);
        let mut store = plan.domain.open(&self.pool);
        let turn = |call: &ToolCall| TraceTurn {
            calls: vec![call.clone()],
            results: vec![execute(&plan.domain, &mut store, call).text],
            ..TraceTurn::default()
        };
        let turns = plan.row.actions.iter().map(turn).collect();
        let told = plan.row.outputs.join(", ");
        Trace {
            task: task.id.clone(),
            source: "gold-calls".to_owned(),
            turns,
            answer: Some(if told.is_empty() {
                "Done.".to_owned()
            } else {
                told
            }),
            ..Trace::default()
        }
    }

    fn plan(&self, task: &Task) -> &Arc<Plan> {
        let plan = self.plans.get(&task.id);
        plan.expect("an episode is opened for a task of this suite")
    }
}

impl Plan {
    /// The digest of the database after the actions. Actions that fail change nothing, as they
    /// do for its authors.
    pub(super) fn gold(&self, pool: &Pool) -> Result<String, String> {
        let mut known = self
            .gold
            .lock()
            .expect("nothing panics while it holds this lock");
        if let Some(digest) = &*known {
            return Ok(digest.clone());
        }
        let mut store = self.domain.open(pool);
        for action in &self.row.actions {
            execute(&self.domain, &mut store, action);
        }
        let digest = store?.digest().map_err(|failure| failure.to_string())?;
        Ok(known.insert(digest).clone())
    }
}

impl Suite for TauSuite {
    fn name(&self) -> &'static str {
        "tau"
    }

    fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    fn open(&self, task: &Task) -> Box<dyn Environment> {
        let plan = Arc::clone(self.plan(task));
        let user = self.users.open(&plan.row.instruction);
        Box::new(TauEpisode::new(plan, self.pool.clone(), user))
    }

    fn prompt<'t>(&self, task: &'t Task) -> Cow<'t, [Message]> {
        let instruction = &self.plan(task).row.instruction;
        let opening = self.users.opening(instruction);
        if opening == *instruction {
            return Cow::Borrowed(&task.messages);
        }
        let mut messages = task.messages.clone();
        messages.pop();
        messages.push(Message::new(Role::User, opening));
        Cow::Owned(messages)
    }

    fn headline(&self) -> &'static str {
        "pass"
    }

    fn protocol(&self) -> Protocol {
        PROTOCOL
    }

    fn health(&self) -> Health {
        self.pool.health()
    }

    fn is_instant(&self) -> bool {
        false
    }
}
