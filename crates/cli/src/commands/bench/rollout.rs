//! `pact bench rollout`: the first steps of a run, whole: rollouts with tools, rewards, update.
//! What the run writes goes to a folder that is removed afterwards.

use std::sync::Arc;

use anyhow::Result;
use env::world;
use episode::RunRecord;
use objective::Algorithm;
use serde_json::{Map, Value, json};
use store::RealDisk;
use train::{RunFolder, StepReport, Trainer};

use super::measurement::{median, mib, table};
use crate::args::BenchRollout;
use crate::commands::train::parts;
use crate::config::{self, RunConfig, Source};
use crate::{clock, config_file, engine};

/// What some steps took.
struct Steps {
    seconds_rollout: Vec<f64>,
    seconds_update: Vec<f64>,
    /// Sampled in each step.
    tokens: Vec<usize>,
    /// Of one step.
    episodes: usize,
    parameters: usize,
    peak_bytes: Option<u64>,
}

pub(super) fn run(arguments: &BenchRollout) -> Result<()> {
    let mut config = match &arguments.config {
        Some(file) => config_file::read(Some(file), &arguments.set)?,
        None => config_file::overridden(usual(), &arguments.set)?,
    };
    config.train.steps = arguments.repetitions as u64 + 1;
    if let Some(folder) = &arguments.model {
        config.model = config::Model {
            path: Some(folder.clone()),
            ..config::Model::default()
        };
    }
    if let Some(threads) = arguments.threads {
        config.engine.threads = threads;
    }
    engine::start(&config.engine)?;
    let place = tempfile::tempdir()?;
    let run = place.path().join("run");
    let folder = RunFolder::create(Arc::new(RealDisk), &run, "", &RunRecord::default())?;
    let trainer = Trainer::new(parts(&config, clock::start())?, folder)?;
    eprintln!("{}", engine::chosen(&trainer.model)?);
    let steps = Steps::measure(trainer)?;
    super::print(arguments.json, steps.to_json(), &steps.to_text())
}

/// GRPO on the tool world by a model that has learned nothing.
fn usual() -> RunConfig {
    let mut config = RunConfig::default();
    config.objective.algorithm = Algorithm::Grpo;
    config.data.train = Source::World(world::Config {
        tasks: 64,
        ..world::Config::default()
    });
    config.rollout.group_size = 8;
    config.rollout.max_turn_tokens = 64;
    config.rollout.max_tokens = 4096;
    config.train.prompts_per_step = 4;
    config
}

impl Steps {
    /// All steps of a trainer; the first does not count.
    fn measure(mut trainer: Trainer) -> Result<Self> {
        engine::forget_peak();
        trainer.step()?;
        let mut reports: Vec<StepReport> = Vec::new();
        while !trainer.is_done() {
            reports.push(trainer.step()?);
        }
        let seconds = |name: &str| {
            let of = |report: &StepReport| report.metrics.get(name).unwrap_or(0.0);
            reports.iter().map(of).collect()
        };
        let settings = &trainer.settings;
        let group = match settings.objective.algorithm.samples() {
            false => 0,
            true => settings.rollout.group_size,
        };
        Ok(Self {
            seconds_rollout: seconds("seconds-rollout"),
            seconds_update: seconds("seconds-learn"),
            tokens: reports
                .iter()
                .map(|report| report.update.sampled_tokens())
                .collect(),
            episodes: settings.train.prompts_per_step * group,
            parameters: trainer.model.weights.layout().len,
            peak_bytes: engine::peak_memory(),
        })
    }

    fn seconds(&self) -> Vec<f64> {
        let pairs = self.seconds_rollout.iter().zip(&self.seconds_update);
        pairs.map(|(rollout, update)| rollout + update).collect()
    }

    fn all_seconds(&self) -> f64 {
        self.seconds().iter().sum()
    }

    /// Over all steps: they sample different numbers of tokens.
    fn tokens_per_second(&self) -> f64 {
        self.tokens.iter().sum::<usize>() as f64 / self.all_seconds()
    }

    fn episodes_per_second(&self) -> f64 {
        (self.episodes * self.tokens.len()) as f64 / self.all_seconds()
    }

    fn to_json(&self) -> Map<String, Value> {
        let fields = [
            ("tokens-per-second", json!(self.tokens_per_second())),
            ("episodes-per-second", json!(self.episodes_per_second())),
            ("seconds", json!(self.seconds())),
            ("seconds-rollout", json!(self.seconds_rollout)),
            ("seconds-update", json!(self.seconds_update)),
            ("tokens", json!(self.tokens)),
            ("episodes", json!(self.episodes)),
            ("peak-bytes", json!(self.peak_bytes)),
            ("threads", json!(rayon::current_num_threads())),
            ("instructions", json!(model::Instructions::current().name())),
            ("parameters", json!(self.parameters)),
        ];
        (fields.into_iter())
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    fn to_text(&self) -> String {
        let row = |what: &str, value: String, note: String| [what.to_owned(), value, note];
        let steps = self.tokens.len();
        let tokens = format!(
            "{} sampled tokens in {:.3} s, {steps} steps of rollout, reward and update",
            self.tokens.iter().sum::<usize>(),
            self.all_seconds()
        );
        let episodes = format!("{} of each step", self.episodes);
        table(&[
            row(
                "tokens/s",
                format!("{:.0}", self.tokens_per_second()),
                tokens,
            ),
            row(
                "episodes/s",
                format!("{:.2}", self.episodes_per_second()),
                episodes,
            ),
            row(
                "rollout s",
                format!("{:.3}", median(&self.seconds_rollout)),
                "the median of the steps".to_owned(),
            ),
            row(
                "update s",
                format!("{:.3}", median(&self.seconds_update)),
                String::new(),
            ),
            row(
                "peak MiB",
                mib(self.peak_bytes),
                "of the whole process".to_owned(),
            ),
            row(
                "parameters",
                format!("{:.1}M", self.parameters as f64 / 1e6),
                String::new(),
            ),
        ])
    }
}
