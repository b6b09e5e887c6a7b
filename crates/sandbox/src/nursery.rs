//! A warm interpreter that forks tools' processes, and ends them. It runs no stranger's code
//! itself. Owns the interpreter's process and everything below it.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::channel::{Channel, Deadline, Lost};
use crate::interpreter::Interpreter;
use crate::landlock::Readable;
use crate::{Isolation, PythonConfig, SandboxConfig, seccomp};

/// What runs in the interpreter, as one script.
const SCRIPT: [&str; 5] = [
    include_str!("python/imports.py"),
    include_str!("python/layers.py"),
    include_str!("python/schema.py"),
    include_str!("python/serve.py"),
    include_str!("python/nursery.py"),
];
const START_LIMIT: Duration = Duration::from_secs(60);
/// For a fork or an end, of which the slowest waits for many others on a busy machine.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
const CLOSE_LIMIT: Duration = Duration::from_secs(10);
const OPEN_FILES: u64 = 256;

/// Everything that a nursery is started with.
pub(crate) struct Setup {
    pub(crate) python: PythonConfig,
    pub(crate) sandbox: SandboxConfig,
    pub(crate) interpreter: Interpreter,
    pub(crate) readable: Readable,
    /// Where the tools' folders are.
    pub(crate) directory: PathBuf,
}

/// A running nursery.
pub(crate) struct Nursery {
    process: Child,
    control: Channel,
    /// Layers that it could not take on, and why.
    pub(crate) problems: Map<String, Value>,
    /// It answers no more. Nothing can be forked, and what it forked is gone.
    pub(crate) is_broken: bool,
    /// It has been asked to replace a child, and its answer has not been read.
    owes: bool,
    replaced: Option<Answer>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    pid: Option<u32>,
    error: Option<String>,
    how: Option<String>,
    problems: Option<Map<String, Value>>,
}

