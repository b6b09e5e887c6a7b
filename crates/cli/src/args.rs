//! What can be typed after `pact`. Each command ends its long help in examples, which a test
//! runs in the order in which they stand here.

mod bench;
mod data;
mod eval;
mod export;
mod man;
mod report;
pub(crate) mod study;
mod trace;
mod view;
mod watch;

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub(crate) use self::bench::{
    BenchCommand, BenchDecode, BenchLosses, BenchOperations, BenchRollout, BenchScale,
    BenchSubject, BenchTrain, BenchTree,
};
pub(crate) use self::data::{
    DataCheck, DataCommand, DataConvert, DataFetch, DataMake, FormName, MakeWorld,
};
pub(crate) use self::eval::{Eval, FormatName, Rollout, Subject, SuiteName, TaskArgs, Traces};
pub(crate) use self::export::{Export, ExportForm};
pub(crate) use self::man::Man;
pub(crate) use self::report::{Report, ReportForm};
pub(crate) use self::study::Study;
pub(crate) use self::trace::{
    TraceBuild, TraceCheck, TraceCollect, TraceCommand, TraceShow, TraceSource,
};
pub(crate) use self::view::View;
pub(crate) use self::watch::Watch;
use crate::config::Preset;

/// Trains language models to use tools over many turns: SFT, GRPO and PACT, from expert
/// traces, against real tools, on one machine.
#[derive(Debug, Parser)]
#[command(name = "pact", version, arg_required_else_help = true, after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  pact --version
  pact data make world --tasks 20 --seed 7 --out tasks.jsonl --traces traces.jsonl
  pact eval --suite world --data tasks.jsonl --policy replay:traces.jsonl";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make, check, convert and fetch files of tasks
    #[command(subcommand)]
    Data(DataCommand),
    /// Make, verify and show expert traces
    #[command(subcommand)]
    Trace(TraceCommand),
    /// Make, merge and describe model folders
    #[command(subcommand)]
    Model(ModelCommand),
    /// Print, check and explain configs
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Train a model as a config says
    Train(Train),
    /// Measure a model, or expert traces, on a suite's tasks
    Eval(Eval),
    /// Write episodes of a model, or of expert traces, as JSON lines
    Rollout(Rollout),
    /// Measure the engine on random weights: speed, memory, and what bounds them
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Score result files in the layout of BFCL's own program, whoever made them
    Score(Score),
    /// Say what this machine has: processor, Python, and which layers of the sandbox hold
    Doctor(Doctor),
    /// Show a run, or one of its episodes, as text
    Show(Show),
    /// Watch a run while it goes on, or see how it stands, from its folder alone
    Watch(Watch),
    /// Write a run's numbers for other programs: TensorBoard, CSV, Parquet, JSON lines
    Export(Export),
    /// Read a run's episodes in a browser, on a page that this program serves
    View(View),
    /// Write runs as one page to read: what was asked and answered, how it went, what it cost
    Report(Report),
    /// Compare runs of several methods: how each scores, by how much more, and how sure that is
    Compare(Compare),
    /// Run a grid of methods and seeds, going on where it was stopped, and write its tables
    #[command(long_about = study::about())]
    Study(Study),
    /// Print a shell's completion script
    #[command(after_long_help = "Examples:\n  pact completions bash > pact.bash")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual, a page for each command
    Man(Man),
}

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pact train runs/quickstart.toml --plan
  pact train runs/quickstart.toml --run out
  pact train runs/quickstart.toml --run out --resume
  pact train runs/quickstart.toml --set train.steps=2 --set objective.algorithm=grpo --json
  pact train runs/quickstart.toml --run lora --set model.path=model --set model.lora.rank=8")]
