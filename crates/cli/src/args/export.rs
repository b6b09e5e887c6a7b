//! What can be typed after `pact export`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
#[command(after_long_help = "\
Tables are `metrics`, a row a step, and `episodes`, a row a training episode without its tokens.

trackio (with `tbparse`) reads event files without a network, those that a run writes itself into its
folder too: `trackio.import_tf_events('out/tensorboard', project='pact', name='out')`.

Examples:
  pact export out --to csv --out tables
  pact export out --to jsonl --out tables
  pact export out --to tensorboard --out board")]
pub(crate) struct Export {
    /// The run's folder
    pub(crate) run: PathBuf,
    /// For which program
    #[arg(long, value_name = "FORM")]
    pub(crate) to: ExportForm,
    /// The folder to write into
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

/// What a run is exported as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportForm {
    /// An event file; metrics.jsonl keeps no times, so that all events have that of the export
    Tensorboard,
    /// Tables as CSV
    Csv,
    /// Tables as Parquet (feature `parquet`)
    Parquet,
    /// Tables as JSON lines
    Jsonl,
}
