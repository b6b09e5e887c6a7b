//! `pact trace build`: traces from four sources, replayed before they are written.

use std::path::Path;

use anyhow::{Result, bail};
use env::{load_traces, write_traces};
use episode::Trace;
use serde::Serialize;

use super::{Unverified, without};
use crate::args::{Subject, TraceBuild, TraceSource};
use crate::config_file;
use crate::exit::{Exit, UsageError};
use crate::play::play;
use crate::suites::{self, More, Opened};
use crate::terminal::Progress;

const SAMPLES: u32 = 8;
const MIN_REWARD: f64 = 1.0;

/// What was written, and what was not.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Built {
    traces: usize,
    verified: usize,
    tasks: usize,
    tasks_without_trace: usize,
    left_out: Vec<Unverified>,
}

pub(super) fn run(arguments: &TraceBuild) -> Result<Exit> {
    check(arguments)?;
    let subject = &arguments.subject;
    let config = config_file::read(subject.config.as_deref(), &subject.set)?;
    let tasks = suites::open_tasks(subject, &config, false, None)?;
    let traces = match &arguments.from {
        TraceSource::Planner => planned(&tasks)?,
        TraceSource::Gold => gold(&tasks, &subject.data)?,
        TraceSource::Recorded(file) => recorded(&tasks, file)?,
        TraceSource::Rollouts(model) => own(arguments, model)?,
    };
    let (kept, left_out) = verify(&tasks, traces, arguments.keep_unverified)?;
    write_traces(&arguments.out, &kept)?;
    let built = Built {
        traces: kept.len(),
        verified: kept.iter().filter(|it| it.verified == Some(true)).count(),
        tasks: tasks.suite.tasks().len(),
        tasks_without_trace: without(tasks.suite.tasks(), &kept),
        left_out,
    };
    let text = match arguments.json {
        true => serde_json::to_string(&built)? + "\n",
        false => to_text(&built, &arguments.out),
    };
    super::super::print(&text)?;
    if !built.left_out.is_empty() {
        eprintln!("hint: `--keep-unverified` keeps what is left out, marked as not verified");
    }
    Ok(Exit::Done)
}

/// What cannot be meant.
fn check(arguments: &TraceBuild) -> Result<(), UsageError> {
    let are_rollouts = matches!(arguments.from, TraceSource::Rollouts(_));
    let given = [
        ("--samples", arguments.samples.is_some()),
        ("--min-reward", arguments.min_reward.is_some()),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        Some((name, _)) if !are_rollouts => Err(UsageError(format!(
            "`{name}` says which rollouts are kept, but `--from` names none\n\
             hint: `--from rollouts=MODEL`"
        ))),
        _ => Ok(()),
    }
}

fn planned(tasks: &Opened) -> Result<Vec<Trace>> {
    match &tasks.more {
        More::World(suite) => Ok(suite.planner_traces()),
        _ => Err(UsageError(
            "`--from planner`: only tasks of the tool world can be planned\n\
             hint: `--suite world`, or `--from gold` for tasks with gold calls"
                .to_owned(),
        )
        .into()),
    }
}

fn gold(tasks: &Opened, file: &Path) -> Result<Vec<Trace>> {
    if matches!(tasks.more, More::World(_)) {
        let message = "`--from gold`: rows of the tool world have no gold calls\n\
                       hint: `--from planner`, or `--suite ftrl`";
        return Err(UsageError(message.to_owned()).into());
    }
    let traces = tasks.gold();
    if traces.is_empty() {
        bail!(
            "`{}`: no task comes with gold calls (of FTRL's rows, the field `ground_truth`)\n\
             hint: `--from recorded=FILE` reads calls from a file of their own",
            file.display()
        );
    }
    Ok(traces)
}

fn recorded(tasks: &Opened, file: &Path) -> Result<Vec<Trace>> {
    let mut traces = load_traces(file, tasks.suite.tasks())?;
    for trace in traces.iter_mut().filter(|trace| trace.source.is_empty()) {
        "recorded".clone_into(&mut trace.source);
    }
    Ok(traces)
}

/// The best of a model's episodes of each task, where one is good enough.
fn own(arguments: &TraceBuild, model: &Path) -> Result<Vec<Trace>> {
    let player = Subject::sampling(arguments.subject.clone(), model);
    let samples = arguments.samples.unwrap_or(SAMPLES) as usize;
    let min_reward = arguments.min_reward.unwrap_or(MIN_REWARD);
    let played = play(&player, samples, None)?;
    let best = |group| rollout::best_trace(&played.chat, group, min_reward);
    let mut traces: Vec<Trace> = played.groups.iter().filter_map(best).collect();
    for trace in &mut traces {
        trace.source = format!("rollouts of {}", model.display());
    }
    Ok(traces)
}

/// Replays traces and marks them; those that do not verify are kept only if they shall be.
fn verify(
    tasks: &Opened,
    traces: Vec<Trace>,
    keep_unverified: bool,
) -> Result<(Vec<Trace>, Vec<Unverified>)> {
    let progress = Progress::new(traces.len() as u64, "traces");
    let (mut kept, mut left_out) = (Vec::new(), Vec::new());
    for trace in traces {
        let problems = tasks.replay(&trace)?.problems(&trace);
        progress.advance();
        if problems.is_empty() || keep_unverified {
            kept.push(Trace {
                verified: Some(problems.is_empty()),
                ..trace
            });
        } else {
            left_out.push(Unverified {
                task: trace.task,
                problems,
            });
        }
    }
    Ok((kept, left_out))
}

fn to_text(built: &Built, out: &Path) -> String {
    let mut text = format!(
        "{} of {} traces in `{}` are verified; {} of {} tasks have none\n",
        built.verified,
        built.traces,
        out.display(),
        built.tasks_without_trace,
        built.tasks
    );
    for trace in &built.left_out {
        text += &format!("left out: {}", trace.to_text());
    }
    text
}
