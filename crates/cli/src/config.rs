//! The one config of a run: the crates' own configs put together, and what only the binary
//! decides - which model, which data, which evaluations. Reading it is `config_file`'s affair.

use std::path::PathBuf;

use env::toolhop::Scenario;
use env::{reward, world};
use objective::Algorithm;
use serde::{Deserialize, Serialize};

/// Everything that decides what a run does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RunConfig {
    /// Where all randomness comes from. The same config, seed and machine give the same
    /// episodes, byte for byte.
    pub(crate) seed: u64,
    /// What a run takes of the machine. It changes speed and, with other vector instructions,
    /// the last bits of the outcome.
    pub(crate) engine: Engine,
    /// The policy to begin with.
    pub(crate) model: Model,
    /// What it is trained and evaluated on.
    pub(crate) data: Data,
    /// How a suite's Python tools are run.
    pub(crate) python: sandbox::PythonConfig,
    /// What Python tools can do to the machine that they run on.
    pub(crate) sandbox: sandbox::SandboxConfig,
    /// How conversations are laid out as tokens.
    pub(crate) chat: chat::Config,
    /// How episodes are rolled out, in training and in evaluation.
    pub(crate) rollout: rollout::Config,
    /// What an episode is worth to training. Evaluations report the suite's own metrics.
    pub(crate) reward: reward::Config,
    /// What to push on, and how hard.
    pub(crate) objective: objective::Config,
    /// The expert trace in the context of rollouts that are scored under it.
    #[serde(alias = "traces")]
    pub(crate) trace: train::Trace,
    /// The step from a gradient.
    pub(crate) optimizer: model::OptimizerConfig,
    /// How the learning rate changes over the run.
    pub(crate) schedule: model::Schedule,
    /// How long to train, and on how much at a time.
    pub(crate) train: train::Config,
    /// The evaluations before, during and after training.
    pub(crate) eval: Eval,
}

/// What a run takes of the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Engine {
    /// What the model computes on: `cpu`, or a graphics card, `cuda` or `cuda:N` (a program
    /// built with the feature `cuda`). A card reads weights in bfloat16.
    pub(crate) device: model::Place,
    /// Threads that compute; 0 is as many as the machine runs at once.
    pub(crate) threads: usize,
    /// The vector instructions to compute with: `auto` is the best that the machine has, else
    /// one of `baseline` (`neon` on ARM), `avx2`, `avx512`. The environment variable
    /// `PACT_INSTRUCTIONS` goes before it.
    pub(crate) instructions: String,
    /// GiB of memory that a run may take; 0 is what the machine has left. One that would take
    /// more does not begin.
    pub(crate) memory_gib: f64,
    /// GiB that keys and values of living episodes may take; 0 sets no bound.
    pub(crate) cache_gib: f64,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            device: model::Place::Cpu,
            threads: 0,
            instructions: "auto".to_owned(),
            memory_gib: 0.0,
            cache_gib: 0.0,
        }
    }
}

/// The policy to begin with: a folder (`path`), or fresh weights (`preset`, `tokenizer`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Model {
    /// A model folder in the Hugging Face layout. A part of a path that begins with `$` is an
    /// environment variable, here and wherever a config names a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<PathBuf>,
    /// The size of a fresh model, where there is no `path`; `tiny` if this is not set either.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) preset: Option<Preset>,
    /// A folder with a fresh model's tokenizer and chat template; pact's own if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tokenizer: Option<PathBuf>,
    /// What passes read the weights in: `bf16` takes half the memory and rounds them. The
    /// arithmetic is f32 either way, and so are the copies that a full training moves and saves.
    pub(crate) weights: model::Precision,
    /// A LoRA adapter's folder, in PEFT's layout, to go on training on the weights of `path`. A
    /// `path` may be such a folder too, if its base can be found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) adapter: Option<PathBuf>,
    /// A model folder that training is pulled towards where `objective.kl.weight` is more than
    /// 0. Not set: the policy that the run begins with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reference: Option<PathBuf>,
    /// A fresh LoRA adapter to train on the weights of `path`, which then stand still.
    pub(crate) lora: model::LoraConfig,
}

