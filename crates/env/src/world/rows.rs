//! The world's tasks as rows of FTRL's format, with Python sources for their tools, so that
//! other trainers can run them; beside these the tables, so that we need no Python to.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use episode::{CallFormat, Task};
use serde_json::Value;

use super::suite::Toolbox;
use super::tool::Tool;
use super::{Split, World, WorldSuite};
use crate::ftrl::Row;
use crate::jsonl::{LineProblem, read_lines};
use crate::{EnvError, Suite};

/// What FTRL writes before the name of a scenario.
const SOURCE: &str = "self/";

/// Writes a world's tasks, one row a line. Its traces are written by [`crate::write_traces`].
pub fn write_rows(path: &Path, world: &World) -> Result<(), EnvError> {
    let lines: String = world
        .suite
        .tasks()
        .iter()
        .map(|task| row(task, world.suite.toolbox(task), world.split).to_line() + "\n")
        .collect();
    fs::write(path, lines).map_err(|source| EnvError::File {
        path: path.to_owned(),
        source,
    })
}

impl WorldSuite {
    /// Reads what [`write_rows`] wrote.
    pub fn load(path: &Path) -> Result<Self, EnvError> {
        let mut ids = HashSet::new();
        let mut tasks = Vec::new();
        for (index, (line, text)) in read_lines(path)?.into_iter().enumerate() {
            let (task, toolbox) = Row::parse(&text)
                .and_then(|row| task(row, index))
                .map_err(|problem| problem.at(path, line))?;
            if !ids.insert(task.id.clone()) {
                let problem = format!("`{}` is the id of an earlier row", task.id);
                return Err(LineProblem::in_field("id", problem).at(path, line));
            }
            tasks.push((task, toolbox));
        }
        Ok(Self::new(tasks))
    }
}

fn row(task: &Task, toolbox: &Toolbox, split: Split) -> Row {
    let tables = serde_json::to_string(&toolbox.tools).expect("a tool is plain JSON");
    // FTRL has no third split: what is not for training is for testing.
    let split = if split == Split::Train {
        "train"
    } else {
        "test"
    };
    Row {
        messages: task.messages.clone(),
        tools: task.tools.clone(),
        codes: toolbox
            .tools
            .iter()
            .map(|tool| (tool.name.clone(), tool.python()))
            .collect(),
        unsolved_set: toolbox.goldens.clone(),
        solve_rate: 0.0,
        data_source: format!("{SOURCE}{}", task.scenario),
        split: Some(split.to_owned()),
        answer: task.answer.clone(),
        ground_truth: None,
        id: Some(task.id.clone()),
        world: Some(Value::String(tables)),
    }
}

/// The task of the row at `index`, which is also its id if it has no other.
fn task(row: Row, index: usize) -> Result<(Task, Toolbox), LineProblem> {
    let tools = tables(&row)?;
    let scenario = row
        .data_source
        .strip_prefix(SOURCE)
        .unwrap_or(&row.data_source);
    let task = Task {
        id: row.id.unwrap_or_else(|| index.to_string()),
        scenario: scenario.to_owned(),
        messages: row.messages,
        tools: row.tools,
        answer: row.answer,
        calls: CallFormat::Tagged,
    };
    Ok((
        task,
        Toolbox {
            tools,
            goldens: row.unsolved_set,
        },
    ))
}

fn tables(row: &Row) -> Result<Vec<Tool>, LineProblem> {
    let wrong = |problem: String| LineProblem::in_field("world", problem);
    let tools: Result<Vec<Tool>, _> = match &row.world {
        None => {
            let hint = "hint: a row without native tools is run by the suite `ftrl`";
            return Err(wrong(format!("missing\n{hint}")));
        }
        Some(Value::String(text)) => serde_json::from_str(text),
        Some(value) => serde_json::from_value(value.clone()),
    };
    let tools = tools.map_err(|error| wrong(error.to_string()))?;
    if !row
        .tool_names()
        .eq(tools.iter().map(|tool| tool.name.as_str()))
    {
        return Err(wrong(
            "its tools are not those of the field `tools`".to_owned(),
        ));
    }
    Ok(tools)
}

#[cfg(test)]
mod tests {
    use episode::ToolCall;
    use proptest::prelude::*;
    use serde_json::Map;

    use super::super::{Config, Family, generate};
    use super::*;
    use crate::ftrl::{FtrlOptions, FtrlSuite};
    use crate::{load_traces, replay, write_traces};
    use sandbox::SandboxError;

