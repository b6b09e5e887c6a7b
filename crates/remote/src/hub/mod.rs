//! Data sets from where their owners publish them: Hugging Face's hub, GitHub, PyPI. Whatever
//! has a known hash is checked by it; what cannot be had is an error that says how to do it by
//! hand.

mod checksum;
mod download;
mod error;
mod wheel;

use std::path::{Path, PathBuf};
use std::{fs, io};

pub use self::checksum::Checksum;
use self::download::{from_github, from_hugging_face};
pub use self::error::HubError;

/// What can be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataSet {
    /// FTRL's training and test rows, and tau-bench as FTRL packages it (GitHub).
    Ftrl,
    /// ToolHop's 995 questions (Hugging Face).
    ToolHop,
    /// FTRL's training rows with gold calls, by MatchTIR (Hugging Face).
    MatchTir,
    /// BFCL v4, multi-turn, memory and web search, out of the package `bfcl-eval` (PyPI).
    Bfcl,
}

/// Where data sets are fetched from, and by what.
#[derive(Clone, Debug, PartialEq)]
pub struct Hubs {
    /// Hugging Face's hub, or a mirror of it (`HF_ENDPOINT`).
    pub hugging_face: String,
    /// Where its files are kept, as its own tools keep them (`HF_HOME`/hub).
    pub cache: PathBuf,
    /// For files that are not public (`HF_TOKEN`).
    pub token: Option<String>,
    /// GitHub's host of files as they are.
    pub github: String,
    /// The Python whose pip fetches packages, from wherever it is configured to.
    pub python: String,
}

impl Hubs {
    /// The owners' own hosts, `python3`, and a folder for Hugging Face's files.
    pub fn new(cache: PathBuf) -> Self {
        Self {
            hugging_face: "https://huggingface.co".to_owned(),
            cache,
            token: None,
            github: "https://raw.githubusercontent.com".to_owned(),
            python: "python3".to_owned(),
        }
    }
}

/// One file of a data set, in its local folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Fetched {
    /// Where it lies; of BFCL, the folder of all its files.
    pub path: PathBuf,
    /// Whether it lay there already.
    pub was_there: bool,
    /// Whether it is the file that its owner published, by its hash; `None` where no hash is
    /// known.
    pub checked: Option<Checksum>,
}

/// Brings a data set to a folder. Files that lie there already stay, if their hashes are right.
/// `told` hears of each file when it is there.
pub fn fetch(
    set: DataSet,
    folder: &Path,
    hubs: &Hubs,
    told: &mut dyn FnMut(&Fetched),
) -> Result<Vec<Fetched>, HubError> {
    match set {
        DataSet::Bfcl => wheel::fetch_bfcl(folder, hubs, told),
        _ => fetch_files(&files_of(set), folder, hubs, told),
    }
}

/// One file of a data set, before it is fetched.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// Where a browser finds it.
    pub url: String,
    /// Where it is to lie.
    pub path: PathBuf,
    /// What its content must hash to; `None` where no hash is known.
    pub checksum: Option<Checksum>,
}

/// What [`fetch`] would bring, for people who must do it by hand.
pub fn plan(set: DataSet, folder: &Path, hubs: &Hubs) -> Vec<Planned> {
    if set == DataSet::Bfcl {
        return vec![wheel::plan_bfcl(folder)];
    }
    let planned = |file: &RemoteFile| Planned {
        url: file.at.url(hubs),
        path: folder.join(&file.place),
        checksum: file.checksum,
    };
    files_of(set).iter().map(planned).collect()
}

/// The files that are a data set as they are.
fn files_of(set: DataSet) -> Vec<RemoteFile> {
    match set {
        DataSet::Bfcl => Vec::new(),
        DataSet::Ftrl => ftrl(),
        DataSet::ToolHop => vec![RemoteFile {
            at: Source::HuggingFace {
                repository: "bytedance-research/ToolHop",
                path: "data/ToolHop.json",
            },
            place: "ToolHop.json".to_owned(),
            checksum: Some(TOOLHOP),
        }],
        DataSet::MatchTir => ["train.jsonl", "train.parquet"]
            .map(|name| RemoteFile {
                at: Source::HuggingFace {
                    repository: "ChangleQu/MatchTIR",
                    path: name,
                },
                place: name.to_owned(),
                checksum: None,
            })
            .into(),
    }
}

