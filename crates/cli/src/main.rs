//! The binary `pact`: arguments, the one config, wiring, progress, exit codes. The only place
//! that reads arguments, environment variables, the clock and the terminal.

mod args;
mod clock;
mod columns;
mod commands;
mod config;
mod config_file;
mod endpoint;
mod engine;
mod eval_folder;
mod exit;
mod explain;
mod interrupt;
mod paths;
mod play;
mod policies;
mod prompts;
mod schema;
mod scores;
mod screen;
mod suggestion;
mod suites;
mod terminal;
mod tokenizer;
mod watching;

use std::process::ExitCode;

use clap::Parser;

use crate::exit::{Exit, UsageError};

fn main() -> ExitCode {
    let arguments = args::Arguments::parse();
    let exit = commands::run(arguments.command).unwrap_or_else(|error| {
        if is_closed_pipe(&error) {
            return Exit::Done;
        }
        terminal::print_error(&told(&error));
        match error.downcast_ref::<UsageError>() {
            Some(_) => Exit::Usage,
            None => Exit::Failed,
        }
    });
    exit.into()
}

/// What is wrong. An error of the crates' own says what caused it; a context around one does not.
fn told(error: &anyhow::Error) -> String {
    match error.is::<String>() || error.is::<&'static str>() {
        true => format!("{error:#}"),
        false => error.to_string(),
    }
}

/// Whoever read our output has seen enough, as `pact show … | head` does.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
