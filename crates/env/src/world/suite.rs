//! The world as a suite: its tasks, and an environment whose tools answer at once.

use std::collections::HashMap;
use std::sync::Arc;

use episode::{Observation, Score, Task, ToolCall, Trace};
use indexmap::IndexMap;

use super::planner;
use super::problem::Problem;
use super::tool::{self, Tool};
use crate::{Environment, Suite, UnsolvedSet};

/// Tasks of the tool world, with the tools that solve them.
pub struct WorldSuite {
    tasks: Vec<Task>,
    boxes: HashMap<String, Arc<Toolbox>>,
}

/// What an environment needs of one task.
pub(super) struct Toolbox {
    pub(super) tools: Vec<Tool>,
    /// Golden sub-answers by tool, in solving order.
    pub(super) goldens: IndexMap<String, Vec<String>>,
}

impl WorldSuite {
    /// Task ids must differ; the first task of an id keeps its tools.
    pub(super) fn new(tasks: impl IntoIterator<Item = (Task, Toolbox)>) -> Self {
        let mut suite = Self {
            tasks: Vec::new(),
            boxes: HashMap::new(),
        };
        for (task, toolbox) in tasks {
            suite
                .boxes
                .entry(task.id.clone())
                .or_insert_with(|| Arc::new(toolbox));
            suite.tasks.push(task);
        }
        suite
    }

    /// How the world's expert solves each task, planned from what the suite knows of it. A
    /// task that no expert of ours can plan, for instance one that was edited, has no trace.
    pub fn planner_traces(&self) -> Vec<Trace> {
        self.tasks
            .iter()
            .filter_map(|task| planner::plan(task, self.toolbox(task)))
            .collect()
    }

    pub(super) fn toolbox(&self, task: &Task) -> &Arc<Toolbox> {
        self.boxes
            .get(&task.id)
            .expect("a task is opened by the suite that holds it")
    }
}

impl Suite for WorldSuite {
    fn name(&self) -> &'static str {
        "world"
    }

    fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    fn open(&self, task: &Task) -> Box<dyn Environment> {
        let toolbox = Arc::clone(self.toolbox(task));
        Box::new(Visit {
            unsolved: UnsolvedSet::new(toolbox.goldens.clone()),
            toolbox,
            calls: 0,
            named: 0,
        })
    }

    fn unsolved(&self, task: &Task) -> Option<UnsolvedSet> {
        Some(UnsolvedSet::new(self.toolbox(task).goldens.clone()))
    }

    fn is_instant(&self) -> bool {
        true
    }
}

impl From<Problem> for Toolbox {
    fn from(problem: Problem) -> Self {
        Self {
            goldens: problem.goldens(),
            tools: problem.tools,
        }
    }
}

/// One episode in the world of a task.
struct Visit {
    toolbox: Arc<Toolbox>,
    unsolved: UnsolvedSet,
    calls: usize,
    /// Calls of a tool that the task needs.
    named: usize,
}

impl Environment for Visit {
    fn call(&mut self, call: &ToolCall) -> Observation {
        let observation = tool::call(&self.toolbox.tools, call);
        self.unsolved.observe(&call.name, &observation);
        self.calls += 1;
        self.named += usize::from(self.toolbox.goldens.contains_key(&call.name));
        observation
    }

    /// Solve-F1 and its parts, and under `named` the share of calls that name a tool that
    /// the task needs (0 without a call).
    fn score(&self) -> Score {
        let mut score = self.unsolved.score();
        let named = self.named as f64 / self.calls.max(1) as f64;
        score.metrics.insert("named".to_owned(), named);
        score
    }
}
