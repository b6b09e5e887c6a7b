//! Your own tools from wherever they are: a Python file, MCP servers, environments behind HTTP,
//! all of one suite.

pub(crate) mod bounds;
mod error;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use env::own::{Accept, OwnSuite, PythonTools, Toolbox};
use serde::{Deserialize, Serialize};

pub use error::ToolsError;

use crate::http_env::{HttpConfig, HttpTools};
use crate::mcp::McpConfig;

/// Tasks of your own, and who has their tools.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct OwnTools {
    /// The tasks, one JSON object a line.
    pub file: PathBuf,
    /// A Python file whose functions are tools. A task's `suite` calls it `python`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python: Option<PathBuf>,
    /// MCP servers, each under the name by which a task's `suite` calls it.
    pub mcp: BTreeMap<String, McpConfig>,
    /// Environments behind HTTP, each under the name by which a task's `suite` calls it.
    pub http: BTreeMap<String, HttpConfig>,
    /// When an answer is one of those that a task accepts: `contains` or `exact`.
    pub accept: Accept,
}

/// Opens the suite. `python` is what `tools.python` holds, loaded by the caller, whose sandbox it
/// is; `variable` looks up an environment variable.
pub fn open(
    tools: &OwnTools,
    python: Option<PythonTools>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<OwnSuite, ToolsError> {
    let toolboxes = toolboxes(tools, python, variable)?;
    Ok(OwnSuite::load(&tools.file, toolboxes, tools.accept)?)
}

/// Every toolbox of the table, started or reached.
pub fn toolboxes(
    tools: &OwnTools,
    python: Option<PythonTools>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<Arc<dyn Toolbox>>, ToolsError> {
    let mut toolboxes: Vec<Arc<dyn Toolbox>> = Vec::new();
    if let Some(python) = python {
        toolboxes.push(Arc::new(python));
    }
    for (name, config) in &tools.mcp {
        toolboxes.push(mcp(name, config, variable)?);
    }
    for (name, config) in &tools.http {
        toolboxes.push(Arc::new(HttpTools::connect(name, config, variable)?));
    }
    if toolboxes.is_empty() {
        return Err(ToolsError::None);
    }
    Ok(toolboxes)
}

#[cfg(feature = "mcp")]
fn mcp(
    name: &str,
    config: &McpConfig,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Arc<dyn Toolbox>, ToolsError> {
    let tools = crate::mcp::McpTools::connect(name, config, variable)?;
    Ok(Arc::new(tools))
}

#[cfg(not(feature = "mcp"))]
fn mcp(
    name: &str,
    _config: &McpConfig,
    _variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Arc<dyn Toolbox>, ToolsError> {
    Err(ToolsError::Config {
        name: name.to_owned(),
        problem: "this program was built without MCP\nhint: build it with `--features mcp`"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_without_tools_are_refused() {
        let error = open(&OwnTools::default(), None, &|_| None).err().unwrap();
        let text = error.to_string();
        assert!(text.starts_with("nobody has any tools\nhint: "), "{text}");
    }

    #[test]
    fn a_table_names_its_servers() {
        let table = r#"{
            "file": "tasks.jsonl",
            "mcp": {"files": {"command": ["npx", "server"], "include": ["read_*"]}},
            "http": {"shop": {"url": "http://localhost:8000"}},
            "accept": "exact"
        }"#;
        let tools: OwnTools = serde_json::from_str(table).unwrap();
        assert_eq!(tools.mcp["files"].include, ["read_*"]);
        assert_eq!(tools.http["shop"].url, "http://localhost:8000");
        assert_eq!(tools.accept, Accept::Exact);
        let wrong = r#"{"mcp": {"files": {"comand": []}}}"#;
        let error = serde_json::from_str::<OwnTools>(wrong).unwrap_err();
        assert!(error.to_string().contains("unknown field `comand`"));
    }
}
