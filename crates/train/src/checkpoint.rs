//! Checkpoints: model folders that anything can load, or adapter folders where an adapter is
//! trained, with what a resumed run needs beside.

use std::fs;
use std::path::{Path, PathBuf};

use model::{AdapterFolder, Model, Optimizer, OptimizerState, Precision, Weights};
use serde::{Deserialize, Serialize};

use crate::TrainError;

/// A checkpoint on disk: `checkpoints/step-000100` in the run folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Its folder.
    pub path: PathBuf,
    /// Where in the run it was written.
    pub state: State,
}

/// Where in the run a checkpoint was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct State {
    /// Steps done.
    pub step: u64,
    /// Whether the evaluation due after them was done too.
    pub evaluated: bool,
    /// A digest of the training tasks' ids, so that a resumed run notices other data.
    pub tasks: String,
}

const STATE: &str = "state.json";
const OPTIMIZER: &str = "optimizer.safetensors";
/// Weights are kept whole up to this size, and sharded above.
const SHARD_BYTES: usize = 5_000_000_000;

impl Checkpoint {
    /// Writes a checkpoint beside its place, and moves it there once it is whole: a full disk
    /// leaves the ones before as they were. `companions` are further files of a model folder,
    /// the tokenizer's, by name and text.
    pub fn write(
        run: &Path,
        state: &State,
        model: &Model,
        optimizer: &Optimizer,
        companions: &[(String, String)],
    ) -> Result<PathBuf, TrainError> {
        let folder = run.join("checkpoints");
        let path = folder.join(format!("step-{:06}", state.step));
        let partial = folder.join("partial.tmp");
        let io = |path: &Path| {
            let path = path.to_owned();
            move |error| TrainError::file(path, error)
        };
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(io(&partial))?;
        }
        fs::create_dir_all(&partial).map_err(io(&partial))?;
        let written = (|| -> Result<(), TrainError> {
            match (&model.adapter, model.weights.masters()) {
                (Some(adapter), _) => adapter.save(&partial)?,
                (None, Some(masters)) => model::save(
                    &partial,
                    &model.architecture,
                    masters,
                    Precision::F32,
                    SHARD_BYTES,
                )?,
                (None, None) => panic!("what is trained has f32 masters"),
            }
            optimizer.state().save(&partial.join(OPTIMIZER))?;
            for (name, text) in companions {
                fs::write(partial.join(name), text).map_err(io(&partial.join(name)))?;
            }
            let state = serde_json::to_string_pretty(state).expect("a state is JSON");
            fs::write(partial.join(STATE), state).map_err(io(&partial.join(STATE)))
        })();
        if let Err(error) = written {
            // Only what this call made; the error that matters is the first one.
            let _ = fs::remove_dir_all(&partial);
            return Err(error);
        }
        if path.exists() {
            fs::remove_dir_all(&path).map_err(io(&path))?;
        }
        fs::rename(&partial, &path).map_err(io(&path))?;
        Ok(path)
    }

    /// The newest whole checkpoint of a run.
    pub fn latest(run: &Path) -> Result<Option<Self>, TrainError> {
        Ok(Self::all(run)?.pop())
    }

    /// Removes all but the newest `keep`; 0 keeps all.
    pub fn prune(run: &Path, keep: usize) -> Result<(), TrainError> {
        let all = Self::all(run)?;
        let surplus = all
            .len()
            .saturating_sub(if keep == 0 { all.len() } else { keep });
        for old in &all[..surplus] {
            fs::remove_dir_all(&old.path).map_err(|error| TrainError::file(&old.path, error))?;
        }
        Ok(())
    }

    /// All whole checkpoints, the oldest first.
    fn all(run: &Path) -> Result<Vec<Self>, TrainError> {
        let folder = run.join("checkpoints");
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let entries = fs::read_dir(&folder).map_err(|error| TrainError::file(&folder, error))?;
        let mut all = Vec::new();
        for entry in entries {
            let path = entry
                .map_err(|error| TrainError::file(&folder, error))?
                .path();
            let is_partial = path.extension().is_some_and(|extension| extension == "tmp");
            let file = path.join(STATE);
            if is_partial || !file.is_file() {
                continue;
            }
            let text = fs::read_to_string(&file).map_err(|error| TrainError::file(&file, error))?;
            let state = serde_json::from_str(&text).map_err(|error| TrainError::Folder {
                path: file,
                problem: error.to_string(),
                hint: "remove this checkpoint's folder to go on from the one before",
            })?;
            all.push(Self { path, state });
        }
        all.sort_by_key(|checkpoint| checkpoint.state.step);
        Ok(all)
    }

    /// Puts what was trained, the weights or the adapter, back into the run's model.
    pub fn restore(&self, model: &mut Model) -> Result<(), TrainError> {
        let other = |found: &str, expected: &str| TrainError::Setup {
            problem: format!(
                "`{}` holds {found}, but the run trains {expected}",
                self.path.display()
            ),
            hint: "resume with the `model` settings that the run began with".into(),
        };
        match (&model.adapter, AdapterFolder::is_one(&self.path)) {
            (None, true) => Err(other("an adapter", "all weights")),
            (Some(_), false) => Err(other("whole weights", "an adapter")),
            (None, false) => {
                let (_, masters) = model::load(&self.path)?;
                model.weights = Weights::trained(masters, model.weights.precision());
                Ok(())
            }
            (Some(own), true) => {
                let folder = AdapterFolder::open(&self.path)?;
                if folder.config != own.config || folder.rank_stabilised != own.rank_stabilised {
                    return Err(other(
                        "an adapter of other rank, alpha or targets",
                        "this one",
                    ));
                }
                let mut adapter = folder.load(&model.architecture)?;
                adapter.base.clone_from(&own.base);
                Ok(model.attach(adapter)?)
            }
        }
    }

    /// The optimiser's moments.
    pub fn optimizer(&self) -> Result<OptimizerState<'static>, TrainError> {
        Ok(OptimizerState::load(&self.path.join(OPTIMIZER))?)
    }
}
