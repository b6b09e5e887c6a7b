//! The processes of one suite: interpreters that are kept warm, calls in a process each, sessions.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use episode::Observation;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::folder::Folder;
use crate::health::{Health, HealthCount};
use crate::interpreter::Interpreter;
use crate::landlock::Readable;
use crate::layers::{self, Layer};
use crate::nursery::{Nursery, Setup};
use crate::process::{Bounds, Process, Reply, Spare, UNBROKEN};
use crate::session::Failure;
use crate::{PythonConfig, SandboxConfig, SandboxError, Session};

const COMPILE_LIMIT: Duration = Duration::from_secs(60);

/// Runs Python tools, several at once. Clones share the same processes.
#[derive(Clone)]
pub struct Pool(Arc<Shared>);

/// In the order in which they must go: children, interpreters, their folders, the folders' own.
struct Shared {
    slots: Vec<Slot>,
    setup: Setup,
    layers: Vec<Layer>,
    call_limit: Duration,
    /// Slots that no call has borrowed.
    idle: Mutex<Vec<usize>>,
    returned: Condvar,
    states: Mutex<Vec<(String, Value)>>,
    open_sessions: AtomicUsize,
    sessions: AtomicUsize,
    health: Arc<HealthCount>,
    _directory: TempDir,
}

/// Where one call runs at a time, and sessions are forked beside it.
struct Slot {
    /// Where the next call will run: forked while nobody waited.
    spare: Mutex<Option<Spare>>,
    nursery: Mutex<Option<Arc<Mutex<Nursery>>>>,
    folder: Folder,
    rules: Option<OwnedFd>,
}

/// A tool's name and its source.
#[derive(Clone, Copy)]
pub struct PythonTool<'a> {
    /// The function that is called.
    pub name: &'a str,
    /// What defines it.
    pub source: &'a str,
}

/// An open session's place among those that may be open, and its hold on the pool.
pub(crate) struct Seat(Arc<Shared>);

