//! Decoders with their tokenizers: read from a folder, an adapter's folder included, or fresh.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use chat::Chat;
use episode::Seed;
use model::{Adapter, AdapterFolder, Architecture, Model, Weights};
use train::Held;

use crate::config::{self, Preset};
use crate::exit::UsageError;
use crate::paths;
use crate::tokenizer::{self, Tokenizer};

/// What says how large a fresh model is.
#[derive(Clone, Copy)]
pub(crate) enum Size<'a> {
    Preset(Preset),
    /// A `config.json`.
    Config(&'a Path),
}

/// A decoder that can hold a conversation.
pub(crate) struct Policy {
    pub(crate) model: Model,
    pub(crate) chat: Chat,
    pub(crate) tokenizer: Tokenizer,
}

/// The folders that a policy is read from.
pub(crate) struct Folders {
    /// The whole model.
    pub(crate) base: PathBuf,
    /// What is put on it.
    pub(crate) adapter: Option<AdapterFolder>,
    /// An adapter's own tokenizer, or its base's.
    pub(crate) tokenizer: PathBuf,
}

impl Folders {
    /// Those of a model's folder, or of an adapter's. The adapter's base is `base`, else the
    /// one that it names.
    pub(crate) fn find(folder: &Path, base: Option<&Path>) -> Result<Self> {
        if !AdapterFolder::is_one(folder) {
            return Ok(Self {
                base: folder.to_owned(),
                adapter: None,
                tokenizer: folder.to_owned(),
            });
        }
        let adapter = AdapterFolder::open(folder)?;
        let base = match base {
            Some(base) if AdapterFolder::is_one(base) => own_base(&AdapterFolder::open(base)?)?,
            Some(base) => base.to_owned(),
            None => own_base(&adapter)?,
        };
        let has_tokenizer = folder.join("tokenizer.json").exists();
        Ok(Self {
            tokenizer: if has_tokenizer {
                folder.to_owned()
            } else {
                base.clone()
            },
            base,
            adapter: Some(adapter),
        })
    }
}

/// The folder of the base that an adapter names: from here, or from where the adapter lies.
fn own_base(adapter: &AdapterFolder) -> Result<PathBuf> {
    let named = Path::new(&adapter.base);
    let places = [named.to_owned(), adapter.path.join(named)];
    let is_model = |place: &PathBuf| place.join("config.json").exists();
    match places.into_iter().find(is_model) {
        Some(place) => Ok(place),
        None => bail!(
            "`{}`: its base `{}` is not a model folder here\nhint: name the folder by `--set \
             model.path=DIR`",
            adapter.path.display(),
            adapter.base
        ),
    }
}

impl Policy {
    /// The model of a folder, to play and not to be trained. `config` says what its weights
    /// are held in, and where an adapter's base is.
    pub(crate) fn load(folder: &Path, config: &config::Model, chat: chat::Config) -> Result<Self> {
        let base = config.path.as_deref().map(paths::resolve).transpose()?;
        let folders = Folders::find(folder, base.as_deref())?;
        let (architecture, weights) = model::load_frozen(&folders.base, config.weights)?;
        let mut model = Model::new(architecture, weights);
        if let Some(adapter) = &folders.adapter {
            attach(&mut model, adapter, &folders.base)?;
        }
        Self::with_tokenizer(model, &folders.tokenizer, chat)
    }

    fn with_tokenizer(model: Model, folder: &Path, chat: chat::Config) -> Result<Self> {
        let policy = Self {
            model,
            chat: tokenizer::load_chat(Some(folder), chat)?,
            tokenizer: Tokenizer::open(Some(folder))?,
        };
        check_vocabulary(&policy.model.architecture, &policy.chat, folder)?;
        Ok(policy)
    }

    /// A model of fresh weights.
    pub(crate) fn fresh(
        size: Size<'_>,
        tokenizer: Option<&Path>,
        chat: chat::Config,
        seed: Seed,
    ) -> Result<Self> {
        let chat = tokenizer::load_chat(tokenizer, chat)?;
        let tokenizer = Tokenizer::open(tokenizer)?;
        let mut architecture = match size {
            Size::Preset(preset) => model::Preset::from(preset).architecture(chat.vocab_size()),
            Size::Config(file) => {
                let text = fs::read_to_string(file)
                    .map_err(|error| UsageError(format!("`{}`: {error}", file.display())))?;
                Architecture::from_json(&text, file)?
            }
        };
        architecture.set_token_ids(None, chat.stop_tokens(), tokenizer.pad_token(&chat));
        if let Size::Config(file) = size {
            check_vocabulary(&architecture, &chat, file)?;
        }
        let parameters = model::init(&architecture, seed.named("model").0);
        Ok(Self {
            model: Model::new(architecture, parameters),
            chat,
            tokenizer,
        })
    }

