//! `pact trace collect`: a served model's verified episodes as expert traces.

use std::collections::{HashMap, HashSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use env::{Stage, Suite, load_traces, write_traces};

use episode::{Episode, Group, Seed, Task, Trace};
use remote::endpoint::Usage;
use rollout::{Activity, Setting, Start};
use serde::Serialize;

use super::{Unverified, without};
use crate::args::TraceCollect;
use crate::exit::{Exit, UsageError};
use crate::suites::{self, Opened};
use crate::terminal::Progress;
use crate::{clock, config_file, endpoint, prompts, tokenizer};

/// What was kept, and what was not.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Collected {
    traces: usize,
    verified: usize,
    tasks: usize,
    tasks_without_trace: usize,
    /// By the endpoint's own count; 0 where it does not count.
    prompt_tokens: u64,
    completion_tokens: u64,
    left_out: Vec<Unverified>,
}

pub(super) fn run(arguments: &TraceCollect) -> Result<Exit> {
    let subject = &arguments.subject;
    let config = config_file::read(subject.config.as_deref(), &subject.set)?;
    let endpoint = endpoint::open(&arguments.endpoint, &arguments.model, &arguments.asking)?;
    let tasks = suites::open_tasks(subject, &config, true, None)?;
    let chat = tokenizer::load_chat(arguments.tokenizer.as_deref(), config.chat.clone())?;

    let earlier = earlier(arguments, tasks.suite.tasks())?;
    let stages = left(arguments, &*tasks.suite, &earlier);
    let asked: Vec<&Task> = scored(&stages).flatten().copied().collect();
    let samples = |stage: &Stage| if stage.scored { arguments.samples } else { 1 } as usize;

    let mut usage = Usage::default();
    let mut keeper = Keeper::new(arguments, &tasks, &chat, &earlier);
    if !asked.is_empty() {
        prompts::check(&chat, &asked, config.rollout.max_prompt_tokens)?;
        let episodes = stages.iter().map(|(stage, it)| it.len() * samples(stage));
        let progress = Progress::new(episodes.sum::<usize>() as u64, "episodes");
        let notice = |text: &str| progress.line(&format!("note: {text}"));
        let mut teacher = endpoint::policy(endpoint, &chat, &config.rollout, notice);
        let clock = clock::start();
        let setting = Setting {
            chat: &chat,
            suite: &*tasks.suite,
            config: &config.rollout,
            clock: &*clock,
            activity: &Activity::default(),
        };
        let seed = Seed(config.seed).named("collection");
        for (stage, asked) in &stages {
            let starts: Vec<Start<'_>> = asked.iter().copied().map(Start::of).collect();
            let mut unkept = Ok(());
            let mut on_episode = |episode: &Episode| {
                progress.advance();
                if stage.scored && unkept.is_ok() {
                    unkept = keeper.take(episode);
                }
            };
            let samples = samples(stage);
            let played = rollout::run(
                &mut teacher,
                &setting,
                &starts,
                samples,
                seed,
                &mut on_episode,
            );
            unkept?;
            played.map_err(|error| match keeper.kept.is_empty() {
                true => error.into(),
                false => to_go_on(&error, arguments),
            })?;
        }
        usage = teacher.usage();
    }

    let (kept, left_out) = keeper.finish()?;
    let collected = Collected {
        traces: kept.len(),
        verified: kept.iter().filter(|it| it.verified == Some(true)).count(),
        tasks: tasks.suite.tasks().len(),
        tasks_without_trace: without(tasks.suite.tasks(), &kept),
        prompt_tokens: usage.prompt_tokens,
        completion_tokens: usage.completion_tokens,
        left_out,
    };
    let text = match arguments.json {
        true => serde_json::to_string(&collected)? + "\n",
        false => to_text(&collected, &arguments.out),
    };
    super::super::print(&text)?;
    Ok(Exit::Done)
}

/// The traces that are there already, if they shall be gone on with.
fn earlier(arguments: &TraceCollect, tasks: &[Task]) -> Result<Vec<Trace>> {
    let out = &arguments.out;
    if !out.exists() {
        return Ok(Vec::new());
    }
    if !arguments.resume {
        let message = format!(
            "`{}` is there already\nhint: `--resume` keeps its traces and asks for those of the \
             other tasks",
            out.display()
        );
        return Err(UsageError(message).into());
    }
    Ok(load_traces(out, tasks)?)
}

/// The suite's stages with the tasks that are still to be played: of those whose scores count
/// the ones without a trace, of those that prepare them all.
fn left<'a>(
    arguments: &TraceCollect,
    suite: &'a dyn Suite,
    earlier: &[Trace],
) -> Vec<(Stage, Vec<&'a Task>)> {
    let has_trace: HashSet<&str> = earlier.iter().map(|trace| &*trace.task).collect();
    let mut limit = arguments.limit.unwrap_or(usize::MAX);
    let of_stage = |stage: Stage| {
        let tasks = suite.tasks()[stage.tasks.clone()].iter();
        let tasks: Vec<&Task> = match stage.scored {
            false => tasks.collect(),
            true => {
                let first: Vec<&Task> = tasks.take(limit).collect();
                limit -= first.len();
                let is_left = |task: &&Task| !has_trace.contains(&*task.id);
                first.into_iter().filter(is_left).collect()
            }
        };
        (stage, tasks)
    };
    suite.stages().into_iter().map(of_stage).collect()
}

