//! How to do it again, and where everything is.

use std::path::Path;

use episode::RunRecord;
use serde::Serialize;

use crate::grid::Grid;

use super::block::Block;
use super::conversation::cut;

/// What a run's folder may hold, and what it is.
const FILES: [(&str, &str); 11] = [
    ("config.toml", "the config as resolved"),
    ("run.json", "what it was begun with, and by which commands"),
    ("metrics.jsonl", "a step's numbers, a line each"),
    ("episodes.jsonl", "the training episodes, token for token"),
    ("evaluations.jsonl", "what evaluations found, task by task"),
    ("evaluations", "their episodes"),
    ("traces.jsonl", "how an expert does the tasks"),
    ("checkpoints", "models to resume from and to use"),
    ("skipped", "the episodes of steps that were skipped"),
    ("tensorboard", "the same numbers for TensorBoard"),
    ("log.jsonl", "what the run said"),
];

/// How to do it again.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Repeat {
    /// For a shell, a line each.
    pub(super) commands: Vec<String>,
    /// Whether they are those that were typed, or made of the folder's config.
    pub(super) as_typed: bool,
    /// Where everything is.
    pub(super) folder: String,
    /// The files that are there, and what they are.
    pub(super) files: Vec<(&'static str, &'static str)>,
}

impl Repeat {
    pub(super) fn of(folder: &Path, record: Option<&RunRecord>) -> Self {
        let sessions = record.into_iter().flat_map(|record| &record.sessions);
        let commands: Vec<String> = sessions
            .map(|session| session.command.iter().map(|word| quoted(word)))
            .map(|words| words.collect::<Vec<_>>().join(" "))
            .filter(|command| !command.is_empty())
            .map(|command| cut(&command))
            .collect();
        let as_typed = !commands.is_empty();
        let path = |path: &Path| quoted(&path.to_string_lossy());
        let again = Path::new(folder.file_name().unwrap_or(folder.as_os_str()));
        let again = format!("{}-again", again.to_string_lossy());
        let from_config = || {
            let config = path(&folder.join("config.toml"));
            vec![format!("pact train {config} --run {}", quoted(&again))]
        };
        let there = FILES.iter().filter(|(name, _)| folder.join(name).exists());
        Self {
            commands: if as_typed { commands } else { from_config() },
            as_typed,
            folder: folder.display().to_string(),
            files: there.copied().collect(),
        }
    }

    pub(super) fn blocks(&self) -> Vec<Block> {
        let how = match self.as_typed {
            true => {
                "The command lines that made this run, in order, as they were typed where it \
                     was made. The config's seed makes the same machine do the same."
            }
            false => {
                "The folder does not say which command made it; this one makes such a run of \
                      its config, whose seed makes the same machine do the same."
            }
        };
        let mut grid = Grid::default().words(&["file", "what"]);
        let files = self.files.iter();
        grid.rows = files
            .map(|(file, what)| vec![(*file).to_owned(), (*what).to_owned()])
            .collect();
        vec![
            Block::Text(how.to_owned()),
            Block::Code(self.commands.join("\n")),
            Block::Text(format!("Everything is in {}.", self.folder)),
            Block::Table("What is in the folder", grid),
        ]
    }
}

/// A word as a shell reads it whole.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_one_word_to_a_shell() {
        assert_eq!(quoted("runs/a.toml"), "runs/a.toml");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("$(rm x)'"), "'$(rm x)'\\'''");
        assert_eq!(quoted(""), "''");
    }
}
