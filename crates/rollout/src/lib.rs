//! A policy meets an environment: the one turn loop, for training and for evaluation.
//! Many episodes live at once, and the tools of some run while others decode.
//! Knows no tensor, no trainer and no clock of its own.
//!
//! What an episode becomes depends on its task, its sample and the seed alone, never on
//! what else is in the batch or how fast a tool is; only a time limit breaks that.

mod activity;
mod best;
mod config;
mod live;
mod messages;
mod policy;
mod scripted;
mod tools;
mod turn_loop;

pub use activity::{Activity, Snapshot, Spent};
pub use best::{best_trace, ranked_traces};
pub use config::{Config, ConfigError};
pub use policy::{Policy, PolicyError, SampledTurn, TurnEnd, TurnRequest};
pub use scripted::ScriptedPolicy;
pub use turn_loop::{RolloutError, Setting, Start, run};