impl Pool {
    /// Finds the interpreter, starts the first process and tries every layer, so that what
    /// cannot run at all is known before an episode begins.
    pub fn new(python: PythonConfig, sandbox: SandboxConfig) -> Result<Self, SandboxError> {
        let failed = |problem: String| SandboxError::Python {
            program: python.interpreter.clone(),
            problem,
        };
        if !is_day(&python.date) {
            return Err(SandboxError::Date(python.date));
        }
        let call_limit = Duration::try_from_secs_f64(python.call_seconds)
            .map_err(|error| failed(format!("`call-seconds`: {error}")))?;
        let interpreter = Interpreter::find(&python)?;
        let no_folder =
            |error: std::io::Error| failed(format!("no temporary folder for it: {error}"));
        let directory = tempfile::tempdir().map_err(no_folder)?;
        // Rules are about what a path leads to.
        let path = directory.path().canonicalize().map_err(no_folder)?;
        let readable: Vec<PathBuf> = [&interpreter.paths[..], &sandbox.readable].concat();
        let readable = Readable::new(&readable);
        let slots = (0..python.workers.max(1))
            .map(|number| {
                let folder = Folder::new(path.join(format!("worker-{number}")))?;
                Ok(Slot {
                    spare: Mutex::new(None),
                    nursery: Mutex::new(None),
                    rules: rules_for(&readable, &sandbox, &folder).ok(),
                    folder,
                })
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(no_folder)?;
        raise_open_files(sandbox.sessions);
        let mut shared = Shared {
            idle: Mutex::new((0..slots.len()).rev().collect()),
            slots,
            setup: Setup {
                python: python.clone(),
                sandbox,
                interpreter,
                readable,
                directory: path,
            },
            layers: Vec::new(),
            call_limit,
            returned: Condvar::new(),
            states: Mutex::default(),
            open_sessions: AtomicUsize::new(0),
            sessions: AtomicUsize::new(0),
            health: Arc::default(),
            _directory: directory,
        };
        let memory = python.memory_mib;
        shared.layers = shared.try_layers().map_err(|problem| {
            failed(format!(
                "a process for tools did not start, of `memory-mib` = {memory}: {problem}"
            ))
        })?;
        layers::check(&shared.setup.sandbox, &shared.layers)?;
        Ok(Self(Arc::new(shared)))
    }

    /// The same pool on another day.
    pub fn on_day(&self, date: &str) -> Result<Self, SandboxError> {
        let setup = &self.0.setup;
        let python = PythonConfig {
            date: date.to_owned(),
            ..setup.python.clone()
        };
        Self::new(python, setup.sandbox.clone())
    }

    /// What stands between the tools and this machine.
    pub fn layers(&self) -> &[Layer] {
        &self.0.layers
    }

    /// How its processes have fared so far.
    pub fn health(&self) -> Health {
        self.0.health.get()
    }

    /// The folder of the tools' folders.
    pub fn folder(&self) -> &Path {
        &self.0.setup.directory
    }

    pub(crate) fn interpreter(&self) -> &Interpreter {
        &self.0.setup.interpreter
    }

    /// Calls the tool's function in a fresh process, with FTRL's namespace. Whatever goes wrong
    /// is a failed observation in the words of FTRL's executor. Waits while all workers are busy.
    pub fn call(&self, tool: PythonTool<'_>, arguments: &Map<String, Value>) -> Observation {
        let once = json!({"name": tool.name, "source": tool.source, "arguments": arguments});
        let replied = self.0.ask_once(&json!({ "once": once }), self.0.call_limit);
        let text = replied.and_then(|reply| {
            reply.text.ok_or_else(|| Failure::Ended {
                how: "it said what is no reply".to_owned(),
            })
        });
        let exception = match text {
            Ok(text) => {
                return Observation {
                    text,
                    failed: false,
                };
            }
            Err(Failure::Raised { kind, message, .. }) if kind == "SystemExit" => {
                format!("the tool tried to exit ({message})")
            }
            Err(Failure::Raised { message, .. }) => message,
            Err(Failure::Ended { how }) => format!("the tool ended its process ({how})"),
            Err(timed_out @ Failure::TimedOut { .. }) => timed_out.to_string(),
        };
        call_error(tool.name, &exception)
    }

    /// Python's complaint about each source that does not compile.
    pub fn compile(&self, sources: &[&str]) -> Result<Vec<Option<String>>, SandboxError> {
        let reply = self
            .0
            .ask_once(&json!({ "compile": sources }), COMPILE_LIMIT);
        match reply.map(|reply| reply.errors) {
            Ok(Some(errors)) if errors.len() == sources.len() => Ok(errors),
            // A source that brings the compiler down does so again: it is found by itself.
            Err(failure) if sources.len() == 1 => Ok(vec![Some(failure.to_string())]),
            _ if sources.len() > 1 => {
                let one = |source| self.compile(&[source]).map(|mut errors| errors.remove(0));
                sources.iter().copied().map(one).collect()
            }
            _ => Err(SandboxError::Python {
                program: self.0.setup.python.interpreter.clone(),
                problem: "its compiler gives no answer".to_owned(),
            }),
        }
    }

    /// A state that every session opened from now on begins with, each with its own copy. Read
    /// once by each interpreter, however many sessions there are.
    pub fn share(&self, name: &str, value: &Value) {
        let state = (name.to_owned(), value.clone());
        self.0.states.lock().expect(UNBROKEN).push(state);
        for slot in &self.0.slots {
            if let Some(nursery) = &*slot.nursery.lock().expect(UNBROKEN) {
                nursery.lock().expect(UNBROKEN).share(name, value);
            }
        }
    }

    /// A process for one episode; an error where `sandbox.sessions` are open, or the machine has
    /// no more processes.
    pub fn session(&self) -> Result<Session, SandboxError> {
        self.0.health.asked(self.open_session())
    }

    fn open_session(&self) -> Result<Session, SandboxError> {
        let shared = &self.0;
        let most = shared.setup.sandbox.sessions;
        let seat = Seat(Arc::clone(shared));
        if shared.open_sessions.fetch_add(1, Ordering::Relaxed) >= most {
            return Err(SandboxError::Session(format!(
                "{most} are open\nhint: raise `sandbox.sessions`"
            )));
        }
        let number = shared.sessions.fetch_add(1, Ordering::Relaxed);
        let folder = Folder::new(shared.setup.directory.join(format!("session-{number}")))
            .map_err(|error| SandboxError::Session(format!("no folder for it: {error}")))?;
        let setup = &shared.setup;
        let rules = rules_for(&setup.readable, &setup.sandbox, &folder).ok();
        let slot = &shared.slots[number % shared.slots.len()];
        let process = shared
            .fork(slot, &folder, rules.as_ref())
            .map_err(SandboxError::Session)?;
        Ok(Session::new(
            process,
            folder,
            shared.call_limit,
            (Arc::new(seat), Arc::clone(&shared.health)),
        ))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.open_sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    /// Which layers hold, by a child that tries to get past each.
    fn try_layers(&self) -> Result<Vec<Layer>, String> {
        let slot = &self.slots[0];
        let reply = self.ask_in(slot, &json!({"probe": null}), COMPILE_LIMIT)?;
        let held = reply
            .map_err(|failure| failure.to_string())?
            .held
            .unwrap_or_default();
        let nursery = self.nursery(slot)?;
        let mut problems = nursery.lock().expect(UNBROKEN).problems.clone();
        let (readable, sandbox) = (&self.setup.readable, &self.setup.sandbox);
        if let Err(problem) = rules_for(readable, sandbox, &slot.folder) {
            problems.insert("landlock".to_owned(), problem.into());
        }
        Ok(layers::judge(&held, &problems))
    }

    /// One request to a process of its own, in a slot of its own.
    fn ask_once(&self, request: &Value, limit: Duration) -> Result<Reply, Failure> {
        let place = {
            let idle = self.idle.lock().expect(UNBROKEN);
            let mut idle = self
                .returned
                .wait_while(idle, |idle| idle.is_empty())
                .expect(UNBROKEN);
            idle.pop().expect("it waited for one")
        };
        let replied = self.ask_in(&self.slots[place], request, limit);
        let replied = self.health.asked(replied);
        if let Ok(Err(Failure::TimedOut { .. })) = replied {
            self.health.timed_out();
        }
        self.idle.lock().expect(UNBROKEN).push(place);
        self.returned.notify_one();
        replied.unwrap_or_else(|how| Err(Failure::Ended { how }))
    }

    /// Where no layer forbids it, a tool may bring down the interpreter that it was forked from:
    /// another is started and asked once more; a tool keeps no state that would show it.
    fn ask_in(
        &self,
        slot: &Slot,
        request: &Value,
        limit: Duration,
    ) -> Result<Result<Reply, Failure>, String> {
        let mut attempts = 2;
        loop {
            attempts -= 1;
            let rules = slot.rules.as_ref();
            let spare = slot.spare.lock().expect(UNBROKEN).take();
            let mut process = match spare.map(Spare::ready) {
                Some(Ok(process)) => process,
                _ => self.fork(slot, &slot.folder, rules)?,
            };
            // Whoever wrote into it has ended.
            slot.folder.clear().map_err(|error| {
                let path = slot.folder.path().display();
                format!("`{path}` was not emptied: {error}")
            })?;
            let replied = process.ask(request, limit, &slot.folder);
            if let Ok(_) | Err(Failure::Raised { .. }) = replied {
                let next = process.replace(&slot.folder, rules);
                *slot.spare.lock().expect(UNBROKEN) = next.ok();
                return Ok(replied);
            }
            if attempts == 0 || !process.is_orphaned() {
                return Ok(replied);
            }
        }
    }

    /// A child in this folder, where need be of a new interpreter.
    fn fork(
        &self,
        slot: &Slot,
        folder: &Folder,
        rules: Option<&OwnedFd>,
    ) -> Result<Process, String> {
        let bounds = Bounds::new(&self.setup.sandbox);
        let nursery = self.nursery(slot)?;
        let process = Process::start(Arc::clone(&nursery), folder, rules, bounds);
        if process.is_err() && nursery.lock().expect(UNBROKEN).is_broken {
            return Process::start(self.nursery(slot)?, folder, rules, bounds);
        }
        process
    }

    /// The slot's interpreter; a new one for none, or for one that has died.
    fn nursery(&self, slot: &Slot) -> Result<Arc<Mutex<Nursery>>, String> {
        let mut place = slot.nursery.lock().expect(UNBROKEN);
        if let Some(nursery) = &*place
            && !nursery.lock().expect(UNBROKEN).is_broken
        {
            return Ok(Arc::clone(nursery));
        }
        if place.is_some() {
            self.health.restarted();
        }
        let mut nursery = Nursery::start(&self.setup)?;
        for (name, value) in &*self.states.lock().expect(UNBROKEN) {
            nursery.share(name, value);
        }
        Ok(Arc::clone(place.insert(Arc::new(Mutex::new(nursery)))))
    }
}

/// Landlock's rules for a folder; why there are none.
fn rules_for(
    readable: &Readable,
    sandbox: &SandboxConfig,
    folder: &Folder,
) -> Result<OwnedFd, String> {
    if sandbox.without.iter().any(|layer| layer == "landlock") {
        return Err("left out by `sandbox.without`".to_owned());
    }
    readable.rules(folder.path())
}

/// Each session holds a socket; many systems let a program open 1,024 files unless it asks.
fn raise_open_files(sessions: usize) {
    let needed = sessions as u64 + 256;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < needed) {
        let raised = maximum.map_or(needed, |maximum| maximum.min(needed));
        // Where it stays, opening the session that is too many fails and says so.
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(raised),
                maximum,
            },
        );
    }
}

/// Whether this is a day of the Gregorian calendar, `YYYY-MM-DD`.
pub fn is_day(text: &str) -> bool {
    let numbers: Option<Vec<u32>> = text.split('-').map(|part| part.parse().ok()).collect();
    let Some([year, month @ 1..=12, day]) = numbers.as_deref() else {
        return false;
    };
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    text.len() == 10 && (1..=9999).contains(year) && (1..=days).contains(day)
}

/// A call that failed, in the words (and the spelling) of FTRL's executor.
pub fn call_error(tool: &str, exception: &str) -> Observation {
    Observation {
        text: format!("an error occured when call {tool}: {exception}"),
        failed: true,
    }
}
