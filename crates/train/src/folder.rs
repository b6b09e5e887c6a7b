//! The run folder: everything a run leaves behind, complete enough to resume and to report.
//!
//! ```text
//! config.toml         as resolved          metrics.jsonl      one object a step
//! run.json            what it was begun with, and by whom it was gone on with
//! episodes.jsonl      one training episode a line, with its step and its credit
//! traces.jsonl        how an expert does what was rolled out: a task a line, when first drawn
//! evaluations.jsonl   one evaluation a line    evaluations/   their episodes
//! skipped/            steps whose loss or gradient was not finite, each with its episodes
//! log.jsonl           what the run said        checkpoints/   model folders to resume from
//! lock                held by the process that writes
//! ```
//!
//! Files of records grow by whole steps and are synced before each checkpoint, which says how
//! long they are: whatever comes behind is of steps that will be done again.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use episode::{
    Credit, Episode, Evaluation, EvaluationMode, Group, Message, RunRecord, RunRecordError,
    Skipped, Trace,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::{Disk, Lock, Operation};

use crate::TrainError;
use crate::checkpoint::{Checkpoint, State};
use crate::experience::{Experience, Rolled};

const CONFIG: &str = "config.toml";
const RECORD: &str = "run.json";
/// The files that grow, a record a line.
const RECORDS: [&str; 4] = [
    "metrics.jsonl",
    "episodes.jsonl",
    "traces.jsonl",
    "evaluations.jsonl",
];
/// Folders with files of single steps, `step-000100…`.
const EVALUATIONS: &str = "evaluations";
const SKIPPED: &str = "skipped";

/// The folder of one run, which nobody else writes meanwhile.
pub struct RunFolder {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    _lock: Lock,
    /// Tasks whose traces are written down.
    traced: HashSet<String>,
}

/// One line of metrics.jsonl: a number for each name; a name whose number is not known in a
/// step is left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct StepRecord(Map<String, Value>);

impl StepRecord {
    /// The line of step `step`, without any metric yet.
    pub fn new(step: u64) -> Self {
        Self(Map::from_iter([("step".to_owned(), step.into())]))
    }

    /// Adds a metric if its value is known, and is a number that JSON can say.
    pub fn set(&mut self, name: &str, value: impl Into<Option<f64>>) {
        if let Some(value) = value.into().filter(|value| value.is_finite()) {
            self.0.insert(name.to_owned(), value.into());
        }
    }

    /// The metric's value, if the step has it.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name)?.as_f64()
    }
}

#[derive(Serialize)]
struct EpisodeLine<'a> {
    step: u64,
    #[serde(flatten)]
    credit: Credit,
    #[serde(flatten)]
    episode: &'a Episode,
}

#[derive(Serialize)]
struct TraceLine<'a> {
    /// The step that first drew the task.
    step: u64,
    task: &'a str,
    messages: &'a [Message],
    trace: &'a Trace,
}

#[derive(Deserialize)]
struct TracedTask {
    task: String,
}

/// A step's lines of episodes.jsonl.
fn episode_lines<'a>(
    step: u64,
    experience: &'a Experience,
    credits: &'a [Vec<Credit>],
) -> impl Iterator<Item = EpisodeLine<'a>> {
    let groups = experience.groups().zip(credits);
    groups.flat_map(move |(group, credits)| {
        let line = move |(episode, credit): (_, &Credit)| EpisodeLine {
            step,
            credit: credit.clone(),
            episode,
        };
        group.episodes.iter().zip(credits).map(line)
    })
}

impl RunFolder {
    /// A new run's folder; it must not hold a run already. Writes `run.json`, and `config.toml`
    /// last: a folder with it is a run.
    pub fn create(
        disk: Arc<dyn Disk>,
        path: &Path,
        config: &str,
        record: &RunRecord,
    ) -> Result<Self, TrainError> {
        if path.join(CONFIG).exists() {
            return Err(TrainError::Folder {
                path: path.to_owned(),
                problem: "there is a run in this folder already".into(),
                hint: "go on with it by `--resume`, or name another folder with `--run`",
            });
        }
        for part in ["checkpoints", EVALUATIONS] {
            let part = path.join(part);
            let made = store::create_folder(&*disk, &part);
            made.map_err(|error| TrainError::file(&part, error))?;
        }
        let folder = Self::locked(disk, path)?;
        folder.replace(RECORD, &record.to_json())?;
        folder.replace(CONFIG, config)?;
        Ok(folder)
    }

