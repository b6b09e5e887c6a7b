//! `log.jsonl`: what a run says, one JSON object a line, with spans and how long they took.

use std::fs::File;
use std::path::Path;
use std::sync::Mutex;

use anyhow::{Result, anyhow};
use tracing::Level;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::format::FmtSpan;

/// Logs into the run's folder until the guard goes.
pub(super) fn begin(run: &Path) -> Result<DefaultGuard> {
    let path = run.join("log.jsonl");
    let file = File::options().create(true).append(true).open(&path);
    let file = file.map_err(|error| anyhow!("`{}`: {error}", path.display()))?;
    let subscriber = fmt()
        .json()
        .with_max_level(Level::INFO)
        .with_span_events(FmtSpan::CLOSE)
        .with_writer(Mutex::new(file))
        .finish();
    Ok(tracing::subscriber::set_default(subscriber))
}
