//! `pact train`: a run from its config to its table.

mod board;
mod changes;
mod controls;
mod drive;
mod heartbeat;
mod log;
mod outcome;
mod plan;
mod record;
mod view;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use env::Suite;
use episode::{RunRecord, Seed, Task};
use store::RealDisk;
use train::{Checkpoint, Parts, RunFolder, Settings, Trainer};

use self::changes::Changes;
use self::controls::Controls;
use self::drive::{Drive, End};
use self::outcome::Outcome;
use self::plan::MemoryPlan;
use self::view::View;
use crate::args::Train;
use crate::config::{Model, RunConfig};
use crate::exit::{Exit, UsageError};
use crate::interrupt::Interrupt;
use crate::policies::Policy;
use crate::terminal::Progress;
use crate::{clock, config_file, engine, prompts, screen, suites, terminal};

pub(crate) fn run(arguments: &Train) -> Result<Exit> {
    let clock = clock::start();
    let interrupt = Interrupt::watch()?;
    let file = config_path(arguments)?;
    let run = run_folder(arguments, &file);
    let stopped = match arguments.resume {
        true => Some(RunFolder::open(Arc::new(RealDisk), &run)?),
        false => None,
    };
    let config = config_file::read(Some(&file), &arguments.set)?;
    let plan = MemoryPlan::new(&config, settings(&config))?;
    plan.check()?;
    if arguments.plan {
        super::print(&match arguments.json {
            true => format!("{}\n", plan.to_json()),
            false => plan.to_text(),
        })?;
        return Ok(Exit::Done);
    }
    engine::start(&config.engine)?;
    let checkpoint = match arguments.resume {
        true => latest(&run)?,
        false => None,
    };
    let evaluation = match config.eval.greedy || config.eval.sampled {
        true => Some(suites::evaluation(&config)?),
        false => None,
    };
    let parts = parts(&config, clock.clone())?;
    parts.check()?;
    check_prompts(&parts, evaluation.as_deref(), &config)?;
    let step = checkpoint.as_ref().map_or(0, |it| it.state.step);
    let record = record::of(&config, &parts, evaluation.as_deref(), step)?;
    let resolved = config_file::sentence(&file)? + &super::config::to_toml(&config);
    let trainer = match stopped {
        Some(folder) => {
            let record = compared(&folder, arguments, record)?;
            go_on(parts, folder, checkpoint.as_ref(), &resolved, &record)?
        }
        None => {
            let folder = RunFolder::create(Arc::new(RealDisk), &run, &resolved, &record)?;
            Trainer::new(parts, folder)?
        }
    };
    let _log = log::begin(&run)?;
    eprintln!("{}", engine::chosen(&trainer.model)?);
    eprintln!("run: {}", run.display());
    if let Some(warning) = plan.warning() {
        eprintln!("{warning}");
    }
    let controls = Arc::new(Controls::new(interrupt));
    let is_viewed = !arguments.plain && !arguments.json && screen::is_there();
    let view = is_viewed.then(|| View::begin(&run, Arc::clone(&controls)));
    let view = view.transpose().unwrap_or_else(|error| {
        eprintln!("warning: no view of the run: {error}");
        None
    });
    let progress = match view {
        Some(_) => Progress::silent(),
        None => Progress::new(config.train.steps, "steps"),
    };
    let drive = Drive::new(
        trainer, &config, evaluation, checkpoint, &controls, progress,
    );
    let end = drive.finish();
    // The terminal is for what the run came to.
    drop(view);
    match end? {
        End::Interrupted { checkpoint } => {
            eprintln!("interrupted; `{}` is written", checkpoint.display());
            eprintln!("resume: {}", resume_command(&run));
            Ok(Exit::Interrupted)
        }
        End::Done { model, trainer } => {
            let outcome = Outcome::of(&run, &trainer, clock().as_secs_f64())?;
            if arguments.json {
                super::print(&format!("{}\n", outcome.to_json()))?;
            } else {
                super::print(&outcome.to_text(&model, &resume_command(&run)))?;
            }
            Ok(Exit::Done)
        }
    }
}

fn config_path(arguments: &Train) -> Result<PathBuf, UsageError> {
    let of_run = || Some(arguments.run.as_ref()?.join("config.toml"));
    match (&arguments.config, arguments.resume) {
        (Some(file), false) => Ok(file.clone()),
        (given, _) => {
            let of_run = of_run().filter(|file| file.exists()).ok_or_else(|| {
                let run = arguments.run.as_deref().unwrap_or(Path::new(""));
                UsageError(format!(
                    "`{}`: there is no run in this folder to resume\nhint: begin one without \
                     `--resume`",
                    run.display()
                ))
            })?;
            Ok(given.clone().unwrap_or(of_run))
        }
    }
}

