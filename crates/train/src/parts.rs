//! What a trainer is made of, and whether its parts belong together.

use chat::Chat;
use model::{Model, OptimizerKind};

use crate::{Clock, Memory, Missing, Settings, Source, TrainError};

/// What a new trainer is made of.
pub struct Parts {
    /// Every choice of the run.
    pub settings: Settings,
    /// Where it begins.
    pub model: Model,
    /// What training is pulled towards, if not where it begins.
    pub reference: Option<Model>,
    /// The model's tokenizer and template.
    pub chat: Chat,
    /// Where the tasks come from.
    pub source: Source,
    /// Files that make a checkpoint's folder a whole model folder (the tokenizer's), by name
    /// and text.
    pub companions: Vec<(String, String)>,
    /// Time since some fixed moment.
    pub clock: Clock,
    /// The largest memory of this process so far, in bytes, where it is known.
    pub memory: Memory,
}

impl Parts {
    /// Refuses a model, a tokenizer, data and an optimiser that do not belong together.
    pub fn check(&self) -> Result<(), TrainError> {
        let setup = |problem: String, hint: &str| {
            let hint = hint.into();
            Err(TrainError::Setup { problem, hint })
        };
        let (rows, ids) = (self.model.architecture.vocab_size, self.chat.vocab_size());
        if ids > rows {
            return setup(
                format!("the tokenizer has {ids} tokens, but the model's vocabulary only {rows}"),
                "use the tokenizer that the model was made with",
            );
        }
        self.check_source()?;
        let muon = self.settings.optimizer.kind == OptimizerKind::Muon;
        if muon && self.model.adapter.is_some() {
            return setup(
                "Muon moves whole weights, but an adapter is trained".into(),
                "`--set optimizer.kind=adamw`",
            );
        }
        Ok(())
    }
}

impl Parts {
    /// Refuses tasks that lack what the objective or the reward needs of them.
    fn check_source(&self) -> Result<(), TrainError> {
        let setup = |problem: String, hint: &str| {
            let hint = hint.into();
            Err(TrainError::Setup { problem, hint })
        };
        let algorithm = self.settings.objective.algorithm.name();
        let missing = self.settings.trace.missing;
        if self.source.is_empty() {
            return setup(
                "there is no task to train on".into(),
                "give `data.train` tasks and, where the algorithm needs them, traces that end \
                 with an answer",
            );
        }
        let Source::Fixed { suite, tasks, .. } = &self.source else {
            return Ok(());
        };
        let (untraced, count) = (self.source.untraced(), tasks.len());
        if self.settings.needs_traces() && untraced > 0 {
            let problem = format!(
                "{untraced} of {count} tasks have no finished expert trace, which `{algorithm}` needs"
            );
            if self.settings.reward_kind().needs_gold()
                || !self.settings.objective.algorithm.samples()
            {
                return setup(
                    problem,
                    "`--set trace.missing=drop` leaves these tasks out; `pact trace build` makes \
                     traces",
                );
            }
            if missing == Missing::Error {
                return setup(
                    problem,
                    "`--set trace.missing=anchor` scores their rollouts under the prompt alone, \
                     `--set trace.missing=drop` leaves these tasks out",
                );
            }
        }
        let kind = self.settings.reward_kind();
        let tasks = || tasks.iter().map(|&task| &suite.tasks()[task]);
        let lacking = match kind {
            kind if kind.needs_unsolved() => tasks()
                .filter(|task| suite.unsolved(task).is_none())
                .count(),
            kind if kind.needs_answer() => tasks().filter(|task| task.answer.is_none()).count(),
            _ => 0,
        };
        match lacking {
            0 => Ok(()),
            lacking => setup(
                format!("{lacking} of {count} tasks lack what this reward is counted by"),
                "choose another `reward.kind`; `pact config explain reward.kind` lists them",
            ),
        }
    }
}