/// The tasks whose episodes may become traces.
fn scored<'s, 'a>(stages: &'s [(Stage, Vec<&'a Task>)]) -> impl Iterator<Item = &'s Vec<&'a Task>> {
    let stages = stages.iter().filter(|(stage, _)| stage.scored);
    stages.map(|(_, tasks)| tasks)
}

/// An endpoint that fails leaves what was kept before.
fn to_go_on(error: &rollout::RolloutError, arguments: &TraceCollect) -> anyhow::Error {
    anyhow!(
        "{error}\nhint: `--resume` goes on with what `{}` has by now",
        arguments.out.display()
    )
}

/// Writes the best verified episode of each task, as soon as all of its samples are over.
struct Keeper<'a> {
    arguments: &'a TraceCollect,
    tasks: &'a Opened,
    chat: &'a chat::Chat,
    /// Episodes of tasks of which some are still to come.
    waiting: HashMap<String, Vec<Episode>>,
    kept: Vec<Trace>,
    left_out: Vec<Unverified>,
}

impl<'a> Keeper<'a> {
    fn new(
        arguments: &'a TraceCollect,
        tasks: &'a Opened,
        chat: &'a chat::Chat,
        earlier: &[Trace],
    ) -> Self {
        Self {
            arguments,
            tasks,
            chat,
            waiting: HashMap::new(),
            kept: earlier.to_vec(),
            left_out: Vec::new(),
        }
    }

    fn take(&mut self, episode: &Episode) -> Result<()> {
        let episodes = self.waiting.entry(episode.task.clone()).or_default();
        episodes.push(episode.clone());
        if episodes.len() < self.arguments.samples as usize {
            return Ok(());
        }
        let group = Group {
            task: episode.task.clone(),
            episodes: self.waiting.remove(&episode.task).unwrap_or_default(),
        };
        self.choose(&group)
    }

    /// Keeps the best episode that verifies; else the best, if it shall be kept all the same.
    fn choose(&mut self, group: &Group) -> Result<()> {
        let min_reward = self.arguments.min_reward.unwrap_or(f64::NEG_INFINITY);
        let mut best = None;
        for trace in rollout::ranked_traces(self.chat, group, min_reward) {
            let problems = self.tasks.replay(&trace)?.problems(&trace);
            if problems.is_empty() {
                return self.keep(trace, true);
            }
            best = best.or(Some((trace, problems)));
        }
        match best {
            Some((trace, _)) if self.arguments.keep_unverified => self.keep(trace, false),
            best => {
                let none =
                    || vec!["no episode is readable, answers, and is good enough".to_owned()];
                self.left_out.push(Unverified {
                    task: group.task.clone(),
                    problems: best.map_or_else(none, |(_, problems)| problems),
                });
                Ok(())
            }
        }
    }

    fn keep(&mut self, trace: Trace, is_verified: bool) -> Result<()> {
        let trace = Trace {
            source: format!("endpoint {}", self.arguments.model),
            verified: Some(is_verified),
            ..trace
        };
        let out = &self.arguments.out;
        let line = serde_json::to_string(&trace)? + "\n";
        let file = OpenOptions::new().create(true).append(true).open(out);
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        written.map_err(|error| anyhow!("`{}`: {error}", out.display()))?;
        self.kept.push(trace);
        Ok(())
    }

    /// Puts the traces into the order of their tasks, by a file that takes the place of the one
    /// that grew.
    fn finish(mut self) -> Result<(Vec<Trace>, Vec<Unverified>)> {
        let tasks = self.tasks.suite.tasks().iter().enumerate();
        let places: HashMap<&str, usize> = tasks.map(|(at, task)| (&*task.id, at)).collect();
        self.kept.sort_by_key(|trace| places.get(&*trace.task));
        self.left_out.sort_by_key(|trace| places.get(&*trace.task));
        let out = &self.arguments.out;
        let sorted = PathBuf::from(format!("{}.sorted", out.display()));
        write_traces(&sorted, &self.kept)?;
        fs::rename(&sorted, out).map_err(|error| anyhow!("`{}`: {error}", out.display()))?;
        Ok((self.kept, self.left_out))
    }
}

fn to_text(collected: &Collected, out: &Path) -> String {
    let mut text = format!(
        "{} of {} traces in `{}` are verified; {} of {} tasks have none\n",
        collected.verified,
        collected.traces,
        out.display(),
        collected.tasks_without_trace,
        collected.tasks
    );
    if collected.prompt_tokens > 0 {
        text += &format!(
            "the endpoint read {} tokens and wrote {}\n",
            collected.prompt_tokens, collected.completion_tokens
        );
    }
    for trace in &collected.left_out {
        text += &format!("left out: {}", trace.to_text());
    }
    text
}
