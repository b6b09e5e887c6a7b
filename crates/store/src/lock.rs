//! A lock that one process holds at a time, and that the system lets go however that process
//! ends.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Held until it is dropped, or its process is gone.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why a lock is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another has it.
    #[error("`{}` is held by {}", path.display(), holder(*process))]
    Held {
        /// The lock's file.
        path: PathBuf,
        /// Who holds it, where the file says so.
        process: Option<u32>,
    },
    /// Its file cannot be opened or locked.
    #[error("`{}`: {source}", path.display())]
    File {
        /// The lock's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn holder(process: Option<u32>) -> String {
    match process {
        Some(process) => format!("process {process}"),
        None => "another process".to_owned(),
    }
}

impl Lock {
    /// Takes the lock, whose file is made where there is none. The file stays: removing it
    /// would let a third process lock another file of the same name.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::File {
            path: path.to_owned(),
            source,
        };
        let mut options = File::options();
        let file = options.create(true).truncate(false).write(true).open(path);
        let mut file = file.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let text = fs::read_to_string(path).unwrap_or_default();
                return Err(LockError::Held {
                    path: path.to_owned(),
                    process: text.trim().parse().ok(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let process = format!("{}\n", std::process::id());
        (file
            .set_len(0)
            .and_then(|()| file.write_all(process.as_bytes())))
        .map_err(failed)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_once_names_its_process_and_can_be_had_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        let held = Lock::take(&path).expect("nobody has it");
        let message = Lock::take(&path).expect_err("it is held").to_string();
        let expected = format!(
            "`{}` is held by process {}",
            path.display(),
            std::process::id()
        );
        assert_eq!(message, expected);
        drop(held);
        Lock::take(&path).expect("it was let go");
    }
}
