//! `pact model`: folders in the Hugging Face layout, made, merged and described.

use std::path::Path;

use anyhow::{Result, bail};
use episode::Seed;
use model::{AdapterFolder, Architecture, Parameters, Precision, Weights};
use serde_json::{Map, Value, json};

use crate::args::{ModelCommand, ModelInit, ModelMerge};
use crate::exit::{Exit, UsageError};
use crate::policies::{Folders, Policy, Size};
use crate::tokenizer::Tokenizer;

/// Weights beyond this go into several files.
const MAX_SHARD_BYTES: usize = 4 << 30;

pub(crate) fn run(command: &ModelCommand) -> Result<Exit> {
    match command {
        ModelCommand::Init(arguments) => init(arguments),
        ModelCommand::Merge(arguments) => merge(arguments),
        ModelCommand::Info { folder, json } => info(folder, *json),
    }
}

fn init(arguments: &ModelInit) -> Result<Exit> {
    refuse_taken(&arguments.out)?;
    let tokenizer = arguments.tokenizer.as_deref();
    let seed = Seed(arguments.seed);
    let size = match (&arguments.config, arguments.preset) {
        (Some(file), _) => Size::Config(file),
        (None, preset) => Size::Preset(preset.expect("one of the two is required")),
    };
    let policy = Policy::fresh(size, tokenizer, chat::Config::default(), seed)?;
    let masters = policy.model.weights.masters();
    let parameters = masters.expect("fresh weights are f32");
    let architecture = &policy.model.architecture;
    write(
        &arguments.out,
        architecture,
        parameters,
        arguments.precision.into(),
        &policy.tokenizer,
    )
}

fn merge(arguments: &ModelMerge) -> Result<Exit> {
    refuse_taken(&arguments.out)?;
    let folder = &arguments.adapter;
    if folder.is_dir() && !AdapterFolder::is_one(folder) {
        return Err(UsageError(format!(
            "`{}`: not an adapter's folder, expected `adapter_config.json` in it and no \
             `config.json`\nhint: `pact model info` says what a folder is",
            folder.display()
        ))
        .into());
    }
    let opened = AdapterFolder::open(folder)?;
    let folders = match &arguments.model {
        Some(base) if AdapterFolder::is_one(base) => {
            return Err(UsageError(format!(
                "`--model {}`: an adapter's folder, expected a whole model's",
                base.display()
            ))
            .into());
        }
        base => Folders::find(folder, base.as_deref())?,
    };
    let (architecture, parameters) = model::load(&folders.base)?;
    let adapter = opened.load(&architecture)?;
    let mut model = model::Model::new(architecture, parameters);
    let (from, onto) = (folder.display(), folders.base.display());
    if let Err(error) = model.attach(adapter) {
        bail!("`{from}` on `{onto}`: {error}");
    }
    let Weights::F32(mut parameters) = model.weights else {
        unreachable!("weights are loaded as f32")
    };
    let adapter = model.adapter.expect("it was attached");
    adapter.merge(&mut parameters);
    let tokenizer = Tokenizer::open(Some(&folders.tokenizer))?;
    write(
        &arguments.out,
        &model.architecture,
        &parameters,
        arguments.precision.into(),
        &tokenizer,
    )
}

fn refuse_taken(out: &Path) -> Result<()> {
    if out.join("config.json").exists() {
        bail!(
            "`{}`: there is a model in this folder already\nhint: name another with `--out`",
            out.display()
        );
    }
    Ok(())
}

fn write(
    out: &Path,
    architecture: &Architecture,
    parameters: &Parameters,
    precision: Precision,
    tokenizer: &Tokenizer,
) -> Result<Exit> {
    if let Err(error) = std::fs::create_dir_all(out) {
        bail!("`{}`: {error}", out.display());
    }
    model::save(out, architecture, parameters, precision, MAX_SHARD_BYTES)?;
    tokenizer.write(out)?;
    eprintln!(
        "a model of {} parameters in `{}`",
        parameters.data.len(),
        out.display()
    );
    Ok(Exit::Done)
}

fn info(folder: &Path, as_json: bool) -> Result<Exit> {
    let facts = facts(folder)?;
    let text = if as_json {
        format!("{}\n", Value::Object(facts))
    } else {
        let width = facts.keys().map(String::len).max().unwrap_or(0);
        let line = |(name, value): (&String, &Value)| format!("{name:width$}  {value}\n");
        facts.iter().map(line).collect()
    };
    super::print(&text)?;
    Ok(Exit::Done)
}

fn facts(folder: &Path) -> Result<Map<String, Value>> {
    if AdapterFolder::is_one(folder) {
        return adapter_facts(&AdapterFolder::open(folder)?);
    }
    // Read whole, so that what is described can be used; in bfloat16, which takes least memory.
    let (architecture, weights) = model::load_frozen(folder, Precision::Bf16)?;
    let mut facts = Map::new();
    let mut fact = |name: &str, value: Value| facts.insert(name.to_owned(), value);
    fact(
        "family",
        json!(format!("{:?}", architecture.family).to_lowercase()),
    );
    fact("parameters", json!(weights.layout().len));
    fact("vocabulary", json!(architecture.vocab_size));
    fact("layers", json!(architecture.layers));
    fact("hidden-size", json!(architecture.hidden_size));
    fact("intermediate-size", json!(architecture.intermediate_size));
    fact("heads", json!(architecture.heads));
    fact("kv-heads", json!(architecture.kv_heads));
    fact("head-dim", json!(architecture.head_dim));
    fact("tied", json!(architecture.tied));
    fact("positions", json!(architecture.max_position_embeddings));
    fact("stop-tokens", json!(architecture.eos_token_ids));
    if folder.join("tokenizer.json").exists() {
        let chat = crate::tokenizer::load_chat(Some(folder), chat::Config::default())?;
        fact("tokenizer", json!(chat.vocab_size()));
        fact("stop-tokens", json!(chat.stop_tokens()));
    }
    Ok(facts)
}

/// What an adapter says of itself; its base need not be here.
fn adapter_facts(folder: &AdapterFolder) -> Result<Map<String, Value>> {
    let mut facts = Map::new();
    let mut fact = |name: &str, value: Value| facts.insert(name.to_owned(), value);
    let targets: Vec<&str> = folder.config.targets.iter().map(|t| t.name()).collect();
    fact("adapter", json!("lora"));
    fact("base", json!(folder.base));
    fact("rank", json!(folder.config.rank));
    fact("alpha", json!(folder.config.alpha));
    fact("rank-stabilised", json!(folder.rank_stabilised));
    fact("targets", json!(targets));
    fact("parameters", json!(folder.count()?));
    Ok(facts)
}
