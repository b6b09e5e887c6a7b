//! MCP servers as toolboxes: a small one of our own that misbehaves, and those that anybody can
//! install.
#![cfg(feature = "mcp")]

mod hostile;
mod listing;
mod real;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use env::own::{Accept, OwnSuite, Session, TaskRow, Toolbox};
use episode::{Observation, ToolCall};
use remote::mcp::{McpConfig, McpTools};
use serde_json::{Value, json};

/// Whether there is an interpreter for the small server; says so where there is none.
fn has_python() -> bool {
    let found = Command::new("python3").arg("--version").output().is_ok();
    if !found {
        println!("skipped: no python3");
    }
    found
}

#[expect(
    clippy::disallowed_methods,
    reason = "a server is found where the test's own programs are"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The small server.
fn python(arguments: &[&str]) -> McpConfig {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mcp/server.py");
    let command = ["python3", script]
        .into_iter()
        .chain(arguments.iter().copied());
    McpConfig {
        command: command.map(str::to_owned).collect(),
        start_seconds: 20.0,
        call_seconds: 20.0,
        ..McpConfig::default()
    }
}

fn connect(config: &McpConfig) -> McpTools {
    McpTools::connect("test", config, &variable).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(config: &McpConfig) -> String {
    let error = McpTools::connect("test", config, &variable).err();
    error.expect("it cannot be used").to_string()
}

fn open(tools: &McpTools) -> Box<dyn Session> {
    let opened = tools.open(&TaskRow::default());
    opened.unwrap_or_else(|problem| panic!("{problem}"))
}

fn call(session: &mut dyn Session, name: &str, arguments: Value) -> Observation {
    session.call(&ToolCall {
        name: name.to_owned(),
        arguments: arguments.as_object().unwrap().clone(),
    })
}

fn said(text: &str) -> Observation {
    Observation {
        text: text.to_owned(),
        failed: false,
    }
}

fn failed(text: &str) -> Observation {
    Observation {
        text: text.to_owned(),
        failed: true,
    }
}

fn names(tools: &[Value]) -> Vec<&str> {
    tools
        .iter()
        .map(|it| it["function"]["name"].as_str().unwrap())
        .collect()
}

/// What the suite says of a toolbox before it is used.
fn suite(tools: McpTools) -> Result<OwnSuite, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tasks.jsonl");
    let row = json!({"id": "a", "messages": [{"role": "user", "content": "Go."}]});
    std::fs::write(&path, row.to_string()).unwrap();
    OwnSuite::load(&path, vec![Arc::new(tools)], Accept::Contains).map_err(|it| it.to_string())
}

fn process_lives(id: &str) -> bool {
    let state = std::fs::read_to_string(Path::new("/proc").join(id).join("stat"));
    // A process that ended and that nobody has waited for is no more alive.
    state.is_ok_and(|state| !state.contains(") Z"))
}
