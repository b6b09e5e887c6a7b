//! What agents remember between episodes: one memory for each back end and scenario, kept as
//! the snapshot that its last conversation left, and written down in the official layout.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::memory::{Embedder, KeyValueMemory, Memory, SummaryMemory, VectorMemory};
use crate::records::Record;
use crate::{BfclError, Category};

/// The memories of a suite.
pub(super) struct Memories {
    /// By back end and scenario; none: nothing has been remembered.
    snapshots: Mutex<HashMap<(Category, String), String>>,
    /// Where they are written, if they are.
    folder: Option<PathBuf>,
    embedder: Option<Arc<dyn Embedder>>,
}

impl Memories {
    pub(super) fn new(folder: Option<PathBuf>, embedder: Option<Arc<dyn Embedder>>) -> Self {
        Self {
            snapshots: Mutex::default(),
            folder,
            embedder,
        }
    }

    /// Takes up what an earlier run has written after a scenario's `conversations`, and says
    /// how many of them need not be played again.
    pub(super) fn resume(
        &self,
        category: Category,
        conversations: &[&Record],
    ) -> Result<usize, BfclError> {
        let Some(folder) = &self.folder else {
            return Ok(0);
        };
        let checkpoint = |record: &Record| checkpoint_path(folder, category, &record.id);
        let paths = conversations.iter().map(|record| checkpoint(record));
        let paths: Vec<PathBuf> = paths.take_while(|path| path.is_file()).collect();
        if let (Some(path), [first, ..]) = (paths.last(), conversations) {
            let text = fs::read_to_string(path).map_err(|source| BfclError::file(path, source))?;
            self.fresh(category)
                .load(&text)
                .map_err(|problem| BfclError::Snapshot {
                    path: path.clone(),
                    problem,
                })?;
            self.lock().insert(key(category, first), text);
        }
        Ok(paths.len())
    }

    /// The memory with which an episode begins. The first conversation of a scenario begins
    /// with nothing, whatever was remembered before.
    pub(super) fn open(&self, category: Category, record: &Record) -> Box<dyn Memory> {
        let mut memory = self.fresh(category);
        if !record.depends_on.is_empty()
            && let Some(snapshot) = self.lock().get(&key(category, record))
        {
            let loaded = memory.load(snapshot);
            loaded.expect("a snapshot was read before, or written by such a memory");
        }
        memory
    }

    /// Keeps what a conversation leaves, for the next one and for the questions.
    ///
    /// Panics where it cannot be written: what comes after it would be lost with it.
    pub(super) fn keep(&self, category: Category, record: &Record, memory: &dyn Memory) {
        let snapshot = memory.snapshot();
        if let Some(folder) = &self.folder {
            let scenario = record.scenario.as_deref().unwrap_or_default();
            for path in [
                checkpoint_path(folder, category, &record.id),
                snapshot_folder(folder, category).join(format!("{scenario}_final.json")),
            ] {
                if let Err(error) = write(&path, &snapshot) {
                    panic!("cannot write the memory `{}`: {error}", path.display());
                }
            }
        }
        self.lock().insert(key(category, record), snapshot);
    }

    fn fresh(&self, category: Category) -> Box<dyn Memory> {
        match category {
            Category::MemoryKv => Box::new(KeyValueMemory::default()),
            Category::MemoryRecSum => Box::new(SummaryMemory::default()),
            _ => {
                let embedder = self.embedder.clone();
                let embedder = embedder.expect("a suite with vector memory has an embedder");
                Box::new(VectorMemory::new(embedder))
            }
        }
    }

    /// Nothing that a panic could leave half done is kept under this lock.
    fn lock(&self) -> MutexGuard<'_, HashMap<(Category, String), String>> {
        self.snapshots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(category: Category, record: &Record) -> (Category, String) {
    (category, record.scenario.clone().unwrap_or_default())
}

fn snapshot_folder(folder: &Path, category: Category) -> PathBuf {
    folder
        .join(category.result_folder())
        .join("memory_snapshot")
}

fn checkpoint_path(folder: &Path, category: Category, id: &str) -> PathBuf {
    snapshot_folder(folder, category)
        .join("prereq_checkpoints")
        .join(format!("{id}.json"))
}

/// Whole or not at all: half a checkpoint would pass for one.
fn write(path: &Path, text: &str) -> io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new("")))?;
    let half = path.with_extension("json.part");
    fs::write(&half, text)?;
    fs::rename(&half, path)
}
