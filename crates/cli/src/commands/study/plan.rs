//! The runs of a study: which there are, what each needs before it, what it is told, and how
//! far it is. Starts none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use report::RunFolder;
use train::Checkpoint;

use super::file::{Method, Search, Study, folder_name};
use crate::config::RunConfig;
use crate::config_file;
use crate::exit::UsageError;
use crate::suggestion;

/// One run of a study.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Run {
    /// Makes the model that all others begin with.
    Before,
    /// Tries one of the search's values.
    Search {
        method: String,
        /// Which of `search.values`.
        value: usize,
        seed: u64,
    },
    /// One of the runs that are compared.
    Compared { method: String, seed: u64 },
}

/// What `pact train` is told.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Order {
    pub(super) config: PathBuf,
    pub(super) sets: Vec<String>,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// There is nothing in its folder.
    Absent,
    /// So many steps of all are in a checkpoint.
    Begun { step: u64, steps: u64 },
    /// All steps are done, and the last evaluation.
    Done,
}

/// What a method's search found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Choice {
    /// Which of `search.values`.
    pub(super) value: usize,
    /// Its mean score over the search's seeds, a fraction.
    pub(super) score: f64,
}

/// By the name of a method that was searched for.
pub(super) type Choices = BTreeMap<String, Choice>;

/// A study with its folder.
pub(super) struct Plan {
    pub(super) study: Study,
    pub(super) out: PathBuf,
    /// `engine.threads` of every run.
    pub(super) threads: usize,
    /// In the order in which they are to be begun.
    pub(super) runs: Vec<Run>,
}

impl Plan {
    /// The runs of the methods and groups called `only`, all if there are none, with those
    /// that they need. Refuses what no run can mean before any is begun.
    pub(super) fn new(
        study: Study,
        out: PathBuf,
        threads: usize,
        only: &[String],
    ) -> Result<Self, UsageError> {
        let mut plan = Self {
            study,
            out,
            threads,
            runs: Vec::new(),
        };
        let mut wanted = plan.compared(only)?;
        let mut next = 0;
        while next < wanted.len() {
            for needed in plan.needs(&wanted[next]) {
                if !wanted.contains(&needed) {
                    wanted.push(needed);
                }
            }
            next += 1;
        }
        plan.runs = plan.all();
        plan.runs.retain(|run| wanted.contains(run));
        plan.check()?;
        Ok(plan)
    }

    /// Every config, with the first of the search's values wherever one has yet to be found.
    fn check(&self) -> Result<(), UsageError> {
        let first = Choice {
            value: 0,
            score: 0.0,
        };
        let names = self.study.methods.iter().map(|(name, _)| name.clone());
        let choices = names.map(|name| (name, first)).collect();
        for run in &self.runs {
            self.resolved(run, &choices).map_err(|error| {
                let at = self.study.path.display();
                UsageError(format!("`{at}`, {}: {error}", self.title(run)))
            })?;
        }
        Ok(())
    }

    /// All runs: what all need, the search, then what is compared, one seed after the other
    /// so that a study that is stopped has the same seeds of all methods.
    fn all(&self) -> Vec<Run> {
        let mut runs = Vec::from_iter(self.study.file.before.as_ref().map(|_| Run::Before));
        for (name, _) in &self.study.methods {
            if self.study.searched(name) == Some(name) {
                runs.extend(self.searches(name));
            }
        }
        for group in self.study.groups() {
            let methods = || {
                let all = self.study.methods.iter();
                all.filter(|(_, method)| method.group == group)
            };
            let most = methods().map(|(_, method)| self.study.seeds(method).len());
            for place in 0..most.max().unwrap_or(0) {
                for (name, method) in methods() {
                    if let Some(&seed) = self.study.seeds(method).get(place) {
                        let method = name.clone();
                        runs.push(Run::Compared { method, seed });
                    }
                }
            }
        }
        runs
    }

    fn compared(&self, only: &[String]) -> Result<Vec<Run>, UsageError> {
        let names = || self.study.methods.iter().map(|(name, _)| name.as_str());
        let groups = self.study.groups();
        for name in only {
            if !names().chain(groups.iter().copied()).any(|it| it == name) {
                let hint = suggestion::hint(name, names().chain(groups.iter().copied()));
                let message = format!("`--only {name}`: the study has no such method{hint}");
                return Err(UsageError(message));
            }
        }
        let is_wanted = |name: &str, method: &Method| {
            only.is_empty() || only.iter().any(|it| it == name || *it == method.group)
        };
        let mut runs = self.all();
        runs.retain(|run| match run {
            Run::Compared { method, .. } => is_wanted(method, self.study.method(method)),
            _ => false,
        });
        Ok(runs)
    }

