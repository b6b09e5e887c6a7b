//! A file of your own tasks, read beside the toolboxes that its tasks may use: which tools each
//! task offers, and everything that is wrong.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use episode::Task;
use indexmap::IndexMap;
use serde::Serialize;
use serde_json::Value;

use super::row::wrong;
use super::schema::{check_tool, name_of};
use super::{TaskRow, Toolbox};
use crate::EnvError;
use crate::jsonl::{LineProblem, read_lines};

/// Which toolbox has a tool, by the tool's name.
pub(super) type Owners = IndexMap<String, usize>;

/// A row that holds together, and what it is to the policy and to an episode.
pub(super) struct Loaded {
    pub(super) row: TaskRow,
    pub(super) task: Task,
    /// The tools that the task offers.
    pub(super) owners: Owners,
}

/// What a file of tasks holds, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CheckReport {
    /// Rows that hold together.
    pub tasks: usize,
    /// Tasks of each scenario.
    pub scenarios: IndexMap<String, usize>,
    /// Tools of the toolboxes.
    pub tools: usize,
    /// Sub-answers to be found.
    pub goldens: usize,
    /// Traces in the rows.
    pub traces: usize,
    /// One text for each thing that is wrong, with file and line.
    pub problems: Vec<String>,
}

/// Reads a file of tasks beside the toolboxes, and says all that is wrong with either.
pub fn check_file(path: &Path, toolboxes: &[Arc<dyn Toolbox>]) -> Result<CheckReport, EnvError> {
    let mut problems = check_toolboxes(toolboxes);
    let (rows, of_rows) = read(path, toolboxes)?;
    problems.extend(of_rows);
    let mut report = CheckReport {
        tasks: rows.len(),
        tools: toolboxes.iter().map(|it| it.tools().len()).sum(),
        problems: problems.iter().map(ToString::to_string).collect(),
        ..CheckReport::default()
    };
    for Loaded { row, task, .. } in rows {
        *report.scenarios.entry(task.scenario).or_default() += 1;
        report.goldens += row
            .goldens
            .iter()
            .flatten()
            .map(|(_, it)| it.len())
            .sum::<usize>();
        report.traces += usize::from(row.trace.is_some());
    }
    Ok(report)
}

/// What no task could use: a toolbox without a tool, a tool that is described as nothing, two
/// tools of one name, two toolboxes that judge or that reply.
pub(super) fn check_toolboxes(toolboxes: &[Arc<dyn Toolbox>]) -> Vec<EnvError> {
    let mut problems = Vec::new();
    let mut blame = |toolbox: &Arc<dyn Toolbox>, problem: String| {
        problems.push(EnvError::Toolbox {
            name: toolbox.name().to_owned(),
            problem,
        });
    };
    let mut owners: Vec<(&str, &str)> = Vec::new();
    for (index, toolbox) in toolboxes.iter().enumerate() {
        if toolboxes[..index]
            .iter()
            .any(|it| it.name() == toolbox.name())
        {
            blame(toolbox, "two toolboxes have this name".to_owned());
        }
        if toolbox.tools().is_empty() {
            blame(toolbox, "it offers no tools".to_owned());
        }
        for tool in toolbox.tools() {
            let name = name_of(tool).unwrap_or_default();
            for problem in check_tool(tool) {
                let hint = "hint: a tool is described by a JSON Schema of its parameters";
                blame(toolbox, format!("tool `{name}`: {problem}\n{hint}"));
            }
            if let Some((_, other)) = owners.iter().find(|(known, _)| *known == name) {
                let hint = "hint: rename one, or give the toolbox a `prefix`, or leave one out with `exclude`, where it has them";
                blame(
                    toolbox,
                    format!("tool `{name}` is also one of `{other}`\n{hint}"),
                );
            }
            owners.push((name, toolbox.name()));
        }
    }
    for (does, count) in [
        ("judge", |it: &&Arc<dyn Toolbox>| it.judges()),
        ("reply", |it: &&Arc<dyn Toolbox>| it.replies()),
    ] as [(&str, fn(&&Arc<dyn Toolbox>) -> bool); 2]
    {
        if let Some(second) = toolboxes.iter().filter(count).nth(1) {
            let hint = "hint: let one of them say what an episode is worth and what the user says";
            blame(
                second,
                format!("it is the second to {does} episodes\n{hint}"),
            );
        }
    }
    problems
}

/// Every row that holds together, and what is wrong with the others.
pub(super) fn read(
    path: &Path,
    toolboxes: &[Arc<dyn Toolbox>],
) -> Result<(Vec<Loaded>, Vec<EnvError>), EnvError> {
    let mut loaded = Vec::new();
    let mut problems = Vec::new();
    let mut ids = HashSet::new();
    for (line, text) in read_lines(path)? {
        match load(&text, toolboxes, &mut ids) {
            Ok(row) => loaded.push(row),
            Err(found) => problems.extend(found.into_iter().map(|it| it.at(path, line))),
        }
    }
    Ok((loaded, problems))
}

