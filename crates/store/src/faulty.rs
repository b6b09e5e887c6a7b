//! A disk that fails on purpose: at the operation of a given number it reports an error, or the
//! process is killed, or the power goes. Everything happens on the real file system, so that
//! what a power cut may leave lies there afterwards, to be gone on with.
//!
//! What a power cut may take back is what POSIX and journaling file systems leave open: bytes
//! that no sync waited for are whole, cut off or zeros; names that no sync of their folder waited
//! for are undone, the last first.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::disk::{Disk, Operation, RealDisk};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The disk is full from then on: nothing grows, and what was being written is cut off.
    Full,
    /// The disk is read-only from then on.
    ReadOnly,
    /// The one operation fails (EIO).
    Broken,
    /// The process ends in the middle of the operation. The system goes on, and keeps what it
    /// was handed.
    Killed,
    /// The machine ends in the middle of the operation.
    PowerCut,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Full,
        Self::ReadOnly,
        Self::Broken,
        Self::Killed,
        Self::PowerCut,
    ];
}

/// A disk that fails at one operation.
pub struct FaultyDisk {
    fault: Fault,
    /// The number of the operation that fails, from 0.
    at: u64,
    /// Where removed things lie until the power is cut or never; on the same file system.
    grave: PathBuf,
    state: Mutex<State>,
}

struct State {
    random: ChaCha8Rng,
    /// Operations so far.
    count: u64,
    has_struck: bool,
    /// Files whose last bytes are not synced, with how many are.
    unsynced: BTreeMap<PathBuf, u64>,
    /// Files that came through this disk.
    known: BTreeSet<PathBuf>,
    /// Folders in which others may have written without this disk, not synced since.
    strange: BTreeSet<PathBuf>,
    /// Changes of names, in order, whose folder is not synced since.
    names: Vec<Name>,
    /// How many things are in the grave.
    buried: u64,
}

/// A change of a name that a power cut may undo.
enum Name {
    /// Undone by removing it.
    Created(PathBuf),
    /// Undone by bringing it back.
    Removed { path: PathBuf, grave: PathBuf },
    /// Undone by naming it back, and bringing back what it replaced.
    Renamed {
        from: PathBuf,
        to: PathBuf,
        replaced: Option<PathBuf>,
    },
}

impl Name {
    fn folder(&self) -> Option<&Path> {
        match self {
            Self::Created(path) | Self::Removed { path, .. } | Self::Renamed { to: path, .. } => {
                path.parent()
            }
        }
    }
}

impl FaultyDisk {
    /// Fails at operation `at`, counted from 0, in a way that `seed` decides. `grave` is an empty
    /// folder of the file system that is written to.
    pub fn new(fault: Fault, at: u64, seed: u64, grave: &Path) -> Self {
        Self {
            fault,
            at,
            grave: grave.to_owned(),
            state: Mutex::new(State {
                random: ChaCha8Rng::seed_from_u64(seed),
                count: 0,
                has_struck: false,
                unsynced: BTreeMap::new(),
                known: BTreeSet::new(),
                strange: BTreeSet::new(),
                names: Vec::new(),
                buried: 0,
            }),
        }
    }

    /// Operations that were asked for so far.
    pub fn operations(&self) -> u64 {
        self.lock().count
    }

