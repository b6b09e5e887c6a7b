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

use episode::{Seed, Task, Trace};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub use config::{Config, Family, Split};
pub use rows::write_rows;
pub use suite::WorldSuite;
pub use wording::AGAIN;

use problem::Problem;

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
        let (problem, trace) = draw(config, index);
        traces.push(trace);
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
    let (problem, trace) = draw(config, index);
    (problem.task, trace)
}

/// The task of one index and its trace, which the conversation holds if the task is worked.
fn draw(config: &Config, index: u64) -> (Problem, Trace) {
    if let Err(wrong) = config.check() {
        panic!("a config is checked before it is generated from: {wrong}");
    }
    // Draws of their own, so that a task is the same with a worked example and without.
    let seed = Seed(config.seed).named("worked").child(index);
    let mut rng = ChaCha8Rng::seed_from_u64(seed.0);
    let (is_other, is_worked) = (
        rng.random_bool(config.other),
        rng.random_bool(config.worked),
    );
    let other = config.other_family.filter(|_| is_other);
    let mut problem = problem::draw(config, other.unwrap_or(config.family), index);
    let trace = expert::solve(&problem, config.detours);
    if is_worked && other == config.other_family {
        problem.task.messages.extend(expert::worked_example(&trace));
    }
    (problem, trace)
}

#[cfg(test)]
mod tests;
