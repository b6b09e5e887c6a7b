//! The memory that a run takes, before it takes any: what it needs in any case, what it may
//! need at the config's limits, what there is, and which settings make it fit.

use anyhow::Result;
use serde_json::{Value, json};
use train::{Plan, PlannedRun, Settings};

use crate::config::{Eval, RunConfig};
use crate::engine;
use crate::exit::UsageError;
use crate::policies::Policy;

/// A run's plan against what there is.
pub(super) struct MemoryPlan {
    least: Plan,
    most: Plan,
    /// Bytes. `None` where neither the config nor the system says.
    memory: Option<u64>,
    /// What to set so that `most` fits too.
    changes: Option<Vec<String>>,
}

impl MemoryPlan {
    pub(super) fn new(config: &RunConfig, settings: Settings) -> Result<Self> {
        let (architecture, held) =
            Policy::plan(&config.model, config.engine.device, config.chat.clone())?;
        let run = PlannedRun {
            architecture,
            held,
            has_base: config.model.path.is_some(),
            episodes: episodes(config),
            settings,
        };
        let memory = engine::memory(&config.engine)?;
        let changes = memory.map(|memory| run.settings_that_fit(memory));
        Ok(Self {
            least: run.at_least(),
            most: run.at_most(),
            memory,
            changes: changes.unwrap_or_default(),
        })
    }

    /// Refuses a run that cannot fit, however short its episodes are.
    pub(super) fn check(&self) -> Result<(), UsageError> {
        match self.memory {
            Some(memory) if self.least.total() > memory => Err(UsageError(format!(
                "this run takes at least {} GiB of memory, of {} that there are\n\n{}",
                gib(self.least.total()),
                gib(memory),
                self.to_text().trim_end(),
            ))),
            _ => Ok(()),
        }
    }

    /// What to know of a run that fits unless its episodes become too long.
    pub(super) fn warning(&self) -> Option<String> {
        let memory = self.memory.filter(|memory| self.most.total() > *memory)?;
        Some(format!(
            "warning: at the limits of its config this run takes {} GiB of memory, of {} that there \
             are\n{}",
            gib(self.most.total()),
            gib(memory),
            self.hint()
        ))
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = format!("{:16}{:>10}{:>10}\n", "GiB", "at least", "at most");
        for part in self.parts() {
            let mark = match part.fits {
                true => "",
                false => "  does not fit",
            };
            let (least, most) = (gib(part.least), gib(part.most));
            text += &format!("{:16}{least:>10}{most:>10}{mark}\n", part.name);
        }
        let (least, most) = (gib(self.least.total()), gib(self.most.total()));
        text += &format!("{:16}{least:>10}{most:>10}\n", "total");
        let there = self.memory.map_or("unknown".to_owned(), gib);
        text += &format!("{:16}{:>10}{there:>10}\n", "there is", "");
        if self.memory.is_some_and(|memory| self.most.total() > memory) {
            text += &format!("{}\n", self.hint());
        }
        text
    }

    pub(super) fn to_json(&self) -> Value {
        let parts: Vec<Value> = (self.parts())
            .map(|part| {
                json!({
                    "name": part.name,
                    "at-least-bytes": part.least,
                    "at-most-bytes": part.most,
                    "fits": part.fits,
                })
            })
            .collect();
        json!({
            "parts": parts,
            "at-least-bytes": self.least.total(),
            "at-most-bytes": self.most.total(),
            "memory-bytes": self.memory,
            "settings-that-fit": self.changes,
        })
    }

    fn parts(&self) -> impl Iterator<Item = Part> {
        let pairs = self.least.parts().into_iter().zip(self.most.parts());
        pairs.scan(0, |sum, ((name, least), (_, most))| {
            *sum += most;
            Some(Part {
                name,
                least,
                most,
                fits: most == 0 || self.memory.is_none_or(|memory| *sum <= memory),
            })
        })
    }

    fn hint(&self) -> String {
        let Some(changes) = &self.changes else {
            return "hint: no setting makes this fit; take a smaller model, or a machine with more \
                    memory"
                .to_owned();
        };
        let sets: Vec<String> = (changes.iter())
            .map(|change| format!("--set {}", change.replace([' ', '"'], "")))
            .collect();
        format!("hint: it fits with `{}`", sets.join(" "))
    }
}

/// As many episodes as are ever to be sampled together.
fn episodes(config: &RunConfig) -> usize {
    let training = match config.objective.algorithm.samples() {
        false => 0,
        true => config.train.prompts_per_step * config.rollout.group_size,
    };
    let evaluation = match config.eval {
        Eval {
            greedy: false,
            sampled: false,
            ..
        } => 0,
        // All there are.
        Eval { tasks: 0, .. } => usize::MAX,
        Eval { tasks, .. } => tasks,
    };
    training.max(evaluation)
}

/// A line of the plan.
struct Part {
    name: &'static str,
    least: u64,
    most: u64,
    /// Together with the parts before it.
    fits: bool,
}

fn gib(bytes: u64) -> String {
    format!("{:.2}", bytes as f64 / f64::from(1 << 30))
}
