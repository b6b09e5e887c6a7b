//! FTRL's tasks as a suite, and one episode of a task: calls to Python, feedback to goldens.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use episode::{CallFormat, Observation, Score, Task, ToolCall, Trace};
use indexmap::IndexMap;
use sandbox::{Pool, PythonConfig, SandboxConfig, is_day};
use serde::{Deserialize, Serialize};

use super::Row;
use super::file::RowFile;
use crate::{EnvError, Environment, Health, ReplayReport, Suite, UnsolvedSet, codes, replay};

/// How the suite's tools are run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct FtrlOptions {
    /// The processes that run the tools.
    pub python: PythonConfig,
    /// What they may do.
    pub sandbox: SandboxConfig,
    /// Whether a tool that does not compile is the agent's affair, who reads Python's message
    /// when it calls the tool, and not an error.
    pub allow_broken_tools: bool,
}

/// Tasks of one file in FTRL's format.
pub struct FtrlSuite {
    rows: Vec<SuiteRow>,
    tasks: Vec<Task>,
    /// From a task's id to its place in `rows` and `tasks`.
    places: HashMap<String, usize>,
    pool: Pool,
}

/// What an episode needs of a row, and the policy never sees.
#[derive(Clone)]
pub(super) struct SuiteRow {
    codes: Arc<IndexMap<String, String>>,
    goldens: IndexMap<String, Vec<String>>,
    pub(super) ground_truth: Vec<ToolCall>,
}

impl FtrlSuite {
    /// Reads a file. The first row that cannot be read is an error, and so is the first tool
    /// that does not compile, unless the options allow it.
    pub fn load(path: &Path, options: FtrlOptions) -> Result<Self, EnvError> {
        let (file, problems) = RowFile::read(path)?;
        if let Some(problem) = problems.into_iter().next() {
            return Err(problem);
        }
        let pool = Pool::new(options.python, options.sandbox)?;
        if !options.allow_broken_tools
            && let Some(broken) = file.broken_tools(&pool)?.into_iter().next()
        {
            return Err(broken);
        }
        Ok(Self::new(file, pool))
    }

    pub(super) fn new(file: RowFile, pool: Pool) -> Self {
        let (rows, tasks): (Vec<_>, Vec<_>) =
            file.rows.into_iter().map(|(_, row)| split(row)).unzip();
        let places = tasks
            .iter()
            .enumerate()
            .map(|(place, task): (usize, &Task)| (task.id.clone(), place))
            .collect();
        Self {
            rows,
            tasks,
            places,
            pool,
        }
    }

    /// The same tasks, for whose tools it is another day (`YYYY-MM-DD`).
    fn on_day(&self, date: &str) -> Result<Self, EnvError> {
        Ok(Self {
            rows: self.rows.clone(),
            tasks: self.tasks.clone(),
            places: self.places.clone(),
            pool: self.pool.on_day(date)?,
        })
    }

    /// [`replay`], where need be on the day of the recording: tools that read the clock return
    /// the day, and so a recording that differs names it.
    pub fn replay_as_recorded(&self, trace: &Trace) -> Result<ReplayReport, EnvError> {
        let today = replay(self, trace);
        let recorded = today.mismatches.iter().map(|it| it.recorded.as_str());
        for day in recorded.flat_map(days).collect::<BTreeSet<_>>() {
            let then = replay(&self.on_day(day)?, trace);
            if then.mismatches.is_empty() {
                return Ok(then);
            }
        }
        Ok(today)
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = (&Task, &SuiteRow)> {
        self.tasks.iter().zip(&self.rows)
    }

    fn row(&self, task: &Task) -> &SuiteRow {
        let place = self.places.get(&task.id);
        &self.rows[*place.expect("an episode is opened for a task of this suite")]
    }

    pub(super) fn episode_of(&self, row: &SuiteRow) -> FtrlEpisode {
        FtrlEpisode {
            codes: Arc::clone(&row.codes),
            pool: self.pool.clone(),
            unsolved: UnsolvedSet::new(row.goldens.clone()),
        }
    }
}

impl Suite for FtrlSuite {
    fn name(&self) -> &'static str {
        "ftrl"
    }

    fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    fn open(&self, task: &Task) -> Box<dyn Environment> {
        Box::new(self.episode_of(self.row(task)))
    }

    fn unsolved(&self, task: &Task) -> Option<UnsolvedSet> {
        Some(UnsolvedSet::new(self.row(task).goldens.clone()))
    }

    fn health(&self) -> Health {
        self.pool.health()
    }

    fn is_instant(&self) -> bool {
        false
    }
}

/// Every `YYYY-MM-DD` in a text that is a day.
fn days(text: &str) -> impl Iterator<Item = &str> {
    (0..text.len())
        .filter_map(|at| text.get(at..at + 10))
        .filter(|part| is_day(part))
}

/// The task that the policy sees, and the row's secrets.
pub(super) fn split(row: Row) -> (SuiteRow, Task) {
    let task = Task {
        id: row.id.expect("a row of a file has an id"),
        scenario: row.data_source,
        messages: row.messages,
        tools: row.tools,
        answer: row.answer,
        calls: CallFormat::Tagged,
    };
    let calls = row.ground_truth.unwrap_or_default().into_iter();
    let secrets = SuiteRow {
        codes: Arc::new(row.codes),
        goldens: row.unsolved_set,
        ground_truth: calls
            .map(|call| ToolCall {
                name: call.name,
                arguments: call.parameters,
            })
            .collect(),
    };
    (secrets, task)
}

/// One episode of one task.
pub(super) struct FtrlEpisode {
    codes: Arc<IndexMap<String, String>>,
    pool: Pool,
    unsolved: UnsolvedSet,
}

impl FtrlEpisode {
    /// Runs a call, and returns with its observation the golden that it solved.
    pub(super) fn solve(&mut self, call: &ToolCall) -> (Observation, Option<String>) {
        let observation = codes::run(&self.pool, self.codes.get(&call.name), call);
        let solved = self.unsolved.observe(&call.name, &observation);
        (observation, solved)
    }

    pub(super) fn is_solved(&self) -> bool {
        self.unsolved.is_solved()
    }
}

impl Environment for FtrlEpisode {
    fn call(&mut self, call: &ToolCall) -> Observation {
        self.solve(call).0
    }

    fn score(&self) -> Score {
        self.unsolved.score()
    }
}
