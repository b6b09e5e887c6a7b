//! The trainer: its step, its evaluation, and how it goes on where it stopped.

use std::sync::Arc;
use std::time::Duration;

use chat::Chat;
use env::Suite;
use episode::{Evaluation, EvaluationMode, Group, Seed, Task};
use model::{Model, OptimizerKind};
use objective::{Algorithm, is_anchored};
use rand::RngExt;
use rollout::{Setting, Start};

use crate::batch::{Batch, Example};
use crate::checkpoint::{Checkpoint, State};
use crate::folder::{RunFolder, StepRecord};
use crate::learner::{Learner, Update};
use crate::{Drawn, ModelPolicy, Settings, Source, TrainError, plan};

/// Time since some fixed moment.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// A training run between two steps.
pub struct Trainer {
    /// What the run was asked to do.
    pub settings: Settings,
    /// The policy as it is now.
    pub model: Model,
    /// Steps done.
    pub step: u64,
    chat: Chat,
    source: Source,
    learner: Learner,
    folder: RunFolder,
    /// Files that make a checkpoint's folder a whole model folder, by name and text.
    companions: Vec<(String, String)>,
    clock: Clock,
}

/// What one step did, for whoever watches.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// Counted from 0.
    pub step: u64,
    /// What the learner did.
    pub update: Update,
    /// The step's line of metrics.jsonl.
    pub metrics: StepRecord,
}

/// What a new trainer is made of.
pub struct Parts {
    /// Every choice of the run.
    pub settings: Settings,
    /// Where it begins.
    pub model: Model,
    /// The model's tokenizer and template.
    pub chat: Chat,
    /// Where the tasks come from.
    pub source: Source,
    /// Files that make a checkpoint's folder a whole model folder (the tokenizer's), by name
    /// and text.
    pub companions: Vec<(String, String)>,
    /// Time since some fixed moment.
    pub clock: Clock,
}

impl Parts {
    /// Refuses a model, a tokenizer, data and an optimiser that do not belong together.
    pub fn check(&self) -> Result<(), TrainError> {
        let setup = |problem: String, hint: &str| {
            let hint = hint.into();
            Err(TrainError::Setup { problem, hint })
        };
        let (rows, ids) = (self.model.architecture.vocab_size, self.chat.vocab_size());
        if ids > rows {
            return setup(
                format!("the tokenizer has {ids} tokens, but the model's vocabulary only {rows}"),
                "use the tokenizer that the model was made with",
            );
        }
        if self.source.is_empty() {
            return setup(
                "there is no task to train on".into(),
                "give `data.train` tasks and, for `sft`, traces that end with an answer",
            );
        }
        let muon = self.settings.optimizer.kind == OptimizerKind::Muon;
        if muon && self.model.adapter.is_some() {
            return setup(
                "Muon moves whole weights, but an adapter is trained".into(),
                "`--set optimizer.kind=adamw`",
            );
        }
        Ok(())
    }
}

impl Trainer {
    /// A run's beginning, which writes into `folder`.
    pub fn new(parts: Parts, folder: RunFolder) -> Result<Self, TrainError> {
        parts.check()?;
        let Parts {
            settings,
            mut model,
            chat,
            source,
            companions,
            clock,
        } = parts;
        let keep = plan::keep(&settings.train);
        if settings.rollout.temperature > 0.0 {
            model.temperature = settings.rollout.temperature as f32;
        }
        Ok(Self {
            learner: Learner::new(&model, settings.optimizer, settings.objective, keep),
            settings,
            model,
            step: 0,
            chat,
            source,
            folder,
            companions,
            clock,
        })
    }