    /// What a config names, to be trained.
    pub(crate) fn of_config(
        config: &config::Model,
        chat: chat::Config,
        seed: Seed,
    ) -> Result<Self> {
        let Some(path) = &config.path else {
            let folder = config.tokenizer.as_deref();
            let tokenizer = folder.map(paths::resolve).transpose()?;
            let preset = config.preset.unwrap_or(Preset::Tiny);
            let mut policy = Self::fresh(Size::Preset(preset), tokenizer.as_deref(), chat, seed)?;
            if let Weights::F32(parameters) = policy.model.weights {
                policy.model.weights = Weights::trained(parameters, config.weights);
            }
            return Ok(policy);
        };
        let path = paths::resolve(path)?;
        let mut folders = Folders::find(&path, None)?;
        if let Some(adapter) = &config.adapter {
            let adapter = paths::resolve(adapter)?;
            if folders.adapter.is_some() {
                bail!(
                    "`model.path`: `{}` is an adapter's folder, and `model.adapter` another\nhint: \
                     name the base by `model.path`",
                    path.display()
                );
            }
            folders.adapter = Some(AdapterFolder::open(&adapter)?);
        }
        let model = match &folders.adapter {
            Some(adapter) if config.lora.rank > 0 => bail!(
                "`{}` is an adapter's folder, but `model.lora` asks for a fresh one\nhint: \
                 `--set model.lora.rank=0` goes on with this one; `pact model merge` makes a \
                 base of it",
                adapter.path.display()
            ),
            Some(adapter) => {
                let (architecture, weights) = model::load_frozen(&folders.base, config.weights)?;
                let mut model = Model::new(architecture, weights);
                attach(&mut model, adapter, &folders.base)?;
                if adapter.dropout != 0.0 {
                    eprintln!(
                        "note: `{}` was trained with dropout {}; it goes on without",
                        adapter.path.display(),
                        adapter.dropout
                    );
                }
                model
            }
            None if config.lora.rank > 0 => {
                let (architecture, weights) = model::load_frozen(&folders.base, config.weights)?;
                let mut model = Model::new(architecture, weights);
                let (base, seed) = (in_full(&folders.base), seed.named("adapter").0);
                let adapter = Adapter::new(&config.lora, &model.architecture, &base, seed)
                    .map_err(|error| UsageError(format!("`model.lora`: {error}")))?;
                model.attach(adapter)?;
                model
            }
            None => {
                let (architecture, parameters) = model::load(&folders.base)?;
                Model::new(architecture, Weights::trained(parameters, config.weights))
            }
        };
        Self::with_tokenizer(model, &folders.tokenizer, chat)
    }

    /// What a config names, and how it will be held, before anything is allocated for it.
    pub(crate) fn plan(
        config: &config::Model,
        device: model::Place,
        chat: chat::Config,
    ) -> Result<(Architecture, Held)> {
        let (precision, on_card) = (config.weights, device != model::Place::Cpu);
        let Some(folder) = &config.path else {
            let tokenizer = config.tokenizer.as_deref();
            let tokenizer = tokenizer.map(paths::resolve).transpose()?;
            let chat = tokenizer::load_chat(tokenizer.as_deref(), chat)?;
            let preset = model::Preset::from(config.preset.unwrap_or(Preset::Tiny));
            let adapter = None;
            let held = Held {
                precision,
                adapter,
                on_card,
            };
            return Ok((preset.architecture(chat.vocab_size()), held));
        };
        let folders = Folders::find(&paths::resolve(folder)?, None)?;
        let architecture = model::load_architecture(&folders.base)?;
        let lora = match (&config.adapter, folders.adapter) {
            (Some(folder), _) => Some(AdapterFolder::open(&paths::resolve(folder)?)?.config),
            (None, Some(adapter)) => Some(adapter.config),
            (None, None) => (config.lora.rank > 0).then(|| config.lora.clone()),
        };
        let adapter = lora.map(|lora| Adapter::len(&lora, &architecture));
        let adapter = adapter
            .transpose()
            .map_err(|error| UsageError(format!("`model.lora`: {error}")))?;
        let held = Held {
            precision,
            adapter,
            on_card,
        };
        Ok((architecture, held))
    }
}

/// A model has a row for each token of its tokenizer; `of` is where the model is read from.
fn check_vocabulary(architecture: &Architecture, chat: &Chat, of: &Path) -> Result<()> {
    let (rows, ids) = (architecture.vocab_size, chat.vocab_size());
    if ids > rows {
        bail!(
            "`{}`: the tokenizer has {ids} tokens, but the model's vocabulary only {rows}\n\
             hint: use the tokenizer that the model was made with",
            of.display()
        );
    }
    Ok(())
}

/// Puts the adapter of a folder on the weights of `base`.
fn attach(model: &mut Model, folder: &AdapterFolder, base: &Path) -> Result<()> {
    let adapter = folder.load(&model.architecture)?;
    let named = Path::new(&folder.base).file_name();
    if named.is_some() && named != Path::new(&in_full(base)).file_name() {
        eprintln!(
            "note: the base of `{}` is called `{}`; it is put on `{}`",
            folder.path.display(),
            folder.base,
            base.display()
        );
    }
    if let Err(error) = model.attach(adapter) {
        bail!(
            "`{}` on `{}`: {error}",
            folder.path.display(),
            base.display()
        );
    }
    if let Some(adapter) = &mut model.adapter {
        adapter.base = in_full(base);
    }
    Ok(())
}

/// A folder's path that is the same from anywhere.
fn in_full(folder: &Path) -> String {
    let full = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    full.to_string_lossy().into_owned()
}
