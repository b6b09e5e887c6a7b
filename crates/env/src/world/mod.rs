//! The tool world: a seeded proving ground with FTRL's shape - four scenarios, JSON-schema
//! tools with distractors and errors, verifiable sub-answers, expert traces - small enough
//! for a decoder of a million parameters, and native, so that a call costs nothing.
//! Tools are tables from names to names; what makes a task hard is a knob of [`Config`].
//! Knows no token, though its words are chosen so that a small tokenizer has them whole.

mod config;
mod expert;
pub mod lexicon;
mod planner;
mod problem;
mod rows;
mod suite;
mod tool;
mod wording;

use std::ops::Range;

use episode::{Task, Trace};

pub use config::{Config, Family, Split};
pub use rows::write_rows;
pub use suite::WorldSuite;

/// Generated tasks, and how an expert solves each of them.
pub struct World {
    /// The tasks with their tools.
    pub suite: WorldSuite,
    /// One trace for each task, in the order of the tasks.
    pub traces: Vec<Trace>,
    /// Whose names the tasks have.
    pub split: Split,
}

/// The first `config.tasks` tasks of a config that [`Config::check`] accepts.
pub fn generate(config: &Config) -> World {
    generate_range(config, 0..config.tasks as u64)
}

/// The tasks of `indices`, however many the config asks for. A task depends on its index
/// alone, so an endless stream of tasks can be cut anywhere.
pub fn generate_range(config: &Config, indices: Range<u64>) -> World {
    let mut tasks = Vec::new();
    let mut traces = Vec::new();
    for index in indices {
        let problem = draw(config, index);
        traces.push(expert::solve(&problem));
        tasks.push((problem.task.clone(), problem.into()));
    }
    World {
        suite: WorldSuite::new(tasks),
        traces,
        split: config.split,
    }
}

/// The task of one index, and its trace, without the means to act on it.
pub fn task(config: &Config, index: u64) -> (Task, Trace) {
    let problem = draw(config, index);
    let trace = expert::solve(&problem);
    (problem.task, trace)
}

fn draw(config: &Config, index: u64) -> problem::Problem {
    if let Err(wrong) = config.check() {
        panic!("a config is checked before it is generated from: {wrong}");
    }
    problem::draw(config, index)
}

#[cfg(test)]
mod tests;
