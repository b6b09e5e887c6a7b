//! `pact show`: a run in a page, or one episode as text.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use episode::Episode;
use serde::Deserialize;

use crate::args::Show;
use crate::exit::Exit;
use crate::{terminal, tokenizer};

pub(crate) fn run(arguments: &Show) -> Result<Exit> {
    let run = &arguments.run;
    let file = match (run.is_dir(), arguments.skipped) {
        (true, Some(step)) => run.join(format!("skipped/step-{step:06}.jsonl")),
        (true, None) => run.join("episodes.jsonl"),
        (false, _) => run.clone(),
    };
    let Some(wanted) = &arguments.task else {
        if arguments.skipped.is_some() {
            super::print(&report::skipped_text(&file)?)?;
            return Ok(Exit::Done);
        }
        if !run.is_dir() {
            bail!(
                "`{}` is a file of episodes\nhint: say which one with `--task`",
                run.display()
            );
        }
        super::print(&report::run_summary(run)?)?;
        return Ok(Exit::Done);
    };
    let episode = find(&file, wanted, arguments)?;
    let folder = tokenizer_folder(&file, arguments.tokenizer.as_deref())?;
    let chat = tokenizer::load_chat(folder.as_deref(), chat::Config::default())?;
    let decode = |tokens: &[u32]| chat.decode(tokens);
    let colour = terminal::stdout_has_colour();
    super::print(&report::episode_text(&episode, &decode, colour))?;
    Ok(Exit::Done)
}

/// A line of a file of episodes; those of a run have a step.
#[derive(Deserialize)]
struct Line {
    task: String,
    step: Option<u64>,
}

/// The first episode of the task called `wanted`, else the one of this number.
fn find(file: &Path, wanted: &str, arguments: &Show) -> Result<Episode> {
    let in_file = |error: &dyn std::fmt::Display| anyhow!("`{}`: {error}", file.display());
    let lines = BufReader::new(File::open(file).map_err(|error| in_file(&error))?).lines();
    let number: Option<usize> = wanted.parse().ok();
    let mut numbered = None;
    let mut count = 0;
    // On top of a skipped step stands why it was.
    let top = usize::from(arguments.skipped.is_some());
    for (index, text) in lines.enumerate().skip(top) {
        let text = text.map_err(|error| in_file(&error))?;
        let in_line = |error| anyhow!("`{}`, line {}: {error}", file.display(), index + 1);
        let line: Line = serde_json::from_str(&text).map_err(in_line)?;
        if arguments.step.is_some_and(|step| line.step != Some(step)) {
            continue;
        }
        if line.task == wanted {
            return serde_json::from_str(&text).map_err(in_line);
        }
        if number == Some(count) {
            numbered = Some(serde_json::from_str(&text).map_err(in_line)?);
        }
        count += 1;
    }
    numbered.ok_or_else(|| {
        anyhow!(
            "`{}`: none of its {count} episodes is of task `{wanted}`, or has this number\n\
             hint: numbers begin at 0",
            file.display()
        )
    })
}

/// The folder of the tokenizer whose tokens a file of episodes holds: what the command line
/// says, else what the run's config says; pact's own where there is neither.
pub(super) fn tokenizer_folder(file: &Path, given: Option<&Path>) -> Result<Option<PathBuf>> {
    if let Some(folder) = given {
        return Ok(Some(folder.to_owned()));
    }
    let above = file.ancestors().skip(1).take(2);
    let mut runs = above.filter(|run| run.join("config.toml").exists());
    runs.next().map_or(Ok(None), tokenizer::folder_of_run)
}
