//! What is known of every episode without keeping any: where its line lies and what a list shows
//! of it, about a hundred bytes each. Built while it is in use, and grows with the run.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::Result;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use episode::{Skipped, StopReason};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::followed::{Followed, Span};

/// How many bytes of a file are read before what they told is shown.
const STRETCH: u64 = 8 << 20;
/// How many broken lines of a file are named; all are counted.
const NAMED: usize = 20;

/// What a list shows of an episode.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) span: Span,
    /// The step that sampled it; nothing of an episode outside a run.
    pub(crate) step: Option<u64>,
    pub(crate) task: Arc<str>,
    pub(crate) scenario: Arc<str>,
    pub(crate) sample: usize,
    pub(crate) reward: f64,
    pub(crate) stop: StopReason,
    pub(crate) turns: u32,
    pub(crate) calls: u32,
    /// Turns' parts that look like calls and are none, and calls that failed.
    pub(crate) failures: u32,
    pub(crate) sampled_tokens: u64,
    pub(crate) anchored: Option<bool>,
}

/// A file of episodes.
#[derive(Debug)]
pub(crate) struct Source {
    /// How pages and links call it: `training`, `step-000010-greedy`, `step-000007-skipped`,
    /// `episodes`.
    pub(crate) name: String,
    /// Whether its episodes are those of a step that was skipped, and stand below the reason.
    is_skipped: bool,
    /// That reason, in lines.
    pub(crate) reason: Option<String>,
    pub(crate) path: PathBuf,
    /// In the order of the file; an episode's number is its place here.
    pub(crate) rows: Vec<Row>,
    /// How often the file was put anew: what is remembered of an earlier one is void.
    pub(crate) generation: u64,
    pub(crate) read: u64,
    pub(crate) size: u64,
    /// Lines that are no episode.
    pub(crate) broken: u64,
    /// The first of them: number from 1, and what is wrong.
    pub(crate) broken_lines: Vec<(u64, String)>,
    /// Why the file cannot be read on.
    pub(crate) trouble: Option<String>,
}

/// All episodes of a run.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) sources: Vec<Source>,
    /// Where the line of a task's expert trace lies in `traces.jsonl`.
    pub(crate) traces: HashMap<Arc<str>, Span>,
    pub(crate) scenarios: BTreeSet<Arc<str>>,
    pub(crate) stops: BTreeSet<StopReason>,
    /// Whether everything that was there at the last look is in it.
    pub(crate) complete: bool,
}

impl Index {
    pub(crate) fn source(&self, name: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.name == name)
    }
}

/// Where a run keeps its episodes.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// A run's folder, or an evaluation's.
    Folder(PathBuf),
    /// A file of episodes.
    File(PathBuf),
}

impl Place {
    /// A file that belongs to the run.
    pub(crate) fn file(&self, name: &str) -> Option<PathBuf> {
        match self {
            Self::Folder(folder) => Some(folder.join(name)),
            Self::File(_) => None,
        }
    }

    /// The files of episodes that are there now, by name. Names come from here alone, never from
    /// a request.
    fn sources(&self) -> Vec<(String, PathBuf)> {
        let folder = match self {
            Self::File(path) => return vec![("episodes".into(), path.clone())],
            Self::Folder(folder) => folder,
        };
        let mut sources = Vec::new();
        let training = folder.join("episodes.jsonl");
        let name = match folder.join("evaluation.json").exists() {
            true => "evaluation",
            false => "training",
        };
        if training.exists() {
            sources.push((name.to_owned(), training));
        }
        sources.extend(named_files(&folder.join("evaluations")));
        sources
    }

    /// The files of steps that were skipped, by name.
    fn skipped(&self) -> Vec<(String, PathBuf)> {
        let Some(folder) = self.file("skipped") else {
            return Vec::new();
        };
        let files = named_files(&folder).into_iter();
        files
            .map(|(name, path)| (format!("{name}-skipped"), path))
            .collect()
    }
}