const TOOLHOP: Checksum =
    Checksum::Sha256("0a51f71a44b7025645e452123af3caf2e348301922af91778e268db0188a7fab");
const FTRL_TRAIN: Checksum = Checksum::GitBlob("fb5c83ba75107ec41e587535f547e36a9becef02");

/// The rows, and what tau-bench's tasks need: each domain's rules, tools and database.
fn ftrl() -> Vec<RemoteFile> {
    let airline = ["flights", "reservations", "users"];
    let retail = ["orders", "products", "users"];
    let mut places = vec!["train.jsonl".to_owned(), "test.jsonl".to_owned()];
    places.push("tau-bench.jsonl".to_owned());
    for (domain, database) in [("airline", airline), ("retail", retail)] {
        let folder = format!("tau-bench/{domain}");
        places.push(format!("{folder}/wiki.md"));
        let files = ["tools", "codes"].into_iter().chain(database);
        places.extend(files.map(|name| format!("{folder}/{name}.json")));
    }
    let file = |place: String| RemoteFile {
        at: Source::GitHub {
            repository: "bytedance/FTRL",
            path: format!("Data/jsonl/raw/{place}"),
        },
        checksum: (place == "train.jsonl").then_some(FTRL_TRAIN),
        place,
    };
    places.into_iter().map(file).collect()
}

/// A file that an owner publishes.
struct RemoteFile {
    at: Source,
    /// Its path within the local folder.
    place: String,
    checksum: Option<Checksum>,
}

enum Source {
    HuggingFace {
        repository: &'static str,
        path: &'static str,
    },
    GitHub {
        repository: &'static str,
        path: String,
    },
}

impl Source {
    /// Where a browser finds it.
    fn url(&self, hubs: &Hubs) -> String {
        match self {
            Self::HuggingFace { repository, path } => {
                let host = hubs.hugging_face.trim_end_matches('/');
                format!("{host}/datasets/{repository}/resolve/main/{path}")
            }
            Self::GitHub { repository, path } => {
                let host = hubs.github.trim_end_matches('/');
                format!("{host}/{repository}/HEAD/{path}")
            }
        }
    }
}

fn fetch_files(
    files: &[RemoteFile],
    folder: &Path,
    hubs: &Hubs,
    told: &mut dyn FnMut(&Fetched),
) -> Result<Vec<Fetched>, HubError> {
    let mut fetched = Vec::new();
    for file in files {
        let file = fetch_file(file, folder, hubs)?;
        told(&file);
        fetched.push(file);
    }
    Ok(fetched)
}

fn fetch_file(file: &RemoteFile, folder: &Path, hubs: &Hubs) -> Result<Fetched, HubError> {
    let path = folder.join(&file.place);
    let url = file.at.url(hubs);
    let was_there = path.exists();
    if !was_there {
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|source| file_error(parent, source))?;
        let unfinished =
            tempfile::NamedTempFile::new_in(parent).map_err(|source| file_error(parent, source))?;
        let brought = match &file.at {
            Source::HuggingFace {
                repository,
                path: within,
            } => from_hugging_face(repository, within, unfinished.path(), hubs),
            Source::GitHub { .. } => from_github(&url, unfinished.path()),
        };
        brought.map_err(|problem| HubError::Unreachable {
            url: url.clone(),
            problem,
            path: path.clone(),
        })?;
        if let Some(checksum) = file.checksum {
            check(checksum, unfinished.path(), &path, &url)?;
        }
        let kept = unfinished.persist(&path);
        kept.map_err(|error| file_error(&path, error.error))?;
    } else if let Some(checksum) = file.checksum {
        check(checksum, &path, &path, &url)?;
    }
    Ok(Fetched {
        path,
        was_there,
        checked: file.checksum,
    })
}

/// Holds the file at `now`, which is to lie at `path`, to its hash.
fn check(expected: Checksum, now: &Path, path: &Path, url: &str) -> Result<(), HubError> {
    let found = expected.of(now).map_err(|source| file_error(now, source))?;
    if found == expected.text() {
        return Ok(());
    }
    Err(HubError::Hash {
        path: path.to_owned(),
        kind: expected.kind(),
        expected: expected.text().to_owned(),
        found,
        url: url.to_owned(),
    })
}

fn file_error(path: &Path, source: io::Error) -> HubError {
    HubError::File {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
