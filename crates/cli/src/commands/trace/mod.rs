//! `pact trace`: expert traces, made, replayed and shown.

mod build;
mod check;
mod collect;
mod show;

use std::collections::HashSet;

use anyhow::Result;
use env::ftrl::{FtrlOptions, FtrlSuite};
use env::world::WorldSuite;
use env::{ReplayReport, Suite, replay};
use episode::Trace;
use serde::Serialize;

use crate::args::{SuiteName, TraceCommand, TraceSubject};
use crate::config::RunConfig;
use crate::exit::Exit;

pub(crate) fn run(command: &TraceCommand) -> Result<Exit> {
    match command {
        TraceCommand::Build(arguments) => build::run(arguments),
        TraceCommand::Collect(arguments) => collect::run(arguments),
        TraceCommand::Check(arguments) => check::run(arguments),
        TraceCommand::Show(arguments) => show::run(arguments),
    }
}

/// The tasks of a file, as the suite that they are.
enum Tasks {
    World(WorldSuite),
    Ftrl(Box<FtrlSuite>),
}

impl Tasks {
    fn open(subject: &TraceSubject, config: &RunConfig) -> Result<Self> {
        Ok(match subject.suite {
            SuiteName::World => Self::World(WorldSuite::load(&subject.data)?),
            SuiteName::Ftrl => {
                let options = FtrlOptions {
                    python: config.python.clone(),
                    ..FtrlOptions::default()
                };
                Self::Ftrl(Box::new(FtrlSuite::load(&subject.data, options)?))
            }
        })
    }

    fn suite(&self) -> &dyn Suite {
        match self {
            Self::World(suite) => suite,
            Self::Ftrl(suite) => &**suite,
        }
    }

    fn replay(&self, trace: &Trace) -> Result<ReplayReport> {
        Ok(match self {
            Self::World(suite) => replay(suite, trace),
            Self::Ftrl(suite) => suite.replay_as_recorded(trace)?,
        })
    }

    /// How many tasks none of these traces solves.
    fn without(&self, traces: &[Trace]) -> usize {
        let traced: HashSet<&str> = traces.iter().map(|trace| &*trace.task).collect();
        let tasks = self.suite().tasks().iter();
        tasks.filter(|task| !traced.contains(&*task.id)).count()
    }
}

/// A trace that does not verify.
#[derive(Serialize)]
struct Unverified {
    task: String,
    problems: Vec<String>,
}

impl Unverified {
    fn to_text(&self) -> String {
        format!("task `{}`: {}\n", self.task, self.problems.join("; "))
    }
}
