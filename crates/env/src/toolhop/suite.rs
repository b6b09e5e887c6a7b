//! ToolHop's questions as a suite, and one episode of a question.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use episode::{CallFormat, Message, Observation, Role, Score, StopReason, Task, ToolCall, Turn};
use indexmap::IndexMap;
use sandbox::{Pool, PythonConfig, SandboxConfig};
use serde::{Deserialize, Serialize};

use super::judge::{Ending, is_correct, is_correct_as_published};
use super::{Scenario, ToolHopRow};
use crate::jsonl::{LineProblem, Place};
use crate::reward::written;
use crate::{
    EnvError, Environment, Health, Protocol, Suite, UnreadCalls, UnsolvedSet, codes, table,
};

/// How its authors let an agent play.
const PROTOCOL: Protocol = Protocol {
    max_turns: 9,
    unread_calls: UnreadCalls::Drop,
};

/// What is asked, and how the tools are run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ToolHopOptions {
    /// How every question is asked: `direct`, `mandatory`, `free`. Of several scenarios each
    /// has a task of its own for each question, and its name stands behind the task's id.
    pub scenarios: Vec<Scenario>,
    /// The processes that run the tools.
    pub python: PythonConfig,
    /// What they may do.
    pub sandbox: SandboxConfig,
    /// Whether a tool that does not compile is the agent's affair, who reads Python's message
    /// when it calls the tool, and not an error.
    pub allow_broken_tools: bool,
}

impl Default for ToolHopOptions {
    fn default() -> Self {
        Self {
            scenarios: vec![Scenario::Mandatory],
            python: PythonConfig::default(),
            sandbox: SandboxConfig::default(),
            allow_broken_tools: false,
        }
    }
}

/// The questions of one file.
pub struct ToolHopSuite {
    tasks: Vec<Task>,
    /// From a task's id to what its episodes need.
    secrets: HashMap<String, Secrets>,
    pool: Pool,
}

/// What an episode needs of a question, and the policy never sees.
struct Secrets {
    scenario: Scenario,
    functions: Arc<IndexMap<String, Vec<String>>>,
    goldens: IndexMap<String, Vec<String>>,
    answer: String,
}

impl ToolHopSuite {
    /// Reads a file. The first row that cannot be read is an error, and so is the first tool
    /// that does not compile, unless the options allow it. A tool without a function is the
    /// agent's affair.
    pub fn load(path: &Path, options: ToolHopOptions) -> Result<Self, EnvError> {
        let rows = read_rows(path)?;
        let pool = Pool::new(options.python, options.sandbox)?;
        if !options.allow_broken_tools {
            refuse_broken_tools(path, &rows, &pool)?;
        }
        let mut suite = Self {
            tasks: Vec::new(),
            secrets: HashMap::new(),
            pool,
        };
        for &scenario in &options.scenarios {
            for (_, row) in &rows {
                suite.add(row, scenario, options.scenarios.len() > 1);
            }
        }
        Ok(suite)
    }

    fn add(&mut self, row: &ToolHopRow, scenario: Scenario, is_one_of_several: bool) {
        let id = match is_one_of_several {
            true => format!("{}-{}", row.id, scenario.name()),
            false => row.id.clone(),
        };
        self.tasks.push(Task {
            id: id.clone(),
            scenario: scenario.name().to_owned(),
            messages: vec![Message::new(Role::User, scenario.prompt(&row.question))],
            tools: match scenario.has_tools() {
                true => row.hops.iter().map(|hop| hop.tool.clone()).collect(),
                false => Vec::new(),
            },
            answer: Some(row.answer.clone()),
            calls: CallFormat::Tagged,
        });
        let secrets = Secrets {
            scenario,
            functions: match scenario.has_tools() {
                true => Arc::new(row.functions.clone()),
                false => Arc::default(),
            },
            goldens: row.goldens(),
            answer: row.answer.clone(),
        };
        self.secrets.insert(id, secrets);
    }

    fn secrets(&self, task: &Task) -> &Secrets {
        let secrets = self.secrets.get(&task.id);
        secrets.expect("an episode is opened for a task of this suite")
    }
}

