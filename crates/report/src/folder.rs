//! The files of a run folder, as they were written. Says nothing about what they mean.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use episode::{Credit, Episode, Evaluation, EvaluationMode, RunRecord, RunRecordError};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::ReportError;

/// A run folder, opened for reading.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

/// One line of `episodes.jsonl`.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedEpisode {
    /// The step that sampled it.
    pub step: u64,
    /// What training made of it; nothing of an evaluation's.
    pub credit: Credit,
    /// What happened.
    pub episode: Episode,
}

#[derive(Deserialize)]
struct StepOfLine {
    step: u64,
}

impl RunFolder {
    /// Opens the folder of a run: a folder with a `config.toml`, of a form that is known.
    pub fn open(folder: &Path) -> Result<Self, ReportError> {
        if !folder.join("config.toml").is_file() {
            let folder = folder.to_owned();
            return Err(ReportError::NotARun { folder });
        }
        let run = Self {
            path: folder.to_owned(),
        };
        match run.record() {
            Err(
                newer @ ReportError::Record {
                    source: RunRecordError::Newer { .. },
                    ..
                },
            ) => Err(newer),
            // What else is in the folder can be read without it.
            _ => Ok(run),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What the run was made of, and who wrote it. `None` where an older pact did not write it
    /// down, or the file was not copied.
    pub fn record(&self) -> Result<Option<RunRecord>, ReportError> {
        let path = self.path.join("run.json");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ReportError::Read { path, source }),
        };
        let record = RunRecord::from_json(&text);
        record
            .map(Some)
            .map_err(|source| ReportError::Record { path, source })
    }

    /// The text of `config.toml`, the config as resolved.
    pub fn config(&self) -> Result<String, ReportError> {
        let path = self.path.join("config.toml");
        std::fs::read_to_string(&path).map_err(|source| ReportError::Read { path, source })
    }

    /// `config.toml` parsed.
    pub(crate) fn config_table(&self) -> Result<toml::Table, ReportError> {
        toml::from_str(&self.config()?).map_err(|source| ReportError::Config {
            path: self.path.join("config.toml"),
            source: Box::new(source),
        })
    }

    /// The steps' metrics, one flat object a step.
    pub fn metrics(&self) -> Result<Vec<Map<String, Value>>, ReportError> {
        self.lines("metrics.jsonl", "a step's metrics")?.collect()
    }

    /// The evaluations, in the order in which they were made.
    pub fn evaluations(&self) -> Result<Vec<Evaluation>, ReportError> {
        self.lines("evaluations.jsonl", "an evaluation")?.collect()
    }

    /// The training episodes, read one at a time.
    pub fn episodes(
        &self,
    ) -> Result<impl Iterator<Item = Result<RecordedEpisode, ReportError>>, ReportError> {
        self.episodes_in("episodes.jsonl")
    }

    /// The episodes of one evaluation, read one at a time.
    pub fn evaluated_episodes(
        &self,
        step: u64,
        mode: EvaluationMode,
    ) -> Result<impl Iterator<Item = Result<RecordedEpisode, ReportError>>, ReportError> {
        let mode = mode_name(mode);
        self.episodes_in(&format!("evaluations/step-{step:06}-{mode}.jsonl"))
    }

    fn episodes_in(
        &self,
        file: &str,
    ) -> Result<impl Iterator<Item = Result<RecordedEpisode, ReportError>> + use<>, ReportError>
    {
        self.parsed(file, "an episode", |line| {
            let StepOfLine { step } = serde_json::from_str(line)?;
            let credit = serde_json::from_str(line)?;
            let episode = serde_json::from_str(line)?;
            Ok(RecordedEpisode {
                step,
                credit,
                episode,
            })
        })
    }

    /// The lines of one file, each a JSON value.
    pub(crate) fn lines<T: DeserializeOwned>(
        &self,
        file: &str,
        expected: &'static str,
    ) -> Result<impl Iterator<Item = Result<T, ReportError>> + use<T>, ReportError> {
        self.parsed(file, expected, |line| serde_json::from_str(line))
    }

    /// The lines of one file through `parse`. A run that has not come so far has no such file,
    /// hence no line; a last line without its line break is a write that was cut off, and no
    /// line either.
    pub(crate) fn parsed<T, P: Fn(&str) -> serde_json::Result<T>>(
        &self,
        file: &str,
        expected: &'static str,
        parse: P,
    ) -> Result<impl Iterator<Item = Result<T, ReportError>> + use<T, P>, ReportError> {
        let path = self.path.join(file);
        let mut reader = match File::open(&path) {
            Ok(file) => Some(BufReader::new(file)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(source) => return Err(ReportError::Read { path, source }),
        };
        let mut text = String::new();
        let mut line = 0;
        Ok(std::iter::from_fn(move || {
            text.clear();
            line += 1;
            if let Err(source) = reader.as_mut()?.read_line(&mut text) {
                reader = None;
                let path = path.clone();
                return Some(Err(ReportError::Read { path, source }));
            }
            let complete = text.strip_suffix('\n')?;
            Some(parse(complete).map_err(|source| ReportError::Line {
                path: path.clone(),
                line,
                expected,
                source,
            }))
        }))
    }
}

/// A mode as the run folder writes it.
pub(crate) fn mode_name(mode: EvaluationMode) -> &'static str {
    match mode {
        EvaluationMode::Greedy => "greedy",
        EvaluationMode::Sampled => "sampled",
    }
}
