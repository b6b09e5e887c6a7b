use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Only this machine is answered, and nothing is fetched from elsewhere. Ctrl-C ends it.

Examples:
  pact view --help")]
pub(crate) struct View {
    /// A run's folder, the folder of `pact eval --out`, or a file of episodes
    pub(crate) run: PathBuf,
    /// Listen at this port of 127.0.0.1 [default: 7654, or the next free one]
    #[arg(long, value_name = "N")]
    pub(crate) port: Option<u16>,
    /// Open the page in a browser too, by what the system opens addresses with (`xdg-open`)
    #[arg(long)]
    pub(crate) open: bool,
    /// The tokenizer's folder [default: the run's, else pact's own]
    #[arg(long, value_name = "DIR")]
    pub(crate) tokenizer: Option<PathBuf>,
}
