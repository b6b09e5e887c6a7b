//! Methods against each other on the same tasks and seeds: how each scores, what it differs by,
//! and how sure that is.

use std::collections::{BTreeMap, BTreeSet};

use episode::{Evaluation, EvaluationMode, TaskResult};

use crate::error::Incomparable;
use crate::folder::mode_name;
use crate::method::{Method, MethodRun};
use crate::{Estimate, ReportError};

/// A metric of several methods in one mode, over the tasks that all their runs were evaluated
/// on. Fractions, as in the evaluations.
#[derive(Clone, Debug, PartialEq)]
pub struct Standings {
    /// How tokens were chosen.
    pub mode: EvaluationMode,
    /// Number of tasks that all runs have.
    pub tasks: usize,
    /// Number of tasks that only some runs have, which are left out.
    pub left_out: usize,
    /// One for each method, in their order.
    pub methods: Vec<Standing>,
}

/// One method's.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Its name.
    pub method: String,
    /// Its seeds.
    pub seeds: Vec<u64>,
    /// The steps after which its runs were evaluated, each once.
    pub steps: Vec<u64>,
    /// Its mean over seeds and tasks.
    pub score: Estimate,
    /// What it differs from others by, by their names.
    pub against: BTreeMap<String, Against>,
}

/// A method against another, task by task and seed by seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Against {
    /// The seeds that both have.
    pub seeds: Vec<u64>,
    /// The method's score less the other's.
    pub difference: Estimate,
    /// Share of the pairs of task and seed in which it scores higher, with half of those in
    /// which both score the same.
    pub win_rate: f64,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Question<'a> {
    /// The metric, by the suite's name.
    pub metric: &'a str,
    /// How tokens were chosen.
    pub mode: EvaluationMode,
    /// After so many steps; `None` is each run's last evaluation.
    pub step: Option<u64>,
    /// Only tasks of this scenario.
    pub scenario: Option<&'a str>,
}

impl Question<'_> {
    /// The evaluation of a run that answers it.
    pub(crate) fn of<'r>(&self, run: &'r MethodRun) -> Option<&'r Evaluation> {
        let is_asked =
            |it: &&Evaluation| it.mode == self.mode && self.step.is_none_or(|step| it.step == step);
        run.evaluations.iter().rfind(is_asked)
    }

    fn find<'r>(&self, run: &'r MethodRun) -> Result<&'r Evaluation, Incomparable> {
        self.of(run).ok_or_else(|| {
            let step = self.step.map(|step| format!(" after step {step}"));
            Incomparable::NotEvaluated {
                folder: run.folder.clone(),
                wanted: format!(
                    "in mode {}{}",
                    mode_name(self.mode),
                    step.unwrap_or_default()
                ),
            }
        })
    }
}

/// The modes in which every run was evaluated; the first run without one where there is none.
pub fn common_modes(methods: &[Method]) -> Result<Vec<EvaluationMode>, ReportError> {
    let runs = || methods.iter().flat_map(|method| &method.runs);
    let has = |run: &MethodRun, mode| run.evaluations.iter().any(|it| it.mode == mode);
    let modes = [EvaluationMode::Greedy, EvaluationMode::Sampled];
    let common: Vec<_> = (modes.into_iter())
        .filter(|&mode| runs().all(|run| has(run, mode)))
        .collect();
    if common.is_empty() {
        let lacking = runs().find(|run| run.evaluations.is_empty());
        let lacking = lacking.or_else(|| runs().find(|run| !has(run, EvaluationMode::Greedy)));
        if let Some(run) = lacking {
            return Err(ReportError::from(Incomparable::NotEvaluated {
                folder: run.folder.clone(),
                wanted: "that the other runs have too".to_owned(),
            }));
        }
    }
    Ok(common)
}

impl Standings {
    /// Answers `question` for every method. Each is set against those called `baselines` by
    /// pairs of one task and one seed, where there are any; the intervals are [`Estimate`]'s,
    /// over seeds and tasks.
    /// A task without the metric counts as 0, as it does in the evaluations' means.
    pub fn of(
        methods: &[Method],
        baselines: &[&str],
        question: &Question<'_>,
    ) -> Result<Self, ReportError> {
        let known = || methods.iter().map(|method| method.name.clone()).collect();
        let is_known = |name: &str| methods.iter().any(|method| method.name == name);
        if let Some(name) = baselines.iter().find(|name| !is_known(name)) {
            let (name, known) = ((*name).to_owned(), known());
            return Err(Incomparable::NoSuchMethod { name, known }.into());
        }
        let (tasks, left_out) = common_tasks(methods, question)?;
        let scores: Vec<Scores> = (methods.iter())
            .map(|method| Scores::of(method, question, &tasks))
            .collect::<Result<_, _>>()?;
        let mut standings = Vec::new();
        for own in &scores {
            let mut against = BTreeMap::new();
            for other in &scores {
                let name = other.method.as_str();
                if name != own.method && baselines.contains(&name) {
                    let found = own.against(other);
                    against.extend(found.map(|found| (name.to_owned(), found)));
                }
            }
            standings.push(Standing {
                method: own.method.clone(),
                seeds: own.seeds.clone(),
                steps: own.steps.iter().copied().collect(),
                score: Estimate::of(&own.values),
                against,
            });
        }
        Ok(Self {
            mode: question.mode,
            tasks: tasks.len(),
            left_out,
            methods: standings,
        })
    }