/// The size of a fresh model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Preset {
    /// Hidden 128, 4 layers, 4 heads.
    Tiny,
    /// Hidden 256, 6 layers, 8 heads.
    Small,
}

impl From<Preset> for model::Preset {
    fn from(preset: Preset) -> Self {
        match preset {
            Preset::Tiny => Self::Tiny,
            Preset::Small => Self::Small,
        }
    }
}

/// What a run is trained and evaluated on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Data {
    /// The tasks to train on, with their expert traces.
    pub(crate) train: Source,
    /// Expert traces for them, one a line, in the place of those that come with them: what
    /// `pact trace build` wrote, say. Not for an endless stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) traces: Option<PathBuf>,
    /// The tasks of evaluations, which are never trained on.
    pub(crate) eval: Source,
}

impl Default for Data {
    fn default() -> Self {
        let held_out = world::Config {
            split: world::Split::Test,
            ..world::Config::default()
        };
        Self {
            train: Source::World(world::Config::default()),
            traces: None,
            eval: Source::World(held_out),
        }
    }
}

/// Where tasks and traces come from: one of these tables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) enum Source {
    /// A fixed set of tasks of the built-in tool world, gone through again and again.
    World(world::Config),
    /// An endless stream of tasks of the tool world, none drawn twice; `tasks` is not read.
    /// For training only.
    Stream(world::Config),
    /// Rows of a file in FTRL's format, whose tools are Python programs.
    Ftrl(Ftrl),
    /// Questions of ToolHop, whose tools are Python programs.
    Toolhop(ToolHop),
    /// The Berkeley Function Calling Leaderboard.
    Bfcl(bfcl::BfclOptions),
    /// Tasks over a database that is to end in a known state, as FTRL packages tau-bench.
    Tau(Tau),
    /// Tasks of one's own, with tools of one's own.
    Own(remote::own::OwnTools),
}

/// Rows of a file in FTRL's format.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Ftrl {
    /// The tasks, one row a line.
    pub(crate) file: PathBuf,
    /// Expert traces for them, one a line. Without it, tasks have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) traces: Option<PathBuf>,
    /// Whether a tool that does not compile is the agent's affair, who reads Python's message
    /// when it calls the tool, and not an error.
    #[serde(default)]
    pub(crate) allow_broken_tools: bool,
}

/// Questions of ToolHop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ToolHop {
    /// The questions: the published JSON, or one a line.
    pub(crate) file: PathBuf,
    /// How every question is asked: `direct`, `mandatory`, `free`. Of several scenarios each has
    /// a task of its own for each question.
    pub(crate) scenarios: Vec<Scenario>,
    /// Expert traces for them, one a line. Without it, tasks have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) traces: Option<PathBuf>,
    /// Whether a tool that does not compile is the agent's affair, who reads Python's message
    /// when it calls the tool, and not an error.
    pub(crate) allow_broken_tools: bool,
}

impl Default for ToolHop {
    fn default() -> Self {
        Self {
            file: PathBuf::new(),
            scenarios: vec![Scenario::Mandatory],
            traces: None,
            allow_broken_tools: false,
        }
    }
}

/// Tasks over a database, as FTRL packages tau-bench.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Tau {
    /// The tasks, one a line; beside it a folder for each domain.
    pub(crate) file: PathBuf,
    /// Expert traces for them, one a line. Without it, tasks have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) traces: Option<PathBuf>,
}

/// The evaluations before, during and after training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Eval {
    /// Evaluate on this many tasks, the first of `data.eval`; 0 is all.
    pub(crate) tasks: usize,
    /// Tasks of the evaluations before the last step, the first of the last one's; 0 is as many
    /// as in the last one. Few make learning curves cheap.
    pub(crate) tasks_between: usize,
    /// Evaluate with the likeliest token always.
    pub(crate) greedy: bool,
    /// Evaluate with tokens drawn as in training.
    pub(crate) sampled: bool,
    /// Whether evaluations before the last step, too, are made with the likeliest token.
    pub(crate) greedy_between: bool,
    /// Whether evaluations before the last step, too, are made with drawn tokens.
    pub(crate) sampled_between: bool,
}

