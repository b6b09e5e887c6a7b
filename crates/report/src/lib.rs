//! A run folder in, text out: what a run did, what it changed, and what an episode looked like.
//! Measurements in, fits and plots out.
//! Reads what a run wrote. Knows no model, no trainer and no terminal: whether there is colour
//! is an argument, and so is the way from tokens to text.
//!
//! ```
//! // Seconds of a step at four lengths: it grows a little faster than its tokens.
//! let points = [(512.0, 1.0), (1024.0, 2.1), (2048.0, 4.5), (4096.0, 9.6)];
//! let law = report::PowerLaw::fit(&points).expect("two points or more");
//! assert!(1.0 < law.exponent && law.exponent < 1.2);
//! ```

mod bootstrap;
mod comparison;
mod cost;
mod curves;
mod episode_text;
mod error;
mod evaluation_table;
mod export;
mod folder;
mod follow;
mod grid;
mod method;
mod metric_group;
mod page;
mod plot;
mod power_law;
mod skipped;
mod standing;
mod standing_page;
mod study;
mod study_page;
mod summary;
mod table;
mod tensorboard;
mod trace_text;

pub use bootstrap::Estimate;
pub use comparison::Comparison;
pub use episode_text::{episode_text, failure_text};
pub use error::{Incomparable, ReportError};
pub use evaluation_table::evaluation_table;
pub use export::{Row, csv, episode_rows, step_rows};
pub use folder::{RecordedEpisode, RunFolder};
pub use follow::{Follower, News};
pub use method::{Method, MethodRun};
pub use metric_group::MetricGroup;
pub use page::{Decode, Page, PageRun};
pub use plot::{Line, Panel, linear_svg, log_log_svg};
pub use power_law::PowerLaw;
pub use skipped::{refusals_text, skipped_text};
pub use standing::{Against, Question, Standing, Standings, common_modes};
pub use standing_page::StandingPage;
pub use study::{ListedMethod, ListedRun, StudyList};
pub use study_page::{StudyPage, study_page};
pub use summary::run_summary;
pub use table::{Breakdown, SOLVE_METRICS, shown_metrics, table};
pub use tensorboard::Tensorboard;
pub use trace_text::trace_text;
