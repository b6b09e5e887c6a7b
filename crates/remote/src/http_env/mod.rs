//! An environment behind HTTP as a toolbox. The protocol is described by
//! `docs/http-environment.yaml`; whatever a server does instead is something that the agent
//! reads.

mod client;
mod config;
mod toolbox;

pub use config::HttpConfig;
pub use toolbox::HttpTools;
#[doc(hidden)]
pub use toolbox::read_reply;
