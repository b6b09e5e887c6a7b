//! MCP servers as toolboxes (<https://modelcontextprotocol.io>): over standard input and output,
//! or streamable HTTP. A server that dies, hangs or floods is something that the agent reads.

mod config;
#[cfg(feature = "mcp")]
mod connection;
#[cfg(feature = "mcp")]
mod content;
#[cfg(feature = "mcp")]
mod filter;
#[cfg(feature = "mcp")]
mod process;
#[cfg(feature = "mcp")]
mod scratch;
#[cfg(feature = "mcp")]
mod toolbox;

pub use config::{McpConfig, Sharing};
#[cfg(feature = "mcp")]
pub use toolbox::McpTools;
