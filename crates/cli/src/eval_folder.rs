//! The folder of an evaluation: what was asked, and the episodes so far, so that an evaluation
//! that was stopped goes on where it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use episode::{Episode, Group};
use serde_json::{Map, Value};

use crate::exit::UsageError;

const ASKED: &str = "evaluation.json";
const EPISODES: &str = "episodes.jsonl";
const SUMMARY: &str = "summary.json";

/// An evaluation's folder, open for further episodes.
pub(crate) struct EvalFolder {
    path: PathBuf,
    episodes: File,
    done: BTreeMap<String, Vec<Episode>>,
}

impl EvalFolder {
    /// Makes the folder, or opens the one of an evaluation that was asked the same: `asked` is
    /// everything that decides its outcome.
    pub(crate) fn open(path: &Path, asked: &Map<String, Value>) -> Result<Self> {
        let problem = || format!("`{}`", path.display());
        fs::create_dir_all(path).with_context(problem)?;
        let file = path.join(ASKED);
        match fs::read_to_string(&file) {
            Ok(text) => same(path, &text, asked)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if fs::read_dir(path).with_context(problem)?.next().is_some() {
                    let message = format!(
                        "`{}` is not empty and holds no evaluation\n\
                         hint: give a new folder, or one that `pact eval --out` made",
                        path.display()
                    );
                    return Err(UsageError(message).into());
                }
                write_whole(&file, &(serde_json::to_string_pretty(asked)? + "\n"))?;
            }
            Err(error) => bail!("`{}`: {error}", file.display()),
        }
        let file = path.join(EPISODES);
        let done = read_episodes(&file)?;
        let episodes = OpenOptions::new().create(true).append(true).open(&file);
        Ok(Self {
            path: path.to_owned(),
            episodes: episodes.with_context(|| format!("`{}`", file.display()))?,
            done,
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes out the episodes of a task if all of them are there.
    pub(crate) fn take(&mut self, task: &str, samples: usize) -> Option<Group> {
        let mut episodes = self.done.remove(task)?;
        episodes.sort_by_key(|episode| episode.sample);
        let all = (0..samples).eq(episodes.iter().map(|episode| episode.sample));
        all.then(|| Group {
            task: task.to_owned(),
            episodes,
        })
    }

    /// Keeps an episode that has ended.
    pub(crate) fn keep(&mut self, episode: &Episode) -> Result<()> {
        let line = serde_json::to_string(episode)? + "\n";
        let written = self.episodes.write_all(line.as_bytes());
        written.with_context(|| format!("`{}`", self.path.join(EPISODES).display()))
    }

    /// Writes all episodes in the order of their tasks, and what they were worth.
    pub(crate) fn finish(&self, groups: &[Group], summary: &Value) -> Result<()> {
        let mut lines = String::new();
        for episode in groups.iter().flat_map(|group| &group.episodes) {
            lines += &serde_json::to_string(episode)?;
            lines.push('\n');
        }
        write_whole(&self.path.join(EPISODES), &lines)?;
        let summary = serde_json::to_string_pretty(summary)? + "\n";
        write_whole(&self.path.join(SUMMARY), &summary)
    }
}

/// Refuses a folder whose evaluation was asked something else.
fn same(path: &Path, text: &str, asked: &Map<String, Value>) -> Result<()> {
    let before: Map<String, Value> = serde_json::from_str(text)
        .with_context(|| format!("`{}` is no JSON object", path.join(ASKED).display()))?;
    let keys: BTreeSet<&String> = before.keys().chain(asked.keys()).collect();
    let differing = keys
        .into_iter()
        .filter(|key| before.get(*key) != asked.get(*key));
    let differing: Vec<String> = differing
        .map(|key| {
            let shown = |object: &Map<String, Value>| match object.get(key) {
                Some(value) => value.to_string(),
                None => "nothing".to_owned(),
            };
            format!(
                "  {key}: it had {}, and is to have {}",
                shown(&before),
                shown(asked)
            )
        })
        .collect();
    if differing.is_empty() {
        return Ok(());
    }
    let message = format!(
        "`{}` holds another evaluation:\n{}\nhint: give `--out` a new folder, or ask for the same",
        path.display(),
        differing.join("\n")
    );
    Err(UsageError(message).into())
}

/// The episodes of a file by task. A last line that was cut off in the middle of its writing is
/// cut out of the file; its episode is played again.
fn read_episodes(file: &Path) -> Result<BTreeMap<String, Vec<Episode>>> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => bail!("`{}`: {error}", file.display()),
    };
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    if whole < text.len() {
        write_whole(file, &text[..whole])?;
    }
    let mut done = BTreeMap::<String, Vec<Episode>>::new();
    for (index, line) in text[..whole].lines().enumerate() {
        let episode: Episode = serde_json::from_str(line)
            .with_context(|| format!("`{}`, line {}: not an episode", file.display(), index + 1))?;
        done.entry(episode.task.clone()).or_default().push(episode);
    }
    Ok(done)
}

/// Writes beside, then renames, so that a file is there whole or as it was.
fn write_whole(file: &Path, text: &str) -> Result<()> {
    let beside = file.with_extension("writing");
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, file));
    written.with_context(|| format!("`{}`", file.display()))
}
