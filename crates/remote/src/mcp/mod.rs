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
mod listing;
#[cfg(feature = "mcp")]
mod process;
#[cfg(feature = "mcp")]
mod scratch;
#[cfg(feature = "mcp")]
mod toolbox;

pub use config::{McpConfig, Sharing};
#[cfg(feature = "mcp")]
pub use toolbox::McpTools;

/// Reads a message as if a server had sent it, as the reply to whatever it may be: for whoever
/// sends any bytes to see what becomes of them.
#[cfg(feature = "mcp")]
#[doc(hidden)]
pub fn read_message(message: &[u8], longest_result: usize) {
    use rmcp::model::{ServerJsonRpcMessage, ServerResult};

    let Ok(ServerJsonRpcMessage::Response(response)) = serde_json::from_slice(message) else {
        return;
    };
    if let ServerResult::CallToolResult(result) = &response.result {
        let observation = content::observation(result);
        let _ = crate::own::bounds::cut(observation.text, longest_result);
    }
    if let Ok((tools, _)) = listing::page(response.result) {
        let config = McpConfig {
            prefix: "p_".to_owned(),
            include: vec!["*".to_owned()],
            ..McpConfig::default()
        };
        let _ = filter::offered(&config, &tools);
    }
}