    /// A run as its checkpoint left it; it goes on as if it had never stopped.
    pub fn resume(
        parts: Parts,
        folder: RunFolder,
        checkpoint: &Checkpoint,
    ) -> Result<Self, TrainError> {
        let mut trainer = Self::new(parts, folder)?;
        if trainer.source.digest() != checkpoint.state.tasks {
            return Err(TrainError::Setup {
                problem: format!(
                    "`{}` was written by a run over other tasks",
                    checkpoint.path.display()
                ),
                hint: "resume with the data that the run began with, or begin a new run from \
                       the checkpoint with `--set model.path=…`"
                    .into(),
            });
        }
        checkpoint.restore(&mut trainer.model)?;
        trainer.learner.optimizer.restore(checkpoint.optimizer()?)?;
        trainer.step = checkpoint.state.step;
        Ok(trainer)
    }

    /// One training step: rollouts, batch, update, record.
    pub fn step(&mut self) -> Result<StepReport, TrainError> {
        let seed = self.settings.seed.named("step").child(self.step);
        let count = self.settings.train.prompts_per_step;
        let drawn = self
            .source
            .draw(self.step, count, self.settings.seed.named("data"));

        let began = (self.clock)();
        let groups = self.rollout(&drawn, seed)?;
        let rolled_out = (self.clock)();
        let update = self.learn(&drawn, &groups, seed)?;
        let learned = (self.clock)();

        let mut metrics = record(self.step, &groups, &update);
        metrics.set("seconds-rollout", (rolled_out - began).as_secs_f64());
        metrics.set("seconds-learn", (learned - rolled_out).as_secs_f64());
        self.folder.record(self.step, &groups, &metrics)?;
        let report = StepReport {
            step: self.step,
            update,
            metrics,
        };
        self.step += 1;
        Ok(report)
    }

    /// The step's groups, sampled from the prompt alone; none with `algorithm = "sft"`.
    fn rollout(&self, drawn: &Drawn, seed: Seed) -> Result<Vec<Group>, TrainError> {
        if self.settings.objective.algorithm == Algorithm::Sft {
            return Ok(Vec::new());
        }
        let tasks = drawn.tasks.iter().map(|(task, _)| task);
        let starts: Vec<Start<'_>> = tasks.map(Start::of).collect();
        let (config, samples) = (&self.settings.rollout, self.settings.rollout.group_size);
        self.roll_out(
            &*drawn.suite,
            &starts,
            samples,
            config,
            seed.named("rollout"),
        )
    }

    /// Every update of the step: one, unless the batch is cut or gone through again.
    fn learn(&mut self, drawn: &Drawn, groups: &[Group], seed: Seed) -> Result<Update, TrainError> {
        let (train, objective) = (&self.settings.train, &self.settings.objective);
        let progress = self.step as f64 / train.steps.max(1) as f64;
        let mut random = model::rng(seed.named("learn").0);
        let examples: Vec<Example<'_>> = (drawn.tasks.iter().enumerate())
            .map(|(i, (task, trace))| Example {
                task,
                trace: trace.as_ref(),
                group: groups.get(i),
                anchored: is_anchored(objective.anchor, random.random()),
                repeated: random.random::<f64>() < train.worked_examples,
            })
            .collect();
        let size = examples.len().div_ceil(train.mini_batches.max(1));
        let batches: Vec<Batch> = (examples.chunks(size))
            .map(|part| Batch::build(&self.chat, part, &train.again, progress, objective))
            .collect::<Result<_, _>>()?;
        let rate = self.settings.schedule.at(self.step, train.steps);
        if batches.len() == 1 && train.inner_epochs <= 1 {
            return Ok(self
                .learner
                .update(&mut self.model, &batches[0], None, rate));
        }
        let old: Vec<_> = (batches.iter())
            .map(|batch| self.learner.score(&self.model, batch))
            .collect();
        let mut sum = Update::default();
        for _ in 0..train.inner_epochs.max(1) {
            for (batch, old) in batches.iter().zip(&old) {
                let update = (self.learner).update(&mut self.model, batch, Some(old), rate);
                sum.absorb(&update);
            }
        }
        Ok(sum)
    }

