//! What can be typed after `pact eval` and `pact rollout`: whose tasks, and who plays them.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::endpoint::EndpointArgs;

/// Which tasks, of which suite.
#[derive(Clone, Debug, Args)]
pub(crate) struct TaskArgs {
    /// What kind of tasks they are
    #[arg(long)]
    pub(crate) suite: SuiteName,
    /// The tasks: a file, one a line; of BFCL the data set's folder
    #[arg(long, value_name = "PATH")]
    pub(crate) data: PathBuf,
    /// Parts of the suite: BFCL's categories or groups of them, ToolHop's scenarios [default: BFCL's
    /// `multi-turn`, ToolHop's `mandatory`]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub(crate) category: Vec<String>,
    /// How BFCL shows functions and writes calls [default: `fc` for a model, else
    /// `api`]
    #[arg(long)]
    pub(crate) format: Option<FormatName>,
    /// Tools of one's own for `--suite own`: a Python file, or the address of an HTTP environment;
    /// MCP servers stand in a config
    #[arg(long, value_name = "FILE.py|URL")]
    pub(crate) tools: Option<String>,
    /// A config for limits, sampling, seed and tools
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Change one key of the config
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

/// Whose tasks are rolled out by whom.
#[derive(Debug, Args)]
pub(crate) struct Subject {
    #[command(flatten)]
    pub(crate) tasks: TaskArgs,
    /// A model folder whose model plays, or an adapter's; with `--endpoint` the model's name there
    #[arg(long, value_name = "DIR|NAME", required_unless_present = "policy")]
    pub(crate) model: Option<String>,
    /// The OpenAI-compatible server of a model that plays, as `http://127.0.0.1:8000/v1`
    #[arg(
        long,
        value_name = "URL",
        requires = "model",
        conflicts_with = "policy"
    )]
    pub(crate) endpoint: Option<String>,
    /// Who plays instead, without limits on turns and tokens: `replay:FILE`, expert traces, or
    /// `gold`, the traces that come with the tasks
    #[arg(long, value_name = "POLICY", conflicts_with = "model", value_parser = parse_policy)]
    pub(crate) policy: Option<Traces>,
    /// The tokenizer and chat template of a replay or of an endpoint's episodes [default: pact's
    /// own]
    #[arg(long, value_name = "DIR")]
    pub(crate) tokenizer: Option<PathBuf>,
    /// Only the first N tasks
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Only the I-th of N parts of the tasks, from 1: every N-th task
    #[arg(long, value_name = "I/N", value_parser = parse_shard)]
    pub(crate) shard: Option<Shard>,
    /// Episodes that live at once [default: the config's]
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub(crate) concurrency: Option<usize>,
    /// Sample as the config says, rather than take the likeliest token always
    #[arg(long)]
    pub(crate) sampled: bool,
    #[command(flatten)]
    pub(crate) asking: EndpointArgs,
}

impl Subject {
    /// A folder's model that samples all tasks.
    pub(crate) fn sampling(tasks: TaskArgs, model: &Path) -> Self {
        Self {
            tasks,
            model: Some(model.to_string_lossy().into_owned()),
            endpoint: None,
            policy: None,
            tokenizer: None,
            limit: None,
            shard: None,
            concurrency: None,
            sampled: true,
            asking: EndpointArgs::default(),
        }
    }
}

/// Which expert traces are played.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Traces {
    /// Those that come with the tasks.
    Gold,
    /// A file's.
    File(PathBuf),
}

fn parse_policy(text: &str) -> Result<Traces, String> {
    match text.split_once(':') {
        None if text == "gold" => Ok(Traces::Gold),
        Some(("replay", file)) if !file.is_empty() => Ok(Traces::File(file.into())),
        _ => Err("expected `replay:FILE` or `gold`".to_owned()),
    }
}

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pact eval --suite world --data tasks.jsonl --policy replay:traces.jsonl --json
  pact eval --suite world --data tasks.jsonl --model model --limit 2 --set rollout.max-turn-tokens=8
  pact eval --suite world --data tasks.jsonl --model model --sampled --samples 2 --shard 1/8 --out e
  pact eval --suite ftrl --data tasks.jsonl --policy replay:traces.jsonl --gate solve-r=100")]
pub(crate) struct Eval {
    #[command(flatten)]
    pub(crate) subject: Subject,
    /// Episodes of each task; with more than one, pass@k is told too
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = parse_count)]
    pub(crate) samples: usize,
    /// Keep the episodes in this folder as they end, and go on there if it was stopped
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// End with exit code 3 if this metric's percentage is lower
    #[arg(long, value_name = "METRIC=PERCENT", value_parser = parse_gate)]
    pub(crate) gate: Vec<(String, f64)>,
    /// Print the outcome as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

fn parse_gate(text: &str) -> Result<(String, f64), String> {
    let gate = text.split_once('=').and_then(|(metric, percent)| {
        let percent = percent.parse().ok()?;
        Some((metric.to_owned(), percent))
    });
    gate.ok_or_else(|| "expected METRIC=PERCENT, as in `solve-f1=90`".to_owned())
}

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pact rollout --suite world --data tasks.jsonl --policy replay:traces.jsonl --out episodes.jsonl")]
pub(crate) struct Rollout {
    #[command(flatten)]
    pub(crate) subject: Subject,
    /// Episodes of each task
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = parse_count)]
    pub(crate) samples: usize,
    /// Write here rather than to the standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// One of several parts of the tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shard {
    /// From 0.
    pub(crate) number: usize,
    pub(crate) of: usize,
}

impl Default for Shard {
    fn default() -> Self {
        Self { number: 0, of: 1 }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}/{}", self.number + 1, self.of)
    }
}

fn parse_shard(text: &str) -> Result<Shard, String> {
    let parts = text.split_once('/').and_then(|(number, of)| {
        let (number, of): (usize, usize) = (number.parse().ok()?, of.parse().ok()?);
        (1..=of).contains(&number).then(|| Shard {
            number: number - 1,
            of,
        })
    });
    parts.ok_or_else(|| "expected I/N, as in `2/8`: the second of eight".to_owned())
}

pub(crate) fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("expected 1 or more".to_owned()),
    }
}

/// A kind of tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SuiteName {
    /// The built-in tool world; its tools are native
    World,
    /// FTRL's rows; their tools are Python programs
    Ftrl,
    /// ToolHop's questions; their tools are Python programs
    Toolhop,
    /// The Berkeley Function Calling Leaderboard: multi-turn, memory, web search
    Bfcl,
    /// Tools over a database that is to end in a known state, as tau-bench's
    Tau,
    /// Your own tasks, with tools of your own
    Own,
}

impl SuiteName {
    /// As it is typed.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// How BFCL shows functions and writes calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatName {
    /// As the tools of the model's chat template, with its own calls
    Fc,
    /// In a system message, with Python lists as calls
    Prompt,
    /// As an endpoint's tools
    Api,
}

impl From<FormatName> for bfcl::suite::Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Fc => Self::Fc,
            FormatName::Prompt => Self::Prompt,
            FormatName::Api => Self::Api,
        }
    }
}