    fn world(family: Family) -> World {
        generate(&Config {
            tasks: 40,
            family,
            error_rate: 0.3,
            ..Config::default()
        })
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (rows, traces) = (
            folder.path().join("rows.jsonl"),
            folder.path().join("traces.jsonl"),
        );
        for family in [Family::Plain, Family::Keyed] {
            let world = world(family);
            write_rows(&rows, &world).expect("the folder can be written to");
            write_traces(&traces, &world.traces).expect("the folder can be written to");
            let suite = WorldSuite::load(&rows).expect("rows as written");
            assert_eq!(suite.tasks(), world.suite.tasks());
            let read = load_traces(&traces, suite.tasks()).expect("traces as written");
            assert_eq!(read, world.traces);
            for trace in &read {
                let report = replay(&suite, trace);
                assert_eq!(report.mismatches, []);
                assert_eq!(report.score.metrics["solve-r"], 1.0);
            }
        }
    }

    #[test]
    fn a_row_that_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("rows.jsonl");
        write_rows(&path, &world(Family::Plain)).expect("the folder can be written to");
        let text = fs::read_to_string(&path).expect("it was just written");
        let lines: Vec<&str> = text.lines().collect();
        let check = |second: String, expected: &str| {
            fs::write(&path, format!("{}\n{second}\n", lines[0])).expect("a file of ours");
            let error = WorldSuite::load(&path).err().expect(expected).to_string();
            assert!(
                error.contains("line 2") && error.contains(expected),
                "{error}"
            );
        };
        check(lines[0].to_owned(), "is the id of an earlier row");
        check(
            lines[1].replace("\"world\"", "\"other\""),
            "run by the suite `ftrl`",
        );
        check(lines[1].replace("by_id", "by_it"), "unknown field `by_it`");
        check("{".to_owned(), "not a JSON object");
    }

    /// The world as its rows' Python has it; `None` without an interpreter.
    fn in_python(world: &World) -> Option<FtrlSuite> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("rows.jsonl");
        write_rows(&path, world).expect("the folder can be written to");
        match FtrlSuite::load(&path, FtrlOptions::default()) {
            Ok(suite) => Some(suite),
            Err(EnvError::Sandbox(SandboxError::Python { problem, .. })) => {
                println!("skipped: no python3 ({problem})");
                None
            }
            Err(error) => panic!("Python runs the rows that we write: {error}"),
        }
    }

    /// What a policy may pass: something that the task knows, or anything.
    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            "[#A-Z][a-z0-9]{0,5}".prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            Just(serde_json::json!(["Kelvat", {"x": 1.5}])),
        ]
    }

    #[test]
    fn any_call_is_answered_alike_by_the_world_and_by_its_python() {
        for family in [Family::Plain, Family::Keyed] {
            let world = world(family);
            let Some(python) = in_python(&world) else {
                return;
            };
            let check = |task: usize, call: &ToolCall| {
                let native = world.suite.open(&world.suite.tasks()[task]).call(call);
                assert_eq!(
                    python.open(&python.tasks()[task]).call(call),
                    native,
                    "{call:?}"
                );
            };
            for trace in &world.traces {
                assert_eq!(replay(&python, trace).mismatches, []);
            }
            for (index, task) in world.suite.tasks().iter().enumerate().take(10) {
                for tool in &world.suite.toolbox(task).tools {
                    for key in tool.table.keys() {
                        let arguments =
                            Map::from_iter([(tool.parameter.clone(), Value::from(key.as_str()))]);
                        check(
                            index,
                            &ToolCall {
                                name: tool.name.clone(),
                                arguments,
                            },
                        );
                    }
                }
            }
            let calls = (
                any::<prop::sample::Index>(),
                any::<prop::sample::Index>(),
                prop::option::weighted(0.1, "[a-z_]{1,9}"),
                prop::option::weighted(0.8, value()),
                prop::collection::btree_map("[a-z]{1,6}", value(), 0..2),
            );
            let mut runner = proptest::test_runner::TestRunner::default();
            let result = runner.run(&calls, |(task, tool, other, right, extra)| {
                let index = task.index(world.suite.tasks().len());
                let tools = &world.suite.toolbox(&world.suite.tasks()[index]).tools;
                let tool = &tools[tool.index(tools.len())];
                let mut arguments = Map::from_iter(extra);
                arguments.extend(right.map(|value| (tool.parameter.clone(), value)));
                let name = other.unwrap_or_else(|| tool.name.clone());
                check(index, &ToolCall { name, arguments });
                Ok(())
            });
            result.expect("native and Python agree");
        }
    }
}
