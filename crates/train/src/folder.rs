//! The run folder: everything a run leaves behind, complete enough to resume and to report.
//!
//! ```text
//! config.toml         as resolved          metrics.jsonl      one object a step
//! episodes.jsonl      one training episode a line, with its step and its credit
//! traces.jsonl        how an expert does what was rolled out: a task a line, when first drawn
//! evaluations.jsonl   one evaluation a line    evaluations/   their episodes
//! skipped/            steps whose loss or gradient was not finite, each with its episodes
//! log.jsonl           what the run said        checkpoints/   model folders to resume from
//! ```

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use episode::{Credit, Episode, Evaluation, EvaluationMode, Group, Message, Skipped, Trace};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::TrainError;
use crate::experience::{Experience, Rolled};

/// The folder of one run.
pub struct RunFolder {
    path: PathBuf,
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

/// The folder of skipped steps.
const SKIPPED: &str = "skipped";

impl RunFolder {
    /// A new run's folder; it must not hold a run already. Writes config.toml.
    pub fn create(path: &Path, config: &str) -> Result<Self, TrainError> {
        let folder = Self {
            path: path.to_owned(),
            traced: HashSet::new(),
        };
        let config_file = folder.path.join("config.toml");
        if config_file.exists() {
            return Err(TrainError::Folder {
                path: path.to_owned(),
                problem: "there is a run in this folder already".into(),
                hint: "go on with it by `--resume`, or name another folder with `--run`",
            });
        }
        for part in ["checkpoints", "evaluations"] {
            let part = folder.path.join(part);
            fs::create_dir_all(&part).map_err(|error| TrainError::file(&part, error))?;
        }
        fs::write(&config_file, config).map_err(|error| TrainError::file(&config_file, error))?;
        Ok(folder)
    }

    /// The folder of a run that goes on after `step` steps: what it recorded of later ones, and
    /// of the evaluation that comes next, is taken back.
    pub fn reopen(path: &Path, step: u64, evaluated: bool) -> Result<Self, TrainError> {
        let mut folder = Self {
            path: path.to_owned(),
            traced: HashSet::new(),
        };
        folder.keep_lines("metrics.jsonl", |s| s < step)?;
        folder.keep_lines("episodes.jsonl", |s| s < step)?;
        folder.keep_lines("traces.jsonl", |s| s < step)?;
        let traced = folder.lines::<TracedTask>("traces.jsonl")?;
        folder.traced = traced.into_iter().map(|line| line.task).collect();
        folder.keep_lines("evaluations.jsonl", |s| {
            s < step || (evaluated && s == step)
        })?;
        Ok(folder)
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
        fs::create_dir_all(&folder).map_err(|error| TrainError::file(&folder, error))?;
        let name = format!("{SKIPPED}/step-{:06}.jsonl", skipped.step);
        let path = self.path.join(&name);
        if path.exists() {
            fs::remove_file(&path).map_err(|error| TrainError::file(&path, error))?;
        }
        self.append(&name, std::iter::once(skipped))?;
        self.append(&name, episode_lines(skipped.step, experience, credits))
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
        let name = format!("evaluations/step-{:06}-{mode}.jsonl", evaluation.step);
        let path = self.path.join(&name);
        if path.exists() {
            fs::remove_file(&path).map_err(|error| TrainError::file(&path, error))?;
        }
        let all = groups.iter().flat_map(|group| &group.episodes);
        let line = |episode| EpisodeLine {
            step: evaluation.step,
            credit: Credit::default(),
            episode,
        };
        self.append(&name, all.map(line))?;
        self.append("evaluations.jsonl", std::iter::once(evaluation))
    }

    /// Appends one line for each item, all or none as far as the disk allows.
    fn append<T: Serialize>(
        &self,
        name: &str,
        items: impl Iterator<Item = T>,
    ) -> Result<(), TrainError> {
        let path = self.path.join(name);
        let write = || -> std::io::Result<()> {
            let file = File::options().create(true).append(true).open(&path)?;
            let mut file = BufWriter::new(file);
            for item in items {
                serde_json::to_writer(&mut file, &item)?;
                file.write_all(b"\n")?;
            }
            file.flush()
        };
        write().map_err(|error| TrainError::file(&path, error))
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

    /// Drops the lines whose `step` is not kept, and a last line that was cut off.
    fn keep_lines(&self, name: &str, keep: impl Fn(u64) -> bool) -> Result<(), TrainError> {
        #[derive(Deserialize)]
        struct Line {
            step: u64,
        }
        let path = self.path.join(name);
        if !path.exists() {
            return Ok(());
        }
        let kept = path.with_extension("jsonl.tmp");
        let copy = || -> std::io::Result<()> {
            let mut out = BufWriter::new(File::create(&kept)?);
            for line in BufReader::new(File::open(&path)?).lines() {
                let line = line?;
                if serde_json::from_str::<Line>(&line).is_ok_and(|line| keep(line.step)) {
                    writeln!(out, "{line}")?;
                }
            }
            out.flush()?;
            fs::rename(&kept, &path)
        };
        copy().map_err(|error| TrainError::file(&path, error))
    }
}
