//! The data that flows through pact: tasks, traces, episodes, groups, scores, seeds.
//! Plain values. Nothing here knows a tensor, a file, a tokenizer or a clock.

mod credit;
mod episode;
mod evaluation;
mod run_record;
mod seed;
mod skipped;
mod status;
mod task;

pub use credit::Credit;
pub use episode::{
    Author, Episode, Group, Observation, ParseFailure, Part, Score, Segment, StopReason, Turn,
};
pub use evaluation::{Evaluation, EvaluationMode, TaskResult};
pub use run_record::{Machine, RunRecord, RunRecordError, Session};
pub use seed::Seed;
pub use skipped::{Culprit, NotFinite, Refused, Skipped};
pub use status::{Phase, Status, Waiting};
pub use task::{CallFormat, Message, Role, Task, ToolCall, Trace, TraceTurn};
