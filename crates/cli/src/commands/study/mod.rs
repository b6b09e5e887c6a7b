//! `pact study`: a grid of runs from its file to its tables.

mod file;
mod plan;
mod report;
mod runner;
mod status;

use std::path::Path;

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
    let name = arguments.study.file_stem().unwrap_or_default();
    let name = name.to_string_lossy();
    let jobs = arguments.jobs.unwrap_or(study.file.jobs);
    let threads = (engine::available() / jobs).max(1);
    let out = arguments.out.clone();
    let out = out.unwrap_or_else(|| Path::new("runs/out/study").join(&*name));
    let plan = Plan::new(study, out, threads, &arguments.only)?;
    if arguments.status {
        super::print(&status::text(&plan)?)?;
        return Ok(Exit::Done);
    }
    let (exit, folder) = match &arguments.report {
        Some(folder) => (Exit::Done, folder.clone()),
        None => {
            let exit = Runner::new(&plan, jobs, arguments.allow_changed)?.finish(&interrupt)?;
            (exit, plan.out.join("report"))
        }
    };
    if exit != Exit::Interrupted {
        let page = report::write(&plan, &name, &folder)?;
        super::print(&format!("report: {}\n", page.display()))?;
    }
    Ok(exit)
}
