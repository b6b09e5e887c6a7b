//! `pact data`: files of tasks, made, checked, converted and fetched.

mod convert;
mod fetch;

use anyhow::Result;
use env::ftrl::{CheckReport, FtrlOptions, check_file};
use env::{Suite, world, write_traces};

use crate::args::{DataCheck, DataCommand, DataMake, MakeWorld};
use crate::exit::{Exit, UsageError};
use crate::{config_file, suites};

pub(crate) fn run(command: &DataCommand) -> Result<Exit> {
    match command {
        DataCommand::Make(DataMake::World(arguments)) => make_world(arguments),
        DataCommand::Check(arguments) => check(arguments),
        DataCommand::Convert(arguments) => convert::run(arguments),
        DataCommand::Fetch(arguments) => fetch::run(arguments),
    }
}

fn make_world(arguments: &MakeWorld) -> Result<Exit> {
    let config = world_config(arguments)?;
    config
        .check()
        .map_err(|error| UsageError(error.to_string()))?;
    let world = world::generate(&config);
    world::write_rows(&arguments.out, &world)?;
    let out = arguments.out.display();
    eprintln!("{} tasks in `{out}`", world.suite.tasks().len());
    if let Some(file) = &arguments.traces {
        write_traces(file, &world.traces)?;
        eprintln!("{} traces in `{}`", world.traces.len(), file.display());
    }
    Ok(Exit::Done)
}

fn world_config(arguments: &MakeWorld) -> Result<world::Config, UsageError> {
    let base = world::Config {
        tasks: arguments.tasks,
        seed: arguments.seed,
        ..world::Config::default()
    };
    let named =
        |key: &str, value: &Option<String>| value.as_ref().map(|value| format!("{key}={value}"));
    let mut sets: Vec<String> = named("family", &arguments.family).into_iter().collect();
    sets.extend(named("split", &arguments.split));
    sets.extend(arguments.set.iter().cloned());
    config_file::overridden(base, &sets)
}

fn check(arguments: &DataCheck) -> Result<Exit> {
    let (text, json, problems) = match &arguments.tools {
        Some(tools) => {
            let report = suites::check_own(&arguments.file, tools)?;
            let text = own_to_text(&report);
            (text, serde_json::to_string(&report)?, report.problems.len())
        }
        None => {
            let traces = arguments.traces.as_deref();
            let report = check_file(&arguments.file, traces, FtrlOptions::default())?;
            let text = to_text(&report);
            (text, serde_json::to_string(&report)?, report.problems.len())
        }
    };
    crate::commands::print(&match arguments.json {
        true => json + "\n",
        false => text,
    })?;
    Ok(match problems {
        0 => Exit::Done,
        _ => Exit::Failed,
    })
}

fn own_to_text(report: &env::own::CheckReport) -> String {
    let mut text = format!(
        "{} tasks, {} tools, {} sub-answers, {} traces\n",
        report.tasks, report.tools, report.goldens, report.traces
    );
    for (scenario, tasks) in &report.scenarios {
        text += &format!("  {scenario}: {tasks}\n");
    }
    text + &problems_to_text(&report.problems)
}

fn to_text(report: &CheckReport) -> String {
    let mut text = format!(
        "{} tasks, {} tools, {} sub-answers\n",
        report.tasks, report.tools, report.goldens
    );
    for (scenario, tasks) in &report.scenarios {
        text += &format!("  {scenario}: {tasks}\n");
    }
    text += &format!(
        "{} traces replayed, {} of them solve their task\n",
        report.traces, report.solving_traces
    );
    text + &problems_to_text(&report.problems)
}

fn problems_to_text(problems: &[String]) -> String {
    let mut text = String::new();
    for problem in problems {
        text += &format!("problem: {problem}\n");
    }
    text += match problems.len() {
        0 => "no problems\n".to_owned(),
        1 => "1 problem\n".to_owned(),
        more => format!("{more} problems\n"),
    }
    .as_str();
    text
}
