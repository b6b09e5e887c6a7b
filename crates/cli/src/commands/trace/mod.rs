//! `pact trace`: expert traces, made, replayed and shown.

mod build;
mod check;
mod collect;
mod show;

use std::collections::HashSet;

use anyhow::Result;
use episode::{Task, Trace};
use serde::Serialize;

use crate::args::TraceCommand;
use crate::exit::Exit;

pub(crate) fn run(command: &TraceCommand) -> Result<Exit> {
    match command {
        TraceCommand::Build(arguments) => build::run(arguments),
        TraceCommand::Collect(arguments) => collect::run(arguments),
        TraceCommand::Check(arguments) => check::run(arguments),
        TraceCommand::Show(arguments) => show::run(arguments),
    }
}

/// How many of a suite's tasks none of these traces solves.
fn without(tasks: &[Task], traces: &[Trace]) -> usize {
    let traced: HashSet<&str> = traces.iter().map(|trace| &*trace.task).collect();
    tasks
        .iter()
        .filter(|task| !traced.contains(&*task.id))
        .count()
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
