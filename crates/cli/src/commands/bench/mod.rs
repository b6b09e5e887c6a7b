//! `pact bench`: how fast the engine is on this machine, how much memory it takes, and how near
//! that comes to what the machine can do. Weights are random; speed does not depend on them.

mod decode;
mod losses;
mod measurement;
mod operations;
mod rollout;
mod scale;
mod subject;
mod train;
mod tree;

use anyhow::Result;
use serde_json::{Map, Value};

use crate::args::BenchCommand;
use crate::exit::Exit;

pub(super) fn run(command: &BenchCommand) -> Result<Exit> {
    match command {
        BenchCommand::Train(arguments) => train::run(arguments)?,
        BenchCommand::Decode(arguments) => decode::run(arguments)?,
        BenchCommand::Tree(arguments) => tree::run(arguments)?,
        BenchCommand::Rollout(arguments) => rollout::run(arguments)?,
        BenchCommand::Scale(arguments) => scale::run(arguments)?,
        BenchCommand::Losses(arguments) => losses::run(arguments)?,
        BenchCommand::Operations(arguments) => return operations::run(arguments),
    }
    Ok(Exit::Done)
}

/// Prints an outcome, as one object or as a table.
fn print(as_json: bool, json: Map<String, Value>, table: &str) -> Result<()> {
    match as_json {
        true => super::print(&format!("{}\n", Value::Object(json))),
        false => super::print(table),
    }
}