pub(crate) struct Train {
    /// The config, TOML; with `--resume` the run's own if not given
    #[arg(required_unless_present = "resume")]
    pub(crate) config: Option<PathBuf>,
    /// Change one key of the config
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// The run's folder [default: runs/out/ and the config's name]
    #[arg(long, value_name = "DIR")]
    pub(crate) run: Option<PathBuf>,
    /// Go on where the run in this folder stopped, as if it never had
    #[arg(long, requires = "run")]
    pub(crate) resume: bool,
    /// Go on although the config, the data, the model or the program is not what it was
    #[arg(long, requires = "resume")]
    pub(crate) allow_changed: bool,
    /// Print how much memory the run takes instead of running it
    #[arg(long, conflicts_with_all = ["resume", "run"])]
    pub(crate) plan: bool,
    /// Print the outcome, or the plan, as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// A line a step, and no view of the run, on a terminal too
    #[arg(long)]
    pub(crate) plain: bool,
}

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pact score --help")]
pub(crate) struct Score {
    /// A model's folder in `result/`, which `pact eval --suite bfcl --out DIR` and BFCL's own program
    /// write
    pub(crate) results: PathBuf,
    /// The data set's folder
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// How texts tell calls [default: as the folder's name says, `-FC` at its end or not]
    #[arg(long)]
    pub(crate) format: Option<FormatName>,
    /// Print every record's verdict as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pact doctor
  pact doctor --set sandbox.isolation=process --json")]
pub(crate) struct Doctor {
    /// A config for Python and the sandbox
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Change one key of the config
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Print it as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pact show out
  pact show out --task 0
  pact show episodes.jsonl --task 3")]
pub(crate) struct Show {
    /// A run's folder, or a file of episodes
    pub(crate) run: PathBuf,
    /// Show the first episode of this task, or the episode of this number, from 0
    #[arg(long, value_name = "ID|N")]
    pub(crate) task: Option<String>,
    /// Only episodes of this training step
    #[arg(long, value_name = "N", requires = "task")]
    pub(crate) step: Option<u64>,
    /// Show why this step was skipped; with `--task`, an episode that it was to learn from
    #[arg(long, value_name = "STEP", conflicts_with = "step")]
    pub(crate) skipped: Option<u64>,
    /// The tokenizer's folder [default: the run's, else pact's own]
    #[arg(long, value_name = "DIR")]
    pub(crate) tokenizer: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pact compare out lora
  pact compare before=out after=lora --metric solve-r --mode greedy --json
  pact compare before=out after=lora --baseline after --markdown
  pact compare before=out after=lora --require-better after=-100")]
pub(crate) struct Compare {
    /// Folders of runs, two methods or more. Runs of one NAME are of one method; without a NAME
    /// those are whose configs differ in nothing but the seed
    #[arg(required = true, value_name = "[NAME=]RUN", value_parser = parse_run)]
    pub(crate) runs: Vec<NamedRun>,
    /// The metric, by the suite's name
    #[arg(long, default_value = "solve-f1")]
    pub(crate) metric: String,
    /// How the evaluations chose their tokens [default: both]
    #[arg(long)]
    pub(crate) mode: Option<Mode>,
    /// The evaluations after this step [default: each run's last]
    #[arg(long, value_name = "N")]
    pub(crate) step: Option<u64>,
    /// The method that the others are compared with [default: the first]
    #[arg(long, value_name = "NAME")]
    pub(crate) baseline: Option<String>,
    /// End with exit code 3 unless the whole interval of this method's difference to the baseline
    /// lies above MARGIN, in percent points [default: 0]
    #[arg(long, value_name = "NAME[=MARGIN]")]
    pub(crate) require_better: Vec<String>,
    /// Print the outcome as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Print the table as Markdown
    #[arg(long, conflicts_with = "json")]
    pub(crate) markdown: bool,
}

/// A run, and the method that it is of if that is said.
#[derive(Clone, Debug)]
pub(crate) struct NamedRun {
    pub(crate) method: Option<String>,
    pub(crate) folder: PathBuf,
}

/// A folder that is there is not taken for a name and a folder, whatever is in its name.
fn parse_run(text: &str) -> Result<NamedRun, String> {
    let named = || text.rsplit_once('=').filter(|(name, _)| !name.is_empty());
    let (method, folder) = match named() {
        Some((name, folder)) if !Path::new(text).exists() => (Some(name.to_owned()), folder),
        _ => (None, text),
    };
    Ok(NamedRun {
        method,
        folder: folder.into(),
    })
}

/// How evaluations choose their tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Always the likeliest
    Greedy,
    /// Drawn as in training
    Sampled,
}

impl From<Mode> for episode::EvaluationMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Greedy => Self::Greedy,
            Mode::Sampled => Self::Sampled,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Write a folder with fresh weights
    Init(ModelInit),
    /// Add an adapter's matrices to its base's weights, and write the sum as a model folder
    Merge(ModelMerge),
    /// Describe a model folder, or an adapter's
    #[command(after_long_help = "Examples:\n  pact model info model")]
    Info {
        /// The folder
        folder: PathBuf,
        /// Print it as one JSON object
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pact model init --preset tiny --out model
  pact model init --preset tiny --tokenizer model --seed 1 --out another
  pact model init --config model/config.json --precision bf16 --out alike")]
pub(crate) struct ModelInit {
    /// Its size
    #[arg(long, required_unless_present = "config")]
    pub(crate) preset: Option<Preset>,
    /// A `config.json` of the Hugging Face layout that says its size instead
    #[arg(long, value_name = "FILE", conflicts_with = "preset")]
    pub(crate) config: Option<PathBuf>,
    /// A folder with its tokenizer and chat template, which are copied [default: pact's own]
    #[arg(long, value_name = "DIR")]
    pub(crate) tokenizer: Option<PathBuf>,
    /// The folder to write
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// What the weights are stored in
    #[arg(long, default_value = "f32")]
    pub(crate) precision: StoredAs,
    /// Where the weights' randomness comes from
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pact model merge --model model --adapter lora/checkpoints/step-000002 --out merged
  pact model merge --adapter lora/checkpoints/step-000002 --out rounded --precision bf16")]
pub(crate) struct ModelMerge {
    /// The base's folder [default: the one that the adapter names]
    #[arg(long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
    /// The adapter's folder, in PEFT's layout
    #[arg(long, value_name = "DIR")]
    pub(crate) adapter: PathBuf,
    /// The folder to write
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// What the weights are stored in
    #[arg(long, default_value = "f32")]
    pub(crate) precision: StoredAs,
}

/// What numbers are stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoredAs {
    /// As they are
    F32,
    /// Rounded to bfloat16
    Bf16,
}

impl From<StoredAs> for model::Precision {
    fn from(stored: StoredAs) -> Self {
        match stored {
            StoredAs::F32 => Self::F32,
            StoredAs::Bf16 => Self::Bf16,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every key with its text and default
    #[command(after_long_help = "Examples:\n  pact config default > run.toml")]
    Default,
    /// Print a config as it is resolved
    #[command(
        after_long_help = "Examples:\n  pact config show run.toml --set rollout.group-size=8"
    )]
    Show(ConfigFile),
    /// Say whether a config can be run
    #[command(after_long_help = "Examples:\n  pact config check run.toml")]
    Check(ConfigFile),
    /// Say what a key or a table means
    #[command(
        after_long_help = "Examples:\n  pact config explain rollout.group-size\n  \
                           pact config explain objective.sft\n  \
                           pact config explain objective.algorithm\n  \
                           pact config explain metrics.trace-lift-positive"
    )]
    Explain {
        /// The key, from the top; `metrics.NAME` is a number of metrics.jsonl
        key: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ConfigFile {
    /// The config, TOML
    pub(crate) config: PathBuf,
    /// Change one key of it
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}
