//! What lies beyond this machine's processes: endpoints as policies, MCP servers and HTTP
//! environments as tools, hubs as sources of data. Whatever a peer does wrong is data or a
//! clear error; nothing here waits for ever.

pub mod endpoint;
pub mod http_env;
#[cfg(feature = "hub")]
pub mod hub;
pub mod mcp;
pub mod own;
