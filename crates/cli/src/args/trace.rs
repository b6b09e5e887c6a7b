//! What can be typed after `pact trace`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::TaskArgs;
use crate::endpoint::EndpointArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum TraceCommand {
    /// Write traces: planned, from gold or recorded calls, or the best of a model's rollouts
    ///
    /// Each is replayed before it is written. It is verified if every call returns what the
    /// trace says, the calls solve the task (solve-r is 1), and there is an answer.
    Build(TraceBuild),
    /// Write traces: a served model's best episodes, of tasks that it solves
    ///
    /// Each is replayed before it is written. It is verified if every call returns what the trace
    /// says, the calls solve the task, and there is an answer. A task's trace is written as soon
    /// as all of its episodes are over, so that `--resume` can go on.
    Collect(TraceCollect),
    /// Replay traces against their tools, and say which do not verify
    ///
    /// A trace verifies if every call returns what the trace says (where need be on the day that
    /// its results name), the calls solve the task (solve-r is 1), and there is an answer. If one
    /// does not, the exit code is 1.
    Check(TraceCheck),
    /// Show a trace, its reasoning in the segments that annealing drops one by one
    Show(TraceShow),
}

/// Where traces come from.
#[derive(Clone, Debug)]
pub(crate) enum TraceSource {
    /// The world's expert.
    Planner,
    /// The rows' `ground_truth`.
    Gold,
    /// A file of traces in any form.
    Recorded(PathBuf),
    /// A model's own episodes.
    Rollouts(PathBuf),
}

fn parse_source(text: &str) -> Result<TraceSource, String> {
    match text.split_once('=') {
        None if text == "planner" => Ok(TraceSource::Planner),
        None if text == "gold" => Ok(TraceSource::Gold),
        Some(("recorded", file)) if !file.is_empty() => Ok(TraceSource::Recorded(file.into())),
        Some(("rollouts", folder)) if !folder.is_empty() => {
            Ok(TraceSource::Rollouts(folder.into()))
        }
        _ => Err("expected `planner`, `gold`, `recorded=FILE` or `rollouts=MODEL`".to_owned()),
    }
}

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pact trace build --suite world --data tasks.jsonl --from planner --out planned.jsonl
  pact trace build --suite world --data tasks.jsonl --from recorded=traces.jsonl --out same.jsonl
  pact trace build --suite world --data tasks.jsonl --from rollouts=model --samples 1 --out my.jsonl")]
pub(crate) struct TraceBuild {
    #[command(flatten)]
    pub(crate) subject: TaskArgs,
    /// `planner`, the world's expert; `gold`, the rows' `ground_truth` calls; `recorded=FILE`, a
    /// file of traces, messages or calls; `rollouts=MODEL`, the best episode of each task
    #[arg(long, value_name = "SOURCE", value_parser = parse_source)]
    pub(crate) from: TraceSource,
    /// Episodes of each task, sampled as the config says [rollouts; default: 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) samples: Option<u32>,
    /// Leave out tasks whose best reward is lower [rollouts; default: 1]
    #[arg(long, value_name = "R")]
    pub(crate) min_reward: Option<f64>,
    /// Keep traces that do not verify, marked `"verified":false`
    #[arg(long)]
    pub(crate) keep_unverified: bool,
    /// The file of traces to write
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Print the outcome as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_long_help = "\
With a server of an OpenAI-compatible API, for example:
  pact trace collect --suite ftrl --data tasks.jsonl --endpoint http://127.0.0.1:8000/v1 \\
      --model teacher --samples 4 --out traces.jsonl")]
pub(crate) struct TraceCollect {
    #[command(flatten)]
    pub(crate) subject: TaskArgs,
    /// The base URL of an OpenAI-compatible server
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: String,
    /// The name of its model
    #[arg(long, value_name = "NAME")]
    pub(crate) model: String,
    #[command(flatten)]
    pub(crate) asking: EndpointArgs,
    /// Episodes of each task, sampled as the config says
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) samples: u32,
    /// Leave out episodes whose reward is lower [default: none that verifies]
    #[arg(long, value_name = "R")]
    pub(crate) min_reward: Option<f64>,
    /// Only the first N tasks
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Keep traces that do not verify, marked `"verified":false`
    #[arg(long)]
    pub(crate) keep_unverified: bool,
    /// In whose tokens lengths are counted [default: pact's own, whose tokens are short]
    #[arg(long, value_name = "DIR")]
    pub(crate) tokenizer: Option<PathBuf>,
    /// The file of traces to write
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Keep the traces that the file has, and ask for those of the other tasks
    #[arg(long)]
    pub(crate) resume: bool,
    /// Print the outcome as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pact trace check --suite world --data tasks.jsonl --traces planned.jsonl
  pact trace check --suite ftrl --data tasks.jsonl --traces planned.jsonl --json")]
pub(crate) struct TraceCheck {
    #[command(flatten)]
    pub(crate) subject: TaskArgs,
    /// The traces, one a line
    #[arg(long, value_name = "FILE")]
    pub(crate) traces: PathBuf,
    /// Print the outcome as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pact trace show --suite world --data tasks.jsonl --traces planned.jsonl
  pact trace show --suite world --data tasks.jsonl --traces planned.jsonl 3")]
pub(crate) struct TraceShow {
    #[command(flatten)]
    pub(crate) subject: TaskArgs,
    /// The traces, one a line
    #[arg(long, value_name = "FILE")]
    pub(crate) traces: PathBuf,
    /// The first trace of this task, or the trace of this number, from 0
    #[arg(value_name = "TASK|N", default_value = "0")]
    pub(crate) task: String,
    /// The tokenizer and chat template that cut the reasoning [default: pact's own]
    #[arg(long, value_name = "DIR")]
    pub(crate) tokenizer: Option<PathBuf>,
}
