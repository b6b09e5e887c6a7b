//! What a folder's files were when it was whole: a length and a hash each. A copy that broke
//! off, a bit that flipped and a file that was edited show.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use crate::digest::digest_file;

/// The files of one folder, without itself and without folders in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// By name.
    pub files: BTreeMap<String, Entry>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// How long it is.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

/// How a folder differs from its manifest: the first difference.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// The manifest itself.
    #[error("its manifest cannot be read: {0}")]
    Manifest(String),
    /// A file is not there, or will not be read.
    #[error("`{name}` cannot be read: {source}")]
    File {
        /// Which file.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file is shorter or longer.
    #[error("`{name}` has {found} bytes, expected {expected}")]
    Length {
        /// Which file.
        name: String,
        /// Bytes that there are.
        found: u64,
        /// Bytes that there were.
        expected: u64,
    },
    /// A file has other bytes, as many.
    #[error("`{name}` has other bytes than were written")]
    Bytes {
        /// Which file.
        name: String,
    },
}

impl Manifest {
    /// Its own name in the folder.
    pub const NAME: &'static str = "manifest.json";

    /// The manifest of a folder as it is now.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == Self::NAME || !entry.file_type()?.is_file() {
                continue;
            }
            let bytes = entry.metadata()?.len();
            let sha256 = digest_file(&entry.path())?;
            files.insert(name, Entry { bytes, sha256 });
        }
        Ok(Self { files })
    }

    /// The manifest that a folder has.
    pub fn read(folder: &Path) -> Result<Self, Damage> {
        let text = fs::read_to_string(folder.join(Self::NAME));
        let text = text.map_err(|error| Damage::Manifest(error.to_string()))?;
        let manifest: Self =
            serde_json::from_str(&text).map_err(|error| Damage::Manifest(error.to_string()))?;
        let is_name = |name: &&String| {
            let mut parts = Path::new(name.as_str()).components();
            matches!(
                (parts.next(), parts.next()),
                (Some(Component::Normal(_)), None)
            )
        };
        match manifest.files.keys().find(|name| !is_name(name)) {
            Some(name) => Err(Damage::Manifest(format!(
                "it names `{name}`, expected a file of the folder"
            ))),
            None => Ok(manifest),
        }
    }

    /// As text.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a manifest is JSON") + "\n"
    }

    /// Whether every file is there and as long as it was. Reads none of them.
    pub fn check_lengths(&self, folder: &Path) -> Result<(), Damage> {
        for (name, entry) in &self.files {
            let metadata = fs::metadata(folder.join(name));
            let found = metadata.map_err(|source| Damage::File {
                name: name.clone(),
                source,
            })?;
            if found.len() != entry.bytes {
                return Err(Damage::Length {
                    name: name.clone(),
                    found: found.len(),
                    expected: entry.bytes,
                });
            }
        }
        Ok(())
    }

    /// Whether every file is what it was. Reads all of them.
    pub fn check(&self, folder: &Path) -> Result<(), Damage> {
        self.check_lengths(folder)?;
        for (name, entry) in &self.files {
            let found = digest_file(&folder.join(name)).map_err(|source| Damage::File {
                name: name.clone(),
                source,
            })?;
            if found != entry.sha256 {
                return Err(Damage::Bytes { name: name.clone() });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_happens_to_a_file_of_the_folder_is_named() {
        let check = |damage: &dyn Fn(&Path), expected: Option<&str>| {
            let folder = tempfile::tempdir().expect("a folder");
            fs::write(folder.path().join("a"), "weights").expect("a file");
            fs::write(folder.path().join("b"), "").expect("a file");
            let manifest = Manifest::of(folder.path()).expect("files that can be read");
            fs::write(folder.path().join(Manifest::NAME), manifest.to_json()).expect("a file");
            damage(folder.path());
            let found = Manifest::read(folder.path()).and_then(|it| it.check(folder.path()));
            assert_eq!(found.err().map(|it| it.to_string()).as_deref(), expected);
        };
        let write = |name: &'static str, text: &'static str| {
            move |folder: &Path| fs::write(folder.join(name), text).expect("a file")
        };
        check(&|_| (), None);
        check(&write("c", "a file of somebody else's"), None);
        check(&write("a", "weight"), Some("`a` has 6 bytes, expected 7"));
        check(
            &write("a", "Weights"),
            Some("`a` has other bytes than were written"),
        );
        check(
            &|folder| fs::remove_file(folder.join("b")).expect("it was there"),
            Some("`b` cannot be read: No such file or directory (os error 2)"),
        );
        check(
            &write(
                Manifest::NAME,
                "{\"files\":{\"../a\":{\"bytes\":1,\"sha256\":\"\"}}}",
            ),
            Some("its manifest cannot be read: it names `../a`, expected a file of the folder"),
        );
        check(
            &write(Manifest::NAME, "{\"files\":"),
            Some("its manifest cannot be read: EOF while parsing a value at line 1 column 9"),
        );
    }
}