impl Default for Eval {
    fn default() -> Self {
        Self {
            tasks: 0,
            tasks_between: 0,
            greedy: true,
            sampled: true,
            greedy_between: true,
            sampled_between: true,
        }
    }
}

/// A key whose value no run can mean.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wrong {
    /// From the top, `rollout.max-turns`.
    pub(crate) key: String,
    /// What it is, and what was expected.
    pub(crate) problem: String,
}

impl RunConfig {
    /// Refuses values that no run can mean, and switches that contradict each other, all at once.
    pub(crate) fn check(&self) -> Result<(), Vec<Wrong>> {
        let mut wrongs = Vec::new();
        if let Err(error) = self.rollout.check() {
            let problem = format!("is {}, expected {}", error.value, error.expected);
            wrongs.push(within("rollout", error.field, problem));
        }
        if let Err(error) = self.reward.check() {
            let problem = format!("is {}, expected {}", error.value, error.expected);
            wrongs.push(within("reward", error.field, problem));
        }
        for error in self.objective.check().err().unwrap_or_default() {
            wrongs.push(within("objective", error.field, error.problem));
        }
        if let Err(error) = self.optimizer.check() {
            wrongs.push(in_message("optimizer", &error.to_string()));
        }
        let checks = [
            self.check_engine(),
            self.check_model(),
            self.check_source("data.train", &self.data.train),
            self.check_source("data.eval", &self.data.eval),
            self.check_train(),
            self.check_trace(),
            self.check_reward(),
            self.check_eval(),
        ];
        wrongs.extend(checks.into_iter().filter_map(Result::err));
        if self.data.traces.is_some() && matches!(self.data.train, Source::Stream(_)) {
            let problem = "is set, but `data.train.stream` never ends, expected `world` or `ftrl`";
            wrongs.push(within("data", "traces", problem.to_owned()));
        }
        if matches!(self.data.eval, Source::Stream(_)) {
            let problem = "never ends, expected `world` or `ftrl`";
            wrongs.push(within("data.eval", "stream", problem.to_owned()));
        }
        match wrongs.is_empty() {
            true => Ok(()),
            false => Err(wrongs),
        }
    }

    fn check_trace(&self) -> Result<(), Wrong> {
        let (trace, default) = (&self.trace, train::Trace::default());
        let algorithm = self.objective.algorithm;
        let unread = format!(
            "is set, but `objective.algorithm = \"{}\"` scores nothing under a trace",
            algorithm.name()
        );
        let shown = |it: &train::Trace| (it.place, it.observations, it.reasoning);
        let scores = [Algorithm::Pact, Algorithm::SelfDistillation].contains(&algorithm);
        if shown(trace) != shown(&default) && !scores {
            let fields = [
                ("place", trace.place != default.place),
                ("observations", !trace.observations),
                ("reasoning", !trace.reasoning),
            ];
            let field = fields.into_iter().find(|(_, differs)| *differs);
            return Err(within("trace", field.map_or("place", |it| it.0), unread));
        }
        if trace.template.is_some() && trace.place == train::Place::Turns {
            let problem = "is set, but `trace.place = \"turns\"` prints no text, expected \
                           `system` or `user`";
            return Err(within("trace", "template", problem.to_owned()));
        }
        Ok(())
    }

    fn check_reward(&self) -> Result<(), Wrong> {
        let is_told_by_turns = self.reward.kind.is_none_or(|kind| kind.has_turn_rewards());
        if self.objective.algorithm == Algorithm::MatchTir && !is_told_by_turns {
            let problem = "has no reward for each turn, which `objective.algorithm = \
                           \"match-tir\"` needs, expected `match-tir` or `ftrl`";
            return Err(within("reward", "kind", problem.to_owned()));
        }
        Ok(())
    }

    fn check_eval(&self) -> Result<(), Wrong> {
        let (all, between) = (self.eval.tasks, self.eval.tasks_between);
        if all > 0 && between > all {
            let problem = format!("is {between}, expected at most `eval.tasks`, {all}");
            return Err(within("eval", "tasks-between", problem));
        }
        Ok(())
    }

