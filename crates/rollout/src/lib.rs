//! A policy meets an environment: the one turn loop, for training and for evaluation.
//! Many episodes live at once, and the tools of some run while others decode.
//! Knows no tensor, no trainer and no clock of its own.
//!
//! What an episode becomes depends on its task, its sample and the seed alone, never on
//! what else is in the batch or how fast a tool is; only a time limit breaks that.
//!
//! The expert of the built-in world, played as if it were a policy:
//!
//! ```
//! use std::path::Path;
//! use std::time::Duration;
//!
//! use chat::Chat;
//! use env::Suite;
//! use env::world::{Config as World, generate};
//! use episode::{Seed, StopReason};
//! use rollout::{Activity, Config, ScriptedPolicy, Setting, Start, run};
//!
//! let base = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../base"));
//! let chat = Chat::load(base, chat::Config::default()).expect("the base's tokenizer");
//! let world = generate(&World { tasks: 2, ..World::default() });
//! let tasks = world.suite.tasks();
//! let mut expert = ScriptedPolicy::replay(&chat, tasks, &world.traces).expect("traces in tokens");
//!
//! let setting = Setting {
//!     chat: &chat,
//!     suite: &world.suite,
//!     config: &Config::default(),
//!     clock: &|| Duration::ZERO,
//!     activity: &Activity::default(),
//! };
//! let starts: Vec<Start<'_>> = tasks.iter().map(Start::of).collect();
//! let groups = run(&mut expert, &setting, &starts, 1, Seed(1), &mut |_| {}).expect("episodes");
//! for group in &groups {
//!     assert_eq!(group.episodes[0].stop, StopReason::Answered);
//!     assert_eq!(group.episodes[0].score.metrics["solve-r"], 1.0);
//! }
//! ```

mod activity;
mod best;
mod config;
mod live;
mod messages;
mod policy;
mod scripted;
mod tools;
mod turn_loop;

pub use activity::{Activity, Snapshot, Spent};
pub use best::{best_trace, ranked_traces};
pub use config::{Config, ConfigError};
pub use policy::{Policy, PolicyError, SampledTurn, TurnEnd, TurnRequest};
pub use scripted::ScriptedPolicy;
pub use turn_loop::{RolloutError, Setting, Start, run};
