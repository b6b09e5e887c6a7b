//! What can be wrong with tools before an episode begins.

/// Tools that cannot be used, by the boundary where it shows.
#[derive(Debug, thiserror::Error)]
pub enum ToolsError {
    /// A table without a toolbox.
    #[error(
        "nobody has any tools\nhint: name a Python file (`python`), an MCP server (`mcp.NAME`) or \
         an environment behind HTTP (`http.NAME`)"
    )]
    None,
    /// A config that says what cannot be.
    #[error("tools of `{name}`: {problem}")]
    Config {
        /// The table.
        name: String,
        /// What was found, what was expected, and a `hint:`.
        problem: String,
    },
    /// A server that cannot be started or reached, or does not say what it has.
    #[error("the server of the tools of `{name}`: {problem}")]
    Server {
        /// The table.
        name: String,
        /// What went wrong, with what the server said.
        problem: String,
    },
    /// Tasks that do not go with the tools, or Python tools that do not run.
    #[error(transparent)]
    Tasks(#[from] env::EnvError),
}
