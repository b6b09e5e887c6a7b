//! Which tasks each step trains on.

use std::collections::HashMap;
use std::sync::Arc;

use env::{Suite, world};
use episode::{Seed, Task, Trace};
use rand::RngExt;
use store::Digester;

/// Where a run's tasks come from.
pub enum Source {
    /// A fixed set, gone through in a new order each epoch.
    Fixed {
        /// Whose tasks they are.
        suite: Arc<dyn Suite>,
        /// By task id.
        traces: HashMap<String, Trace>,
        /// Places in the suite of the tasks that are drawn.
        tasks: Vec<usize>,
    },
    /// An endless stream of generated tasks, none drawn twice.
    Stream(world::Config),
}

/// The tasks of one step.
pub struct Drawn {
    /// The suite that the tasks belong to.
    pub suite: Arc<dyn Suite>,
    /// Each task with its trace, if it has one.
    pub tasks: Vec<(Task, Option<Trace>)>,
}

impl Source {
    /// A fixed set. Where `traced_only`, tasks without a finished trace are never drawn.
    pub fn fixed(suite: Arc<dyn Suite>, traces: Vec<Trace>, traced_only: bool) -> Self {
        let traces: HashMap<String, Trace> = (traces.into_iter())
            .filter(|trace| trace.answer.is_some())
            .map(|trace| (trace.task.clone(), trace))
            .collect();
        let tasks = (suite.tasks().iter().enumerate())
            .filter(|(_, task)| !traced_only || traces.contains_key(&task.id))
            .map(|(place, _)| place)
            .collect();
        Self::Fixed {
            suite,
            traces,
            tasks,
        }
    }

    /// How many different tasks there are; `None` for no end.
    pub fn len(&self) -> Option<usize> {
        match self {
            Self::Fixed { tasks, .. } => Some(tasks.len()),
            Self::Stream(_) => None,
        }
    }

    /// How many of the tasks that are drawn have no finished trace.
    pub fn untraced(&self) -> usize {
        match self {
            Self::Stream(_) => 0,
            Self::Fixed {
                suite,
                traces,
                tasks,
            } => {
                let has_trace = |task: usize| traces.contains_key(&suite.tasks()[task].id);
                tasks.iter().filter(|&&task| !has_trace(task)).count()
            }
        }
    }

    /// Whether there is nothing to draw.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// The SHA-256 of what there is to draw, in full: tasks in their order, and their traces.
    /// Programs of tools are the suite's, and not among it.
    pub fn digest(&self) -> String {
        let mut digester = Digester::default();
        match self {
            Self::Stream(config) => digester.part(format!("{config:?}").as_bytes()),
            Self::Fixed {
                suite,
                traces,
                tasks,
            } => {
                for task in tasks.iter().map(|&place| &suite.tasks()[place]) {
                    digester.part(&to_json(task));
                    digester.part(&to_json(&traces.get(&task.id)));
                }
            }
        }
        digester.finish()
    }

    /// The `count` tasks of a round (0 where there is but one) of step `step`. They depend on
    /// nothing but the arguments.
    pub fn draw(&self, step: u64, round: u64, count: usize, seed: Seed) -> Drawn {
        let first = step * count as u64;
        match self {
            Self::Stream(config) => {
                // No stream is that long, so no round draws another's tasks.
                let first = first + (round << 40);
                let world = world::generate_range(config, first..first + count as u64);
                let tasks = world.suite.tasks().iter().cloned();
                Drawn {
                    tasks: tasks.zip(world.traces.into_iter().map(Some)).collect(),
                    suite: Arc::new(world.suite),
                }
            }
            Self::Fixed {
                suite,
                traces,
                tasks,
            } => {
                let seed = match round {
                    0 => seed,
                    round => seed.named("again").child(round),
                };
                let mut order = (0, shuffled(tasks, seed.child(0)));
                let of_draw = |draw: u64| {
                    let (epoch, place) = (draw / tasks.len() as u64, draw % tasks.len() as u64);
                    if order.0 != epoch {
                        order = (epoch, shuffled(tasks, seed.child(epoch)));
                    }
                    let task = suite.tasks()[order.1[place as usize]].clone();
                    let trace = traces.get(&task.id).cloned();
                    (task, trace)
                };
                Drawn {
                    tasks: (first..first + count as u64).map(of_draw).collect(),
                    suite: Arc::clone(suite),
                }
            }
        }
    }
}

fn to_json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("tasks and traces are JSON")
}

/// Fisher and Yates' shuffle.
fn shuffled(tasks: &[usize], seed: Seed) -> Vec<usize> {
    let mut order = tasks.to_vec();
    let mut random = model::rng(seed.0);
    for i in (1..order.len()).rev() {
        order.swap(i, random.random_range(0..=i));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_further_round_of_a_stream_has_tasks_of_its_own() {
        let source = Source::Stream(world::Config::default());
        let ids = |round| -> Vec<String> {
            let drawn = source.draw(2, round, 3, Seed(4));
            drawn.tasks.into_iter().map(|(task, _)| task.id).collect()
        };
        assert!(ids(0).iter().all(|id| !ids(1).contains(id)));
        assert_eq!(ids(1), ids(1));
    }

    #[test]
    fn a_digest_is_of_what_tasks_and_traces_say_and_of_their_order() {
        let digest = |change: &dyn Fn(&mut world::World)| {
            let config = world::Config {
                tasks: 2,
                ..world::Config::default()
            };
            let mut world = world::generate(&config);
            change(&mut world);
            Source::fixed(Arc::new(world.suite), world.traces, false).digest()
        };
        let before = digest(&|_| ());
        assert_eq!(digest(&|_| ()), before);
        // Traces are found by their task.
        assert_eq!(digest(&|world| world.traces.reverse()), before);
        let other = digest(&|world| world.traces[1].answer = Some("another".into()));
        assert_ne!(other, before);
        assert_ne!(digest(&|world| world.traces.truncate(1)), before);
    }

    #[test]
    fn an_epoch_draws_every_task_once_and_the_next_in_another_order() {
        let world = world::generate(&world::Config {
            tasks: 6,
            ..world::Config::default()
        });
        let source = Source::fixed(Arc::new(world.suite), world.traces, true);
        let ids = |step| -> Vec<String> {
            let drawn = source.draw(step, 0, 3, Seed(4));
            drawn.tasks.into_iter().map(|(task, _)| task.id).collect()
        };
        let epoch = |first| [ids(first), ids(first + 1)].concat();
        let (one, two) = (epoch(0), epoch(2));
        assert_ne!(one, two);
        for mut ids in [one, two] {
            ids.sort();
            ids.dedup();
            assert_eq!(ids.len(), 6);
        }
        assert_eq!(ids(3), ids(3));
    }
}