/// The files of lines in a folder, by what stands before their ending, in that order.
fn named_files(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|it| it == "jsonl"))
        .filter_map(|path| Some((path.file_stem()?.to_str()?.to_owned(), path)))
        .collect();
    files.sort();
    files
}

/// Builds an index, a stretch at a time.
pub(crate) struct Indexer {
    place: Place,
    /// One for each source, in the same order.
    files: Vec<Followed>,
    traces: Option<Followed>,
    /// Every task and scenario is kept once.
    names: HashSet<Arc<str>>,
}

impl Indexer {
    pub(crate) fn new(place: Place) -> Self {
        Self {
            traces: place.file("traces.jsonl").map(Followed::new),
            place,
            files: Vec::new(),
            names: HashSet::new(),
        }
    }

    /// Reads on in every file. Whether there is more to read at once.
    pub(crate) fn advance(&mut self, index: &RwLock<Index>) -> bool {
        self.find_sources(index);
        let mut more = self.read_traces(index);
        for number in 0..self.files.len() {
            let outcome = self.read_source(number, index);
            let source = &mut write(index).sources[number];
            source.trouble = outcome.as_ref().err().map(ToString::to_string);
            more |= outcome.unwrap_or(false);
        }
        write(index).complete = !more;
        more
    }

    /// Sources that have come since the last look, after those known: an episode's place stays.
    fn find_sources(&mut self, index: &RwLock<Index>) {
        let episodes = (self.place.sources().into_iter()).map(|(name, path)| (name, path, false));
        let skipped = (self.place.skipped().into_iter()).map(|(name, path)| (name, path, true));
        for (name, path, is_skipped) in episodes.chain(skipped) {
            if self.files.iter().any(|file| file.path == path) {
                continue;
            }
            self.files.push(Followed::new(path.clone()));
            write(index).sources.push(Source {
                is_skipped,
                ..Source::new(name, path)
            });
        }
    }

    fn read_source(&mut self, number: usize, index: &RwLock<Index>) -> Result<bool> {
        let file = &mut self.files[number];
        if file.is_replaced()? {
            write(index).sources[number].start_anew();
        }
        let is_skipped = read(index).sources[number].is_skipped;
        let mut reason = None;
        let mut rows = Vec::new();
        let mut broken = Vec::new();
        let mut broken_count = 0;
        let names = &mut self.names;
        let more = file.read_on(STRETCH, |span, number, line| {
            if is_skipped && number == 1 {
                reason = line.and_then(reason_of);
                if reason.is_some() {
                    return;
                }
            }
            let row = match line {
                Some(line) => Line::parse(line).map(|line| line.row(span, names)),
                None => Err("longer than any episode".to_owned()),
            };
            match row {
                Ok(row) => rows.push(row),
                Err(problem) => {
                    broken_count += 1;
                    if broken.len() < NAMED {
                        broken.push((number, problem));
                    }
                }
            }
        })?;
        let mut index = write(index);
        for row in &rows {
            if !index.scenarios.contains(&row.scenario) {
                index.scenarios.insert(Arc::clone(&row.scenario));
            }
            index.stops.insert(row.stop);
        }
        let source = &mut index.sources[number];
        (source.read, source.size) = (file.read, file.size);
        source.rows.extend(rows);
        source.reason = reason.or(source.reason.take());
        source.broken += broken_count;
        source.broken_lines.extend(broken);
        source.broken_lines.truncate(NAMED);
        Ok(more)
    }

    /// Traces are a help: a file of them that cannot be read leaves episodes without one.
    fn read_traces(&mut self, index: &RwLock<Index>) -> bool {
        #[derive(Deserialize)]
        struct TraceLine {
            task: String,
        }
        let Some(file) = &mut self.traces else {
            return false;
        };
        if file.is_replaced().unwrap_or(false) {
            write(index).traces.clear();
        }
        let mut found = Vec::new();
        let names = &mut self.names;
        let more = file.read_on(STRETCH, |span, _, line| {
            let line = line.and_then(|line| serde_json::from_slice::<TraceLine>(line).ok());
            if let Some(line) = line {
                found.push((once(names, &line.task), span));
            }
        });
        write(index).traces.extend(found);
        more.unwrap_or(false)
    }
}

