//! The trainer: its step, its evaluation, and how it goes on where it stopped.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chat::Chat;
use env::Suite;
use episode::{Evaluation, EvaluationMode, Group, Phase, RunRecord, Seed, Task};
use model::Model;
use objective::{Context, Imitation, Recipe, is_anchored, off_policy_advantage};
use rand::RngExt;
use rollout::{Activity, Setting, Start};

use crate::batch::{Batch, Example};
use crate::checkpoint::{Checkpoint, State};
use crate::credit::credits;
use crate::experience::{Experience, Gather, Rolled, RolloutCost};
use crate::faults::Faults;
use crate::folder::{RunFolder, StepRecord};
use crate::judge::Judge;
use crate::learner::{Fixed, Learner, Update, forests};
use crate::reference::Reference;
use crate::{ModelPolicy, Parts, Settings, Source, TrainError, metrics, plan};

/// Time since some fixed moment.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// The largest memory of this process so far, in bytes, where it is known.
pub type Memory = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

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
    /// Where the objective has a divergence from it.
    reference: Option<Reference>,
    folder: RunFolder,
    /// Files that make a checkpoint's folder a whole model folder, by name and text.
    companions: Vec<(String, String)>,
    clock: Clock,
    memory: Memory,
    activity: Activity,
    faults: Faults,
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
    /// What somebody should look at.
    pub warnings: Vec<&'static str>,
}

impl Trainer {
    /// A run's beginning, which writes into `folder`.
    pub fn new(parts: Parts, folder: RunFolder) -> Result<Self, TrainError> {
        parts.check()?;
        let Parts {
            settings,
            mut model,
            reference,
            chat,
            source,
            companions,
            clock,
            memory,
        } = parts;
        let activity = Activity::new(Arc::clone(&clock));
        let keep = plan::keep(&settings.train);
        if settings.rollout.temperature > 0.0 {
            model.temperature = settings.rollout.temperature as f32;
        }
        let reference = (settings.objective.kl_weight() > 0.0)
            .then(|| match reference {
                Some(mut reference) => {
                    reference.temperature = model.temperature;
                    Ok(Reference::Whole(Box::new(reference)))
                }
                None => Reference::of_start(&model),
            })
            .transpose()?;
        let mut learner = Learner::new(&model, settings.optimizer, keep)?;
        learner.activity = activity.clone();
        Ok(Self {
            learner,
            reference,
            settings,
            model,
            step: 0,
            chat,
            source,
            folder,
            companions,
            clock,
            memory,
            activity,
            faults: Faults::default(),
        })
    }

    /// A run as `checkpoint` left it, or at its beginning where there is none; it goes on as if
    /// it had never stopped. Its folder is told `config` and `record` once everything is as it
    /// was, and stays as it is if something does not fit. Says what of the time before is missing
    /// there. Whether data and settings are those that the run began with is the caller's to compare.
    pub fn resume(
        parts: Parts,
        folder: RunFolder,
        checkpoint: Option<&Checkpoint>,
        config: &str,
        record: &RunRecord,
    ) -> Result<(Self, Vec<String>), TrainError> {
        let mut trainer = Self::new(parts, folder)?;
        if let Some(checkpoint) = checkpoint {
            checkpoint.restore(&mut trainer.model)?;
            trainer.learner.optimizer.restore(checkpoint.optimizer()?)?;
            trainer.step = checkpoint.state.step;
        }
        let missing = trainer.folder.go_on(config, record, checkpoint)?;
        if let Some(checkpoint) = checkpoint {
            trainer.prune(&checkpoint.path)?;
        }
        trainer.faults.skipped_in_a_row = trainer.folder.skipped_in_a_row()?;
        Ok((trainer, missing))
    }

