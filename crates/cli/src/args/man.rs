//! What can be typed after `pact man`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pact man --out man1")]
pub(crate) struct Man {
    /// The folder to write, a page for each command: `man -l DIR/pact-train.1` reads one
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}
