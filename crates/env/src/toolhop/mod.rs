//! ToolHop (<https://arxiv.org/abs/2501.02506>): questions of several hops, each with a tool of
//! its own in Python; the published file, and files of a row a line.

mod judge;
mod row;
mod scenario;
mod suite;

pub use row::{Hop, ToolHopRow};
pub use scenario::Scenario;
pub use suite::{ToolHopOptions, ToolHopSuite};