fn load(
    line: &str,
    toolboxes: &[Arc<dyn Toolbox>],
    ids: &mut HashSet<String>,
) -> Result<Loaded, Vec<LineProblem>> {
    let row = TaskRow::parse(line).map_err(|problem| vec![problem])?;
    let mut problems = row.check();
    if !ids.insert(row.id.clone()) {
        let problem = format!("`{}` is the id of an earlier row", row.id);
        problems.push(wrong("id", problem));
    }
    let (tools, owners) = offer(&row, toolboxes, &mut problems);
    if row.tools.is_none() {
        let names: Vec<&str> = owners.keys().map(String::as_str).collect();
        problems.extend(row.unoffered(&names));
    }
    let messages = if row.messages.is_empty() && problems.is_empty() {
        begin(&row, toolboxes).unwrap_or_else(|problem| {
            problems.push(wrong("messages", format!("empty, and {problem}")));
            Vec::new()
        })
    } else {
        row.messages.clone()
    };
    if !problems.is_empty() {
        return Err(problems);
    }
    let task = Task {
        id: row.id.clone(),
        scenario: row.scenario.clone().unwrap_or_else(|| "own".to_owned()),
        messages,
        tools,
        answer: row.answers.first().cloned(),
        calls: episode::CallFormat::default(),
    };
    Ok(Loaded { row, task, owners })
}

/// The tools that a row offers, as the policy reads them, and whose they are.
fn offer(
    row: &TaskRow,
    toolboxes: &[Arc<dyn Toolbox>],
    problems: &mut Vec<LineProblem>,
) -> (Vec<Value>, Owners) {
    if let Some(suite) = row
        .suite
        .as_deref()
        .filter(|suite| toolboxes.iter().all(|it| it.name() != *suite))
    {
        let known = toolboxes.iter().map(|it| format!("`{}`", it.name()));
        let known = known.collect::<Vec<_>>().join(", ");
        let problem = format!("no toolbox is called `{suite}`; there is {known}");
        problems.push(wrong("suite", problem));
        return Default::default();
    }
    let all = in_reach(row, toolboxes);
    let Some(listed) = &row.tools else {
        let tools = all.values().map(|(_, tool)| (*tool).clone()).collect();
        let owners = all
            .iter()
            .map(|(name, (owner, _))| ((*name).to_owned(), *owner));
        return (tools, owners.collect());
    };
    let mut tools = Vec::new();
    let mut owners = Owners::new();
    for tool in listed {
        let Some(name) = name_of(tool) else { continue };
        match all.get(name) {
            Some((owner, offered)) => {
                owners.insert(name.to_owned(), *owner);
                tools.push(if tool.is_string() {
                    (*offered).clone()
                } else {
                    tool.clone()
                });
            }
            None => {
                let offered = all.keys().copied().collect::<Vec<_>>().join(", ");
                let hint = format!("hint: there is {offered}");
                problems.push(wrong(
                    "tools",
                    format!("nobody offers a tool `{name}`\n{hint}"),
                ));
            }
        }
    }
    (tools, owners)
}

/// The tools that a row may offer, by name, each with the place of its toolbox.
fn in_reach<'a>(
    row: &TaskRow,
    toolboxes: &'a [Arc<dyn Toolbox>],
) -> IndexMap<&'a str, (usize, &'a Value)> {
    let of_suite = |name: &str| row.suite.as_deref().is_none_or(|suite| suite == name);
    let mut tools = IndexMap::new();
    for (owner, toolbox) in toolboxes.iter().enumerate() {
        for tool in toolbox.tools().iter().filter(|_| of_suite(toolbox.name())) {
            if let Some(name) = name_of(tool) {
                tools.entry(name).or_insert((owner, tool));
            }
        }
    }
    tools
}

/// Asks the one toolbox that the row uses how its conversation begins.
fn begin(row: &TaskRow, toolboxes: &[Arc<dyn Toolbox>]) -> Result<Vec<episode::Message>, String> {
    let of_suite = |it: &&Arc<dyn Toolbox>| match &row.suite {
        Some(suite) => it.name() == suite,
        None => toolboxes.len() == 1,
    };
    let toolbox = toolboxes.iter().find(of_suite).ok_or_else(|| {
        "no one toolbox begins the conversation\nhint: name it in `suite`".to_owned()
    })?;
    let messages = toolbox.begin(row)?;
    if messages.is_empty() {
        return Err(format!("`{}` begins it with nothing", toolbox.name()));
    }
    Ok(messages)
}
