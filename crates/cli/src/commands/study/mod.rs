//! `pact study`: a grid of runs from its file to its tables.

mod file;
mod plan;
mod runner;
mod status;

use std::path::{Path, PathBuf};

use anyhow::Result;

use self::file::Study;
use self::plan::Plan;
use self::runner::Runner;
use crate::args;
use crate::engine;
use crate::exit::Exit;
use crate::interrupt::Interrupt;

pub(crate) fn run(arguments: &args::Study) -> Result<Exit> {
    let interrupt = Interrupt::watch()?;
    let study = Study::read(&arguments.study)?;
    let jobs = arguments.jobs.unwrap_or(study.file.jobs);
    let threads = (engine::available() / jobs).max(1);
    let out = arguments.out.clone();
    let out = out.unwrap_or_else(|| Path::new("runs/out/study").join(stem(&arguments.study)));
    let plan = Plan::new(study, out, threads, &arguments.only)?;
    if arguments.status {
        super::print(&status::text(&plan)?)?;
        return Ok(Exit::Done);
    }
    Runner::new(&plan, jobs)?.finish(&interrupt)
}

/// A study's name: its file's, without the ending.
fn stem(file: &Path) -> PathBuf {
    file.file_stem().unwrap_or_default().into()
}
