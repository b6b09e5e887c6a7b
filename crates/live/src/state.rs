//! What is known of a run, from its folder alone.

use std::path::{Path, PathBuf};

use episode::{Evaluation, EvaluationMode, RunRecord, Status};
use report::{Follower, News, ReportError, RunFolder, shown_metrics};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::recent::Recent;
use crate::series::Series;

/// How much of the end of episodes.jsonl is read at once, in bytes. An episode that is longer is
/// not seen.
const EPISODES_READ: u64 = 16 << 20;

/// The same of log.jsonl.
const LOG_READ: u64 = 1 << 18;

/// Warnings that are remembered.
const WARNINGS: usize = 8;

/// A run as its folder tells it. [`Self::poll`] takes in what is new.
#[derive(Debug)]
pub struct RunState {
    folder: PathBuf,
    /// `objective.algorithm` and the model, as the config says.
    pub(crate) algorithm: String,
    pub(crate) model: String,
    /// Steps of the whole run, as the config says.
    pub(crate) steps: u64,
    /// When the run began, in seconds since 1970, where run.json says.
    pub(crate) began: Option<f64>,
    /// What it does; `None` for a run that does not say.
    pub(crate) status: Option<Status>,
    pub(crate) series: Series,
    /// The first and the last evaluation of each mode.
    pub(crate) evaluations: Vec<Evaluation>,
    pub(crate) recent: Recent,
    /// The newest last.
    pub(crate) warnings: Vec<String>,
    /// Why a file of the folder could not be read just now.
    pub(crate) problem: Option<String>,
    followers: Followers,
}

#[derive(Debug)]
struct Followers {
    metrics: Follower,
    evaluations: Follower,
    episodes: Follower,
    log: Follower,
}

/// What is wanted of a line of log.jsonl.
#[derive(Deserialize)]
struct LogLine {
    level: String,
    fields: Map<String, Value>,
}

impl RunState {
    /// A run's folder, with what it holds so far.
    pub fn open(folder: &Path) -> Result<Self, ReportError> {
        let config = RunFolder::open(folder)?.config()?;
        let mut state = Self {
            folder: folder.to_owned(),
            algorithm: String::new(),
            model: String::new(),
            steps: 0,
            began: None,
            status: None,
            series: Series::default(),
            evaluations: Vec::new(),
            recent: Recent::default(),
            warnings: Vec::new(),
            problem: None,
            followers: Followers {
                metrics: Follower::new(&folder.join("metrics.jsonl")),
                evaluations: Follower::new(&folder.join("evaluations.jsonl")),
                episodes: Follower::of_end(&folder.join("episodes.jsonl"), EPISODES_READ),
                log: Follower::of_end(&folder.join("log.jsonl"), LOG_READ),
            },
        };
        state.read_config(&config)?;
        state.poll();
        Ok(state)
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it said of itself last; `None` for a run that says nothing.
    pub fn status(&self) -> Option<&Status> {
        self.status.as_ref()
    }

    /// Takes in what was written since the last time. What cannot be read is shown with the frame
    /// and tried again at the next call: the folder may be on its way from another machine.
    pub fn poll(&mut self) {
        self.problem = None;
        self.poll_status();
        self.poll_began();
        self.poll_metrics();
        self.poll_evaluations();
        self.poll_episodes();
        self.poll_log();
    }

    fn read_config(&mut self, text: &str) -> Result<(), ReportError> {
        let config: toml::Table = toml::from_str(text).map_err(|source| ReportError::Config {
            path: self.folder.join("config.toml"),
            source: Box::new(source),
        })?;
        let value = |table: &str, key: &str| config.get(table)?.get(key);
        let text = |table, key| value(table, key).and_then(toml::Value::as_str);
        self.algorithm = text("objective", "algorithm").unwrap_or("").to_owned();
        let model = ["adapter", "path", "preset"].map(|key| text("model", key));
        self.model = (model.into_iter().flatten().next().unwrap_or("")).to_owned();
        let steps = value("train", "steps").and_then(toml::Value::as_integer);
        self.steps = steps.and_then(|it| u64::try_from(it).ok()).unwrap_or(0);
        Ok(())
    }

    fn poll_status(&mut self) {
        match self.read_json("status.json") {
            Ok(Some(status)) => self.status = Some(status),
            Ok(None) => self.status = None,
            Err(problem) => self.problem = Some(problem),
        }
    }

    fn poll_began(&mut self) {
        match self.read_json::<RunRecord>("run.json") {
            Ok(run) => self.began = run.and_then(|it| Some(it.sessions.first()?.began)),
            Err(problem) => self.problem = Some(problem),
        }
    }

    /// A file that is replaced whole; `None` where there is none.
    fn read_json<T: for<'a> Deserialize<'a>>(&self, name: &str) -> Result<Option<T>, String> {
        let path = self.folder.join(name);
        let in_file = |error: &dyn std::fmt::Display| format!("`{}`: {error}", path.display());
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(in_file(&error)),
        };
        let parsed = serde_json::from_str(&text).map_err(|error| in_file(&error))?;
        Ok(Some(parsed))
    }

