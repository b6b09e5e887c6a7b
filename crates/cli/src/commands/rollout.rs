//! `pact rollout`: episodes as JSON lines, in the order of their tasks.

use anyhow::{Result, anyhow};

use crate::args::Rollout;
use crate::exit::Exit;
use crate::play::play;

pub(crate) fn run(arguments: &Rollout) -> Result<Exit> {
    let played = play(&arguments.subject, arguments.samples, None)?;
    let mut lines = String::new();
    let mut count = 0;
    for episode in played.groups.iter().flat_map(|group| &group.episodes) {
        lines += &serde_json::to_string(episode)?;
        lines.push('\n');
        count += 1;
    }
    match &arguments.out {
        Some(file) => {
            std::fs::write(file, lines)
                .map_err(|error| anyhow!("`{}`: {error}", file.display()))?;
            eprintln!("{count} episodes in `{}`", file.display());
        }
        None => super::print(&lines)?,
    }
    Ok(Exit::Done)
}
