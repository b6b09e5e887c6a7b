//! Strangers' Python in processes that can do no harm: layers, limits, workers, pools.
//! Knows sources, arguments and time-outs; knows no task and no score. Whatever a stranger's
//! code does is an answer that the caller can tell its agent; only a sandbox that cannot be set
//! up is an error. For Linux.

mod channel;
mod config;
mod error;
mod folder;
mod health;
mod interpreter;
mod landlock;
mod layers;
mod nursery;
mod pool;
mod process;
mod seccomp;
mod session;

pub use config::{Isolation, PythonConfig, SandboxConfig};
pub use error::SandboxError;
pub use health::{Health, HealthCount};
pub use layers::{Layer, Report, doctor};
pub use pool::{Pool, PythonTool, call_error, is_day};
pub use session::{Failure, FunctionInfo, Session};
