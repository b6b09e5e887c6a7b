//! One forked process that runs tools: asked, watched while it works, and ended with its folder.

use std::fs;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::channel::{Channel, Deadline, LONGEST_LINE, Lost};
use crate::folder::Folder;
use crate::nursery::Nursery;
use crate::session::{Failure, FunctionInfo};
use crate::{Isolation, SandboxConfig};

/// What no limit of the kernel's sets a bound to.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    scratch: u64,
    threads: usize,
    /// Whether the pids that the nursery says are those of this machine.
    pids_are_ours: bool,
}

impl Bounds {
    pub(crate) fn new(config: &SandboxConfig) -> Self {
        Self {
            scratch: config.scratch_mib << 20,
            threads: config.threads,
            pids_are_ours: config.isolation == Isolation::Process,
        }
    }
}

/// A child of a nursery.
pub(crate) struct Process {
    nursery: Arc<Mutex<Nursery>>,
    pid: u32,
    channel: Channel,
    bounds: Bounds,
    ended: Option<String>,
}

/// A child that has been asked of a nursery, and has perhaps begun.
pub(crate) struct Spare {
    nursery: Arc<Mutex<Nursery>>,
    channel: Channel,
    bounds: Bounds,
}

impl Spare {
    /// Waits until it has begun, and what it replaces has ended.
    pub(crate) fn ready(self) -> Result<Process, String> {
        let pid = self.nursery.lock().expect(UNBROKEN).replaced()?;
        Ok(Process {
            nursery: self.nursery,
            pid,
            channel: self.channel,
            bounds: self.bounds,
            ended: None,
        })
    }
}

/// One line of a child.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Reply {
    pub(crate) text: Option<String>,
    pub(crate) error: Option<Raised>,
    pub(crate) errors: Option<Vec<Option<String>>>,
    pub(crate) functions: Option<Vec<FunctionInfo>>,
    pub(crate) held: Option<Map<String, Value>>,
    broken: Option<String>,
}

/// An exception.
#[derive(Debug, Deserialize)]
pub(crate) struct Raised {
    kind: String,
    message: String,
    at: Option<String>,
}

impl Process {
    /// Forks a child that works in this folder under these rules.
    pub(crate) fn start(
        nursery: Arc<Mutex<Nursery>>,
        folder: &Folder,
        rules: Option<&OwnedFd>,
        bounds: Bounds,
    ) -> Result<Self, String> {
        let (channel, theirs) = Channel::pair().map_err(|error| error.to_string())?;
        let forked = nursery
            .lock()
            .expect(UNBROKEN)
            .fork(folder.path(), &theirs, rules);
        Ok(Self {
            pid: forked?,
            nursery,
            channel,
            bounds,
            ended: None,
        })
    }

    /// Ends the process, and lets the nursery fork another while nobody waits.
    pub(crate) fn replace(
        mut self,
        folder: &Folder,
        rules: Option<&OwnedFd>,
    ) -> Result<Spare, String> {
        let (channel, theirs) = Channel::pair().map_err(|error| error.to_string())?;
        let mut nursery = self.nursery.lock().expect(UNBROKEN);
        nursery.replace(self.pid, folder.path(), &theirs, rules);
        drop(nursery);
        self.ended = Some("it was replaced".to_owned());
        Ok(Spare {
            nursery: Arc::clone(&self.nursery),
            channel,
            bounds: self.bounds,
        })
    }

    /// Whether the nursery died, which takes its children with it.
    pub(crate) fn is_orphaned(&self) -> bool {
        self.nursery.lock().expect(UNBROKEN).is_broken
    }

    /// Sends a request and waits for its reply. After a failure other than an exception the
    /// process has ended.
    pub(crate) fn ask(
        &mut self,
        request: &Value,
        limit: Duration,
        folder: &Folder,
    ) -> Result<Reply, Failure> {
        if let Some(how) = &self.ended {
            return Err(Failure::Ended { how: how.clone() });
        }
        match self.exchange(request, limit, folder) {
            Ok(Reply {
                error: Some(raised),
                ..
            }) => Err(Failure::Raised {
                kind: raised.kind,
                message: raised.message,
                at: raised.at,
            }),
            Ok(reply) => Ok(reply),
            Err(Lost::TimedOut) => {
                let seconds = limit.as_secs_f64();
                self.end_as(format!("it was stopped after {seconds} seconds"));
                Err(Failure::TimedOut { seconds })
            }
            Err(Lost::Closed) => {
                let how = self.nursery.lock().expect(UNBROKEN).end(self.pid, true);
                self.ended = Some(how.clone());
                Err(Failure::Ended { how })
            }
            Err(Lost::Flooded) => {
                Err(self.end_as(format!("it said more than {} MiB", LONGEST_LINE >> 20)))
            }
            Err(Lost::Stopped(why)) => Err(self.end_as(why)),
        }
    }

    fn exchange(
        &mut self,
        request: &Value,
        limit: Duration,
        folder: &Folder,
    ) -> Result<Reply, Lost> {
        if self.channel.has_spoken() {
            let unasked = "it said what nobody had asked for";
            return Err(Lost::Stopped(unasked.to_owned()));
        }
        let deadline = Deadline::after(limit).map_err(|error| Lost::Stopped(error.to_string()))?;
        self.channel.send(&request.to_string(), &[], &deadline)?;
        let (bounds, pid) = (self.bounds, self.pid);
        let line = self
            .channel
            .receive(&deadline, &mut || bounds.excess(pid, folder))?;
        if let Some(why) = folder.excess(bounds.scratch) {
            return Err(Lost::Stopped(why));
        }
        let reply: Reply = serde_json::from_slice(&line)
            .map_err(|_| Lost::Stopped("it said what is no reply".to_owned()))?;
        match reply.broken {
            Some(broken) => Err(Lost::Stopped(format!("it did not begin: {broken}"))),
            None => Ok(reply),
        }
    }

    /// Ends the process, and says why to whoever asks later.
    fn end_as(&mut self, how: String) -> Failure {
        self.end();
        self.ended = Some(how.clone());
        Failure::Ended { how }
    }

    /// Ends the process and all that it has begun. Afterwards its folder is nobody's.
    pub(crate) fn end(&mut self) {
        if self.ended.is_none() {
            self.nursery.lock().expect(UNBROKEN).end(self.pid, false);
            self.ended = Some("it was not needed any more".to_owned());
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

impl Bounds {
    /// What a process has too much of.
    fn excess(&self, pid: u32, folder: &Folder) -> Option<String> {
        let most = self.threads;
        if self.pids_are_ours && threads_of(pid) > most {
            return Some(format!("it had more than {most} threads"));
        }
        folder.excess(self.scratch)
    }
}

fn threads_of(pid: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("Threads:"))
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or(0)
}

pub(crate) const UNBROKEN: &str = "nothing panics while it holds the lock";
