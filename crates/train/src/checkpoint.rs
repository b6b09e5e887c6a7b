//! Checkpoints: model folders that anything can load, or adapter folders where an adapter is
//! trained, with what a resumed run needs beside.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use model::{
    AdapterFolder, LoraConfig, Model, Optimizer, OptimizerState, ParameterSpec, Precision,
};
use serde::{Deserialize, Serialize};
use store::{Disk, Manifest, Operation};

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
#[serde(rename_all = "kebab-case")]
pub struct State {
    /// Steps done.
    pub step: u64,
    /// Whether the evaluation due after them was done too.
    pub evaluated: bool,
    /// Bytes that each of the run's files of records had, by name. `None` in a checkpoint of a
    /// pact that wrote no manifest either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lengths: Option<BTreeMap<String, u64>>,
}

/// What a run can go on from.
#[derive(Debug, Default)]
pub struct Latest {
    /// The newest whole checkpoint.
    pub checkpoint: Option<Checkpoint>,
    /// Newer ones, which are not whole; the newest first.
    pub damaged: Vec<DamagedCheckpoint>,
}

/// A checkpoint that cannot be gone on from. Its folder is left as it is.
#[derive(Debug)]
pub struct DamagedCheckpoint {
    /// Its folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub damage: String,
}

const STATE: &str = "state.json";
const OPTIMIZER: &str = "optimizer.safetensors";
/// Where a checkpoint is written, and where one lies that is on its way out.
const PARTIAL: &str = "partial.tmp";
const SURPLUS: &str = "surplus.tmp";
/// What a checkpoint's folder is called while another of the same step takes its place.
const OLD: &str = "old";
const DAMAGED: &str = "damaged";
/// Weights are kept whole up to this size, and sharded above.
const SHARD_BYTES: usize = 5_000_000_000;

impl Checkpoint {
    /// Writes a checkpoint beside its place, with a manifest, and moves it there once all of it
    /// is on the platter: whatever happens meanwhile leaves the ones before as they were.
    /// `companions` are further files of a model folder, the tokenizer's, by name and text.
    pub fn write(
        disk: &dyn Disk,
        run: &Path,
        state: &State,
        model: &Model,
        optimizer: &Optimizer,
        companions: &[(String, String)],
    ) -> Result<PathBuf, TrainError> {
        let folder = run.join("checkpoints");
        let path = folder.join(format!("step-{:06}", state.step));
        let partial = folder.join(PARTIAL);
        remove_if_there(disk, &partial)?;
        let written = (|| {
            perform(disk, Operation::CreateFolder(&partial), &partial)?;
            fill(disk, &partial, state, model, optimizer, companions)?;
            perform(disk, Operation::SyncTree(&partial), &partial)?;
            take_place(disk, &partial, &path)?;
            perform(disk, Operation::SyncFolder(&folder), &folder)
        })();
        if let Err(error) = written {
            // Only what this call made; the error that matters is the first one.
            let _ = disk.perform(Operation::Remove(&partial));
            return Err(error);
        }
        Ok(path)
    }

    /// The newest checkpoint of a run that is whole to the last bit, which takes reading it. A
    /// run all of whose checkpoints are damaged is an error, since it is none without any.
    pub fn latest(run: &Path) -> Result<Latest, TrainError> {
        let mut latest = Latest::default();
        for path in places(run)?.into_iter().rev() {
            match Self::open(&path, Manifest::check) {
                Ok(checkpoint) => {
                    latest.checkpoint = Some(checkpoint);
                    return Ok(latest);
                }
                Err(damage) => latest.damaged.push(DamagedCheckpoint { path, damage }),
            }
        }
        if latest.damaged.is_empty() {
            return Ok(latest);
        }
        let each =
            (latest.damaged.iter()).map(|it| format!("`{}`: {}", it.path.display(), it.damage));
        Err(TrainError::NoWholeCheckpoint {
            run: run.to_owned(),
            damages: each.collect::<Vec<_>>().join("; "),
        })
    }