/// Where the run goes: what the command line says, else the first free folder of the
/// config's name.
fn run_folder(arguments: &Train, config: &Path) -> PathBuf {
    if let Some(run) = &arguments.run {
        return run.clone();
    }
    let stem = config.file_stem().unwrap_or_default().to_string_lossy();
    let folder = |number: u64| match number {
        1 => Path::new("runs/out").join(&*stem),
        number => Path::new("runs/out").join(format!("{stem}-{number}")),
    };
    (1..)
        .map(folder)
        .find(|folder| !folder.exists())
        .expect("numbers do not run out")
}

fn resume_command(run: &Path) -> String {
    format!(
        "{} train --run {} --resume",
        terminal::program(),
        run.display()
    )
}

fn settings(config: &RunConfig) -> Settings {
    Settings {
        seed: Seed(config.seed),
        train: config.train.clone(),
        rollout: config.rollout,
        reward: config.reward,
        objective: config.objective,
        trace: config.trace.clone(),
        optimizer: config.optimizer,
        schedule: config.schedule,
        cache_bytes: engine::cache_limit(&config.engine),
    }
}

/// What a config's trainer is made of.
pub(super) fn parts(config: &RunConfig, clock: train::Clock) -> Result<Parts> {
    let settings = settings(config);
    let mut policy = Policy::of_config(&config.model, config.chat.clone(), settings.seed)?;
    engine::place(&mut policy.model, &config.engine)?;
    Ok(Parts {
        source: suites::training(config, &settings)?,
        reference: reference(config)?,
        settings,
        model: policy.model,
        chat: policy.chat,
        companions: policy.tokenizer.files,
        clock,
        memory: Arc::new(engine::peak_memory),
    })
}

/// The policy that training is pulled towards, if it is another than the one that it begins with.
fn reference(config: &RunConfig) -> Result<Option<::model::Model>> {
    let Some(path) = config.model.reference.as_ref() else {
        return Ok(None);
    };
    let model = Model {
        path: Some(path.clone()),
        weights: config.model.weights,
        ..Model::default()
    };
    let mut policy = Policy::of_config(&model, config.chat.clone(), Seed(config.seed))?;
    engine::place(&mut policy.model, &config.engine)?;
    Ok(Some(policy.model))
}

/// An endless stream's prompts are not known beforehand.
fn check_prompts(parts: &Parts, evaluation: Option<&dyn Suite>, config: &RunConfig) -> Result<()> {
    let limit = config.rollout.max_prompt_tokens;
    if let train::Source::Fixed { suite, tasks, .. } = &parts.source {
        let tasks: Vec<&Task> = tasks.iter().map(|&place| &suite.tasks()[place]).collect();
        prompts::check(&parts.chat, &tasks, limit)?;
    }
    if let Some(suite) = evaluation {
        prompts::check(&parts.chat, &suites::first(suite, config.eval.tasks), limit)?;
    }
    Ok(())
}

/// The checkpoint that a run goes on from. Says which newer ones are damaged.
fn latest(run: &Path) -> Result<Option<Checkpoint>> {
    let latest = Checkpoint::latest(run)?;
    for damaged in &latest.damaged {
        eprintln!(
            "warning: `{}` is damaged and passed over: {}",
            damaged.path.display(),
            damaged.damage
        );
    }
    Ok(latest.checkpoint)
}

/// The record of a run that is taken up again, behind what it was before. Says what is not as
/// it was.
fn compared(folder: &RunFolder, arguments: &Train, mut record: RunRecord) -> Result<RunRecord> {
    let before = match folder.run_record()? {
        Some(before) => before,
        None => unrecorded(folder.path())?,
    };
    let changes = Changes::between(&before, &record);
    if !arguments.allow_changed {
        changes.refuse(folder.path())?;
    }
    let sentences = changes.into_sentences();
    for sentence in &sentences {
        eprintln!("note: {sentence}");
    }
    for session in &mut record.sessions {
        session.changes.clone_from(&sentences);
    }
    record.sessions = [before.sessions, record.sessions].concat();
    Ok(record)
}

/// Takes a stopped run up again.
fn go_on(
    parts: Parts,
    folder: RunFolder,
    checkpoint: Option<&Checkpoint>,
    resolved: &str,
    record: &RunRecord,
) -> Result<Trainer> {
    let (trainer, missing) = Trainer::resume(parts, folder, checkpoint, resolved, record)?;
    for missing in missing {
        eprintln!("warning: {missing}");
    }
    Ok(trainer)
}

/// What is known of a run of a pact that wrote no `run.json`.
fn unrecorded(run: &Path) -> Result<RunRecord> {
    let config = config_file::read(Some(&run.join("config.toml")), &[])?;
    eprintln!(
        "note: this run does not say what it was made of, since an older pact began it; only its \
         config is compared"
    );
    Ok(RunRecord {
        config: changes::keys(&config),
        ..RunRecord::default()
    })
}
