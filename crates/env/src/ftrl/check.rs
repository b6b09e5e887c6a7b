//! Looks a file of rows over, and its traces: everything that is wrong, not the first thing.

use std::path::Path;

use indexmap::IndexMap;
use sandbox::Pool;
use serde::Serialize;

use super::file::RowFile;
use super::{FtrlOptions, FtrlSuite, Row};
use crate::jsonl::LineProblem;
use crate::{EnvError, Suite, load_traces};

/// What a file of tasks holds, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CheckReport {
    /// Rows that could be read.
    pub tasks: usize,
    /// Tasks of each scenario.
    pub scenarios: IndexMap<String, usize>,
    /// Tools, counted in every row.
    pub tools: usize,
    /// Sub-answers to be found.
    pub goldens: usize,
    /// Traces that were replayed, those of the file's own `ground_truth` included.
    pub traces: usize,
    /// Traces that solve their task.
    pub solving_traces: usize,
    /// One text for each thing that is wrong, with file and line.
    pub problems: Vec<String>,
}

/// Checks that every row can be read, its tools compile, its goldens belong to its tools, and
/// every trace returns what it recorded.
pub fn check_file(
    path: &Path,
    traces: Option<&Path>,
    options: FtrlOptions,
) -> Result<CheckReport, EnvError> {
    let (file, unreadable) = RowFile::read(path)?;
    let pool = Pool::new(options.python, options.sandbox)?;
    let mut problems = unreadable;
    let is_readable = problems.is_empty();
    problems.extend(file.broken_tools(&pool)?);
    for (line, row) in &file.rows {
        problems.extend(unusable_tools(row).map(|problem| problem.at(path, *line)));
    }
    let mut report = count(&file);
    report.problems = problems.iter().map(ToString::to_string).collect();
    if is_readable {
        check_traces(&FtrlSuite::new(file, pool), traces, &mut report)?;
    }
    Ok(report)
}

fn count(file: &RowFile) -> CheckReport {
    let mut report = CheckReport::default();
    for (_, row) in &file.rows {
        report.tasks += 1;
        report.tools += row.tools.len();
        report.goldens += row.unsolved_set.values().map(Vec::len).sum::<usize>();
        *report.scenarios.entry(row.data_source.clone()).or_default() += 1;
    }
    report
}

/// Tools that the policy may call and nobody can run, and goldens that no tool can give.
fn unusable_tools(row: &Row) -> impl Iterator<Item = LineProblem> {
    let without_code = row
        .tool_names()
        .filter(|tool| !row.codes.contains_key(*tool))
        .map(|tool| LineProblem::in_field("codes", format!("no source for tool `{tool}`")));
    let without_tool = row
        .unsolved_set
        .keys()
        .filter(|golden| row.tool_names().all(|tool| tool != golden.as_str()))
        .map(|golden| {
            let problem = format!("`{golden}` is not the name of one of the row's tools");
            LineProblem::in_field("unsolved_set", problem)
        });
    without_code.chain(without_tool)
}

fn check_traces(
    suite: &FtrlSuite,
    path: Option<&Path>,
    report: &mut CheckReport,
) -> Result<(), EnvError> {
    let loaded = path.map_or_else(|| Ok(Vec::new()), |path| load_traces(path, suite.tasks()));
    let mut traces = loaded.unwrap_or_else(|problem| {
        report.problems.push(problem.to_string());
        Vec::new()
    });
    traces.extend(suite.gold_traces());
    for trace in &traces {
        let replayed = suite.replay_as_recorded(trace)?;
        report.traces += 1;
        report.solving_traces += usize::from(replayed.score.metrics["solve-r"] == 1.0);
        report.problems.extend(
            replayed
                .mismatches
                .iter()
                .map(|mismatch| format!("trace of task `{}`, {mismatch}", trace.task)),
        );
    }
    Ok(())
}
