//! The data that flows through pact: tasks, traces, episodes, groups, scores, seeds.
//! Plain values. Nothing here knows a tensor, a file, a tokenizer or a clock.
//!
//! What a model reads, with the author of every token:
//!
//! ```
//! use episode::{Author, Part, Segment};
//!
//! let mut segment = Segment::default();
//! segment.extend(&[10, 11, 12], Author::Template, Part::Context);
//! segment.extend_sampled(&[20, 21], &[Part::Call, Part::Call], &[-0.1, -0.7]);
//! segment.extend(&[30], Author::Tool, Part::Context);
//! segment.extend_sampled(&[22], &[Part::Answer], &[-0.2]);
//!
//! // Only these carry loss; all seven are attended to.
//! assert_eq!(segment.runs_of(Author::Policy), [3..5, 6..7]);
//! assert_eq!(segment.tokens.len(), segment.logprobs.len());
//! ```

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
