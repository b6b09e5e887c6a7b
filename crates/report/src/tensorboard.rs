//! A run's numbers in TensorBoard's event files, written while the run goes on.

mod record;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use episode::Evaluation;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use self::record::{Told, record};
use crate::folder::mode_name;
use crate::{Follower, MetricGroup, ReportError};

/// An event file that follows a run folder.
///
/// Tags are `GROUP/NAME` for a step's metrics and `evaluation/MODE/NAME` for an evaluation's; the
/// step is how many the policy had behind it.
#[derive(Debug)]
pub struct Tensorboard {
    path: PathBuf,
    file: File,
    /// What is of earlier steps stands in earlier files.
    from: u64,
    metrics: Follower,
    evaluations: Follower,
}

impl Tensorboard {
    /// Begins a new event file in `folder`, about the run in `run` from `step` steps on; without an
    /// event file yet, about all of it. `now` is in seconds since 1970.
    ///
    /// A file a session: what earlier ones say of later steps, which a resumed run takes again, is
    /// taken back by the event that begins this one.
    pub fn begin(folder: &Path, run: &Path, step: u64, now: f64) -> Result<Self, ReportError> {
        let write = |source| ReportError::Write {
            path: folder.to_owned(),
            source,
        };
        fs::create_dir_all(folder).map_err(write)?;
        let earlier = sessions(folder).map_err(write)?;
        // Readers go through the files in the order of their names, whose times never fall.
        let seconds = earlier.iter().map(|(seconds, _)| *seconds).max();
        let seconds = seconds.unwrap_or(0).max(now as u64);
        let number = earlier.iter().map(|(_, number)| number + 1).max();
        let name = format!(
            "events.out.tfevents.{seconds:010}.pact.{:06}",
            number.unwrap_or(0)
        );
        let path = folder.join(name);
        let file = File::create_new(&path).map_err(write)?;
        let from = if earlier.is_empty() { 0 } else { step };
        let mut board = Self {
            path,
            file,
            from,
            metrics: Follower::new(&run.join("metrics.jsonl")),
            evaluations: Follower::new(&run.join("evaluations.jsonl")),
        };
        let mut head = record(now, 0, &Told::Version);
        if !earlier.is_empty() {
            head.extend(record(now, from, &Told::Start));
        }
        board.write(&head)?;
        Ok(board)
    }

    /// Writes what the run has written since the last time, as of `now`.
    pub fn follow(&mut self, now: f64) -> Result<(), ReportError> {
        let metrics: Vec<Map<String, Value>> = parsed(&mut self.metrics)?;
        let evaluations: Vec<Evaluation> = parsed(&mut self.evaluations)?;
        let evaluations = evaluations.iter().map(|it| (it.step, of_evaluation(it)));
        let mut events: Vec<(u64, Vec<(String, f64)>)> = evaluations
            .chain(metrics.iter().filter_map(of_step))
            .filter(|(step, _)| *step >= self.from)
            .collect();
        // An evaluation after so many steps comes before the step that follows them.
        events.sort_by_key(|(step, _)| *step);
        let bytes = events.iter();
        let bytes = bytes.map(|(step, scalars)| record(now, *step, &Told::Scalars(scalars)));
        self.write(&bytes.collect::<Vec<_>>().concat())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ReportError> {
        let written = self.file.write_all(bytes);
        written.map_err(|source| ReportError::Write {
            path: self.path.clone(),
            source,
        })
    }
}

/// The times and numbers in the names of a folder's event files.
fn sessions(folder: &Path) -> std::io::Result<Vec<(u64, u64)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        let rest = name.strip_prefix("events.out.tfevents.");
        if let Some((seconds, number)) = rest.and_then(|rest| rest.split_once(".pact.")) {
            found.extend(seconds.parse().ok().zip(number.parse().ok()));
        }
    }
    Ok(found)
}

/// The new lines of a file of the run; those that it does not hold itself, since it is older or
/// was damaged, are left out.
fn parsed<T: DeserializeOwned>(follower: &mut Follower) -> Result<Vec<T>, ReportError> {
    let lines = follower.poll()?.lines;
    let values = lines.iter().filter_map(|it| serde_json::from_str(it).ok());
    Ok(values.collect())
}

fn of_step(metrics: &Map<String, Value>) -> Option<(u64, Vec<(String, f64)>)> {
    let step = metrics.get("step")?.as_u64()?;
    let numbers = metrics.iter().filter(|(name, _)| *name != "step");
    let scalars = numbers.filter_map(|(name, value)| {
        let group = MetricGroup::of(name).name();
        Some((format!("{group}/{name}"), value.as_f64()?))
    });
    Some((step, scalars.collect()))
}

fn of_evaluation(evaluation: &Evaluation) -> Vec<(String, f64)> {
    let mode = mode_name(evaluation.mode);
    let metrics = evaluation.metrics.iter();
    metrics
        .map(|(name, value)| (format!("evaluation/{mode}/{name}"), *value))
        .collect()
}
