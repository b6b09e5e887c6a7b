//! A rollout of a suite's tasks, for `eval` and `rollout`: a model
//! plays, one behind an endpoint, or expert traces.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
use chat::Chat;
use env::{Stage, Suite, load_traces};
use episode::{Episode, EvaluationMode, Group, Seed, Task, Trace};
use rollout::{Activity, ScriptedPolicy, Setting, Start};
use serde_json::{Map, Value, json};

use crate::args::{Subject, TaskArgs, Traces};
use crate::config::RunConfig;
use crate::eval_folder::EvalFolder;
use crate::exit::UsageError;
use crate::policies::Policy;
use crate::suites::Opened;
use crate::terminal::Progress;
use crate::{clock, config_file, endpoint, engine, prompts, suites, tokenizer};

/// What was played, and how.
pub(crate) struct Played {
    pub(crate) opened: Opened,
    pub(crate) mode: EvaluationMode,
    /// Of the tasks whose scores count, in their order.
    pub(crate) groups: Vec<Group>,
    /// In whose tokens the episodes are.
    pub(crate) chat: Chat,
    /// Where the episodes are kept.
    pub(crate) folder: Option<EvalFolder>,
}

/// Rolls out `samples` episodes of each task that the command line names. With `folder`, episodes
/// that it has are not played again, and the others are kept there as they end.
pub(crate) fn play(subject: &Subject, samples: usize, folder: Option<&Path>) -> Result<Played> {
    let tasks = &subject.tasks;
    let mut config = config_file::read(tasks.config.as_deref(), &tasks.set)?;
    if let Some(concurrency) = subject.concurrency {
        config.rollout.concurrency = concurrency;
    }
    if let (Some(_), None, Some(_)) = (&subject.model, &subject.endpoint, &subject.tokenizer) {
        let message = "`--tokenizer` is for a replay or an endpoint\n\
                       hint: a model's folder has its own";
        return Err(UsageError(message.to_owned()).into());
    }
    // What is wrong with an endpoint, a secret in its address say, is told before anything of it
    // is written down.
    let served = match (&subject.model, &subject.endpoint) {
        (Some(name), Some(url)) => Some(endpoint::open(url, name, &subject.asking)?),
        _ => None,
    };
    // A replay without a tokenizer of its own is in the words of pact's.
    let plainly = served.is_some() || (subject.policy.is_some() && subject.tokenizer.is_none());
    let opened = suites::open_tasks(tasks, &config, plainly, folder)?;
    let suite = &*opened.suite;
    let mode = match subject.sampled {
        true => EvaluationMode::Sampled,
        false => EvaluationMode::Greedy,
    };
    let stages = chosen(suite, subject)?;
    let folder = folder.map(|path| EvalFolder::open(path, &asked(subject, &config, samples)));
    let mut game = Game {
        suite,
        stages,
        samples,
        seed: Seed(config.seed).named("evaluation"),
        folder: folder.transpose()?,
    };
    let mut limits = config.rollout;
    if mode == EvaluationMode::Greedy {
        limits.temperature = 0.0;
    }
    let (groups, chat) = match (&subject.model, served) {
        (_, Some(endpoint)) => {
            let chat = tokenizer::load_chat(subject.tokenizer.as_deref(), config.chat)?;
            prompts::check(&chat, &game.tasks(), limits.max_prompt_tokens)?;
            let notice = |text: &str| eprintln!("note: {text}");
            let mut player = endpoint::policy(endpoint, &chat, &limits, notice);
            let groups = game.play(&mut player, &chat, &limits)?;
            drop(player);
            (groups, chat)
        }
        (Some(model), None) => {
            engine::start(&config.engine)?;
            let mut policy = Policy::load(Path::new(model), &config.model, config.chat)?;
            engine::place(&mut policy.model, &config.engine)?;
            prompts::check(&policy.chat, &game.tasks(), limits.max_prompt_tokens)?;
            eprintln!("{}", engine::chosen(&policy.model)?);
            let stops = policy.chat.stop_tokens();
            let cache = engine::cache_limit(&config.engine);
            let mut player = train::ModelPolicy::new(&policy.model, &limits, stops, cache)?;
            let groups = game.play(&mut player, &policy.chat, &limits)?;
            (groups, policy.chat)
        }
        (None, None) => {
            let chat = tokenizer::load_chat(subject.tokenizer.as_deref(), config.chat)?;
            prompts::check(&chat, &game.tasks(), usize::MAX)?;
            let loaded = match &subject.policy {
                Some(Traces::File(file)) => load_traces(file, suite.tasks())?,
                _ => gold(&opened, tasks)?,
            };
            let mut player = ScriptedPolicy::replay(&chat, suite.tasks(), &loaded)?;
            let groups = game.play(&mut player, &chat, &without_limits(config.rollout))?;
            (groups, chat)
        }
    };
    let folder = game.folder;
    Ok(Played {
        opened,
        mode,
        groups,
        chat,
        folder,
    })
}

/// The traces that come with the tasks.
fn gold(opened: &Opened, tasks: &TaskArgs) -> Result<Vec<Trace>> {
    let traces = opened.gold();
    if traces.is_empty() {
        let message = format!(
            "`--policy gold`: the tasks of `{}` come without traces\n\
             hint: `--policy replay:FILE` plays those of a file",
            tasks.data.display()
        );
        return Err(UsageError(message).into());
    }
    Ok(traces)
}

/// Who plays what, apart from the policy.
struct Game<'a> {
    suite: &'a dyn Suite,
    /// Each with its tasks.
    stages: Vec<(Stage, Vec<&'a Task>)>,
    samples: usize,
    seed: Seed,
    folder: Option<EvalFolder>,
}

