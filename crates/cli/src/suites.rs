//! From what a config or a command line names to tasks that can be rolled out, with their
//! expert traces where there are any.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use env::ftrl::{FtrlOptions, FtrlSuite};
use env::world::{self, WorldSuite};
use env::{PythonConfig, Suite, load_traces};
use episode::{Task, Trace};
use train::{Missing, Settings};

use crate::args::SuiteName;
use crate::config::{Ftrl, RunConfig, Source};
use crate::paths;

/// The tasks of a file.
pub(crate) fn open_file(
    name: SuiteName,
    file: &Path,
    python: &PythonConfig,
) -> Result<Arc<dyn Suite>> {
    Ok(match name {
        SuiteName::World => Arc::new(WorldSuite::load(file)?),
        SuiteName::Ftrl => {
            let options = FtrlOptions {
                python: python.clone(),
                ..FtrlOptions::default()
            };
            Arc::new(FtrlSuite::load(file, options)?)
        }
    })
}

/// What a run trains on.
pub(crate) fn training(config: &RunConfig, settings: &Settings) -> Result<train::Source> {
    if let Source::Stream(world) = &config.data.train {
        return Ok(train::Source::Stream(world.clone()));
    }
    let (suite, mut traces) = open(&config.data.train, &config.python)?;
    if let Some(file) = &config.data.traces {
        traces = load_traces(&paths::resolve(file)?, suite.tasks())?;
    }
    let traced_only = settings.needs_traces() && settings.trace.missing == Missing::Drop;
    Ok(train::Source::fixed(suite, traces, traced_only))
}

/// What a run is evaluated on.
pub(crate) fn evaluation(config: &RunConfig) -> Result<Arc<dyn Suite>> {
    Ok(open(&config.data.eval, &config.python)?.0)
}

/// The first `limit` tasks of a suite; 0 is all.
pub(crate) fn first(suite: &dyn Suite, limit: usize) -> Vec<&Task> {
    let limit = if limit == 0 { usize::MAX } else { limit };
    suite.tasks().iter().take(limit).collect()
}

fn open(source: &Source, python: &PythonConfig) -> Result<(Arc<dyn Suite>, Vec<Trace>)> {
    match source {
        Source::World(config) | Source::Stream(config) => {
            let world = world::generate(config);
            Ok((Arc::new(world.suite), world.traces))
        }
        Source::Ftrl(ftrl) => open_ftrl(ftrl, python),
    }
}

fn open_ftrl(ftrl: &Ftrl, python: &PythonConfig) -> Result<(Arc<dyn Suite>, Vec<Trace>)> {
    let options = FtrlOptions {
        python: python.clone(),
        allow_broken_tools: ftrl.allow_broken_tools,
        ..FtrlOptions::default()
    };
    let suite = FtrlSuite::load(&paths::resolve(&ftrl.file)?, options)?;
    let traces = match &ftrl.traces {
        Some(file) => load_traces(&paths::resolve(file)?, suite.tasks())?,
        None => Vec::new(),
    };
    Ok((Arc::new(suite), traces))
}
