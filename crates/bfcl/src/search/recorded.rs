//! Answers kept in a file: searches that give tomorrow what they gave today.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::{Hit, Query, SearchEngine};
use crate::BfclError;

/// A line of the file: what was asked, and what the engine answered.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Line {
    Search {
        query: Query,
        answer: Result<Vec<Hit>, String>,
    },
    Fetch {
        url: String,
        answer: Result<String, String>,
    },
}

#[derive(Default)]
struct Answers {
    searches: HashMap<Query, Result<Vec<Hit>, String>>,
    pages: HashMap<String, Result<String, String>>,
}

/// An engine's recorded answers and, while they are being recorded, the engine.
///
/// What is known is not asked again, so that the episodes of a run, and every later run, read
/// the same. A failure is recorded but asked again: it passes. Of two answers to one request
/// the later counts.
pub struct Recorded {
    answers: Mutex<Answers>,
    recorder: Option<Recorder>,
    schemes: &'static [&'static str],
}

struct Recorder {
    engine: Box<dyn SearchEngine>,
    file: Mutex<File>,
}

impl Recorded {
    /// What a file holds, and nothing else.
    pub fn open(path: &Path) -> Result<Self, BfclError> {
        Ok(Self {
            answers: Mutex::new(read(path)?),
            recorder: None,
            schemes: &["http://", "https://", "file://"],
        })
    }

    /// What a file holds, if it is there; `engine` is asked for the rest, which is appended.
    pub fn over(engine: Box<dyn SearchEngine>, path: &Path) -> Result<Self, BfclError> {
        let answers = match path.exists() {
            true => read(path)?,
            false => Answers::default(),
        };
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).open(path);
        let file = Mutex::new(file.map_err(|source| BfclError::file(path, source))?);
        Ok(Self {
            answers: Mutex::new(answers),
            schemes: engine.schemes(),
            recorder: Some(Recorder { engine, file }),
        })
    }

    fn answer<T: Clone>(
        &self,
        known: Option<Result<T, String>>,
        ask: impl FnOnce(&dyn SearchEngine) -> Result<T, String>,
        line: impl FnOnce(Result<T, String>) -> Line,
    ) -> Result<T, String> {
        match (known, &self.recorder) {
            (Some(Ok(known)), _) => Ok(known),
            (_, Some(recorder)) => {
                let answer = ask(recorder.engine.as_ref());
                let line = line(answer.clone());
                recorder.append(&line)?;
                lock(&self.answers).insert(line);
                answer
            }
            (Some(failure), None) => failure,
            (None, None) => Err("No answer is recorded for this request.".to_owned()),
        }
    }
}

impl Recorder {
    fn append(&self, line: &Line) -> Result<(), String> {
        let mut text = serde_json::to_string(line).expect("texts are JSON");
        text.push('\n');
        let written = lock(&self.file).write_all(text.as_bytes());
        written.map_err(|error| format!("The answer could not be recorded: {error}"))
    }
}

impl SearchEngine for Recorded {
    fn search(&self, query: &Query) -> Result<Vec<Hit>, String> {
        let known = lock(&self.answers).searches.get(query).cloned();
        let ask = |engine: &dyn SearchEngine| engine.search(query);
        self.answer(known, ask, |answer| Line::Search {
            query: query.clone(),
            answer,
        })
    }

    fn fetch(&self, url: &str) -> Result<String, String> {
        let known = lock(&self.answers).pages.get(url).cloned();
        let ask = |engine: &dyn SearchEngine| engine.fetch(url);
        self.answer(known, ask, |answer| Line::Fetch {
            url: url.to_owned(),
            answer,
        })
    }

    fn schemes(&self) -> &'static [&'static str] {
        self.schemes
    }
}

impl Answers {
    fn insert(&mut self, line: Line) {
        match line {
            Line::Search { query, answer } => drop(self.searches.insert(query, answer)),
            Line::Fetch { url, answer } => drop(self.pages.insert(url, answer)),
        }
    }
}

fn read(path: &Path) -> Result<Answers, BfclError> {
    let text = fs::read_to_string(path).map_err(|source| BfclError::file(path, source))?;
    let mut answers = Answers::default();
    for (at, line) in text.lines().enumerate() {
        let line = serde_json::from_str(line).map_err(|error| BfclError::Line {
            path: path.to_owned(),
            line: at + 1,
            problem: error.to_string(),
        })?;
        answers.insert(line);
    }
    Ok(answers)
}

/// Nothing that a panic could leave half done is kept under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