    fn search(&self) -> &Search {
        let search = self.study.file.search.as_ref();
        search.expect("only a study with a search has a method that is searched for")
    }

    /// The runs of a method's search.
    fn searches(&self, method: &str) -> Vec<Run> {
        let search = self.search();
        let of = |value| {
            let seeds = search.seeds.iter();
            seeds.map(move |&seed| Run::Search {
                method: method.to_owned(),
                value,
                seed,
            })
        };
        (0..search.values.len()).flat_map(of).collect()
    }

    /// What has to be done before a run can begin.
    pub(super) fn needs(&self, run: &Run) -> Vec<Run> {
        let mut needs = Vec::new();
        match run {
            Run::Before => return needs,
            // What a searched method goes on from is searched for too.
            Run::Search { method, .. } => {
                if let Some(after) = self.study.after(method) {
                    needs.extend(self.searches(after));
                }
            }
            Run::Compared { method, seed } => {
                if let Some(searched) = self.study.searched(method) {
                    needs.extend(self.searches(searched));
                }
                if let Some(after) = self.study.after(method) {
                    let method = after.to_owned();
                    needs.push(Run::Compared {
                        method,
                        seed: *seed,
                    });
                }
            }
        }
        if self.study.file.before.is_some() {
            needs.push(Run::Before);
        }
        needs
    }

    /// The methods whose searched values decide what a run is told.
    pub(super) fn searched_by(&self, run: &Run) -> Vec<String> {
        let mut methods = Vec::new();
        let mut after = match run {
            Run::Before => None,
            Run::Search { method, .. } => self.study.after(method),
            Run::Compared { method, .. } => {
                methods.extend(self.study.searched(method).map(str::to_owned));
                self.study.after(method)
            }
        };
        while let Some(method) = after {
            methods.extend(self.study.searched(method).map(str::to_owned));
            after = self.study.after(method);
        }
        methods
    }

    /// The run whose last checkpoint a run begins with; `None` begins with the config's model.
    pub(super) fn start(&self, run: &Run, choices: &Choices) -> Option<Run> {
        let before = || self.study.file.before.as_ref().map(|_| Run::Before);
        match run {
            Run::Before => None,
            Run::Search { method, seed, .. } => match self.study.after(method) {
                Some(after) => Some(Run::Search {
                    value: choices[after].value,
                    method: after.to_owned(),
                    seed: *seed,
                }),
                None => before(),
            },
            Run::Compared { method, seed } => match self.study.after(method) {
                Some(after) => Some(Run::Compared {
                    method: after.to_owned(),
                    seed: *seed,
                }),
                None => before(),
            },
        }
    }

    /// What a run is told. `choices` has what the runs that it needs have found.
    pub(super) fn order(&self, run: &Run, choices: &Choices) -> Result<Order, UsageError> {
        let mut sets = vec![
            format!("engine.threads={}", self.threads),
            "train.keep-checkpoints=1".to_owned(),
        ];
        if let Some(start) = self.start(run, choices) {
            let steps = self.resolved(&start, choices)?.train.steps;
            let model = self.folder(&start).join("checkpoints");
            let model = model.join(format!("step-{steps:06}"));
            sets.push(format!("model.path={}", model.display()));
        }
        let config = match run {
            Run::Before => {
                let before = self.study.file.before.as_ref();
                let before = before.expect("only a study that has one lists it");
                sets.extend_from_slice(&before.set);
                &before.config
            }
            Run::Search {
                method,
                value,
                seed,
            } => {
                sets.extend(self.settings(method, Some(*value)));
                sets.extend_from_slice(&self.search().set);
                sets.push(format!("seed={seed}"));
                &self.study.file.config
            }
            Run::Compared { method, seed } => {
                let searched = self.study.searched(method);
                let value = searched.map(|searched| choices[searched].value);
                sets.extend(self.settings(method, value));
                sets.push(format!("seed={seed}"));
                &self.study.file.config
            }
        };
        let config = self.study.relative(config);
        Ok(Order { config, sets })
    }

    /// What makes a method. The searched value stands behind the settings of the method that
    /// was searched for: one that is `like` it may still set the key otherwise.
    fn settings(&self, method: &str, value: Option<usize>) -> Vec<String> {
        let mut sets = Vec::new();
        let searched = self.study.searched(method);
        for name in self.study.line(method) {
            sets.extend_from_slice(&self.study.method(name).set);
            if searched == Some(name) {
                sets.extend(value.map(|value| self.setting(value)));
            }
        }
        sets
    }