    /// Rolls out every given task once and writes down what came of it. Nothing is trained.
    pub fn evaluate(
        &self,
        suite: &dyn Suite,
        tasks: &[&Task],
        mode: EvaluationMode,
    ) -> Result<Evaluation, TrainError> {
        let mut config = self.settings.rollout;
        if mode == EvaluationMode::Greedy {
            config.temperature = 0.0;
        }
        let seed = self.settings.seed.named("evaluation");
        let starts: Vec<Start<'_>> = tasks.iter().copied().map(Start::of).collect();
        let groups = self.roll_out(suite, &starts, 1, &config, seed)?;
        let evaluation = Evaluation::of(self.step, mode, &groups);
        self.folder.evaluated(&evaluation, &groups)?;
        Ok(evaluation)
    }

    fn roll_out(
        &self,
        suite: &dyn Suite,
        starts: &[Start<'_>],
        samples: usize,
        config: &rollout::Config,
        seed: Seed,
    ) -> Result<Vec<Group>, TrainError> {
        let cache = self.settings.cache_bytes;
        let stops = self.chat.stop_tokens();
        let mut policy = ModelPolicy::new(&self.model, config, stops, cache)?;
        let setting = Setting {
            chat: &self.chat,
            suite,
            config,
            clock: &*self.clock,
        };
        Ok(rollout::run(
            &mut policy,
            &setting,
            starts,
            samples,
            seed,
            &mut |_| (),
        )?)
    }

    /// Writes a checkpoint of the run as it stands, and removes surplus ones.
    pub fn checkpoint(&self, evaluated: bool) -> Result<std::path::PathBuf, TrainError> {
        let state = State {
            step: self.step,
            evaluated,
            tasks: self.source.digest(),
        };
        let run = self.folder.path();
        let optimizer = &self.learner.optimizer;
        let path = Checkpoint::write(run, &state, &self.model, optimizer, &self.companions)?;
        Checkpoint::prune(run, self.settings.train.keep_checkpoints)?;
        Ok(path)
    }

    /// Whether all steps are done.
    pub fn is_done(&self) -> bool {
        self.step >= self.settings.train.steps
    }

    /// Where the run writes.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }
}

/// The step's line of metrics.jsonl.
fn record(step: u64, groups: &[Group], update: &Update) -> StepRecord {
    let mut metrics = StepRecord::new(step);
    let episodes: Vec<_> = groups.iter().flat_map(|group| &group.episodes).collect();
    if !episodes.is_empty() {
        let count = episodes.len() as f64;
        let mean = |of: &dyn Fn(&episode::Episode) -> f64| {
            episodes.iter().map(|e| of(e)).sum::<f64>() / count
        };
        metrics.set("reward", mean(&|e| e.score.reward));
        let mut names: Vec<&String> = episodes
            .iter()
            .flat_map(|e| e.score.metrics.keys())
            .collect();
        names.sort();
        names.dedup();
        for name in names {
            let of = |e: &episode::Episode| e.score.metrics.get(name).copied().unwrap_or(0.0);
            metrics.set(name, mean(&of));
        }
        metrics.set("turns", mean(&|e| e.turns.len() as f64));
        metrics.set("prompt-tokens", mean(&|e| e.prompt_tokens as f64));
        metrics.set("episode-tokens", mean(&|e| e.sampled_tokens() as f64));
        let failures =
            |e: &episode::Episode| e.turns.iter().map(|turn| turn.failures.len() as f64).sum();
        metrics.set("parse-failures", mean(&failures));
        let cut_off = |e: &episode::Episode| {
            use episode::StopReason::{Answered, ScriptEnded};
            f64::from(!matches!(e.stop, Answered | ScriptEnded))
        };
        metrics.set("cut-off", mean(&cut_off));
        let flat = groups.iter().filter(|group| {
            let reward = |e: &episode::Episode| e.score.reward;
            let first = group.episodes.first().map(reward);
            group.episodes.iter().all(|e| Some(reward(e)) == first)
        });
        metrics.set("flat-groups", flat.count() as f64 / groups.len() as f64);
    }
    update.record(&mut metrics);
    metrics
}