    /// The newest checkpoint of a run whose files are all there and as long as they were.
    pub fn newest(run: &Path) -> Result<Option<Self>, TrainError> {
        let places = places(run)?.into_iter().rev();
        let mut whole = places.filter_map(|path| Self::open(&path, Manifest::check_lengths).ok());
        Ok(whole.next())
    }

    /// Removes what is before `whole`, a checkpoint that is known to be, and too much: all but
    /// the newest `keep`, itself among them (0 keeps all), the one whose place it took, and
    /// what was left of others when a process ended. Damaged ones do not count and stay, and so
    /// do later ones, which the run passed over.
    pub fn prune(disk: &dyn Disk, run: &Path, keep: usize, whole: &Path) -> Result<(), TrainError> {
        for left in [SURPLUS, PARTIAL] {
            remove_if_there(disk, &run.join("checkpoints").join(left))?;
        }
        let old = whole.with_extension(OLD);
        if old != whole && old.exists() {
            remove(disk, &old)?;
        }
        if keep == 0 {
            return Ok(());
        }
        let mut places = places(run)?;
        let end = places.iter().position(|path| path == whole);
        places.truncate(end.map_or(0, |end| end + 1));
        places.retain(|path| Self::open(path, Manifest::check_lengths).is_ok());
        for surplus in &places[..places.len().saturating_sub(keep)] {
            remove(disk, surplus)?;
        }
        Ok(())
    }

    /// Opens a checkpoint if `check` finds nothing wrong with it.
    fn open(
        path: &Path,
        check: impl Fn(&Manifest, &Path) -> Result<(), store::Damage>,
    ) -> Result<Self, String> {
        let unreadable = |problem: String| format!("`{STATE}` cannot be read: {problem}");
        let text = fs::read_to_string(path.join(STATE));
        let text = text.map_err(|error| unreadable(error.to_string()))?;
        let state: State =
            serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        if state.lengths.is_some() {
            let manifest = Manifest::read(path).map_err(|damage| damage.to_string())?;
            check(&manifest, path).map_err(|damage| damage.to_string())?;
        }
        let path = path.to_owned();
        Ok(Self { path, state })
    }

