//! How strangers' Python is run (`[python]`), and what it may do (`[sandbox]`).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How tools are run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PythonConfig {
    /// The interpreter, Python 3.9 or later.
    pub interpreter: String,
    /// How many calls of tools without state run at once, each in its own process.
    pub workers: usize,
    /// A call that takes longer fails, and its process is killed.
    pub call_seconds: f64,
    /// Address space of one process, in MiB.
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

/// What a tool's process may do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SandboxConfig {
    /// What stands around the processes, beside the layers that always do.
    pub isolation: Isolation,
    /// Layers without which nothing runs: names that `pact doctor` prints, or `full` for all of
    /// them. Empty: whatever this machine has.
    pub require: Vec<String>,
    /// Layers to leave out, for tools that one of them stands in the way of.
    pub without: Vec<String>,
    /// Files and folders that tools may read, beside the interpreter's own.
    pub readable: Vec<PathBuf>,
    /// What a tool may write into its folder, in MiB. The folder is removed after its episode.
    pub scratch_mib: u64,
    /// Threads of one process.
    pub threads: usize,
    /// Sessions - episodes whose tools keep state - that may be open at once.
    pub sessions: usize,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            isolation: Isolation::Process,
            require: Vec::new(),
            without: Vec::new(),
            readable: Vec::new(),
            scratch_mib: 64,
            threads: 64,
            sessions: 4096,
        }
    }
}

/// What stands around the tools' processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// Nothing more: processes of this machine, under the layers.
    #[default]
    Process,
    /// Also namespaces of their own for users, processes, mounts and the network (`unshare` of
    /// util-linux, where the kernel allows it without root).
    Namespaces,
    /// Also a file system of their own that holds nothing but what they may read (`bwrap`).
    Bubblewrap,
}

impl Isolation {
    /// As in a config.
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Namespaces => "namespaces",
            Self::Bubblewrap => "bubblewrap",
        }
    }
}
