//! A folder of one session's own, and the one name by which an agent knows it: a path that
//! differs from episode to episode would make equal episodes differ.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Map, Value};
use tempfile::TempDir;

use super::config::SCRATCH;

/// What agents call the folder.
const NAME: &str = "/scratch";

/// The folder; removed when it is dropped.
pub(super) struct Scratch {
    path: String,
    _folder: TempDir,
}

impl Scratch {
    /// A new folder, with a copy of what is in `from`.
    pub(super) fn new(from: Option<&Path>) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        if let Some(from) = from {
            copy(from, folder.path())?;
        }
        // Servers see through links, as there are on the way to some systems' temporary files.
        let path = folder.path().canonicalize()?;
        let path = path.to_str().ok_or(io::ErrorKind::InvalidFilename)?;
        Ok(Self {
            path: path.to_owned(),
            _folder: folder,
        })
    }

    /// A text of the config with the folder in place of `{scratch}`.
    pub(super) fn fill(&self, text: &str) -> String {
        text.replace(SCRATCH, &self.path)
    }

    /// What an agent wrote, as the server is told.
    pub(super) fn inward(&self, arguments: &Map<String, Value>) -> Map<String, Value> {
        let fields = arguments.iter();
        fields
            .map(|(name, value)| (name.clone(), self.inward_value(value)))
            .collect()
    }

    /// What the server said, as the agent is told.
    pub(super) fn outward(&self, text: &str) -> String {
        text.replace(&self.path, NAME)
    }

    /// Only a text that is a path: in all others the name may be a word.
    fn inward_value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => match text.strip_prefix(NAME) {
                Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                    Value::String(format!("{}{rest}", self.path))
                }
                _ => value.clone(),
            },
            Value::Array(values) => values.iter().map(|it| self.inward_value(it)).collect(),
            Value::Object(fields) => Value::Object(self.inward(fields)),
            plain => plain.clone(),
        }
    }
}

/// Copies files and folders; a link is copied as what it leads to.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            fs::create_dir(&to)?;
            copy(&from, &to)?;
        } else {
            fs::copy(&from, &to)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_folder_has_one_name_for_the_agent() {
        let from = tempfile::tempdir().unwrap();
        fs::create_dir(from.path().join("in")).unwrap();
        fs::write(from.path().join("in/a.txt"), "hello").unwrap();
        let scratch = Scratch::new(Some(from.path())).unwrap();
        let path = scratch.path.clone();
        let copied = fs::read_to_string(format!("{path}/in/a.txt")).unwrap();
        assert_eq!(copied, "hello");
        assert_eq!(
            scratch.fill("--root={scratch}/in"),
            format!("--root={path}/in")
        );

        let arguments = json!({"path": "/scratch/a", "all": ["/scratch", "/scratched"], "text": "in /scratch", "n": 1});
        let inward = Value::Object(scratch.inward(arguments.as_object().unwrap()));
        let expected = json!({"path": format!("{path}/a"), "all": [path, "/scratched"], "text": "in /scratch", "n": 1});
        assert_eq!(inward, expected);
        assert_eq!(scratch.outward(&format!("at {path}/a")), "at /scratch/a");

        drop(scratch);
        assert!(!Path::new(&path).exists());
    }
}
