//! The robot's expert does every errand; then, if asked, a model learns to.
//!
//!     cargo run --release -p robot
//!     cargo run --release -p robot -- 20 runs/out/robot     # and 20 steps of training, written there

use std::env::args;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use chat::Chat;
use env::Suite;
use episode::{EvaluationMode, RunRecord, Seed};
use model::Model;
use robot::RobotSuite;
use rollout::{Activity, ScriptedPolicy, Setting, Start};
use store::RealDisk;
use train::{Parts, RunFolder, Settings, Source, Trainer};

/// The small model that ships with pact, and its tokenizer.
const BASE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../base");

fn main() -> Result<()> {
    #[expect(clippy::disallowed_methods, reason = "this is the program")]
    let (arguments, began) = (args().skip(1).collect::<Vec<_>>(), Instant::now());
    let clock = move || began.elapsed();
    let suite = Arc::new(RobotSuite::new());
    let chat = Chat::load(Path::new(BASE), chat::Config::default())?;

    // A policy meets the suite. Here the policy says what the expert said; a model, or a server
    // behind an endpoint, is another implementation of the same trait.
    let mut expert = ScriptedPolicy::replay(&chat, suite.tasks(), &suite.traces())?;
    let setting = Setting {
        chat: &chat,
        suite: &*suite,
        config: &rollout::Config::default(),
        clock: &clock,
        activity: &Activity::default(),
    };
    let starts: Vec<Start<'_>> = suite.tasks().iter().map(Start::of).collect();
    let groups = rollout::run(&mut expert, &setting, &starts, 1, Seed(1), &mut |_| {})?;
    let episodes = groups.iter().flat_map(|group| &group.episodes);
    let rewards: Vec<f64> = episodes.map(|episode| episode.score.reward).collect();
    let delivered: f64 = rewards.iter().sum();
    println!("expert: {delivered} of {} errands", rewards.len());

    let [steps, folder] = &arguments[..] else {
        return Ok(());
    };
    let steps = steps.parse().context("the number of steps")?;
    learn(suite, chat, steps, &PathBuf::from(folder), Arc::new(clock))
}

/// Trains the base with PACT: rollouts of the tasks, scored under the expert's traces.
fn learn(
    suite: Arc<RobotSuite>,
    chat: Chat,
    steps: u64,
    folder: &Path,
    clock: train::Clock,
) -> Result<()> {
    let settings = Settings {
        seed: Seed(1),
        train: train::Config {
            steps,
            prompts_per_step: 8,
            ..train::Config::default()
        },
        rollout: rollout::Config {
            group_size: 4,
            max_turn_tokens: 64,
            max_tokens: 2000,
            ..rollout::Config::default()
        },
        reward: env::reward::Config::default(),
        objective: objective::Config::default(),
        trace: train::Trace::default(),
        optimizer: model::OptimizerConfig {
            learning_rate: 1.5e-3,
            ..model::OptimizerConfig::default()
        },
        schedule: model::Schedule::default(),
        cache_bytes: None,
    };
    let (architecture, parameters) = model::load(Path::new(BASE))?;
    let source = Source::fixed(suite.clone(), suite.traces(), false);
    let parts = Parts {
        settings,
        model: Model::new(architecture, parameters),
        reference: None,
        chat,
        source,
        companions: Vec::new(),
        clock,
        memory: Arc::new(|| None),
    };
    let folder = RunFolder::create(Arc::new(RealDisk), folder, "", &RunRecord::default())?;
    let mut trainer = Trainer::new(parts, folder)?;
    while !trainer.is_done() {
        let report = trainer.step()?;
        let reward = report.metrics.get("reward").unwrap_or_default();
        println!("step {}: reward {reward:.3}", report.step + 1);
    }
    let tasks: Vec<_> = suite.tasks().iter().collect();
    let evaluation = trainer.evaluate(&*suite, &tasks, EvaluationMode::Greedy)?;
    println!(
        "delivered: {:.1} %",
        100.0 * evaluation.metrics["delivered"]
    );
    Ok(())
}