    fn poll_metrics(&mut self) {
        let news = self.followers.metrics.poll();
        let news = self.news(news);
        if news.began_again {
            self.series = Series::default();
        }
        for line in &news.lines {
            if let Some(metrics) = self.parsed(line, "metrics.jsonl") {
                self.series.push(&metrics);
            }
        }
    }

    fn poll_evaluations(&mut self) {
        let news = self.followers.evaluations.poll();
        let news = self.news(news);
        if news.began_again {
            self.evaluations.clear();
        }
        for line in &news.lines {
            if let Some(evaluation) = self.parsed(line, "evaluations.jsonl") {
                self.evaluated_again(evaluation);
            }
        }
    }

    /// Keeps an evaluation in place of the last one of its mode, which the first is not.
    fn evaluated_again(&mut self, evaluation: Evaluation) {
        let of_mode = |it: &Evaluation| it.mode == evaluation.mode;
        let count = self.evaluations.iter().filter(|it| of_mode(it)).count();
        let last = self.evaluations.iter().rposition(of_mode);
        if let Some(last) = last.filter(|_| count > 1) {
            self.evaluations.remove(last);
        }
        self.evaluations.push(evaluation);
    }

    fn poll_episodes(&mut self) {
        let news = self.followers.episodes.poll();
        let news = self.news(news);
        if news.began_again {
            self.recent = Recent::default();
        }
        for line in &news.lines {
            if let Some(seen) = self.parsed(line, "episodes.jsonl") {
                self.recent.push(seen);
            }
        }
    }

    fn poll_log(&mut self) {
        let news = self.followers.log.poll();
        for line in &self.news(news).lines {
            let warning = self.parsed::<LogLine>(line, "log.jsonl");
            let message = warning.filter(|it| it.level == "WARN");
            let message = message.and_then(|mut it| it.fields.remove("message"));
            if let Some(Value::String(message)) = message {
                self.warnings.push(message);
            }
        }
        let surplus = self.warnings.len().saturating_sub(WARNINGS);
        self.warnings.drain(..surplus);
    }

    /// What is new; of a file that cannot be read nothing, which is told.
    fn news(&mut self, news: Result<News, ReportError>) -> News {
        news.unwrap_or_else(|error| {
            self.problem = Some(error.to_string());
            News::default()
        })
    }

    /// A line of a file; one that is not what it should be is left out and told.
    fn parsed<T: for<'a> Deserialize<'a>>(&mut self, line: &str, file: &str) -> Option<T> {
        let parsed = serde_json::from_str(line);
        let told = parsed.inspect_err(|error| {
            self.problem = Some(format!("a line of `{file}`: {error}"));
        });
        told.ok()
    }

    /// The first and the last evaluation of a mode, which may be the same.
    pub(crate) fn evaluated(&self, mode: EvaluationMode) -> Option<(&Evaluation, &Evaluation)> {
        let of_mode = || self.evaluations.iter().filter(|it| it.mode == mode);
        Some((of_mode().next()?, of_mode().next_back()?))
    }

    /// The metric that success is told by: the one that ranks, else Solve-F1.
    pub(crate) fn success_metric(&self) -> Option<String> {
        let shown = shown_metrics(&self.evaluations);
        let ranking = shown.iter().find(|it| !it.starts_with("solve-"));
        if let Some(metric) = ranking.or(shown.last()) {
            return Some((*metric).to_owned());
        }
        let mut metrics = self.recent.metrics();
        metrics.find(|it| *it == "solve-f1").map(str::to_owned)
    }
}
