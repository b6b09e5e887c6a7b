//! Joins the others into training: draws tasks, lets the policy meet them, turns what happened
//! into token trees and streams, and takes the optimiser's step. Writes the run folder.
//! Reads no argument, no environment variable, no clock of its own and no terminal.
//!
//! Every number of a step has a sentence:
//!
//! ```
//! assert!(train::describe("clipped-trace-epoch-2").is_some());
//! assert!(train::METRICS.iter().all(|(_, text)| text.ends_with('.')));
//! ```

mod batch;
mod checkpoint;
mod config;
mod context;
mod credit;
mod error;
mod experience;
mod faults;
mod folder;
mod judge;
mod learner;
mod metrics;
mod parts;
mod plan;
mod policy;
mod reference;
mod rl;
mod source;

pub use batch::{Batch, Example, Imitated, OffPolicy, Rollouts, Sample};
pub use checkpoint::{Checkpoint, DamagedCheckpoint, Latest, State};
pub use config::{Config, Missing, Place, Settings, Trace};
pub use error::TrainError;
pub use folder::{RunFolder, StepRecord};
pub use learner::{Clipped, Fixed, Learner, Refusal, Rescored, Update};
pub use metrics::{METRICS, describe};
pub use parts::Parts;
pub use plan::{Episodes, Held, Load, Plan, PlannedRun};
pub use policy::ModelPolicy;
pub use rl::{Clock, Memory, StepReport, Trainer};
pub use source::{Drawn, Source};
