//! `pact trace show`: one trace as text, with what annealing makes of its reasoning.

use anyhow::{Result, anyhow};
use env::load_traces;

use crate::args::TraceShow;
use crate::exit::Exit;
use crate::{config_file, suites, terminal, tokenizer};

pub(super) fn run(arguments: &TraceShow) -> Result<Exit> {
    let subject = &arguments.subject;
    let config = config_file::read(subject.config.as_deref(), &subject.set)?;
    let tasks = suites::open_tasks(subject, &config, arguments.tokenizer.is_none(), None)?;
    let traces = load_traces(&arguments.traces, tasks.suite.tasks())?;
    let wanted = &arguments.task;
    let named = traces.iter().find(|trace| trace.task == *wanted);
    let numbered = || traces.get(wanted.parse::<usize>().ok()?);
    let trace = named.or_else(numbered).ok_or_else(|| {
        anyhow!(
            "`{}`: none of its {} traces is of task `{wanted}`, or has this number\n\
             hint: numbers begin at 0",
            arguments.traces.display(),
            traces.len()
        )
    })?;
    let task = tasks.suite.tasks().iter().find(|it| it.id == trace.task);
    let task = task.expect("a trace that was read is of one of the tasks");
    let chat = tokenizer::load_chat(arguments.tokenizer.as_deref(), config.chat)?;
    let reasoning = chat.expert_reasoning(task, trace)?;
    let colour = terminal::stdout_has_colour();
    super::super::print(&report::trace_text(task, trace, &reasoning, colour))?;
    Ok(Exit::Done)
}
