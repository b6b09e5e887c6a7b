//! What can be typed after `pact study`, and what its file holds.

use std::path::PathBuf;

use clap::Args;

/// Everything that a study's file may hold, as an example that a test reads.
pub(crate) const FILE: &str = r#"# PACT solves more held-out tasks than GRPO after as many rollouts.
config = "target.toml"      # what all runs share, relative to this file
seeds = [1, 2, 3, 4, 5]     # of every method that names none of its own
jobs = 2                    # runs at once, each with its share of the threads [default: 1]
baseline = "base"           # the method that all others are compared with
reference = "pact"          # a second one, if wanted
metric = "solve-f1"         # of tables and curves [default: solve-f1]

[before]                    # a run that makes the model that all others begin with, if wanted;
config = "base.toml"        # its last checkpoint becomes their `model.path`
set = ["train.steps=3000"]

[search]                    # the same for every method, before its runs, if wanted
key = "optimizer.learning-rate"
values = [5e-4, 1e-3, 2e-3] # of equal ones the first is taken
seeds = [101]               # the score is their mean
metric = "solve-f1"         # which decides, of the last evaluation [default: the study's]
mode = "greedy"             # greedy or sampled
set = ["data.eval.world.split=validation", "train.steps=40"]

[methods.base]
set = ["train.steps=0"]     # is evaluated and not trained
search = false              # takes no part in the search [default: true]

[methods.sft]
set = ["objective.algorithm=sft"]

[methods.pact]
set = ["objective.algorithm=pact"]

[methods."sft, then grpo"]
set = ["objective.algorithm=grpo"]
after = "sft"               # goes on from the last checkpoint of its run of the same seed

[methods."pact, q = 0"]
set = ["objective.anchor=0.0"]
like = "pact"               # begins from its settings and takes its searched value
seeds = [1, 2, 3]
group = "ablations"         # methods of a group share a table [default: methods]
"#;

/// The command's long description.
pub(super) fn about() -> String {
    let lines = FILE.lines().map(|line| match line {
        "" => "\n".to_owned(),
        line => format!("  {line}\n"),
    });
    format!(
        "Run a grid of methods and seeds, going on where it was stopped, and write its tables\n\n\
         Each run is a `pact train` in a process of its own, in a folder below `--out`. What is \
         done is left alone, what was begun is resumed, and Ctrl-C stops all runs with a \
         checkpoint. The study's file holds:\n\n{}",
        lines.collect::<String>()
    )
}

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pact study study.toml --status
  pact study study.toml --only base
  pact study study.toml
  pact study study.toml --report docs")]
pub(crate) struct Study {
    /// The study, TOML
    pub(crate) study: PathBuf,
    /// The folder of its runs [default: runs/out/study/ and the study's name]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Only this method or group, and what it needs
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<String>,
    /// Runs at once, rather than as many as the file says
    #[arg(long, value_name = "N", value_parser = super::bench::positive)]
    pub(crate) jobs: Option<usize>,
    /// Go on with runs although the data, the model or the program is not what it was
    #[arg(long)]
    pub(crate) allow_changed: bool,
    /// Say what is done instead of doing more
    #[arg(long)]
    pub(crate) status: bool,
    /// Write the tables and curves of what is done into this folder instead of doing more; a
    /// study that ends writes them into `report` in its own
    #[arg(long, value_name = "DIR", conflicts_with = "status")]
    pub(crate) report: Option<PathBuf>,
}
