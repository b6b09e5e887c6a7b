//! `pact model`: folders in the Hugging Face layout, made and described.

use std::path::Path;

use anyhow::{Result, bail};
use episode::Seed;
use model::{Model, Precision};
use serde_json::{Map, Value, json};

use crate::args::{ModelCommand, ModelInit};
use crate::exit::Exit;
use crate::policies::Policy;

/// Weights beyond this go into several files.
const MAX_SHARD_BYTES: usize = 4 << 30;

pub(crate) fn run(command: &ModelCommand) -> Result<Exit> {
    match command {
        ModelCommand::Init(arguments) => init(arguments),
        ModelCommand::Info { folder, json } => info(folder, *json),
    }
}

fn init(arguments: &ModelInit) -> Result<Exit> {
    let out = &arguments.out;
    if out.join("config.json").exists() {
        bail!(
            "`{}`: there is a model in this folder already\nhint: name another with `--out`",
            out.display()
        );
    }
    let tokenizer = arguments.tokenizer.as_deref();
    let seed = Seed(arguments.seed);
    let policy = Policy::fresh(arguments.preset, tokenizer, chat::Config::default(), seed)?;
    if let Err(error) = std::fs::create_dir_all(out) {
        bail!("`{}`: {error}", out.display());
    }
    let Model {
        architecture,
        parameters,
        ..
    } = &policy.model;
    model::save(
        out,
        architecture,
        parameters,
        Precision::F32,
        MAX_SHARD_BYTES,
    )?;
    policy.tokenizer.write(out)?;
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
    let (architecture, parameters) = model::load(folder)?;
    let mut facts = Map::new();
    let mut fact = |name: &str, value: Value| facts.insert(name.to_owned(), value);
    fact(
        "family",
        json!(format!("{:?}", architecture.family).to_lowercase()),
    );
    fact("parameters", json!(parameters.data.len()));
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
