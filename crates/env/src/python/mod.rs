//! Python tools in worker processes: what one call of a stranger's function returns, whatever
//! the function does. Knows sources and arguments; knows no task and no score.

mod pool;
mod worker;

pub(crate) use pool::{PythonPool, PythonTool, call_error, is_day};
use serde::{Deserialize, Serialize};

/// How tools are run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PythonConfig {
    /// The interpreter, Python 3.8 or later.
    pub interpreter: String,
    /// How many calls run at once, each in its own process.
    pub workers: usize,
    /// A call that takes longer fails, and its process is killed.
    pub call_seconds: f64,
    /// Address space of one worker, in MiB.
    pub memory_mib: u64,
    /// The day that tools see as today, `YYYY-MM-DD`; its time is midnight, UTC. Fixed, so that
    /// the same call has the same result for ever; the cost is that a tool which waits for the
    /// clock to move waits in vain.
    pub date: String,
}

impl Default for PythonConfig {
    fn default() -> Self {
        Self {
            interpreter: "python3".to_owned(),
            workers: 4,
            call_seconds: 10.0,
            memory_mib: 2048,
            date: "2025-01-01".to_owned(),
        }
    }
}
