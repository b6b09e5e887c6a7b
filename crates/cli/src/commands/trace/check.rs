//! `pact trace check`: which traces of a file do what they say.

use anyhow::Result;
use env::load_traces;
use serde::Serialize;

use super::{Unverified, without};
use crate::args::TraceCheck;
use crate::config_file;
use crate::exit::Exit;
use crate::suites;
use crate::terminal::Progress;

/// What came of replaying a file of traces.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Checked {
    traces: usize,
    verified: usize,
    tasks: usize,
    tasks_without_trace: usize,
    unverified: Vec<Unverified>,
}

pub(super) fn run(arguments: &TraceCheck) -> Result<Exit> {
    let subject = &arguments.subject;
    let config = config_file::read(subject.config.as_deref(), &subject.set)?;
    let tasks = suites::open_tasks(subject, &config, false, None)?;
    let traces = load_traces(&arguments.traces, tasks.suite.tasks())?;
    let progress = Progress::new(traces.len() as u64, "traces");
    let mut unverified = Vec::new();
    for trace in &traces {
        let problems = tasks.replay(trace)?.problems(trace);
        progress.advance();
        if !problems.is_empty() {
            unverified.push(Unverified {
                task: trace.task.clone(),
                problems,
            });
        }
    }
    let checked = Checked {
        traces: traces.len(),
        verified: traces.len() - unverified.len(),
        tasks: tasks.suite.tasks().len(),
        tasks_without_trace: without(tasks.suite.tasks(), &traces),
        unverified,
    };
    let text = match arguments.json {
        true => serde_json::to_string(&checked)? + "\n",
        false => to_text(&checked),
    };
    super::super::print(&text)?;
    Ok(match checked.unverified.is_empty() {
        true => Exit::Done,
        false => Exit::Failed,
    })
}

fn to_text(checked: &Checked) -> String {
    let mut text = format!(
        "{} of {} traces verify; {} of {} tasks have none\n",
        checked.verified, checked.traces, checked.tasks_without_trace, checked.tasks
    );
    for trace in &checked.unverified {
        text += &format!("does not verify: {}", trace.to_text());
    }
    text
}
