//! Your own tools from wherever they are: a Python file, MCP servers, an HTTP environment.

pub(crate) mod bounds;
mod error;

pub use error::ToolsError;