    /// One training step: rollouts, batch, update, record.
    pub fn step(&mut self) -> Result<StepReport, TrainError> {
        let seed = self.settings.seed.named("step").child(self.step);
        let recipe = self.settings.recipe(self.step);

        self.activity.enter(Phase::Rollout, self.step);
        let experience = self.experience(&recipe, seed.named("rollout"))?;
        experience.cost.check()?;
        self.activity.enter(Phase::Learn, self.step);
        let anchored = anchored(&experience, &recipe, seed.named("anchor"));
        let update = self.learn(&experience, &anchored, &recipe, seed)?;

        let mut metrics = StepRecord::new(self.step);
        metrics::of_rollouts(&experience, &mut metrics);
        metrics::of_recipe(&recipe, &anchored, &mut metrics);
        metrics::of_update(&update, &mut metrics);
        metrics::of_costs(&experience, &self.activity.take_spent(), &mut metrics);
        metrics.set("memory-peak", (self.memory)().map(|bytes| bytes as f64));
        let credits = credits(&experience, &anchored, &recipe, &update.rescored);
        (self.folder).record(self.step, &experience, &credits, &metrics)?;
        let (what, rules) = (
            (&experience, &credits[..]),
            (&self.settings.train, &self.folder),
        );
        self.faults.pass(self.step, &update, what, rules)?;
        let report = StepReport {
            step: self.step,
            warnings: metrics::warnings(&metrics, self.settings.train.sampler_gap_warning),
            update,
            metrics,
        };
        self.step += 1;
        Ok(report)
    }

    /// The step's tasks, with groups sampled from the prompt alone where the recipe samples.
    fn experience(&self, recipe: &Recipe, seed: Seed) -> Result<Experience, TrainError> {
        let (step, count) = (self.step, self.settings.train.prompts_per_step);
        let data = self.settings.seed.named("data");
        let draw = |round: usize| self.source.draw(step, round as u64, count, data);
        let Some(push) = &recipe.rollouts else {
            return Ok(Experience::of_traces(draw(0)));
        };
        let (config, samples) = (&self.settings.rollout, self.settings.rollout.group_size);
        let gather = Gather {
            draw: &draw,
            roll_out: &|suite, starts, seed| self.roll_out(suite, starts, samples, config, seed),
            judge: Judge::of(&self.settings),
            with_trace: matches!(recipe.imitation, Some(Imitation::OffPolicy { .. })),
        };
        Experience::gather(&gather, push, seed)
    }