    /// Refuses a method that has no pair with `baseline`.
    pub fn check_pairs(&self, baseline: &str) -> Result<(), ReportError> {
        let mut others = self.methods.iter().filter(|it| it.method != baseline);
        match others.find(|it| !it.against.contains_key(baseline)) {
            Some(method) => Err(ReportError::from(Incomparable::NoCommonSeed {
                method: method.method.clone(),
                baseline: baseline.to_owned(),
            })),
            None => Ok(()),
        }
    }

    /// A method's standing.
    pub fn find(&self, method: &str) -> Option<&Standing> {
        self.methods.iter().find(|it| it.method == method)
    }
}

/// The ids of the tasks that every run was evaluated on, and how many others there are.
fn common_tasks(
    methods: &[Method],
    question: &Question<'_>,
) -> Result<(BTreeSet<String>, usize), Incomparable> {
    let is_of = |task: &&TaskResult| {
        let mut scenario = question.scenario.iter();
        scenario.all(|scenario| task.scenario == *scenario)
    };
    let mut counts = BTreeMap::<&str, usize>::new();
    let mut metrics = BTreeSet::new();
    let mut runs = 0;
    for run in methods.iter().flat_map(|method| &method.runs) {
        runs += 1;
        for task in question.find(run)?.tasks.iter().filter(is_of) {
            *counts.entry(&task.task).or_default() += 1;
            metrics.extend(task.metrics.keys());
        }
    }
    let common = counts.iter().filter(|(_, count)| **count == runs);
    let common: BTreeSet<String> = common.map(|(task, _)| (*task).to_owned()).collect();
    let mode = mode_name(question.mode);
    if common.is_empty() {
        return Err(Incomparable::NoCommonTask { mode });
    }
    if !metrics.iter().any(|metric| *metric == question.metric) {
        let metric = question.metric.to_owned();
        let known = metrics.into_iter().cloned().collect();
        return Err(Incomparable::NoSuchMetric {
            metric,
            mode,
            known,
        });
    }
    let left_out = counts.len() - common.len();
    Ok((common, left_out))
}

/// What a method's runs score.
struct Scores {
    method: String,
    seeds: Vec<u64>,
    steps: BTreeSet<u64>,
    /// `[seeds][tasks]`, the tasks by id.
    values: Vec<Vec<f64>>,
}

impl Scores {
    fn of(
        method: &Method,
        question: &Question<'_>,
        tasks: &BTreeSet<String>,
    ) -> Result<Self, Incomparable> {
        let mut scores = Self {
            method: method.name.clone(),
            seeds: Vec::new(),
            steps: BTreeSet::new(),
            values: Vec::new(),
        };
        for run in &method.runs {
            let evaluation = question.find(run)?;
            let by_task: BTreeMap<&str, f64> = (evaluation.tasks.iter())
                .map(|it| {
                    let value = it.metrics.get(question.metric);
                    (it.task.as_str(), value.copied().unwrap_or(0.0))
                })
                .collect();
            scores.seeds.push(run.seed);
            scores.steps.insert(evaluation.step);
            let row = tasks.iter().map(|task| by_task[task.as_str()]);
            scores.values.push(row.collect());
        }
        Ok(scores)
    }

    /// `None` where they have no seed in common.
    fn against(&self, other: &Self) -> Option<Against> {
        let mut against = (Vec::new(), Vec::new());
        for (seed, own) in self.seeds.iter().zip(&self.values) {
            if let Some(place) = other.seeds.iter().position(|it| it == seed) {
                let pairs = own.iter().zip(&other.values[place]);
                against.0.push(*seed);
                against
                    .1
                    .push(pairs.map(|(own, other)| own - other).collect());
            }
        }
        let (seeds, differences): (Vec<u64>, Vec<Vec<f64>>) = against;
        if seeds.is_empty() {
            return None;
        }
        let all = || differences.iter().flatten();
        let wins: f64 = (all())
            .map(|&difference| match difference {
                d if d > 0.0 => 1.0,
                d if d < 0.0 => 0.0,
                _ => 0.5,
            })
            .sum();
        Some(Against {
            win_rate: wins / all().count() as f64,
            difference: Estimate::of(&differences),
            seeds,
        })
    }
}
