//! `pact eval`: what a policy is worth on a suite's tasks.

mod leaderboard;

use anyhow::Result;

use crate::args::Eval;
use crate::exit::{Exit, UsageError};
use crate::play::play;
use crate::scores::Scores;
use crate::suggestion;
use crate::suites::More;

pub(crate) fn run(arguments: &Eval) -> Result<Exit> {
    let played = play(
        &arguments.subject,
        arguments.samples,
        arguments.out.as_deref(),
    )?;
    let suite = &played.opened.suite;
    let scores = Scores::of(suite.name(), suite.headline(), played.mode, &played.groups);
    if let Some(folder) = &played.folder {
        folder.finish(&played.groups, &scores.to_json())?;
        if let More::Bfcl(suite) = &played.opened.more {
            leaderboard::write(suite, arguments, &played.groups, folder.path())?;
        }
    }
    let text = match arguments.json {
        true => format!("{}\n", scores.to_json()),
        false => scores.to_text(),
    };
    super::print(&text)?;
    let mut exit = Exit::Done;
    for (metric, percent) in &arguments.gate {
        let Some(found) = scores.metric(metric) else {
            let hint = suggestion::hint(metric, scores.names());
            let message = format!("`--gate {metric}`: the suite has no such metric{hint}");
            return Err(UsageError(message).into());
        };
        if found < *percent {
            eprintln!("gate not met: {metric} is {found}, asked for was {percent}");
            exit = Exit::GateNotMet;
        }
    }
    Ok(exit)
}
