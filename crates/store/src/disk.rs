//! The few things that are done to files, as values, and the disk that does them.
//! Reading is not among them: it changes nothing, and what a failure leaves to be read is what
//! the operations before it left.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// One change of a file or folder, or the wait until changes have reached the platter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation<'a> {
    /// Makes a folder and those above it, where there is none.
    CreateFolder(&'a Path),
    /// Writes a file from its beginning.
    Write(&'a Path, &'a [u8]),
    /// Writes at a file's end; makes the file where there is none.
    Append(&'a Path, &'a [u8]),
    /// Cuts a file to so many bytes, for good.
    Truncate(&'a Path, u64),
    /// Waits until a file's bytes are on the platter. Its name may not be.
    SyncFile(&'a Path),
    /// Waits until the names in a folder are on the platter.
    SyncFolder(&'a Path),
    /// Waits until all that is in a folder is on the platter, whoever wrote it.
    SyncTree(&'a Path),
    /// Gives a file or folder another name. A file of that name is replaced, all at once.
    Rename(&'a Path, &'a Path),
    /// Removes a file, or a folder with all that is in it.
    Remove(&'a Path),
}

impl fmt::Display for Operation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |path: &Path| path.file_name().unwrap_or_default().display().to_string();
        match self {
            Self::CreateFolder(folder) => write!(f, "create {}", name(folder)),
            Self::Write(file, bytes) => write!(f, "write {} ({} bytes)", name(file), bytes.len()),
            Self::Append(file, bytes) => write!(f, "append {} ({} bytes)", name(file), bytes.len()),
            Self::Truncate(file, length) => write!(f, "truncate {} to {length}", name(file)),
            Self::SyncFile(file) => write!(f, "sync file {}", name(file)),
            Self::SyncFolder(folder) => write!(f, "sync folder {}", name(folder)),
            Self::SyncTree(folder) => write!(f, "sync tree {}", name(folder)),
            Self::Rename(from, to) => write!(f, "rename {} to {}", name(from), name(to)),
            Self::Remove(path) => write!(f, "remove {}", name(path)),
        }
    }
}

/// Whoever changes files.
pub trait Disk: Send + Sync {
    /// Does it, or says why it cannot.
    fn perform(&self, operation: Operation<'_>) -> io::Result<()>;
}

/// The file system as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn perform(&self, operation: Operation<'_>) -> io::Result<()> {
        match operation {
            Operation::CreateFolder(folder) => fs::create_dir_all(folder),
            Operation::Write(file, bytes) => File::create(file)?.write_all(bytes),
            Operation::Append(file, bytes) => {
                let file = File::options().create(true).append(true).open(file);
                file?.write_all(bytes)
            }
            Operation::Truncate(file, length) => {
                let file = File::options().write(true).open(file)?;
                file.set_len(length)?;
                file.sync_all()
            }
            Operation::SyncFile(path) | Operation::SyncFolder(path) => File::open(path)?.sync_all(),
            Operation::SyncTree(folder) => sync_tree(folder),
            Operation::Rename(from, to) => fs::rename(from, to),
            Operation::Remove(path) => match fs::symlink_metadata(path)?.is_dir() {
                true => fs::remove_dir_all(path),
                false => fs::remove_file(path),
            },
        }
    }
}

fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => sync_tree(&entry.path())?,
            false => File::open(entry.path())?.sync_all()?,
        }
    }
    File::open(folder)?.sync_all()
}

/// Makes a folder and those above it, where there is none, for good.
pub fn create_folder(disk: &dyn Disk, folder: &Path) -> io::Result<()> {
    let missing = folder.ancestors().take_while(|it| !it.exists());
    let missing: Vec<&Path> = missing.filter(|it| !it.as_os_str().is_empty()).collect();
    disk.perform(Operation::CreateFolder(folder))?;
    let mut above = missing.into_iter().map(parent);
    above.try_for_each(|folder| disk.perform(Operation::SyncFolder(folder)))
}

/// The folder that something lies in.
fn parent(path: &Path) -> &Path {
    let parent = path.parent().filter(|it| !it.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// Replaces a file so that whoever looks, and whatever happens, finds the old one whole or the
/// new one whole.
pub fn replace(disk: &dyn Disk, file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".tmp");
    let beside = Path::new(&beside);
    disk.perform(Operation::Write(beside, bytes))?;
    disk.perform(Operation::SyncFile(beside))?;
    disk.perform(Operation::Rename(beside, file))?;
    disk.perform(Operation::SyncFolder(parent(file)))
}

/// Appends whole records: all of them, or, where the disk refuses, none. A crash can still
/// leave a torn one, which whoever goes on takes back; a sync is the caller's.
pub fn append(disk: &dyn Disk, file: &Path, records: &[u8]) -> io::Result<()> {
    let before = match fs::metadata(file) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    let written = disk.perform(Operation::Append(file, records));
    if written.is_err() && file.exists() {
        // The first error is the one that says what was wrong.
        let _ = disk.perform(Operation::Truncate(file, before));
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_the_new_one_and_leaves_nothing_beside() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("state.json");
        for text in ["old", "new"] {
            replace(&RealDisk, &file, text.as_bytes()).expect("a disk that works");
        }
        assert_eq!(fs::read_to_string(&file).expect("a file"), "new");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }

    #[test]
    fn records_are_appended_behind_those_before_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("records");
        append(&RealDisk, &file, b"one\n").expect("a disk that works");
        append(&RealDisk, &file, b"two\n").expect("a disk that works");
        assert_eq!(fs::read_to_string(&file).expect("a file"), "one\ntwo\n");
    }
}