impl Source {
    fn new(name: String, path: PathBuf) -> Self {
        Self {
            name,
            path,
            is_skipped: false,
            reason: None,
            rows: Vec::new(),
            generation: 0,
            read: 0,
            size: 0,
            broken: 0,
            broken_lines: Vec::new(),
            trouble: None,
        }
    }

    fn start_anew(&mut self) {
        let fresh = Self::new(std::mem::take(&mut self.name), self.path.clone());
        let generation = self.generation + 1;
        *self = Self {
            is_skipped: self.is_skipped,
            generation,
            ..fresh
        };
    }
}

/// The index to read; a thread that panicked while writing has lost at most its own rows.
pub(crate) fn read(index: &RwLock<Index>) -> std::sync::RwLockReadGuard<'_, Index> {
    index
        .read()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn write(index: &RwLock<Index>) -> std::sync::RwLockWriteGuard<'_, Index> {
    index
        .write()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn once(names: &mut HashSet<Arc<str>>, name: &str) -> Arc<str> {
    if let Some(name) = names.get(name) {
        return Arc::clone(name);
    }
    let name: Arc<str> = name.into();
    names.insert(Arc::clone(&name));
    name
}

/// Why a step was skipped, if the first line of its file says so.
fn reason_of(line: &[u8]) -> Option<String> {
    let skipped: Skipped = serde_json::from_slice(line).ok()?;
    (!skipped.refused.is_empty()).then(|| report::refusals_text(&skipped))
}

/// A line of a file of episodes, without what it weighs: its texts and tokens are passed over.
#[derive(Deserialize)]
struct Line {
    step: Option<u64>,
    anchored: Option<bool>,
    task: String,
    scenario: String,
    sample: usize,
    stop: StopReason,
    score: ScoreOfLine,
    turns: Vec<TurnOfLine>,
}

#[derive(Deserialize)]
struct ScoreOfLine {
    reward: f64,
}

#[derive(Deserialize)]
struct TurnOfLine {
    start: usize,
    end: usize,
    calls: Vec<IgnoredAny>,
    failures: Vec<IgnoredAny>,
    observations: Vec<ObservationOfLine>,
}

#[derive(Deserialize)]
struct ObservationOfLine {
    failed: bool,
}

impl Line {
    fn parse(line: &[u8]) -> std::result::Result<Self, String> {
        serde_json::from_slice(line).map_err(|error| error.to_string())
    }

    fn row(self, span: Span, names: &mut HashSet<Arc<str>>) -> Row {
        let failed = |turn: &TurnOfLine| {
            // What could not be read as a call is told by an observation of its own.
            let observed = turn.observations.iter().filter(|it| it.failed).count();
            observed.max(turn.failures.len())
        };
        let count = |number: &dyn Fn(&TurnOfLine) -> usize| -> u32 {
            let sum: usize = self.turns.iter().map(number).sum();
            sum.try_into().unwrap_or(u32::MAX)
        };
        Row {
            span,
            step: self.step,
            task: once(names, &self.task),
            scenario: once(names, &self.scenario),
            sample: self.sample,
            reward: self.score.reward,
            stop: self.stop,
            turns: count(&|_| 1),
            calls: count(&|turn| turn.calls.len()),
            failures: count(&failed),
            sampled_tokens: self
                .turns
                .iter()
                .map(|turn| turn.end.saturating_sub(turn.start) as u64)
                .fold(0, u64::saturating_add),
            anchored: self.anchored,
        }
    }
}

/// Whether a path holds episodes at all.
pub(crate) fn place(run: &Path) -> Option<Place> {
    if run.is_file() {
        return Some(Place::File(run.to_owned()));
    }
    let is_run = [
        "config.toml",
        "episodes.jsonl",
        "evaluations",
        "evaluation.json",
    ]
    .iter()
    .any(|name| run.join(name).exists());
    is_run.then(|| Place::Folder(run.to_owned()))
}