    /// Every update of the step: one, unless the batch is cut or gone through again.
    fn learn(
        &mut self,
        experience: &Experience,
        anchored: &[bool],
        recipe: &Recipe,
        seed: Seed,
    ) -> Result<Update, TrainError> {
        let train = &self.settings.train;
        let examples = examples(experience, anchored, recipe, train.worked_examples, seed);
        let size = examples.len().div_ceil(train.mini_batches.max(1));
        let batches: Vec<Batch> = (examples.chunks(size))
            .map(|part| Batch::build(&self.chat, part, &self.settings.trace, recipe))
            .collect::<Result<_, _>>()?;
        let (learner, model) = (&mut self.learner, &mut self.model);
        let reference: Option<Vec<Vec<Vec<f32>>>> = (self.reference.as_mut())
            .filter(|_| recipe.rollouts.is_some_and(|push| push.kl > 0.0))
            .map(|it| (batches.iter().map(|batch| it.score(learner, model, batch))).collect())
            .transpose()?;
        let is_repeated = batches.len() > 1 || train.inner_epochs > 1;
        let old: Option<Vec<Vec<Vec<f32>>>> = is_repeated
            .then(|| (batches.iter().map(|batch| learner.score(model, batch))).collect())
            .transpose()?;
        let rate = self.settings.schedule.at(self.step, train.steps);
        let forests: usize = batches.iter().map(|it| forests(&it.samples).len()).sum();
        self.activity.expect(forests * train.inner_epochs.max(1));
        let mut sum = Update::default();
        for number in 0..train.inner_epochs.max(1) {
            let mut epoch = Update::default();
            for (i, batch) in batches.iter().enumerate() {
                let fixed = Fixed {
                    old: old.as_ref().map(|old| &old[i][..]),
                    reference: reference.as_ref().map(|reference| &reference[i][..]),
                };
                let update = learner.update(model, batch, fixed, rate)?;
                let update = update.of_step(i * size);
                epoch.absorb(&update);
                if number == 0 {
                    sum.rescored.extend(update.rescored);
                }
            }
            sum.absorb(&epoch);
            sum.epochs.push([epoch.under_prompt, epoch.under_trace]);
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
        self.activity.enter(Phase::Evaluation, self.step);
        let seed = self.settings.seed.named("evaluation");
        let starts: Vec<Start<'_>> = tasks.iter().copied().map(Start::of).collect();
        let (groups, cost) = self.roll_out(suite, &starts, 1, &config, seed)?;
        cost.check()?;
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
    ) -> Result<(Vec<Group>, RolloutCost), TrainError> {
        let cache = self.settings.cache_bytes;
        let stops = self.chat.stop_tokens();
        let mut policy = ModelPolicy::new(&self.model, config, stops, cache)?;
        let setting = Setting {
            chat: &self.chat,
            suite,
            config,
            clock: &*self.clock,
            activity: &self.activity,
        };
        let before = suite.health();
        let groups = rollout::run(&mut policy, &setting, starts, samples, seed, &mut |_| ())?;
        let cost = RolloutCost {
            tools: suite.health().since(&before),
            cache_peak: policy.cache_stats().peak_bytes,
            recomputed: policy.cache_stats().recomputed_tokens,
        };
        Ok((groups, cost))
    }

    /// Writes a checkpoint of the run as it stands, and removes surplus ones. Weights that are
    /// no numbers would push out those to go back to, and are refused.
    pub fn checkpoint(&self, evaluated: bool) -> Result<PathBuf, TrainError> {
        self.activity.enter(Phase::Checkpoint, self.step);
        if !self.model.is_finite()? {
            return Err(TrainError::NotFinite { step: self.step });
        }
        let state = State {
            step: self.step,
            evaluated,
            lengths: Some(self.folder.sync()?),
        };
        let (disk, run) = (self.folder.disk(), self.folder.path());
        let optimizer = &self.learner.optimizer;
        let path = Checkpoint::write(disk, run, &state, &self.model, optimizer, &self.companions)?;
        self.prune(&path)?;
        Ok(path)
    }

    /// Removes what is too much beside the checkpoint `whole`.
    fn prune(&self, whole: &Path) -> Result<(), TrainError> {
        let (disk, run) = (self.folder.disk(), self.folder.path());
        Checkpoint::prune(disk, run, self.settings.train.keep_checkpoints, whole)
    }

    /// Whether all steps are done.
    pub fn is_done(&self) -> bool {
        self.step >= self.settings.train.steps
    }

    /// What it is doing, for whoever watches from another thread.
    pub fn activity(&self) -> &Activity {
        &self.activity
    }

    /// Where the run writes.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }
}

/// Which tasks' rollouts are scored under the prompt alone: method.md's q, drawn once for each
/// prompt and step. Without a trace there is nothing else to be scored under.
fn anchored(experience: &Experience, recipe: &Recipe, seed: Seed) -> Vec<bool> {
    let mut random = model::rng(seed.0);
    let q = match recipe.rollouts.map(|push| push.context) {
        Some(Context::Trace { anchor, .. }) => anchor,
        Some(Context::Prompt) => 1.0,
        Some(Context::Teacher { .. }) | None => 0.0,
    };
    let draw = |one: &Rolled| is_anchored(q, random.random()) || one.trace.is_none();
    experience.rolled.iter().map(draw).collect()
}

fn examples<'a>(
    experience: &'a Experience,
    anchored: &[bool],
    recipe: &Recipe,
    worked_examples: f64,
    seed: Seed,
) -> Vec<Example<'a>> {
    let mut random = model::rng(seed.named("learn").0);
    let advantages = experience.advantages(recipe.rollouts.as_ref());
    (experience.rolled.iter().zip(advantages).zip(anchored))
        .map(|((one, advantages), &anchored)| {
            let episodes = one.group.iter().flat_map(|group| &group.episodes);
            let rewards: Vec<f64> = episodes.map(|e| e.score.reward).collect();
            let of_trace = |reward| off_policy_advantage(reward, &rewards) as f32;
            Example {
                task: &one.task,
                trace: one.trace.as_ref(),
                group: one.group.as_ref(),
                advantages,
                trace_advantage: one.trace_reward.map_or(0.0, of_trace),
                anchored,
                repeated: random.random::<f64>() < worked_examples,
                hint_turns: one.hint_turns,
            }
        })
        .collect()
}
