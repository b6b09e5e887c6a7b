//! A run folder in, text out: what a run did, what it changed, and what an episode looked like.
//! Measurements in, fits and plots out.
//! Reads what a run wrote. Knows no model, no trainer and no terminal: whether there is colour
//! is an argument, and so is the way from tokens to text.

mod bootstrap;
mod comparison;
mod cost;
mod curves;
mod episode_text;
mod error;
mod evaluation_table;
mod folder;
mod grid;
mod method;
mod plot;
mod power_law;
mod standing;
mod standing_page;
mod study;
mod study_page;
mod summary;
mod table;
mod trace_text;

pub use bootstrap::Estimate;
pub use comparison::Comparison;
pub use episode_text::{episode_text, failure_text};
pub use error::{Incomparable, ReportError};
pub use evaluation_table::evaluation_table;
pub use folder::{RecordedEpisode, RunFolder};
pub use method::{Method, MethodRun};
pub use plot::{Line, Panel, linear_svg, log_log_svg};
pub use power_law::PowerLaw;
pub use standing::{Against, Question, Standing, Standings, common_modes};
pub use standing_page::StandingPage;
pub use study::{ListedMethod, ListedRun, StudyList};
pub use study_page::{StudyPage, study_page};
pub use summary::run_summary;
pub use table::{Breakdown, SOLVE_METRICS, shown_metrics, table};
pub use trace_text::trace_text;
