//! A server's process: started with the environment that it was given and no other, ended with
//! everything that it has started.

use std::io;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// How long a server may take to end by itself, once nobody speaks to it any more.
const GRACE: Duration = Duration::from_secs(2);
/// What is kept of the end of its standard error, in bytes.
const LONGEST_COMPLAINT: usize = 2048;

/// A running server. Dropping it kills its process group.
pub(super) struct Process {
    child: Child,
    group: Option<Pid>,
    complaint: Arc<Mutex<Vec<u8>>>,
}

/// Its ends of the pipes.
pub(super) struct Pipes {
    pub(super) input: ChildStdin,
    pub(super) output: ChildStdout,
}

impl Process {
    /// Starts a server, within a runtime.
    pub(super) fn start(mut command: Command) -> io::Result<(Self, Pipes)> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pipes = Pipes {
            input: child.stdin.take().expect("standard input is piped"),
            output: child.stdout.take().expect("standard output is piped"),
        };
        let complaint = Arc::default();
        let errors = child.stderr.take().expect("standard error is piped");
        tokio::spawn(keep_end(errors, Arc::clone(&complaint)));
        let group = child.id().and_then(|id| Pid::from_raw(id as i32));
        let process = Self {
            child,
            group,
            complaint,
        };
        Ok((process, pipes))
    }

    /// Waits until it has ended by itself, but not for long, and ends what is left. Its pipes
    /// are closed by then or soon.
    pub(super) async fn end(mut self) {
        // Whether it ended or not, what comes next is the same.
        let _ = tokio::time::timeout(GRACE, self.child.wait()).await;
    }

    /// The last lines that it wrote to its standard error; empty for none.
    pub(super) fn complaint(&self) -> String {
        let bytes = self
            .complaint
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // Fails only where the whole group has ended already.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Reads to the end, however much it is, and keeps the last of it.
async fn keep_end(mut from: impl AsyncRead + Unpin, kept: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(&buffer[..length]);
        let surplus = kept.len().saturating_sub(LONGEST_COMPLAINT);
        kept.drain(..surplus);
    }
}
