//! What can be typed after `pact report`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{NamedRun, parse_run};

#[derive(Debug, Args)]
#[command(after_long_help = "\
The page is one file that needs no network and no script, in light and in dark, and prints. Of \
several runs it also compares them, the first being the baseline.

Examples:
  pact report out -o out.html
  pact report out --format md
  pact report before=out after=lora -o both.html
  pact report out --format json -o out.json")]
pub(crate) struct Report {
    /// Folders of runs, finished or not
    #[arg(required = true, value_name = "[NAME=]RUN", value_parser = parse_run)]
    pub(crate) runs: Vec<NamedRun>,
    /// The file to write; Markdown and JSON go to the standard output without one
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// What to write
    #[arg(long, value_name = "FORM", default_value = "html")]
    pub(crate) format: ReportForm,
}

/// What a report is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportForm {
    /// A page for a browser
    Html,
    /// Markdown, without pictures
    Md,
    /// Everything that the page shows, as one JSON object
    Json,
}