impl Nursery {
    /// Starts an interpreter with an empty environment and a hash seed that is the same in
    /// every run: a tool that prints a set must print it alike each time, and Python's `-I`
    /// would ignore the seed.
    pub(crate) fn start(setup: &Setup) -> Result<Self, String> {
        let (control, theirs) = Channel::pair().map_err(|error| error.to_string())?;
        let mut process = command(setup)
            .env_clear()
            .env("PYTHONHASHSEED", "0")
            .env("TZ", "UTC")
            // Libraries of arithmetic else start a thread for each core, in each process.
            .env("OMP_NUM_THREADS", "1")
            .env("OPENBLAS_NUM_THREADS", "1")
            .current_dir(&setup.directory)
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| error.to_string())?;
        let complaints = process.stderr.take();
        let mut nursery = Self {
            process,
            control,
            problems: Map::new(),
            is_broken: false,
            owes: false,
            replaced: None,
        };
        let settings = settings(setup).to_string();
        match nursery.ask_within(&settings, &[], START_LIMIT) {
            Some(Answer {
                problems: Some(problems),
                ..
            }) => {
                nursery.problems = problems;
                Ok(nursery)
            }
            _ => {
                nursery.stop();
                Err(last_words(complaints))
            }
        }
    }

    /// A child whose socket and rules these are. The error is the system's.
    pub(crate) fn fork(
        &mut self,
        folder: &Path,
        channel: &OwnedFd,
        rules: Option<&OwnedFd>,
    ) -> Result<u32, String> {
        let request = json!({ "fork": folder }).to_string();
        let descriptors = descriptors(channel, rules);
        forked(self.ask_within(&request, &descriptors, ANSWER_LIMIT))
    }

    /// Ends a child and forks another, of which [`Self::replaced`] says later which it is.
    pub(crate) fn replace(
        &mut self,
        child: u32,
        folder: &Path,
        channel: &OwnedFd,
        rules: Option<&OwnedFd>,
    ) {
        self.collect();
        let request = json!({"replace": child, "fork": folder}).to_string();
        let sent = Deadline::after(ANSWER_LIMIT).is_ok_and(|deadline| {
            let descriptors = descriptors(channel, rules);
            self.control.send(&request, &descriptors, &deadline).is_ok()
        });
        self.owes = sent;
        self.is_broken |= !sent;
    }

    /// The child of the last [`Self::replace`]. The error is the system's.
    pub(crate) fn replaced(&mut self) -> Result<u32, String> {
        self.collect();
        forked(self.replaced.take())
    }

    /// Reads the answer that is owed.
    fn collect(&mut self) {
        if self.owes {
            self.owes = false;
            self.replaced = Deadline::after(ANSWER_LIMIT)
                .ok()
                .and_then(|deadline| self.hear(&deadline));
            self.is_broken |= self.replaced.is_none();
        }
    }

    fn hear(&mut self, deadline: &Deadline) -> Option<Answer> {
        let line = self.control.receive(deadline, &mut || None).ok()?;
        serde_json::from_slice(&line).ok()
    }

    /// Ends a child with everything that it has begun, and says how it ended. `patient` where it
    /// seems to have ended by itself.
    pub(crate) fn end(&mut self, child: u32, patient: bool) -> String {
        let request = json!({"end": child, "patient": patient}).to_string();
        let answer = self.ask_within(&request, &[], ANSWER_LIMIT);
        answer
            .and_then(|answer| answer.how)
            .unwrap_or_else(|| BROKEN.to_owned())
    }

    /// A state, as JSON, that every later child begins with.
    pub(crate) fn share(&mut self, name: &str, value: &Value) {
        let request = json!({"share": {"name": name, "value": value}}).to_string();
        let _ = self.ask_within(&request, &[], START_LIMIT);
    }

    /// `None` once it is broken.
    fn ask_within(
        &mut self,
        request: &str,
        descriptors: &[BorrowedFd<'_>],
        limit: Duration,
    ) -> Option<Answer> {
        self.collect();
        if self.is_broken {
            return None;
        }
        let answer = Deadline::after(limit).ok().and_then(|deadline| {
            self.control.send(request, descriptors, &deadline).ok()?;
            self.hear(&deadline)
        });
        self.is_broken = answer.is_none();
        answer
    }

    /// Lets it end its children and itself; where it does not, ends all of them.
    fn stop(&mut self) {
        self.control.close_writing();
        let closed = Deadline::after(CLOSE_LIMIT).is_ok_and(|deadline| {
            loop {
                match self.control.receive(&deadline, &mut || None) {
                    Ok(_) => {}
                    Err(lost) => break lost == Lost::Closed,
                }
            }
        });
        let pid = self.process.id();
        if !closed {
            kill_below(pid);
        }
        if let Some(group) = Pid::from_raw(pid as i32) {
            // Fails only where the whole group has ended already.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.process.wait();
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        self.stop();
    }
}

/// How a child is said to have ended when nobody is left to ask.
pub(crate) const BROKEN: &str = "with the interpreter that it came from";

fn forked(answer: Option<Answer>) -> Result<u32, String> {
    let answer = answer.ok_or_else(|| BROKEN.to_owned())?;
    let failed = || answer.error.unwrap_or_else(|| BROKEN.to_owned());
    answer.pid.ok_or_else(failed)
}

fn descriptors<'a>(channel: &'a OwnedFd, rules: Option<&'a OwnedFd>) -> Vec<BorrowedFd<'a>> {
    let both = std::iter::once(channel).chain(rules);
    both.map(AsFd::as_fd).collect()
}

fn settings(setup: &Setup) -> Value {
    let filters = seccomp::filters();
    let problem = filters.as_ref().err();
    let filters = filters.as_ref().ok();
    json!({
        "date": setup.python.date,
        "memory_mib": setup.python.memory_mib,
        "alarm_seconds": setup.python.call_seconds.ceil() as u64 + 5,
        "scratch_mib": setup.sandbox.scratch_mib,
        "open_files": OPEN_FILES,
        "without": setup.sandbox.without,
        "import_from": setup.sandbox.readable,
        "nursery_filters": filters.map(|filters| &filters.nursery[..]).unwrap_or_default(),
        "child_filter": filters.map(|filters| &filters.child),
        "no-seccomp": problem,
    })
}

/// The interpreter with our script, behind whatever isolates it.
fn command(setup: &Setup) -> Command {
    let program = &setup.interpreter.program;
    let mut command = match setup.sandbox.isolation {
        Isolation::Process => Command::new(program),
        Isolation::Namespaces => {
            let mut unshare = Command::new("unshare");
            unshare
                .args([
                    "--user",
                    "--map-root-user",
                    "--net",
                    "--ipc",
                    "--uts",
                    "--pid",
                ])
                .args(["--fork", "--kill-child", "--mount-proc", "--"])
                .arg(program);
            unshare
        }
        Isolation::Bubblewrap => {
            let mut bwrap = Command::new("bwrap");
            bwrap.args(["--unshare-all", "--die-with-parent", "--new-session"]);
            let real = fs::canonicalize(program).ok();
            let paths = setup.readable.paths();
            for path in paths.chain([program.as_path()]).chain(real.as_deref()) {
                bwrap.arg("--ro-bind").args([path, path]);
            }
            bwrap.args(["--proc", "/proc", "--dev", "/dev", "--bind"]);
            bwrap.args([&setup.directory, &setup.directory]);
            bwrap.arg("--chdir").arg(&setup.directory);
            bwrap.arg("--").arg(program);
            bwrap
        }
    };
    let script = SCRIPT.join("\n\n") + "\n\nmain()\n";
    command.args(["-s", "-B", "-X", "utf8", "-c", &script]);
    command
}

/// The end of what was said on standard error, of a process that has ended.
fn last_words(complaints: Option<std::process::ChildStderr>) -> String {
    let mut said = String::new();
    if let Some(complaints) = complaints {
        use std::io::Read;
        let _ = complaints.take(1 << 16).read_to_string(&mut said);
    }
    match said.trim().lines().last() {
        Some(line) => format!("the sandbox's script did not start: {line}"),
        None => "the sandbox's script did not start".to_owned(),
    }
}

/// Kills what a process has begun, and what that has begun, until nothing is left.
fn kill_below(root: u32) {
    for _ in 0..100 {
        let below = below(root);
        if below.is_empty() {
            return;
        }
        for pid in below {
            if let Some(pid) = Pid::from_raw(pid as i32) {
                // Fails only where it has ended already.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

/// Living processes below this one.
fn below(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let mut after_the_name = stat.rsplit_once(')')?.1.split_whitespace();
            let is_alive = after_the_name.next()? != "Z";
            let parent = after_the_name.next()?.parse().ok()?;
            is_alive.then_some((pid, parent))
        })
        .collect();
    let mut found = vec![root];
    let mut seen = 0;
    while let Some(&parent) = found.get(seen) {
        seen += 1;
        let children = parents.iter().filter(|(_, of)| *of == parent);
        found.extend(children.map(|(pid, _)| *pid));
    }
    found.split_off(1)
}
