//! One file for each command: what it reads, what it does, what it prints.

mod bench;
mod compare;
mod completions;
mod config;
mod data;
mod doctor;
mod eval;
mod export;
mod man;
mod model;
mod report;
mod rollout;
mod score;
mod show;
mod study;
mod trace;
mod train;
mod view;
mod watch;

use anyhow::Result;

use crate::args::Command;
use crate::exit::Exit;

/// Runs a command; the error is what went wrong, for whoever typed it.
pub(crate) fn run(command: Command) -> Result<Exit> {
    match command {
        Command::Data(command) => data::run(&command),
        Command::Trace(command) => trace::run(&command),
        Command::Model(command) => model::run(&command),
        Command::Config(command) => config::run(&command),
        Command::Train(arguments) => train::run(&arguments),
        Command::Eval(arguments) => eval::run(&arguments),
        Command::Rollout(arguments) => rollout::run(&arguments),
        Command::Bench(command) => bench::run(&command),
        Command::Score(arguments) => score::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Show(arguments) => show::run(&arguments),
        Command::Watch(arguments) => watch::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::View(arguments) => view::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Study(arguments) => study::run(&arguments),
        Command::Completions { shell } => completions::run(shell),
        Command::Man(arguments) => man::run(&arguments),
    }
}

/// Writes a result to the standard output. Unlike `print!`, a closed pipe is an error that
/// can be told from others.
fn print(text: &str) -> Result<()> {
    use std::io::Write;
    Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
}
