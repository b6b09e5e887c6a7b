//! The one place where a tool may write: empty at first, and gone afterwards, whatever was put
//! into it. Nothing here follows a link, recurses, or builds a long path.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Deeper than any sound tool nests its folders, and far from the longest path.
const DEEPEST: usize = 64;
const BLOCK: u64 = 512;

/// A folder that is removed with what holds it.
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// A new folder, which only we can enter.
    pub(crate) fn new(path: PathBuf) -> io::Result<Self> {
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Why it must not go on so: more than `most` bytes on disk, or nested too deeply.
    pub(crate) fn excess(&self, most: u64) -> Option<String> {
        let mut bytes = 0;
        let mut unseen = vec![(self.path.clone(), 0)];
        while let Some((path, depth)) = unseen.pop() {
            if depth > DEEPEST {
                return Some(format!("its folder was nested deeper than {DEEPEST}"));
            }
            // What vanishes while we look is no excess.
            for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
                let Ok(found) = entry.metadata() else {
                    continue;
                };
                bytes += (found.blocks() * BLOCK).max(4096); // an empty file takes room, too
                if bytes > most {
                    return Some(format!("its folder held more than {} MiB", most >> 20));
                }
                if found.is_dir() {
                    unseen.push((entry.path(), depth + 1));
                }
            }
        }
        None
    }

    /// Removes what is in it. Folders in folders are moved up before they are emptied.
    pub(crate) fn clear(&self) -> io::Result<()> {
        let mut folders = vec![self.path.clone()];
        let mut moved = 0;
        while let Some(folder) = folders.pop() {
            fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                if !entry.file_type()?.is_dir() {
                    fs::remove_file(entry.path())?;
                    continue;
                }
                fs::set_permissions(entry.path(), Permissions::from_mode(0o700))?;
                let up = loop {
                    moved += 1;
                    let up = self.path.join(format!(".removed-{moved}"));
                    if fs::symlink_metadata(&up).is_err() {
                        break up;
                    }
                };
                fs::rename(entry.path(), &up)?;
                folders.push(up);
            }
            if folder != self.path {
                fs::remove_dir(&folder)?;
            }
        }
        Ok(())
    }
}

impl Drop for Folder {
    /// What cannot be removed stays until the pool's folder goes.
    fn drop(&mut self) {
        let _ = self.clear();
        let _ = fs::remove_dir(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn scratch() -> (tempfile::TempDir, Folder) {
        let around = tempfile::tempdir().unwrap();
        let folder = Folder::new(around.path().join("scratch")).unwrap();
        (around, folder)
    }

    #[test]
    fn a_folder_is_gone_whatever_was_put_into_it() {
        let (around, folder) = scratch();
        fs::write(around.path().join("outside"), "kept").unwrap();
        fs::create_dir(folder.path().join(".removed-1")).unwrap();
        fs::create_dir_all(folder.path().join("a/b/c")).unwrap();
        fs::write(folder.path().join("a/b/file"), "x").unwrap();
        symlink(around.path(), folder.path().join("a/link")).unwrap();
        fs::set_permissions(folder.path().join("a/b"), Permissions::from_mode(0o000)).unwrap();
        fs::set_permissions(folder.path().join("a"), Permissions::from_mode(0o500)).unwrap();
        drop(folder);
        let left: Vec<_> = fs::read_dir(around.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["outside"]);
    }

    #[test]
    fn a_path_longer_than_the_system_allows_is_removed() {
        let (around, folder) = scratch();
        // Deeper than a path can say: each piece is moved below the next.
        let top = folder.path().join("top");
        fs::create_dir(&top).unwrap();
        for _ in 0..40 {
            let below = folder.path().join("below");
            fs::create_dir(&below).unwrap();
            let deep = below.join("d".repeat(200));
            fs::rename(&top, &deep).unwrap();
            fs::rename(&below, &top).unwrap();
        }
        assert_eq!(folder.excess(1 << 30), None);
        drop(folder);
        assert_eq!(fs::read_dir(around.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_folder_holds_is_counted_with_empty_files() {
        let (_around, folder) = scratch();
        assert_eq!(folder.excess(0), None);
        for name in 0..3 {
            fs::write(folder.path().join(name.to_string()), "").unwrap();
        }
        assert_eq!(folder.excess(3 * 4096), None);
        assert!(folder.excess(3 * 4096 - 1).is_some());
        let mut path = folder.path().to_owned();
        for _ in 0..DEEPEST + 2 {
            path.push("d");
        }
        fs::create_dir_all(path).unwrap();
        let told = folder.excess(1 << 30).unwrap();
        assert_eq!(told, "its folder was nested deeper than 64");
    }
}