    /// Whether it has failed.
    pub fn has_struck(&self) -> bool {
        self.lock().has_struck
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for FaultyDisk {
    fn perform(&self, operation: Operation<'_>) -> io::Result<()> {
        let mut state = self.lock();
        let number = state.count;
        state.count += 1;
        if state.has_struck {
            return match self.fault {
                Fault::Full if grows(&operation) => Err(io::ErrorKind::StorageFull.into()),
                Fault::Full | Fault::Broken => state.perform(&operation, &self.grave),
                Fault::ReadOnly => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
                Fault::Killed | Fault::PowerCut => {
                    Err(io::Error::other("nobody is there any more"))
                }
            };
        }
        if number < self.at {
            return state.perform(&operation, &self.grave);
        }
        state.has_struck = true;
        match self.fault {
            Fault::Full => {
                state.perform_partly(&operation, &self.grave)?;
                Err(io::ErrorKind::StorageFull.into())
            }
            Fault::ReadOnly => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            Fault::Broken => Err(io::Error::other("input/output error")),
            Fault::Killed => {
                state.perform_partly(&operation, &self.grave)?;
                Err(io::Error::other("killed"))
            }
            Fault::PowerCut => {
                state.perform_partly(&operation, &self.grave)?;
                state.cut_power()?;
                Err(io::Error::other("the power is gone"))
            }
        }
    }
}

/// Whether a full disk refuses it.
fn grows(operation: &Operation<'_>) -> bool {
    use Operation::{Append, CreateFolder, SyncFile, SyncTree, Write};
    // A sync, too, may be where a late allocation fails.
    matches!(
        operation,
        Append(..) | CreateFolder(_) | SyncFile(_) | SyncTree(_) | Write(..)
    )
}

impl State {
    /// As the real disk does it, taking note of what a power cut might take back.
    fn perform(&mut self, operation: &Operation<'_>, grave: &Path) -> io::Result<()> {
        match *operation {
            Operation::CreateFolder(folder) => {
                let missing = folder.ancestors().take_while(|it| !it.exists());
                let missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
                RealDisk.perform(*operation)?;
                for folder in missing.into_iter().rev() {
                    self.names.push(Name::Created(folder.clone()));
                    self.strange.insert(folder);
                }
                Ok(())
            }
            Operation::Write(file, _) | Operation::Append(file, _) => {
                let length = fs::metadata(file).map(|it| it.len());
                if length.is_err() {
                    self.names.push(Name::Created(file.to_owned()));
                }
                let kept = match operation {
                    Operation::Append(..) => length.unwrap_or(0),
                    _ => 0,
                };
                self.unsynced.entry(file.to_owned()).or_insert(kept);
                if matches!(operation, Operation::Write(..)) {
                    self.unsynced.insert(file.to_owned(), 0);
                }
                self.known.insert(file.to_owned());
                RealDisk.perform(*operation)
            }
            Operation::Truncate(file, length) => {
                File::options().write(true).open(file)?.set_len(length)?;
                self.unsynced.remove(file);
                self.known.insert(file.to_owned());
                Ok(())
            }
            // This disk's own power cut needs no platter, so that no sync need take its time.
            Operation::SyncFile(file) => {
                fs::metadata(file)?;
                self.unsynced.remove(file);
                self.known.insert(file.to_owned());
                Ok(())
            }
            Operation::SyncFolder(folder) => {
                fs::metadata(folder)?;
                self.names.retain(|name| name.folder() != Some(folder));
                Ok(())
            }
            Operation::SyncTree(folder) => {
                fs::metadata(folder)?;
                let is_outside = |path: &Path| !path.starts_with(folder);
                self.unsynced.retain(|file, _| is_outside(file));
                self.strange.retain(|it| is_outside(it));
                self.names
                    .retain(|name| name.folder().is_none_or(is_outside));
                Ok(())
            }
            Operation::Rename(from, to) => {
                let replaced = match to.exists() {
                    true => Some(self.bury(to, grave)?),
                    false => None,
                };
                fs::rename(from, to)?;
                self.follow(from, to);
                self.names.push(Name::Renamed {
                    from: from.to_owned(),
                    to: to.to_owned(),
                    replaced,
                });
                Ok(())
            }
            Operation::Remove(path) => {
                let grave = self.bury(path, grave)?;
                self.names.push(Name::Removed {
                    path: path.to_owned(),
                    grave,
                });
                Ok(())
            }
        }
    }

    /// As much of an operation as may be done when it breaks off.
    fn perform_partly(&mut self, operation: &Operation<'_>, grave: &Path) -> io::Result<()> {
        match *operation {
            Operation::Write(file, bytes) => {
                let count = self.random.random_range(0..=bytes.len());
                self.perform(&Operation::Write(file, &bytes[..count]), grave)
            }
            Operation::Append(file, bytes) => {
                let count = self.random.random_range(0..=bytes.len());
                self.perform(&Operation::Append(file, &bytes[..count]), grave)
            }
            // A folder goes file by file.
            Operation::Remove(folder) if folder.is_dir() => {
                for entry in fs::read_dir(folder)? {
                    if self.random.random() {
                        self.perform(&Operation::Remove(&entry?.path()), grave)?;
                    }
                }
                Ok(())
            }
            // All or nothing; a sync that is done is one that the caller does not hear of.
            _ => match self.random.random() {
                true => self.perform(operation, grave),
                false => Ok(()),
            },
        }
    }

    /// Takes something away so that it can be brought back.
    fn bury(&mut self, path: &Path, grave: &Path) -> io::Result<PathBuf> {
        let place = grave.join(self.buried.to_string());
        self.buried += 1;
        fs::rename(path, &place)?;
        self.follow(path, &place);
        Ok(place)
    }

    /// Knows everything below `from` by its new path.
    fn follow(&mut self, from: &Path, to: &Path) {
        let renamed = |path: &PathBuf| match path.strip_prefix(from) {
            Ok(rest) if rest.as_os_str().is_empty() => to.to_owned(),
            Ok(rest) => to.join(rest),
            Err(_) => path.clone(),
        };
        self.unsynced = (self.unsynced.iter())
            .map(|(file, &kept)| (renamed(file), kept))
            .collect();
        self.known = self.known.iter().map(renamed).collect();
        self.strange = self.strange.iter().map(renamed).collect();
    }

    /// Leaves what a power cut may leave.
    fn cut_power(&mut self) -> io::Result<()> {
        for (file, kept) in std::mem::take(&mut self.unsynced) {
            self.mangle(&file, kept)?;
        }
        for folder in std::mem::take(&mut self.strange) {
            for entry in fs::read_dir(&folder).into_iter().flatten() {
                let entry = entry?;
                if !entry.file_type()?.is_file() || self.known.contains(&entry.path()) {
                    continue;
                }
                match self.random.random_range(0..4) {
                    0 => fs::remove_file(entry.path())?,
                    _ => self.mangle(&entry.path(), 0)?,
                }
            }
        }
        let mut left = BTreeMap::new();
        for name in &self.names {
            *left.entry(name.folder().map(Path::to_owned)).or_insert(0) += 1;
        }
        // A folder's last changes go, as many as chance will have it.
        for count in left.values_mut() {
            *count = self.random.random_range(0..=*count);
        }
        for name in std::mem::take(&mut self.names).into_iter().rev() {
            let count = left.get_mut(&name.folder().map(Path::to_owned));
            let count = count.expect("every name was counted");
            if *count > 0 {
                *count -= 1;
                undo(name)?;
            }
        }
        Ok(())
    }

    /// Leaves of a file its first `kept` bytes, and of the others whatever may be.
    fn mangle(&mut self, path: &Path, kept: u64) -> io::Result<()> {
        let Ok(mut file) = File::options().append(true).open(path) else {
            // Gone with its folder, or in the grave of one that is not kept.
            return Ok(());
        };
        let length = file.metadata()?.len();
        let kept = kept.min(length);
        match self.random.random_range(0..4) {
            0 => Ok(()),
            1 => file.set_len(kept),
            2 => file.set_len(self.random.random_range(kept..=length)),
            _ => {
                let from = self.random.random_range(kept..=length);
                file.set_len(from)?;
                file.write_all(&vec![0; (length - from) as usize])
            }
        }
    }
}

/// Takes a change of a name back. What it changed may be gone with its folder.
fn undo(name: Name) -> io::Result<()> {
    match name {
        Name::Created(path) if path.exists() => RealDisk.perform(Operation::Remove(&path)),
        Name::Created(_) => Ok(()),
        Name::Removed { path, grave } => back(&grave, &path),
        Name::Renamed { from, to, replaced } => {
            back(&to, &from)?;
            replaced.map_or(Ok(()), |grave| back(&grave, &to))
        }
    }
}

fn back(from: &Path, to: &Path) -> io::Result<()> {
    match from.exists() && to.parent().is_some_and(Path::exists) {
        true => fs::rename(from, to),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{append, replace};

    /// What lies at `file` after `work` on a disk that fails, for each seed.
    fn outcomes(
        fault: Fault,
        at: u64,
        work: impl Fn(&dyn Disk, &Path) -> io::Result<()>,
    ) -> BTreeSet<String> {
        let outcome = |seed| {
            let place = tempfile::tempdir().expect("a folder");
            let [folder, grave] = ["run", "grave"].map(|name| place.path().join(name));
            fs::create_dir(&folder).expect("a folder");
            fs::create_dir(&grave).expect("a folder");
            let file = folder.join("file");
            fs::write(&file, "old").expect("a file");
            let disk = FaultyDisk::new(fault, at, seed, &grave);
            let done = work(&disk, &file);
            assert_eq!(done.is_err(), disk.has_struck());
            fs::read_to_string(&file).unwrap_or_else(|_| "(gone)".to_owned())
        };
        (0..64).map(outcome).collect()
    }

    fn texts(texts: &[&str]) -> BTreeSet<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn a_file_that_is_replaced_is_old_or_new_wherever_the_power_goes() {
        let replaced = |disk: &dyn Disk, file: &Path| replace(disk, file, b"new");
        for at in 0..4 {
            let found = outcomes(Fault::PowerCut, at, replaced);
            assert!(found.is_subset(&texts(&["old", "new"])), "{at}: {found:?}");
        }
        assert_eq!(
            outcomes(Fault::PowerCut, 3, replaced),
            texts(&["old", "new"])
        );
        assert_eq!(outcomes(Fault::PowerCut, 4, replaced), texts(&["new"]));
    }

    #[test]
    fn a_file_that_is_only_written_may_be_anything_after_a_power_cut() {
        let written = |disk: &dyn Disk, file: &Path| {
            disk.perform(Operation::Write(file, b"new"))?;
            disk.perform(Operation::SyncFolder(file.parent().expect("a folder")))
        };
        let expected = ["", "n", "ne", "new", "\0\0\0", "n\0\0", "ne\0"];
        assert_eq!(outcomes(Fault::PowerCut, 1, written), texts(&expected));
        assert_eq!(outcomes(Fault::Killed, 1, written), texts(&["new"]));
    }

    #[test]
    fn an_append_keeps_what_was_synced_and_a_refused_one_leaves_nothing() {
        let appended = |disk: &dyn Disk, file: &Path| append(disk, file, b"12");
        let torn = ["old", "old1", "old12", "old\0", "old\0\0", "old1\0"];
        assert_eq!(outcomes(Fault::PowerCut, 0, appended), texts(&torn));
        assert_eq!(
            outcomes(Fault::Killed, 0, appended),
            texts(&["old", "old1", "old12"])
        );
        for fault in [Fault::Full, Fault::ReadOnly, Fault::Broken] {
            assert_eq!(outcomes(fault, 0, appended), texts(&["old"]), "{fault:?}");
        }
    }

    #[test]
    fn a_removal_is_undone_unless_its_folder_was_synced() {
        let removed = |disk: &dyn Disk, file: &Path| {
            let folder = file.parent().expect("a folder");
            disk.perform(Operation::Remove(file))?;
            disk.perform(Operation::SyncFolder(folder))?;
            disk.perform(Operation::SyncFolder(folder))
        };
        assert_eq!(
            outcomes(Fault::PowerCut, 1, removed),
            texts(&["old", "(gone)"])
        );
        assert_eq!(outcomes(Fault::PowerCut, 2, removed), texts(&["(gone)"]));
    }

    #[test]
    fn files_that_others_wrote_are_whole_only_behind_a_sync_of_their_folder() {
        let written = |disk: &dyn Disk, file: &Path| {
            let folder = file.with_file_name("folder");
            disk.perform(Operation::CreateFolder(&folder))?;
            disk.perform(Operation::SyncFolder(file.parent().expect("a folder")))?;
            fs::write(folder.join("weights"), "12")?;
            disk.perform(Operation::SyncTree(&folder))?;
            fs::rename(folder.join("weights"), file)?;
            disk.perform(Operation::SyncFolder(&folder))
        };
        assert_eq!(outcomes(Fault::PowerCut, 4, written), texts(&["12"]));
        let lost = |disk: &dyn Disk, file: &Path| {
            let folder = file.with_file_name("folder");
            disk.perform(Operation::CreateFolder(&folder))?;
            fs::write(folder.join("weights"), "12")?;
            let cut = disk.perform(Operation::SyncFile(file));
            match fs::read(folder.join("weights")) {
                Ok(left) => fs::write(file, left)?,
                Err(_) => fs::remove_file(file)?,
            }
            cut
        };
        let expected = ["", "1", "12", "\0\0", "1\0", "(gone)"];
        assert_eq!(outcomes(Fault::PowerCut, 1, lost), texts(&expected));
    }
}
