//! Decoders with their tokenizers: read from a folder, or fresh.

use std::path::Path;

use anyhow::{Result, bail};
use chat::Chat;
use episode::Seed;
use model::{Architecture, Model};

use crate::config::{self, Preset};
use crate::paths;
use crate::tokenizer::{self, Tokenizer};

/// A decoder that can hold a conversation.
pub(crate) struct Policy {
    pub(crate) model: Model,
    pub(crate) chat: Chat,
    pub(crate) tokenizer: Tokenizer,
}

impl Policy {
    /// The model of a folder.
    pub(crate) fn load(folder: &Path, chat: chat::Config) -> Result<Self> {
        let (architecture, parameters) = model::load(folder)?;
        let policy = Self {
            model: Model::new(architecture, parameters),
            chat: tokenizer::load_chat(Some(folder), chat)?,
            tokenizer: Tokenizer::open(Some(folder))?,
        };
        policy.check_vocabulary(folder)?;
        Ok(policy)
    }

    /// A model of fresh weights.
    pub(crate) fn fresh(
        preset: Preset,
        tokenizer: Option<&Path>,
        chat: chat::Config,
        seed: Seed,
    ) -> Result<Self> {
        let chat = tokenizer::load_chat(tokenizer, chat)?;
        let tokenizer = Tokenizer::open(tokenizer)?;
        let mut architecture = model::Preset::from(preset).architecture(chat.vocab_size());
        architecture.set_token_ids(None, chat.stop_tokens(), tokenizer.pad_token(&chat));
        let parameters = model::init(&architecture, seed.named("model").0);
        Ok(Self {
            model: Model::new(architecture, parameters),
            chat,
            tokenizer,
        })
    }

    /// What a config names.
    pub(crate) fn of_config(model: &config::Model, chat: chat::Config, seed: Seed) -> Result<Self> {
        if let Some(folder) = &model.path {
            return Self::load(&paths::resolve(folder)?, chat);
        }
        let tokenizer = model.tokenizer.as_deref().map(paths::resolve).transpose()?;
        let preset = model.preset.unwrap_or(Preset::Tiny);
        Self::fresh(preset, tokenizer.as_deref(), chat, seed)
    }

    /// What kind of decoder a config names, before anything is allocated for it.
    pub(crate) fn architecture(model: &config::Model, chat: chat::Config) -> Result<Architecture> {
        if let Some(folder) = &model.path {
            return Ok(model::load_architecture(&paths::resolve(folder)?)?);
        }
        let tokenizer = model.tokenizer.as_deref().map(paths::resolve).transpose()?;
        let chat = tokenizer::load_chat(tokenizer.as_deref(), chat)?;
        let preset = model::Preset::from(model.preset.unwrap_or(Preset::Tiny));
        Ok(preset.architecture(chat.vocab_size()))
    }

    fn check_vocabulary(&self, folder: &Path) -> Result<()> {
        let (rows, ids) = (self.model.architecture.vocab_size, self.chat.vocab_size());
        if ids > rows {
            bail!(
                "`{}`: the tokenizer has {ids} tokens, but the model's vocabulary only {rows}\n\
                 hint: use the tokenizer that the model was made with",
                folder.display()
            );
        }
        Ok(())
    }
}