    /// The search's key with one of its values, as after `--set`.
    pub(super) fn setting(&self, value: usize) -> String {
        let search = self.search();
        format!("{}={}", search.key, search.values[value])
    }

    /// The config that an order comes to.
    fn resolved(&self, run: &Run, choices: &Choices) -> Result<RunConfig, UsageError> {
        let order = self.order(run, choices)?;
        config_file::read(Some(&order.config), &order.sets)
    }

    pub(super) fn folder(&self, run: &Run) -> PathBuf {
        match run {
            Run::Before => self.out.join("before"),
            Run::Search {
                method,
                value,
                seed,
            } => {
                let value = folder_name(&self.search().values[*value].to_string());
                let folder = self.out.join("search").join(folder_name(method));
                folder.join(format!("{value}-seed-{seed}"))
            }
            Run::Compared { method, seed } => {
                let folder = self.out.join(folder_name(method));
                folder.join(format!("seed-{seed}"))
            }
        }
    }

    /// A run's name for people.
    pub(super) fn title(&self, run: &Run) -> String {
        match run {
            Run::Before => "before".to_owned(),
            Run::Search {
                method,
                value,
                seed,
            } => format!("search of {method}, {}, seed {seed}", self.setting(*value)),
            Run::Compared { method, seed } => format!("{method}, seed {seed}"),
        }
    }

    /// How far a run is, whatever its config is.
    pub(super) fn state(&self, run: &Run) -> Result<State> {
        let folder = self.folder(run);
        let file = folder.join("config.toml");
        if !file.exists() {
            return Ok(State::Absent);
        }
        let steps = config_file::read(Some(&file), &[])?.train.steps;
        Ok(match Checkpoint::newest(&folder)?.map(|it| it.state) {
            Some(state) if state.step >= steps && state.evaluated => State::Done,
            state => State::Begun {
                step: state.map_or(0, |it| it.step),
                steps,
            },
        })
    }

    /// Refuses a folder whose run had another config than it has to have now. What a run takes
    /// of the machine may differ.
    pub(super) fn check_config(&self, run: &Run, choices: &Choices) -> Result<(), UsageError> {
        let folder = self.folder(run);
        let mut found = config_file::read(Some(&folder.join("config.toml")), &[])?;
        let wanted = self.resolved(run, choices)?;
        found.engine = wanted.engine.clone();
        if found == wanted {
            return Ok(());
        }
        let text = crate::commands::config::to_toml;
        let (found, wanted) = (text(&found), text(&wanted));
        let only_in = |text: &str, other: &str| -> String {
            let lines = text
                .lines()
                .filter(|line| !other.lines().any(|it| it == *line));
            lines.collect::<Vec<_>>().join("; ")
        };
        Err(UsageError(format!(
            "`{}`: this run was made with another config than the study asks for: it had `{}`, \
             and is to have `{}`\nhint: move the folder away to make it again, or name another \
             place with `--out`",
            folder.display(),
            only_in(&found, &wanted),
            only_in(&wanted, &found),
        )))
    }

    /// What the search of a method found; `None` while some of its runs are not done.
    pub(super) fn choice(&self, method: &str) -> Result<Option<Choice>> {
        let search = self.search();
        let mut best: Option<Choice> = None;
        let count = search.seeds.len() as f64;
        for value in 0..search.values.len() {
            let mut score = 0.0;
            for run in self.searches(method) {
                if !matches!(run, Run::Search { value: of, .. } if of == value) {
                    continue;
                }
                if self.state(&run)? != State::Done {
                    return Ok(None);
                }
                score += self.score(&self.folder(&run))? / count;
            }
            if best.is_none_or(|best| score > best.score) {
                best = Some(Choice { value, score });
            }
        }
        Ok(best)
    }

    /// The metric that decides the search, of a run's last evaluation.
    fn score(&self, run: &Path) -> Result<f64> {
        let search = self.search();
        let metric = search.metric.as_ref().unwrap_or(&self.study.file.metric);
        let evaluations = RunFolder::open(run)?.evaluations()?;
        let last = evaluations.iter().rfind(|it| it.mode == search.mode);
        let score = last.and_then(|it| it.metrics.get(metric));
        match score {
            Some(score) => Ok(*score),
            None => bail!(
                "`{}`: its evaluations say nothing of `{metric}`, which decides the search\nhint: \
                 `search.metric` and `search.mode` say what does; `eval` in the config what is \
                 evaluated",
                run.display()
            ),
        }
    }
}
