//! Runs as samples of a method: which runs differ in nothing but their seed, and what that
//! method is called.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use episode::Evaluation;

use crate::error::Incomparable;
use crate::{ReportError, RunFolder};

/// A run as one of its method's.
#[derive(Clone, Debug, PartialEq)]
pub struct MethodRun {
    /// Its folder.
    pub folder: PathBuf,
    /// Its config's `seed`.
    pub seed: u64,
    /// Everything else in its config but `engine`, which says what it took of the machine:
    /// settings by dotted key.
    settings: BTreeMap<String, String>,
    /// Its evaluations, in the order in which they were made.
    pub evaluations: Vec<Evaluation>,
}

/// A way to train, and its runs, by seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Method {
    /// What it is called.
    pub name: String,
    /// Its runs, no two of the same seed.
    pub runs: Vec<MethodRun>,
}

impl MethodRun {
    /// Reads a run's folder.
    pub fn read(folder: &Path) -> Result<Self, ReportError> {
        let run = RunFolder::open(folder)?;
        let mut config = run.config_table()?;
        let seed = config.remove("seed").and_then(|seed| seed.as_integer());
        config.remove("engine");
        let mut settings = BTreeMap::new();
        flatten("", config, &mut settings);
        Ok(Self {
            folder: folder.to_owned(),
            // A config that does not say it has the default.
            seed: seed.unwrap_or(0) as u64,
            settings,
            evaluations: run.evaluations()?,
        })
    }
}

pub(crate) fn flatten(prefix: &str, table: toml::Table, settings: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        let key = format!("{prefix}{key}");
        match value {
            toml::Value::Table(inner) => flatten(&format!("{key}."), inner, settings),
            toml::Value::String(text) => drop(settings.insert(key, text)),
            value => drop(settings.insert(key, value.to_string())),
        }
    }
}

impl Method {
    /// The methods of these runs, in the order in which they first appear. Runs of one given
    /// name are of one method; those without a name are of one method where their configs
    /// differ in `seed` and `engine` alone, and it is called by the settings in which it
    /// differs from others.
    pub fn of_runs(runs: Vec<(Option<String>, MethodRun)>) -> Result<Vec<Self>, ReportError> {
        let differing = differing(&runs);
        let mut methods: Vec<Self> = Vec::new();
        for (name, run) in runs {
            let name = name.unwrap_or_else(|| name_of(&run, &differing));
            match methods.iter_mut().find(|method| method.name == name) {
                Some(method) => method.runs.push(run),
                None => methods.push(Self {
                    name,
                    runs: vec![run],
                }),
            }
        }
        for method in &mut methods {
            method.runs.sort_by_key(|run| run.seed);
            let mut pairs = method.runs.windows(2);
            if let Some([one, other]) = pairs.find(|pair| pair[0].seed == pair[1].seed) {
                return Err(ReportError::from(Incomparable::SameSeed {
                    method: method.name.clone(),
                    seed: one.seed,
                    one: one.folder.clone(),
                    other: other.folder.clone(),
                }));
            }
        }
        check_data(&methods)?;
        Ok(methods)
    }
}

/// The keys in which any two configs differ.
fn differing(runs: &[(Option<String>, MethodRun)]) -> BTreeSet<String> {
    let settings = || runs.iter().map(|(_, run)| &run.settings);
    let keys: BTreeSet<&String> = settings().flat_map(BTreeMap::keys).collect();
    let is_differing = |key: &&String| {
        let values: BTreeSet<_> = settings().map(|settings| settings.get(*key)).collect();
        values.len() > 1
    };
    keys.into_iter().filter(is_differing).cloned().collect()
}

/// `objective.algorithm=pact, train.steps=60`; where nothing differs, what it optimises.
fn name_of(run: &MethodRun, differing: &BTreeSet<String>) -> String {
    let all = BTreeSet::from(["objective.algorithm".to_owned()]);
    let keys = if differing.is_empty() {
        &all
    } else {
        differing
    };
    let parts: Vec<String> = (keys.iter())
        .map(|key| match run.settings.get(key) {
            Some(value) => format!("{key}={value}"),
            None => format!("no {key}"),
        })
        .collect();
    parts.join(", ")
}

/// Scores of other tasks, or of tasks that were made otherwise, are no scores to compare.
fn check_data(methods: &[Method]) -> Result<(), Incomparable> {
    let mut runs = methods.iter().flat_map(|method| &method.runs);
    let of = |run: &MethodRun| -> Vec<(String, String)> {
        let settings = run.settings.iter();
        let data = settings.filter(|(key, _)| key.starts_with("data.eval."));
        data.map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    };
    let Some(first) = runs.next() else {
        return Ok(());
    };
    match runs.find(|run| of(run) != of(first)) {
        Some(other) => Err(Incomparable::OtherData {
            one: first.folder.clone(),
            other: other.folder.clone(),
        }),
        None => Ok(()),
    }
}
