//! What a run came to: a table for people, one object for programs.

use std::path::{Path, PathBuf};

use anyhow::Result;
use episode::{Evaluation, EvaluationMode};
use report::Breakdown;
use serde_json::{Map, Value, json};
use train::Trainer;

use crate::scores;

pub(super) struct Outcome {
    run: PathBuf,
    steps: u64,
    seconds: f64,
    /// One for each mode.
    before: Vec<Evaluation>,
    after: Vec<Evaluation>,
}

impl Outcome {
    /// `seconds` are those of this process; a resumed run's earlier ones are not known to it.
    pub(super) fn of(run: &Path, trainer: &Trainer, seconds: f64) -> Result<Self> {
        let all = trainer.folder().evaluations()?;
        let after = |step: u64| all.iter().filter(move |it| it.step == step).cloned();
        Ok(Self {
            run: run.to_owned(),
            steps: trainer.step,
            seconds,
            before: after(0).collect(),
            after: after(trainer.step).collect(),
        })
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "run": self.run,
            "steps": self.steps,
            "seconds": (self.seconds * 1000.0).round() / 1000.0,
            "before": by_mode(&self.before),
            "after": by_mode(&self.after),
        })
    }

    pub(super) fn to_text(&self, model: &Path, resume: &str) -> String {
        let mut text = String::new();
        if !self.before.is_empty() {
            let metrics = report::shown_metrics(&self.before);
            text += &report::table(&self.before, &self.after, &metrics, Breakdown::Whole);
            text.push('\n');
        }
        let facts = [
            ("run", self.run.display().to_string()),
            ("model", model.display().to_string()),
            ("steps", self.steps.to_string()),
            ("seconds", format!("{:.1}", self.seconds)),
            ("resume", resume.to_owned()),
        ];
        for (name, fact) in facts {
            text += &format!("{name:8} {fact}\n");
        }
        text
    }
}

/// The greedy metrics, and under `sampled` the sampled ones.
fn by_mode(evaluations: &[Evaluation]) -> Value {
    let of = |mode| evaluations.iter().find(|it| it.mode == mode);
    let mut object = of(EvaluationMode::Greedy).map_or_else(Map::new, scores::metrics);
    if let Some(sampled) = of(EvaluationMode::Sampled) {
        object.insert("sampled".to_owned(), scores::metrics(sampled).into());
    }
    object.into()
}
