//! What of a study is done: a line for each method, and one for each run that is begun.

use std::fmt::Write;

use anyhow::Result;

use super::plan::{Plan, Run, State};

/// What stands for the run before all others; no method may be called so.
const BEFORE: &str = "before";

pub(super) fn text(plan: &Plan) -> Result<String> {
    let mut text = String::new();
    let mut begun = String::new();
    let methods = plan.study.methods.iter().map(|(name, _)| name.as_str());
    let mut counts: Vec<(&str, Count, Count)> = std::iter::once(BEFORE)
        .chain(methods)
        .map(|name| (name, Count::default(), Count::default()))
        .collect();
    for run in &plan.runs {
        let name = match run {
            Run::Before => BEFORE,
            Run::Search { method, .. } | Run::Compared { method, .. } => method,
        };
        let of_name = counts.iter_mut().find(|(it, ..)| *it == name);
        let (_, search, compared) = of_name.expect("every run is of a method of the study");
        let count = match run {
            Run::Search { .. } => search,
            Run::Before | Run::Compared { .. } => compared,
        };
        count.all += 1;
        match plan.state(run)? {
            State::Absent => (),
            State::Begun { step, steps } => {
                let title = plan.title(run);
                let _ = writeln!(begun, "begun: {title}: step {step} of {steps}");
            }
            State::Done => count.done += 1,
        }
    }
    counts.retain(|(_, search, compared)| search.all + compared.all > 0);
    let width = counts.iter().map(|(name, ..)| name.chars().count()).max();
    let width = width.unwrap_or(0);
    for (name, search, compared) in &counts {
        let _ = write!(text, "{name:width$}  {}/{}", compared.done, compared.all);
        if search.all > 0 {
            let _ = write!(text, "  search {}/{}", search.done, search.all);
            if let Some(choice) = plan.choice(name)? {
                let setting = plan.setting(choice.value);
                let _ = write!(text, ": {setting} ({:.2})", 100.0 * choice.score);
            }
        }
        text.push('\n');
    }
    let all = || {
        counts
            .iter()
            .flat_map(|(_, search, compared)| [search, compared])
    };
    let done: usize = all().map(|count| count.done).sum();
    let _ = writeln!(text, "{done} of {} runs are done", plan.runs.len());
    Ok(text + &begun)
}

/// Runs of one kind.
#[derive(Default)]
struct Count {
    done: usize,
    all: usize,
}
