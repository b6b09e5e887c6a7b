//! What can be typed after `pact watch`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
#[command(after_long_help = "\
The folder is all that is needed: it may be one that another machine shares.

Examples:
  pact watch out --once")]
pub(crate) struct Watch {
    /// The run's folder
    pub(crate) run: PathBuf,
    /// Print how the run stands as plain text, and end
    #[arg(long)]
    pub(crate) once: bool,
}
