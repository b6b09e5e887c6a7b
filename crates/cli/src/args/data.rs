//! What can be typed after `pact data`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Write tasks that a seeded generator makes
    #[command(subcommand)]
    Make(DataMake),
    /// Look a file of tasks over: rows, tools, and what its traces return
    Check(DataCheck),
    /// Write a file of tasks in another form
    Convert(DataConvert),
    /// Bring a data set from where its owners publish it
    Fetch(DataFetch),
}

#[derive(Debug, Subcommand)]
pub(crate) enum DataMake {
    /// Tasks of the tool world, as rows of FTRL's format with Python sources
    World(MakeWorld),
}

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pact data make world --tasks 50 --seed 7 --out tasks.jsonl --traces traces.jsonl
  pact data make world --tasks 9 --family keyed --split test --set hops=[3,4] --out keyed.jsonl")]
pub(crate) struct MakeWorld {
    /// How many tasks
    #[arg(long, value_name = "N")]
    pub(crate) tasks: usize,
    /// Where their randomness comes from
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// The file of tasks to write
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Write an expert's traces here
    #[arg(long, value_name = "FILE")]
    pub(crate) traces: Option<PathBuf>,
    /// The protocol that the tools follow
    #[arg(long, value_name = "plain|keyed")]
    pub(crate) family: Option<String>,
    /// Whose names the tasks have
    #[arg(long, value_name = "train|validation|test")]
    pub(crate) split: Option<String>,
    /// Change one more key of `pact config explain data.train.world`
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pact data check tasks.jsonl --traces traces.jsonl
  pact data check tasks.jsonl --json")]
pub(crate) struct DataCheck {
    /// The tasks, one row a line, in FTRL's format; with `--tools` your own tasks
    pub(crate) file: PathBuf,
    /// The tools of your own tasks: a Python file, or the address of an HTTP environment
    #[arg(long, value_name = "FILE.py|URL", conflicts_with = "traces")]
    pub(crate) tools: Option<String>,
    /// Traces to replay, one a line
    #[arg(long, value_name = "FILE")]
    pub(crate) traces: Option<PathBuf>,
    /// Print the outcome as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// What it does not hold of the tasks, the new form's fault or not, is said row by row.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Forms:
  own      JSON with messages, tools, answer, goldens, trace, and any other field
  ftrl     FTRL's rows, with Python sources of the tools, and MatchTIR's, with gold calls
  toolhop  ToolHop's questions, which can only be read
  verl     prompt, data_source, ability, reward_model, extra_info, and other columns
  trl      conversational: prompt, with the trace as its completion; or messages; and tools

A path that ends in .parquet is Parquet (with the cargo feature `parquet`), any other JSON lines;
one JSON list can be read too.

Examples:
  pact data convert tasks.jsonl --from ftrl --to own --out own.jsonl
  pact data convert own.jsonl --from own --to verl --out verl.jsonl
  pact data convert verl.jsonl --from verl --to trl --out trl.jsonl
  pact data convert tasks.jsonl --from ftrl --to ftrl --prefixes traces.jsonl --out steps.jsonl")]
pub(crate) struct DataConvert {
    /// The tasks
    pub(crate) file: PathBuf,
    /// The form that they have
    #[arg(long, value_name = "FORM")]
    pub(crate) from: FormName,
    /// The form that they get
    #[arg(long, value_name = "FORM")]
    pub(crate) to: FormName,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Of FTRL's rows: behind each row one for every turn of its traces that calls, to go on from
    /// there (FTRL's step-wise samples)
    #[arg(long, value_name = "TRACES")]
    pub(crate) prefixes: Option<PathBuf>,
}

/// How a file of tasks is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormName {
    /// Ours
    Own,
    /// FTRL's and MatchTIR's
    Ftrl,
    /// ToolHop's
    #[value(name = "toolhop")]
    ToolHop,
    /// verl's
    Verl,
    /// TRL's
    Trl,
}

impl From<FormName> for env::convert::Form {
    fn from(name: FormName) -> Self {
        match name {
            FormName::Own => Self::Own,
            FormName::Ftrl => Self::Ftrl,
            FormName::ToolHop => Self::ToolHop,
            FormName::Verl => Self::Verl,
            FormName::Trl => Self::Trl,
        }
    }
}

/// Files whose hashes are known are checked, those that lie in the folder already too. From
/// Hugging Face they come by way of its cache; HF_ENDPOINT, HF_HOME and HF_TOKEN count. BFCL is
/// part of a Python package, which pip fetches.
#[derive(Debug, Args)]
#[command(after_long_help = "\
With a network:
  pact data fetch toolhop --out data/toolhop
  pact data fetch bfcl --out data/bfcl

Examples:
  pact data fetch ftrl --out data/ftrl --plan
  pact data fetch matchtir --out data/matchtir --plan")]
pub(crate) struct DataFetch {
    /// The data set
    pub(crate) set: FetchSet,
    /// The folder to write
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// The Python whose pip fetches packages
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    pub(crate) python: String,
    /// Print each file's address, place and hash instead, to fetch them by hand
    #[arg(long)]
    pub(crate) plan: bool,
}

/// What can be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FetchSet {
    /// FTRL's training and test rows, and tau-bench as FTRL packages it
    Ftrl,
    /// ToolHop's questions
    #[value(name = "toolhop")]
    ToolHop,
    /// FTRL's training rows with gold calls, by MatchTIR
    #[value(name = "matchtir")]
    MatchTir,
    /// BFCL v4: multi-turn, memory and web search
    Bfcl,
}

impl From<FetchSet> for remote::hub::DataSet {
    fn from(set: FetchSet) -> Self {
        match set {
            FetchSet::Ftrl => Self::Ftrl,
            FetchSet::ToolHop => Self::ToolHop,
            FetchSet::MatchTir => Self::MatchTir,
            FetchSet::Bfcl => Self::Bfcl,
        }
    }
}
