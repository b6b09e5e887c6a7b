//! One long-lived interpreter behind two pipes. Owns the process group and ends it.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::PythonConfig;
use crate::EnvError;

const SCRIPT: &str = include_str!("worker.py");
const START_LIMIT: Duration = Duration::from_secs(60);
/// Above anything that the script sends, so that a tool which finds the pipe cannot fill us.
const LONGEST_REPLY: u64 = 64 << 20;

/// A running interpreter. Dropping it kills its process group.
pub(super) struct Worker {
    process: Child,
    requests: ChildStdin,
    replies: Receiver<Reply>,
    last_id: u64,
}

/// One line of the worker.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reply {
    id: u64,
    pub(super) text: Option<String>,
    pub(super) error: Option<String>,
    pub(super) errors: Vec<Option<String>>,
}

/// Why a worker gave no answer. It is of no use afterwards.
pub(super) enum Lost {
    TimedOut,
    Died,
}

impl Worker {
    /// Starts an interpreter with an empty environment and a hash seed that is the same in
    /// every run: a tool that prints a set must print it alike each time, and Python's `-I`
    /// would ignore the seed.
    pub(super) fn start(
        interpreter: &Path,
        directory: &Path,
        config: &PythonConfig,
    ) -> Result<Self, String> {
        let alarm_seconds = config.call_seconds.ceil() + 5.0;
        let mut process = Command::new(interpreter)
            .args(["-s", "-B", "-X", "utf8", "-c", SCRIPT])
            .args([config.memory_mib.to_string(), alarm_seconds.to_string()])
            .arg(&config.date)
            .env_clear()
            .env("PYTHONHASHSEED", "0")
            .env("TZ", "UTC")
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|error| error.to_string())?;
        let (sender, replies) = channel();
        let requests = process.stdin.take().expect("standard input is piped");
        let lines = process.stdout.take().expect("standard output is piped");
        thread::spawn(move || forward(lines, &sender));
        let mut worker = Self {
            process,
            requests,
            replies,
            last_id: 0,
        };
        worker
            .receive(START_LIMIT)
            .map_err(|_| "the worker script did not start".to_owned())?;
        Ok(worker)
    }

    /// Sends one request and waits for its reply.
    pub(super) fn ask(
        &mut self,
        mut request: Map<String, Value>,
        limit: Duration,
    ) -> Result<Reply, Lost> {
        self.last_id += 1;
        request.insert("id".to_owned(), self.last_id.into());
        let mut line = Value::Object(request).to_string();
        line.push('\n');
        self.requests
            .write_all(line.as_bytes())
            .map_err(|_| Lost::Died)?;
        self.receive(limit)
    }

    fn receive(&mut self, limit: Duration) -> Result<Reply, Lost> {
        match self.replies.recv_timeout(limit) {
            Ok(reply) if reply.id == self.last_id => Ok(reply),
            Ok(_) | Err(RecvTimeoutError::Disconnected) => Err(Lost::Died),
            Err(RecvTimeoutError::Timeout) => Err(Lost::TimedOut),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(group) = Pid::from_raw(self.process.id() as i32) {
            // Fails only where the whole group has ended already.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.process.wait();
    }
}

/// Hands on replies until the pipe closes, or something that is no reply comes out of it.
fn forward(lines: ChildStdout, replies: &Sender<Reply>) {
    let mut lines = BufReader::new(lines);
    loop {
        let mut line = Vec::new();
        let read = lines
            .by_ref()
            .take(LONGEST_REPLY)
            .read_until(b'\n', &mut line);
        let Ok(reply) = serde_json::from_slice(&line) else {
            return;
        };
        if read.is_err() || replies.send(reply).is_err() {
            return;
        }
    }
}

/// Where the interpreter itself is: what a user calls `python3` may be a script that finds it
/// through the environment, which workers do not have.
pub(super) fn find_interpreter(config: &PythonConfig) -> Result<PathBuf, EnvError> {
    let failed = |problem: String| EnvError::Python {
        program: config.interpreter.clone(),
        problem,
    };
    let output = Command::new(&config.interpreter)
        .args(["-I", "-c", "import sys; print(sys.executable)"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && !path.is_empty() {
        Ok(PathBuf::from(path))
    } else {
        let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(failed(format!("{} {complaint}", output.status)))
    }
}