impl Game<'_> {
    /// The tasks whose scores count.
    fn tasks(&self) -> Vec<&Task> {
        let scored = self.stages.iter().filter(|(stage, _)| stage.scored);
        scored.flat_map(|(_, tasks)| tasks).copied().collect()
    }

    /// Plays what the folder does not have, stage by stage.
    fn play(
        &mut self,
        policy: &mut dyn rollout::Policy,
        chat: &Chat,
        limits: &rollout::Config,
    ) -> Result<Vec<Group>> {
        let clock = clock::start();
        let setting = Setting {
            chat,
            suite: self.suite,
            config: limits,
            clock: &*clock,
            activity: &Activity::default(),
        };
        let samples = |stage: &Stage| if stage.scored { self.samples } else { 1 };
        let episodes = self
            .stages
            .iter()
            .map(|(stage, tasks)| tasks.len() * samples(stage));
        let progress = Progress::new(episodes.sum::<usize>() as u64, "episodes");
        let mut scored = Vec::new();
        for (stage, tasks) in &self.stages {
            let samples = samples(stage);
            let mut groups = HashMap::new();
            if let Some(folder) = &mut self.folder {
                let kept = tasks
                    .iter()
                    .filter_map(|task| folder.take(&task.id, samples));
                groups.extend(kept.map(|group| (group.task.clone(), group)));
            }
            (0..groups.len() * samples).for_each(|_| progress.advance());
            let starts = tasks.iter().filter(|task| !groups.contains_key(&task.id));
            let starts: Vec<Start<'_>> = starts.copied().map(Start::of).collect();
            let mut unkept = Ok(());
            let mut on_episode = |episode: &Episode| {
                progress.advance();
                if let (Some(folder), Ok(())) = (&mut self.folder, &unkept) {
                    unkept = folder.keep(episode);
                }
            };
            let seed = self.seed;
            let played = rollout::run(policy, &setting, &starts, samples, seed, &mut on_episode)?;
            unkept?;
            groups.extend(played.into_iter().map(|group| (group.task.clone(), group)));
            if stage.scored {
                let in_order = tasks.iter().filter_map(|task| groups.remove(&task.id));
                scored.extend(in_order);
            }
        }
        Ok(scored)
    }
}

/// The suite's stages with the tasks that the command line names: of those whose scores count
/// the first, or every `n`th; of those that prepare them all.
fn chosen<'a>(suite: &'a dyn Suite, subject: &Subject) -> Result<Vec<(Stage, Vec<&'a Task>)>> {
    let limit = subject.limit.unwrap_or(usize::MAX);
    let (mut seen, mut stages) = (0, Vec::new());
    for stage in suite.stages() {
        let tasks = suite.tasks()[stage.tasks.clone()].iter();
        let tasks: Vec<&Task> = match stage.scored {
            false => tasks.collect(),
            true => tasks
                .filter(|_| {
                    let place = seen;
                    seen += 1;
                    let shard = subject.shard.unwrap_or_default();
                    place < limit && place % shard.of == shard.number
                })
                .collect(),
        };
        stages.push((stage, tasks));
    }
    let scored = stages.iter().filter(|(stage, _)| stage.scored);
    if scored.map(|(_, tasks)| tasks.len()).sum::<usize>() == 0 {
        let message = format!(
            "no task is left of the {seen} in `{}`\nhint: `--limit` and `--shard` choose among them",
            subject.tasks.data.display()
        );
        return Err(UsageError(message).into());
    }
    Ok(stages)
}

/// All that decides what an evaluation finds.
fn asked(subject: &Subject, config: &RunConfig, samples: usize) -> Map<String, Value> {
    let player = match (&subject.model, &subject.endpoint, &subject.policy) {
        (Some(model), Some(url), _) => format!("{model} at {url}"),
        (Some(model), None, _) => format!("model {model}"),
        (None, _, Some(Traces::File(file))) => format!("replay of {}", file.display()),
        (None, _, _) => "replay of the traces that come with the tasks".to_owned(),
    };
    let tasks = &subject.tasks;
    let rollout = rollout::Config {
        concurrency: 1,
        tool_threads: 1,
        ..config.rollout
    };
    let mut object = Map::new();
    let mut tell = |key: &str, value: Value| object.insert(key.to_owned(), value);
    tell("suite", json!(tasks.suite));
    tell("data", json!(tasks.data));
    tell("category", json!(tasks.category));
    tell("format", json!(tasks.format.map(bfcl::suite::Format::from)));
    tell("tools", json!(tasks.tools));
    tell("suites", json!(config.data.eval));
    tell("player", json!(player));
    tell("tokenizer", json!(subject.tokenizer));
    tell("model", json!(config.model));
    tell("endpoint", subject.asking.to_json());
    tell("sampled", json!(subject.sampled));
    tell("samples", json!(samples));
    tell("limit", json!(subject.limit));
    tell("shard", json!(subject.shard.map(|shard| shard.to_string())));
    tell("seed", json!(config.seed));
    tell("rollout", json!(rollout));
    tell("chat", json!(config.chat));
    tell("python", json!(config.python));
    tell("sandbox", json!(config.sandbox));
    object
}

/// An expert's traces are played as long as they are.
fn without_limits(config: rollout::Config) -> rollout::Config {
    rollout::Config {
        max_turns: Some(usize::MAX),
        max_turn_tokens: usize::MAX,
        max_prompt_tokens: usize::MAX,
        max_tokens: usize::MAX,
        max_seconds: None,
        ..config
    }
}
