//! What the tasks of one domain have in common: rules, tools, and a database.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use sandbox::{Failure, Pool, Session};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::EnvError;

/// In a session: the database.
const DATABASE: &str = "database";
/// The database as one number, whatever the order of its keys.
const DIGEST: &str = "_digest_of_database";
const DIGEST_SOURCE: &str = "
import hashlib
import json


def _digest_of_database(data):
    text = json.dumps(data, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()
";

/// One domain, and the processes that its tools run in.
pub(super) struct Domain {
    /// What the agent is told before all: `wiki.md`.
    pub(super) rules: String,
    /// `tools.json`.
    pub(super) tools: Vec<Value>,
    /// `codes.json`: Python source of each tool, whose first parameter is the database.
    codes: IndexMap<String, String>,
    /// Under which name the pool shares the database.
    state: String,
}

impl Domain {
    /// Reads a domain's folder, and has the pool share its database: every other JSON file in
    /// the folder, by its name.
    pub(super) fn load(name: &str, folder: &Path, pool: &Pool) -> Result<Self, EnvError> {
        let state = format!("{DATABASE} of {name}");
        pool.share(&state, &Value::Object(database(folder)?));
        let rules = folder.join("wiki.md");
        Ok(Self {
            rules: fs::read_to_string(&rules).map_err(|source| file_error(&rules, source))?,
            tools: json(&folder.join("tools.json"))?,
            codes: json(&folder.join("codes.json"))?,
            state,
        })
    }

    /// A process with a database of its own, as it was when the domain was read.
    pub(super) fn open(&self, pool: &Pool) -> Result<Store, String> {
        let mut session = pool.session().map_err(|error| error.to_string())?;
        for (name, source) in &self.codes {
            let loaded = session.load(source, name);
            loaded.map_err(|failure| format!("tool `{name}`: {failure}"))?;
        }
        let loaded = session.load(DIGEST_SOURCE, DIGEST);
        loaded.map_err(|failure| failure.to_string())?;
        Ok(Store {
            session,
            state: self.state.clone(),
        })
    }

    pub(super) fn has(&self, tool: &str) -> bool {
        self.codes.contains_key(tool)
    }
}

/// The database of one episode, behind its tools.
pub(super) struct Store {
    session: Session,
    state: String,
}

impl Store {
    pub(super) fn call(
        &mut self,
        tool: &str,
        arguments: &Map<String, Value>,
    ) -> Result<String, Failure> {
        self.session.call(tool, arguments, Some(&self.state))
    }

    /// Two databases have the same digest where they are equal.
    pub(super) fn digest(&mut self) -> Result<String, Failure> {
        self.session.call(DIGEST, &Map::new(), Some(&self.state))
    }
}

fn database(folder: &Path) -> Result<Map<String, Value>, EnvError> {
    let entries = fs::read_dir(folder).map_err(|source| file_error(folder, source))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let mut database = Map::new();
    for file in files {
        let name = file.file_stem().and_then(OsStr::to_str);
        let is_json = file.extension().is_some_and(|end| end == "json");
        let Some(name) = name.filter(|it| is_json && !["tools", "codes"].contains(it)) else {
            continue;
        };
        database.insert(name.to_owned(), json(&file)?);
    }
    Ok(database)
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T, EnvError> {
    let text = fs::read_to_string(path).map_err(|source| file_error(path, source))?;
    serde_json::from_str(&text).map_err(|error| EnvError::Form {
        path: path.to_owned(),
        problem: error.to_string(),
    })
}

fn file_error(path: &Path, source: std::io::Error) -> EnvError {
    EnvError::File {
        path: path.to_owned(),
        source,
    }
}