    /// The folder of a run that is to go on. Changes nothing in it yet.
    pub fn open(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, TrainError> {
        let missing = |problem: &str, hint| TrainError::Folder {
            path: path.to_owned(),
            problem: problem.into(),
            hint,
        };
        if !path.join(CONFIG).is_file() {
            return Err(missing(
                "there is no run in this folder to resume: it has no `config.toml`",
                "copy the run whole, or begin one without `--resume`",
            ));
        }
        if !path.join("checkpoints").is_dir() {
            return Err(missing(
                "it has no folder `checkpoints`, as if it had been copied in part",
                "copy the run whole, or make that folder to go on from the run's beginning",
            ));
        }
        let folder = Self::locked(disk, path)?;
        folder.run_record()?;
        Ok(folder)
    }

    fn locked(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, TrainError> {
        Ok(Self {
            _lock: Lock::take(&path.join("lock"))?,
            path: path.to_owned(),
            disk,
            traced: HashSet::new(),
        })
    }

    /// What the run was made of when it was last gone on with. `None` in a folder of a pact that
    /// did not write it down.
    pub fn run_record(&self) -> Result<Option<RunRecord>, TrainError> {
        let path = self.path.join(RECORD);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(TrainError::file(path, error)),
        };
        match RunRecord::from_json(&text) {
            Ok(record) => Ok(Some(record)),
            Err(RunRecordError::Json(error)) => Err(TrainError::Folder {
                path,
                problem: error.to_string(),
                hint: "bring it back from a copy; without it, nothing but the config is compared",
            }),
            Err(source) => Err(TrainError::Record { path, source }),
        }
    }

    /// Takes back what was recorded after `checkpoint`, all of it where there is none, and
    /// writes down what the run goes on with. Says what of the time before is missing.
    pub fn go_on(
        &mut self,
        config: &str,
        record: &RunRecord,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Vec<String>, TrainError> {
        self.replace(CONFIG, config)?;
        self.replace(RECORD, &record.to_json())?;
        let begin = State {
            step: 0,
            evaluated: false,
            lengths: Some(BTreeMap::new()),
        };
        let state = checkpoint.map_or(&begin, |it| &it.state);
        let mut missing = Vec::new();
        for name in RECORDS {
            missing.extend(self.take_back(name, state)?);
        }
        self.take_back_files(EVALUATIONS, |step| {
            step > state.step || (step == state.step && !state.evaluated)
        })?;
        self.take_back_files(SKIPPED, |step| step >= state.step)?;
        let traced = self.lines::<TracedTask>("traces.jsonl")?;
        self.traced = traced.into_iter().map(|line| line.task).collect();
        Ok(missing)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes down one training step. `credits` are `[groups][episodes]`.
    pub(crate) fn record(
        &mut self,
        step: u64,
        experience: &Experience,
        credits: &[Vec<Credit>],
        metrics: &StepRecord,
    ) -> Result<(), TrainError> {
        self.append("episodes.jsonl", episode_lines(step, experience, credits))?;
        self.record_traces(step, &experience.rolled)?;
        self.append("metrics.jsonl", std::iter::once(metrics))
    }

    /// Writes down why a step was skipped, with its episodes.
    pub(crate) fn record_skipped(
        &self,
        skipped: &Skipped,
        experience: &Experience,
        credits: &[Vec<Credit>],
    ) -> Result<(), TrainError> {
        let folder = self.path.join(SKIPPED);
        store::create_folder(&*self.disk, &folder)
            .map_err(|error| TrainError::file(&folder, error))?;
        let mut lines = to_lines(std::iter::once(skipped));
        lines += &to_lines(episode_lines(skipped.step, experience, credits));
        self.replace(&format!("{SKIPPED}/step-{:06}.jsonl", skipped.step), &lines)
    }

    /// How many of the last steps were skipped.
    pub(crate) fn skipped_in_a_row(&self) -> Result<u64, TrainError> {
        #[derive(Deserialize)]
        struct Line {
            #[serde(default)]
            skipped: f64,
        }
        let lines = self.lines::<Line>("metrics.jsonl")?;
        let last = lines.iter().rev().take_while(|line| line.skipped > 0.0);
        Ok(last.count() as u64)
    }

    /// Writes down the traces of tasks that were rolled out for the first time.
    fn record_traces(&mut self, step: u64, rolled: &[Rolled]) -> Result<(), TrainError> {
        let mut lines = Vec::new();
        for one in rolled {
            let Some(trace) = one.trace.as_ref().filter(|_| one.group.is_some()) else {
                continue;
            };
            if self.traced.insert(one.task.id.clone()) {
                lines.push(TraceLine {
                    step,
                    task: &one.task.id,
                    messages: &one.task.messages,
                    trace,
                });
            }
        }
        match lines.is_empty() {
            true => Ok(()),
            false => self.append("traces.jsonl", lines.into_iter()),
        }
    }

    /// Writes down one evaluation with its episodes.
    pub fn evaluated(&self, evaluation: &Evaluation, groups: &[Group]) -> Result<(), TrainError> {
        let mode = match evaluation.mode {
            EvaluationMode::Greedy => "greedy",
            EvaluationMode::Sampled => "sampled",
        };
        let name = format!("{EVALUATIONS}/step-{:06}-{mode}.jsonl", evaluation.step);
        let all = groups.iter().flat_map(|group| &group.episodes);
        let line = |episode| EpisodeLine {
            step: evaluation.step,
            credit: Credit::default(),
            episode,
        };
        // A file of the same step is of before it was taken back.
        self.replace(&name, &to_lines(all.map(line)))?;
        self.append("evaluations.jsonl", std::iter::once(evaluation))
    }

    /// Appends one line for each item, all or none.
    fn append<T: Serialize>(
        &self,
        name: &str,
        items: impl Iterator<Item = T>,
    ) -> Result<(), TrainError> {
        let path = self.path.join(name);
        let appended = store::append(&*self.disk, &path, to_lines(items).as_bytes());
        appended.map_err(|error| TrainError::file(&path, error))
    }

    fn replace(&self, name: &str, text: &str) -> Result<(), TrainError> {
        let path = self.path.join(name);
        let replaced = store::replace(&*self.disk, &path, text.as_bytes());
        replaced.map_err(|error| TrainError::file(&path, error))
    }

    fn perform(&self, operation: Operation<'_>, path: &Path) -> Result<(), TrainError> {
        let done = self.disk.perform(operation);
        done.map_err(|error| TrainError::file(path, error))
    }

    /// Waits until everything recorded so far is on the platter, and says how long each file of
    /// records is.
    pub(crate) fn sync(&self) -> Result<BTreeMap<String, u64>, TrainError> {
        let mut lengths = BTreeMap::new();
        for name in RECORDS {
            let path = self.path.join(name);
            let length = self.length(name)?;
            if length.is_some() {
                self.perform(Operation::SyncFile(&path), &path)?;
            }
            lengths.insert(name.to_owned(), length.unwrap_or(0));
        }
        for folder in [EVALUATIONS, SKIPPED].map(|folder| self.path.join(folder)) {
            if folder.is_dir() {
                self.perform(Operation::SyncTree(&folder), &folder)?;
            }
        }
        self.perform(Operation::SyncFolder(&self.path), &self.path)?;
        Ok(lengths)
    }

    /// A file's length in bytes; `None` where it is not there.
    fn length(&self, name: &str) -> Result<Option<u64>, TrainError> {
        let path = self.path.join(name);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(TrainError::file(path, error)),
        }
    }

    /// Where checkpoints and records are written.
    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// Every evaluation so far.
    pub fn evaluations(&self) -> Result<Vec<Evaluation>, TrainError> {
        self.lines("evaluations.jsonl")
    }

    /// The lines of one file; there are none where it is not there yet.
    fn lines<T: DeserializeOwned>(&self, name: &str) -> Result<Vec<T>, TrainError> {
        let path = self.path.join(name);
        if !path.exists() {
            return Ok(Vec::new());
        }
        let text = fs::read_to_string(&path).map_err(|error| TrainError::file(&path, error))?;
        let parse = |line: &str| {
            serde_json::from_str(line).map_err(|error| TrainError::Folder {
                path: path.clone(),
                problem: error.to_string(),
                hint: "the file was changed by hand or cut off; remove its last line",
            })
        };
        text.lines().map(parse).collect()
    }

    /// Cuts a file of records to what it was at `state`. Says so if it has not been that long,
    /// as in a run that was copied in part; its whole lines up to then are kept.
    fn take_back(&self, name: &str, state: &State) -> Result<Option<String>, TrainError> {
        let path = self.path.join(name);
        let expected = state.lengths.as_ref();
        let expected = expected.map(|lengths| lengths.get(name).copied().unwrap_or(0));
        let found = self.length(name)?.unwrap_or(0);
        match expected {
            Some(expected) if found == expected => Ok(None),
            Some(expected) if found > expected => {
                self.perform(Operation::Truncate(&path, expected), &path)?;
                Ok(None)
            }
            Some(expected) => {
                self.keep_lines(name, state)?;
                Ok(Some(format!(
                    "`{}` has {found} bytes of the {expected} that it had after {} steps; the rest \
                     is not brought back",
                    path.display(),
                    state.step
                )))
            }
            // A checkpoint of before lengths were written down.
            None => self.keep_lines(name, state).map(|()| None),
        }
    }

    /// Keeps the whole lines of steps and evaluations before `state`.
    fn keep_lines(&self, name: &str, state: &State) -> Result<(), TrainError> {
        #[derive(Deserialize)]
        struct Line {
            step: u64,
        }
        let path = self.path.join(name);
        if !path.exists() {
            return Ok(());
        }
        let is_evaluation = name == "evaluations.jsonl" && state.evaluated;
        let is_kept =
            |line: &Line| line.step < state.step || (is_evaluation && line.step == state.step);
        // Steps only grow, so that what is kept is the beginning.
        let beginning = || -> std::io::Result<u64> {
            let mut file = BufReader::new(File::open(&path)?);
            let (mut kept, mut line) = (0, Vec::new());
            loop {
                line.clear();
                let bytes = file.read_until(b'\n', &mut line)?;
                let parsed = serde_json::from_slice::<Line>(&line);
                if !line.ends_with(b"\n") || !parsed.is_ok_and(|line| is_kept(&line)) {
                    return Ok(kept);
                }
                kept += bytes as u64;
            }
        };
        let kept = beginning().map_err(|error| TrainError::file(&path, error))?;
        self.perform(Operation::Truncate(&path, kept), &path)
    }

    /// Removes the files `step-…` of a folder whose step is to be taken back.
    fn take_back_files(
        &self,
        folder: &str,
        is_taken: impl Fn(u64) -> bool,
    ) -> Result<(), TrainError> {
        let folder = self.path.join(folder);
        if !folder.is_dir() {
            return Ok(());
        }
        let entries = fs::read_dir(&folder).map_err(|error| TrainError::file(&folder, error))?;
        for entry in entries {
            let entry = entry.map_err(|error| TrainError::file(&folder, error))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let step = name.strip_prefix("step-").and_then(|rest| {
                let end = rest.find(|c: char| !c.is_ascii_digit())?;
                rest[..end].parse().ok()
            });
            if step.is_some_and(&is_taken) {
                self.perform(Operation::Remove(&entry.path()), &entry.path())?;
            }
        }
        Ok(())
    }
}

/// One line of JSON for each item.
fn to_lines<T: Serialize>(items: impl Iterator<Item = T>) -> String {
    let mut lines = String::new();
    for item in items {
        lines += &serde_json::to_string(&item).expect("a record is JSON");
        lines.push('\n');
    }
    lines
}
