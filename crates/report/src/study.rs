//! A study's runs, read: the methods with what their runs scored and cost.

use std::collections::BTreeSet;
use std::path::PathBuf;

use episode::EvaluationMode;

use crate::cost::{Cost, Costs};
use crate::method::{Method, MethodRun};
use crate::{Question, ReportError, Standings};

/// What a study compares, and the folders of those of its runs that are done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StudyList {
    /// The sentence that it is to prove.
    pub sentence: String,
    /// The metric of its tables and curves.
    pub metric: String,
    /// The method that all others are compared with.
    pub baseline: String,
    /// A second such method.
    pub reference: Option<String>,
    /// The key that was searched for, if any was.
    pub searched_key: Option<String>,
    /// Its methods, in the order in which tables have them.
    pub methods: Vec<ListedMethod>,
}

/// A method of a study.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListedMethod {
    /// Its name.
    pub name: String,
    /// The table that it stands in.
    pub group: String,
    /// The searched key's value that its runs have.
    pub searched: Option<String>,
    /// Its runs that are done.
    pub runs: Vec<ListedRun>,
}

/// A run of a study.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListedRun {
    /// Its folder.
    pub folder: PathBuf,
    /// The runs of other methods that it goes on from, whose cost is its cost too.
    pub earlier: Vec<PathBuf>,
}

/// A study's methods that have a run, read.
pub(crate) struct StudyRuns {
    pub(crate) methods: Vec<StudyMethod>,
}

pub(crate) struct StudyMethod {
    pub(crate) group: String,
    pub(crate) searched: Option<String>,
    pub(crate) method: Method,
    /// One for each of the method's runs.
    runs: Vec<RunCosts>,
}

/// What a run cost, and what the runs that it goes on from did before.
struct RunCosts {
    earlier: Cost,
    earlier_steps: u64,
    own: Costs,
}

impl StudyRuns {
    pub(crate) fn read(list: &StudyList) -> Result<Self, ReportError> {
        let mut runs = Vec::new();
        for listed in &list.methods {
            for run in &listed.runs {
                runs.push((Some(listed.name.clone()), MethodRun::read(&run.folder)?));
            }
        }
        let mut methods = Vec::new();
        for method in Method::of_runs(runs)? {
            let listed = list.methods.iter().find(|it| it.name == method.name);
            let listed = listed.expect("every method that was read is listed");
            let costs = method.runs.iter().map(|run| {
                let listed = listed.runs.iter().find(|it| it.folder == run.folder);
                RunCosts::read(listed.expect("every run that was read is listed"))
            });
            methods.push(StudyMethod {
                group: listed.group.clone(),
                searched: listed.searched.clone(),
                runs: costs.collect::<Result<_, _>>()?,
                method,
            });
        }
        Ok(Self { methods })
    }

    /// The methods of a group, with those called `others` in front wherever they belong.
    pub(crate) fn of_group(&self, group: &str, others: &[&str]) -> Vec<&StudyMethod> {
        let is_wanted =
            |it: &&StudyMethod| it.group == group || others.contains(&it.method.name.as_str());
        self.methods.iter().filter(is_wanted).collect()
    }
}

impl RunCosts {
    fn read(run: &ListedRun) -> Result<Self, ReportError> {
        let mut earlier = (Cost::default(), 0);
        for folder in &run.earlier {
            let costs = Costs::read(folder)?;
            earlier = (earlier.0.plus(costs.total()), earlier.1 + costs.steps());
        }
        Ok(Self {
            earlier: earlier.0,
            earlier_steps: earlier.1,
            own: Costs::read(&run.folder)?,
        })
    }
}

impl StudyMethod {
    /// The mean cost of its runs after `step` of their own steps, with what they go on from.
    pub(crate) fn cost(&self, step: u64) -> Cost {
        self.mean(|run| run.earlier.plus(run.own.after(step)))
    }

    /// The mean cost of its runs.
    pub(crate) fn total_cost(&self) -> Cost {
        self.cost(u64::MAX)
    }

    /// The steps of its runs and of those that they go on from, after `step` of their own.
    pub(crate) fn steps(&self, step: u64) -> u64 {
        let earlier = self.runs.iter().map(|run| run.earlier_steps).max();
        earlier.unwrap_or(0) + step
    }

    /// The steps of its runs.
    pub(crate) fn total_steps(&self) -> u64 {
        let own = self.runs.iter().map(|run| run.own.steps()).max();
        self.steps(own.unwrap_or(0))
    }

    fn mean(&self, of: impl Fn(&RunCosts) -> Cost) -> Cost {
        let sum = self.runs.iter().map(of).fold(Cost::default(), Cost::plus);
        sum.over(self.runs.len() as f64)
    }

    /// The steps after which all its runs were evaluated in `mode`.
    pub(crate) fn evaluated(&self, mode: EvaluationMode) -> BTreeSet<u64> {
        let of = |run: &MethodRun| -> BTreeSet<u64> {
            let of_mode = run.evaluations.iter().filter(|it| it.mode == mode);
            of_mode.map(|it| it.step).collect()
        };
        let mut runs = self.method.runs.iter().map(of);
        let first = runs.next().unwrap_or_default();
        runs.fold(first, |common, steps| &common & &steps)
    }

    /// The method as it was after `step` steps.
    pub(crate) fn until(&self, step: u64) -> Method {
        let mut method = self.method.clone();
        for run in &mut method.runs {
            run.evaluations.retain(|it| it.step <= step);
        }
        method
    }
}

/// Standings over the last evaluations of these methods.
pub(crate) fn standings(
    list: &StudyList,
    methods: &[Method],
    mode: EvaluationMode,
) -> Result<Standings, ReportError> {
    let question = Question {
        metric: &list.metric,
        mode,
        step: None,
        scenario: None,
    };
    let named = [Some(&list.baseline), list.reference.as_ref()];
    let is_there = |name: &&str| methods.iter().any(|method| method.name == **name);
    let named = named.into_iter().flatten().map(String::as_str);
    let baselines: Vec<&str> = named.filter(is_there).collect();
    Standings::of(methods, &baselines, &question)
}