impl Suite for ToolHopSuite {
    fn name(&self) -> &'static str {
        "toolhop"
    }

    fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    fn open(&self, task: &Task) -> Box<dyn Environment> {
        let secrets = self.secrets(task);
        Box::new(ToolHopEpisode {
            functions: Arc::clone(&secrets.functions),
            pool: self.pool.clone(),
            unsolved: UnsolvedSet::new(secrets.goldens.clone()),
            scenario: secrets.scenario,
            answer: secrets.answer.clone(),
            has_called: false,
            returned: None,
            correct: false,
            correct_as_published: false,
        })
    }

    fn unsolved(&self, task: &Task) -> Option<UnsolvedSet> {
        Some(UnsolvedSet::new(self.secrets(task).goldens.clone()))
    }

    fn headline(&self) -> &'static str {
        "ac"
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

fn read_rows(path: &Path) -> Result<Vec<(Place, ToolHopRow)>, EnvError> {
    let mut rows: Vec<(Place, ToolHopRow)> = Vec::new();
    for (place, fields) in table::read(path)? {
        let row = fields.and_then(ToolHopRow::read);
        let row = row.map_err(|problem| problem.at(path, place))?;
        if rows.iter().any(|(_, earlier)| earlier.id == row.id) {
            let problem = format!("`{}` is the id of an earlier row", row.id);
            return Err(LineProblem::in_field("id", problem).at(path, place));
        }
        rows.push((place, row));
    }
    Ok(rows)
}

fn refuse_broken_tools(
    path: &Path,
    rows: &[(Place, ToolHopRow)],
    pool: &Pool,
) -> Result<(), EnvError> {
    for (place, row) in rows {
        let named = row.functions.iter();
        let (tools, sources): (Vec<&String>, Vec<&str>) = named
            .flat_map(|(tool, sources)| sources.iter().map(move |it| (tool, it.as_str())))
            .unzip();
        let complaints = pool.compile(&sources)?;
        let mut named = tools.into_iter().zip(complaints);
        if let Some((tool, problem)) = named.find_map(|(tool, said)| Some((tool, said?))) {
            return Err(EnvError::Tool {
                path: path.to_owned(),
                place: *place,
                field: "functions",
                tool: tool.clone(),
                problem,
            });
        }
    }
    Ok(())
}

/// One episode of one question.
struct ToolHopEpisode {
    functions: Arc<IndexMap<String, Vec<String>>>,
    pool: Pool,
    unsolved: UnsolvedSet,
    scenario: Scenario,
    answer: String,
    has_called: bool,
    /// What the last call returned.
    returned: Option<String>,
    correct: bool,
    correct_as_published: bool,
}

impl ToolHopEpisode {
    /// What runs a call of that name. Of tools of one name it is the first whose hop is not
    /// solved yet, else the last.
    fn source(&self, name: &str) -> Option<&String> {
        let sources = self.functions.get(name)?;
        let unsolved = self.unsolved.remaining().get(name).map_or(0, Vec::len);
        sources.get(sources.len().saturating_sub(unsolved.max(1)))
    }
}

impl Environment for ToolHopEpisode {
    fn call(&mut self, call: &ToolCall) -> Observation {
        let observation = codes::run(&self.pool, self.source(&call.name), call);
        self.unsolved.observe(&call.name, &observation);
        self.has_called = true;
        self.returned = Some(observation.text.clone());
        observation
    }

    /// A question without tools has one turn.
    fn is_over(&self) -> bool {
        self.scenario == Scenario::Direct && self.has_called
    }

    /// Judges the last turn, where the episode did not end with a call.
    fn close(&mut self, _stop: StopReason, turns: &[Turn]) {
        let Some(last) = turns.last() else { return };
        let is_answer = last.calls.is_empty() && last.observations.is_empty();
        if is_answer || self.scenario == Scenario::Direct {
            let ending = Ending {
                said: written(last),
                returned: self.returned.as_deref().filter(|_| is_answer),
            };
            self.correct = is_correct(&ending, &self.answer);
            self.correct_as_published = is_correct_as_published(&ending, &self.answer);
        }
    }

    /// The reward is 1 for a correct answer by FTRL's rule, else 0. `error-query` is 1 where a
    /// call failed; `errors` of `calls` failed.
    fn score(&self) -> Score {
        let mut score = self.unsolved.score();
        let errors = score.metrics["errors"];
        score.reward = f64::from(self.correct);
        score.metrics.extend([
            ("ac".to_owned(), f64::from(self.correct)),
            (
                "ac-original".to_owned(),
                f64::from(self.correct_as_published),
            ),
            ("error-query".to_owned(), f64::from(errors > 0.0)),
        ]);
        score
    }
}
