//! The files that make a tokenizer with its chat template: found in a folder, or carried by
//! the binary so that nothing is needed to replay traces or begin a fresh model.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use chat::Chat;
use train::Checkpoint;

use crate::policies::Folders;
use crate::{config_file, paths};

/// What a model folder holds beside config and weights.
const NAMES: [&str; 8] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "generation_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
];

const OWN: [(&str, &str); 3] = [
    (
        "tokenizer.json",
        include_str!("../../../base/tokenizer.json"),
    ),
    (
        "tokenizer_config.json",
        include_str!("../../../base/tokenizer_config.json"),
    ),
    (
        "generation_config.json",
        include_str!("../../../base/generation_config.json"),
    ),
];

/// A tokenizer's files, to go with a model wherever it is written.
#[derive(Clone, Debug)]
pub(crate) struct Tokenizer {
    /// By name and text.
    pub(crate) files: Vec<(String, String)>,
}

impl Tokenizer {
    /// The files of a folder, or pact's own without one.
    pub(crate) fn open(folder: Option<&Path>) -> Result<Self> {
        match folder {
            Some(folder) => Self::read(folder),
            None => Ok(Self::own()),
        }
    }

    fn own() -> Self {
        let files = OWN.map(|(name, text)| (name.to_owned(), text.to_owned()));
        Self {
            files: files.into(),
        }
    }

    fn read(folder: &Path) -> Result<Self> {
        let mut files = Vec::new();
        for name in NAMES {
            let path = folder.join(name);
            match fs::read_to_string(&path) {
                Ok(text) => files.push((name.to_owned(), text)),
                // Only the first two must be there, and `Chat` says so.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => anyhow::bail!("`{}`: {error}", path.display()),
            }
        }
        Ok(Self { files })
    }

    /// Writes the files into a folder.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        for (name, text) in &self.files {
            let path = folder.join(name);
            fs::write(&path, text).map_err(|error| anyhow!("`{}`: {error}", path.display()))?;
        }
        Ok(())
    }

    /// The token that fills batches, where the files name one.
    pub(crate) fn pad_token(&self, chat: &Chat) -> Option<u32> {
        let (_, text) = self.files.iter().find(|(name, _)| name == NAMES[1])?;
        let config: serde_json::Value = serde_json::from_str(text).ok()?;
        let pad = &config["pad_token"];
        let text = pad.as_str().or_else(|| pad["content"].as_str())?;
        match chat.encode(text).ok()?.as_slice() {
            [token] => Some(*token),
            _ => None,
        }
    }
}

/// Tokenizer and template of a folder, or pact's own without one.
pub(crate) fn load_chat(folder: Option<&Path>, config: chat::Config) -> Result<Chat> {
    match folder {
        Some(folder) => Chat::load(folder, config)
            .map_err(|error| anyhow!("folder `{}`: {error}", folder.display())),
        None => Ok(Chat::from_json(OWN[0].1, OWN[1].1, config)?),
    }
}

/// The folder of a run's tokenizer: that of its newest checkpoint, which goes wherever the run
/// goes, else what its config says; `None` for pact's own.
pub(crate) fn folder_of_run(run: &Path) -> Result<Option<PathBuf>> {
    if let Some(checkpoint) = Checkpoint::newest(run)?
        && checkpoint.path.join(NAMES[0]).is_file()
    {
        return Ok(Some(checkpoint.path));
    }
    let model = config_file::read(Some(&run.join("config.toml")), &[])?.model;
    let Some(folder) = model.path.or(model.tokenizer) else {
        return Ok(None);
    };
    Ok(Some(
        Folders::find(&paths::resolve(&folder)?, None)?.tokenizer,
    ))
}

/// Tokenizer and template of a run.
pub(crate) fn of_run(run: &Path) -> Result<Chat> {
    load_chat(folder_of_run(run)?.as_deref(), chat::Config::default())
}