    /// Puts what was trained, the weights or the adapter, back into the run's model.
    pub fn restore(&self, model: &mut Model) -> Result<(), TrainError> {
        let other = |found: &str, expected: &str| TrainError::Setup {
            problem: format!(
                "`{}` holds {found}, but with these settings the run trains {expected}",
                self.path.display()
            ),
            hint: "go on with the `model` settings that the run began with, or begin another run \
                   with what this one has learnt: `model.path` is then this checkpoint, an \
                   adapter's what `pact model merge` makes of it"
                .into(),
        };
        match (&model.adapter, AdapterFolder::is_one(&self.path)) {
            (None, true) => Err(other("an adapter", "all weights")),
            (Some(_), false) => Err(other("whole weights", "an adapter")),
            (None, false) => {
                let (_, masters) = model::load(&self.path)?;
                let (found, own) = (masters.layout.specs(), model.trained());
                if let Some(difference) = first_difference(found, own) {
                    return Err(other(&difference[0], &difference[1]));
                }
                Ok(model.restore(masters)?)
            }
            (Some(own), true) => {
                let folder = AdapterFolder::open(&self.path)?;
                let found = shape(&folder.config, folder.rank_stabilised);
                let expected = shape(&own.config, own.rank_stabilised);
                if found != expected {
                    return Err(other(&found, &expected));
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

/// What decides how large an adapter is, and how much it counts.
fn shape(config: &LoraConfig, is_rank_stabilised: bool) -> String {
    let targets: Vec<_> = config.targets.iter().map(|it| it.name()).collect();
    format!(
        "an adapter of rank {} and {}alpha {} on {}",
        config.rank,
        if is_rank_stabilised {
            "rank-stabilised "
        } else {
            ""
        },
        config.alpha,
        targets.join(", ")
    )
}

/// The first parameter that is not in both, or of another shape: what it is in each.
fn first_difference(left: &[ParameterSpec], right: &[ParameterSpec]) -> Option<[String; 2]> {
    let at = (0..left.len().max(right.len())).find(|&i| left.get(i) != right.get(i))?;
    let said = |specs: &[ParameterSpec]| match specs.get(at) {
        Some(spec) => format!("`{}` of shape {:?}", spec.name, spec.shape),
        None => format!("no more than {} weights", specs.len()),
    };
    Some([said(left), said(right)])
}

/// Writes all files of a checkpoint, the manifest last.
fn fill(
    disk: &dyn Disk,
    folder: &Path,
    state: &State,
    model: &Model,
    optimizer: &Optimizer,
    companions: &[(String, String)],
) -> Result<(), TrainError> {
    match (model.current_adapter()?, model.masters()?) {
        (Some(adapter), _) => adapter.save(folder)?,
        (None, Some(masters)) => model::save(
            folder,
            &model.architecture,
            &masters,
            Precision::F32,
            SHARD_BYTES,
        )?,
        (None, None) => panic!("what is trained has f32 masters"),
    }
    optimizer.state()?.save(&folder.join(OPTIMIZER))?;
    let write = |name: &str, text: &str| {
        let file = folder.join(name);
        perform(disk, Operation::Write(&file, text.as_bytes()), &file)
    };
    for (name, text) in companions {
        write(name, text)?;
    }
    let state = serde_json::to_string_pretty(state).expect("a state is JSON");
    write(STATE, &state)?;
    let manifest = Manifest::of(folder).map_err(|error| TrainError::file(folder, error))?;
    write(Manifest::NAME, &manifest.to_json())
}

/// Gives a whole checkpoint its name. One that has it already steps aside, to be pruned once the
/// new one is there for good, or, if it is damaged, to be left for a person.
fn take_place(disk: &dyn Disk, partial: &Path, path: &Path) -> Result<(), TrainError> {
    if path.exists() {
        let is_whole = Checkpoint::open(path, Manifest::check).is_ok();
        let aside = path.with_extension(if is_whole { OLD } else { DAMAGED });
        if aside.exists() {
            remove(disk, &aside)?;
        }
        perform(disk, Operation::Rename(path, &aside), path)?;
    }
    perform(disk, Operation::Rename(partial, path), path)
}

/// Where a run's checkpoints are, the oldest first. One that stepped aside comes before the one
/// of the same step.
fn places(run: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let folder = run.join("checkpoints");
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(&folder).map_err(|error| TrainError::file(&folder, error))?;
    let mut places = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| TrainError::file(&folder, error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let step = name.strip_prefix("step-").and_then(|rest| {
            let (step, is_old) = match rest.strip_suffix(".old") {
                Some(step) => (step, true),
                None => (rest, false),
            };
            Some((step.parse::<u64>().ok()?, !is_old))
        });
        places.extend(step.map(|step| (step, entry.path())));
    }
    places.sort();
    Ok(places.into_iter().map(|(_, path)| path).collect())
}

/// Removes a checkpoint under a name that is none's, for good: half of its folder would look like
/// one that is damaged.
fn remove(disk: &dyn Disk, path: &Path) -> Result<(), TrainError> {
    let surplus = path.with_file_name(SURPLUS);
    let folder = path.parent().expect("a checkpoint lies in a folder");
    remove_if_there(disk, &surplus)?;
    perform(disk, Operation::Rename(path, &surplus), path)?;
    perform(disk, Operation::SyncFolder(folder), folder)?;
    perform(disk, Operation::Remove(&surplus), &surplus)
}

fn perform(disk: &dyn Disk, operation: Operation<'_>, path: &Path) -> Result<(), TrainError> {
    (disk.perform(operation)).map_err(|error| TrainError::file(path, error))
}

fn remove_if_there(disk: &dyn Disk, path: &Path) -> Result<(), TrainError> {
    match path.symlink_metadata() {
        Ok(_) => perform(disk, Operation::Remove(path), path),
        Err(_) => Ok(()),
    }
}