    fn check_engine(&self) -> Result<(), Wrong> {
        let sizes = [
            ("engine.memory-gib", self.engine.memory_gib),
            ("engine.cache-gib", self.engine.cache_gib),
        ];
        match sizes
            .into_iter()
            .find(|(_, gib)| !(*gib >= 0.0 && gib.is_finite()))
        {
            Some((key, gib)) => Err(Wrong {
                key: key.to_owned(),
                problem: format!("is {gib}, expected a number from 0 up"),
            }),
            None => Ok(()),
        }
    }

    fn check_model(&self) -> Result<(), Wrong> {
        let fresh = [
            ("preset", self.model.preset.is_some()),
            ("tokenizer", self.model.tokenizer.is_some()),
        ];
        match fresh.into_iter().find(|(_, is_set)| *is_set) {
            Some((field, _)) if self.model.path.is_some() => Err(Wrong {
                key: format!("model.{field}"),
                problem: "is set beside `model.path`, expected only one of them".to_owned(),
            }),
            _ => self.check_adapter(),
        }
    }

    fn check_adapter(&self) -> Result<(), Wrong> {
        let model = &self.model;
        let wrong = |field: &str, problem: &str| {
            Err(Wrong {
                key: format!("model.{field}"),
                problem: problem.to_owned(),
            })
        };
        let lora = model.lora.rank > 0;
        if lora && model.adapter.is_some() {
            return wrong(
                "lora.rank",
                "is set beside `model.adapter`, whose rank is its own, expected only one of them",
            );
        }
        let field = match lora {
            true => "lora.rank",
            false => "adapter",
        };
        if (lora || model.adapter.is_some()) && model.path.is_none() {
            return wrong(
                field,
                "is set without `model.path`, the weights to put it on",
            );
        }
        if let Err(error) = model.lora.check() {
            return Err(in_message("model.lora", &error.to_string()));
        }
        Ok(())
    }

    fn check_source(&self, key: &str, source: &Source) -> Result<(), Wrong> {
        let (variant, world) = match source {
            Source::World(world) => ("world", world),
            Source::Stream(world) => ("stream", world),
            _ => return Ok(()),
        };
        let message = world.check().map_err(|error| error.to_string());
        message.map_err(|text| in_message(&format!("{key}.{variant}"), &text))
    }

