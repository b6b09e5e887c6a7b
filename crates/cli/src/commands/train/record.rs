//! `run.json`: what a run is made of, by its content, and who goes on with it where.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use env::Suite;
use episode::{Machine, RunRecord, Session};
use model::Instructions;
use store::{Digester, digest_file};
use train::Parts;

use super::changes;
use crate::config::{self, RunConfig, Source};
use crate::policies::Folders;
use crate::{clock, engine, paths, terminal};

/// The record of a run of which this process does the steps from `step` on. Everything that it
/// names by a hash is read in full.
pub(super) fn of(
    config: &RunConfig,
    parts: &Parts,
    evaluation: Option<&dyn Suite>,
    step: u64,
) -> Result<RunRecord> {
    let mut record = RunRecord {
        config: changes::keys(config),
        sessions: vec![session(step)?],
        ..RunRecord::default()
    };
    let mut add = |what: &str, digest: String| record.contents.insert(what.to_owned(), digest);
    add("training data", training(config, parts)?);
    if let Some(suite) = evaluation {
        add("evaluation data", evaluated(config, suite)?);
    }
    if let Some(digest) = starting_model(&config.model)? {
        add("model", digest);
    }
    if let Some(folder) = &config.model.reference {
        add("reference", weights(&paths::resolve(folder)?)?);
    }
    let mut tokenizer = Digester::default();
    for (name, text) in &parts.companions {
        tokenizer.part(name.as_bytes());
        tokenizer.part(text.as_bytes());
    }
    add("tokenizer", tokenizer.finish());
    Ok(record)
}

fn session(step: u64) -> Result<Session> {
    Ok(Session {
        began: clock::since_1970(),
        step,
        command: terminal::command_line(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        binary: binary()?,
        machine: Machine {
            cores: engine::available(),
            threads: rayon::current_num_threads(),
            instructions: Instructions::current().name().to_owned(),
        },
        changes: Vec::new(),
    })
}

/// The hash of this program. Linux keeps the file of a program that was replaced meanwhile.
fn binary() -> Result<String> {
    let itself = Path::new("/proc/self/exe");
    let file = match itself.exists() {
        true => itself.to_owned(),
        false => std::env::current_exe().context("the path of this program")?,
    };
    file_digest(&file)
}

/// Tasks and traces as they were read, and the files beside, which hold the tools.
fn training(config: &RunConfig, parts: &Parts) -> Result<String> {
    let mut digester = Digester::default();
    digester.part(parts.source.digest().as_bytes());
    take_files(&mut digester, &config.data.train)?;
    Ok(digester.finish())
}

fn evaluated(config: &RunConfig, suite: &dyn Suite) -> Result<String> {
    let mut digester = Digester::default();
    for task in suite.tasks() {
        digester.part(&serde_json::to_vec(task)?);
    }
    take_files(&mut digester, &config.data.eval)?;
    Ok(digester.finish())
}

/// Files that a source of tasks is read from. What a server answers is not among them.
fn take_files(digester: &mut Digester, source: &Source) -> Result<()> {
    let files: Vec<PathBuf> = match source {
        Source::World(_) | Source::Stream(_) => Vec::new(),
        Source::Ftrl(it) => vec![it.file.clone()],
        Source::Toolhop(it) => vec![it.file.clone()],
        Source::Bfcl(it) => vec![it.folder.clone()],
        // Its domains lie in a folder of its name.
        Source::Tau(it) => vec![it.file.clone(), it.file.with_extension("")],
        Source::Own(it) => [Some(it.file.clone()), it.python.clone()]
            .into_iter()
            .flatten()
            .collect(),
    };
    for file in files {
        take_tree(digester, &paths::resolve(&file)?)?;
    }
    Ok(())
}

/// A file's bytes; of a folder the names and bytes of all that is in it.
fn take_tree(digester: &mut Digester, path: &Path) -> Result<()> {
    if !path.is_dir() {
        if path.exists() {
            digester.part(file_digest(path)?.as_bytes());
        }
        return Ok(());
    }
    for path in entries(path)? {
        let name = path.file_name().unwrap_or_default();
        digester.part(name.as_encoded_bytes());
        take_tree(digester, &path)?;
    }
    Ok(())
}

/// What a folder has in it, by name.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let problem = || format!("`{}`", folder.display());
    let entries = fs::read_dir(folder).with_context(problem)?;
    let paths = entries.map(|entry| entry.map(|it| it.path()));
    let mut paths = paths.collect::<Result<Vec<_>, _>>().with_context(problem)?;
    paths.sort();
    Ok(paths)
}

/// Weights that a run begins with, if they are not made of the config and its seed.
fn starting_model(config: &config::Model) -> Result<Option<String>> {
    let Some(path) = &config.path else {
        return Ok(None);
    };
    let folders = Folders::find(&paths::resolve(path)?, None)?;
    let mut digester = Digester::default();
    digester.part(weights(&folders.base)?.as_bytes());
    let adapter = match &config.adapter {
        Some(adapter) => Some(paths::resolve(adapter)?),
        None => folders.adapter.map(|it| it.path),
    };
    if let Some(adapter) = adapter {
        digester.part(weights(&adapter)?.as_bytes());
    }
    Ok(Some(digester.finish()))
}

/// The files of a model's or an adapter's folder that decide what it computes.
fn weights(folder: &Path) -> Result<String> {
    let mut digester = Digester::default();
    for path in entries(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let decides = name.ends_with(".safetensors")
            || ["config.json", "adapter_config.json"].contains(&&*name);
        if decides {
            digester.part(name.as_bytes());
            digester.part(file_digest(&path)?.as_bytes());
        }
    }
    Ok(digester.finish())
}

fn file_digest(file: &Path) -> Result<String> {
    digest_file(file).with_context(|| format!("`{}`", file.display()))
}