    fn check_train(&self) -> Result<(), Wrong> {
        let counts = [
            ("train.prompts-per-step", self.train.prompts_per_step),
            ("train.mini-batches", self.train.mini_batches),
            ("train.inner-epochs", self.train.inner_epochs),
        ];
        if let Some((key, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(Wrong {
                key: key.to_owned(),
                problem: "is 0, expected 1 or more".to_owned(),
            });
        }
        if !(0.0..=1.0).contains(&self.train.worked_examples) {
            return Err(Wrong {
                key: "train.worked-examples".to_owned(),
                problem: format!(
                    "is {}, expected a share from 0 to 1",
                    self.train.worked_examples
                ),
            });
        }
        let bounds = [
            ("sampler-gap-warning", self.train.sampler_gap_warning),
            ("sampler-gap-limit", self.train.sampler_gap_limit),
            ("heartbeat-seconds", self.train.heartbeat_seconds),
        ];
        if let Some((key, bound)) = (bounds.into_iter()).find(|it| !(0.0..1e9).contains(&it.1)) {
            let problem = format!("is {bound}, expected 0 or more, and below 1e9");
            return Err(within("train", key, problem));
        }
        let (first, steps) = (self.objective.sft_first_steps, self.train.steps);
        if first > 0 && steps > 0 && first >= steps {
            let name = self.objective.algorithm.name();
            let problem =
                format!("is {first} of `train.steps = {steps}`, which leaves none to `{name}`");
            return Err(within("objective", "sft-first-steps", problem));
        }
        let (cache, longest) = (self.objective.overlong.cache, self.rollout.max_tokens);
        if let Some(cache) = cache.filter(|cache| *cache > longest) {
            let problem = format!("is {cache}, expected at most `rollout.max-tokens`, {longest}");
            return Err(within("objective", "overlong.cache", problem));
        }
        Ok(())
    }
}

fn within(table: &str, field: &str, problem: String) -> Wrong {
    Wrong {
        key: format!("{table}.{field}"),
        problem,
    }
}

/// A crate's message that names its own field first between backticks: "`eps` is -1, …".
fn in_message(table: &str, message: &str) -> Wrong {
    let mut parts = message.splitn(3, '`').skip(1);
    let (field, problem) = (parts.next(), parts.next());
    Wrong {
        key: format!("{table}.{}", field.unwrap_or_default()),
        problem: problem.unwrap_or(message).trim_start().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_config_can_be_run() {
        assert_eq!(RunConfig::default().check(), Ok(()));
    }

    #[test]
    fn a_value_that_makes_no_sense_is_named_from_the_top() {
        let check = |text: &str, key: &str, problem: &str| {
            let config: RunConfig = toml::from_str(text).expect("known keys");
            let wrongs = config.check().expect_err(text);
            let wrong = &wrongs[0];
            assert_eq!((wrong.key.as_str(), wrong.problem.as_str()), (key, problem));
        };
        check(
            "rollout.max-turns = 0",
            "rollout.max-turns",
            "is 0, expected 1 or more",
        );
        check(
            "optimizer.eps = -1.0",
            "optimizer.eps",
            "is -1, expected a number from 0 up",
        );
        check(
            "data.train.world.hops = [3, 2]",
            "data.train.world.hops",
            "is [3, 2], expected [fewest, most] within 1..=6\nhint: the default is [2, 3]",
        );
        check(
            "engine.memory-gib = -1",
            "engine.memory-gib",
            "is -1, expected a number from 0 up",
        );
        check(
            "[data.eval.stream]",
            "data.eval.stream",
            "never ends, expected `world` or `ftrl`",
        );
        check(
            "data.traces = \"t\"\n[data.train.stream]",
            "data.traces",
            "is set, but `data.train.stream` never ends, expected `world` or `ftrl`",
        );
        check(
            "model = { path = \"base\", preset = \"tiny\" }",
            "model.preset",
            "is set beside `model.path`, expected only one of them",
        );
        check(
            "model.lora.rank = 4",
            "model.lora.rank",
            "is set without `model.path`, the weights to put it on",
        );
        check(
            "[model]\npath = \"base\"\nadapter = \"a\"\nlora.rank = 4",
            "model.lora.rank",
            "is set beside `model.adapter`, whose rank is its own, expected only one of them",
        );
        check(
            "model.lora.dropout = 0.25",
            "model.lora.dropout",
            "is 0.25, expected 0: dropout is not implemented",
        );
        check(
            "model.lora.targets = []",
            "model.lora.targets",
            "is empty, expected the weights that have an adapter",
        );
        check(
            "eval = { tasks = 20, tasks-between = 21 }",
            "eval.tasks-between",
            "is 21, expected at most `eval.tasks`, 20",
        );
        check(
            "train.steps = 5\nobjective.sft-first-steps = 5",
            "objective.sft-first-steps",
            "is 5 of `train.steps = 5`, which leaves none to `pact`",
        );
        check(
            "rollout.max-tokens = 10\nobjective.overlong.cache = 11",
            "objective.overlong.cache",
            "is 11, expected at most `rollout.max-tokens`, 10",
        );
        check(
            "objective.algorithm = \"match-tir\"\nreward.kind = \"solve-f1\"",
            "reward.kind",
            "has no reward for each turn, which `objective.algorithm = \"match-tir\"` needs, \
             expected `match-tir` or `ftrl`",
        );
        check(
            "trace.template = \"{{ answer }}\"",
            "trace.template",
            "is set, but `trace.place = \"turns\"` prints no text, expected `system` or `user`",
        );
        check(
            "objective.algorithm = \"grpo\"\ntrace.observations = false",
            "trace.observations",
            "is set, but `objective.algorithm = \"grpo\"` scores nothing under a trace",
        );
        check(
            "train.inner-epochs = 0",
            "train.inner-epochs",
            "is 0, expected 1 or more",
        );
    }
}
