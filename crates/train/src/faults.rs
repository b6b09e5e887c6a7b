//! What goes wrong inside a run without ending a step: when it ends the run.

use episode::{Credit, Culprit, NotFinite, Refused, Skipped};

use crate::experience::{Experience, RolloutCost};
use crate::folder::RunFolder;
use crate::learner::{Refusal, Update};
use crate::{Config, TrainError};

/// Of calls and sessions, the share that may get no process or server before what was rolled
/// out is not trained on: above a half, a rollout tells more of the machine than of the agent.
const UNSERVED: f64 = 0.5;

/// What a run has borne so far.
#[derive(Default)]
pub(crate) struct Faults {
    /// How many of the last steps were skipped.
    pub(crate) skipped_in_a_row: u64,
}

impl Faults {
    /// Keeps what a skipped step was to learn from, and ends a run that cannot go on: one that
    /// skips too many steps in a row, or whose sampler is not what it trains.
    pub(crate) fn pass(
        &mut self,
        step: u64,
        update: &Update,
        (experience, credits): (&Experience, &[Vec<Credit>]),
        (config, folder): (&Config, &RunFolder),
    ) -> Result<(), TrainError> {
        let limit = config.sampler_gap_limit;
        if let Some(gap) = update.sampler_gap.filter(|gap| limit > 0.0 && *gap > limit) {
            return Err(TrainError::SamplerGap { step, gap, limit });
        }
        let Some(last) = update.refused.last() else {
            self.skipped_in_a_row = 0;
            return Ok(());
        };
        folder.record_skipped(&skipped(step, update, experience), experience, credits)?;
        self.skipped_in_a_row += 1;
        if config.max_skipped > 0 && self.skipped_in_a_row >= config.max_skipped {
            return Err(TrainError::Skipped {
                run: folder.path().to_owned(),
                count: self.skipped_in_a_row,
                step,
                what: match last.what {
                    NotFinite::LogProbabilities => "log-probabilities were",
                    NotFinite::Loss => "the loss was",
                    NotFinite::Gradient => "the gradient was",
                },
            });
        }
        Ok(())
    }
}

impl RolloutCost {
    /// Refuses a rollout whose tools could not run, for no fault of the agent's.
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        let tools = &self.tools;
        match (tools.unserved_share(), &tools.cause) {
            (Some(share), Some(cause)) if share > UNSERVED => Err(TrainError::Tools {
                unserved: tools.unserved,
                asked: tools.asked,
                cause: cause.clone(),
            }),
            _ => Ok(()),
        }
    }
}

fn skipped(step: u64, update: &Update, experience: &Experience) -> Skipped {
    let task = |example: usize| experience.rolled[example].task.id.clone();
    let culprit = |&(example, episode): &(usize, Option<usize>)| Culprit {
        task: task(example),
        sample: episode,
    };
    let refused = |refusal: &Refusal| Refused {
        what: refusal.what,
        grad_norm: Some(refusal.grad_norm).filter(|norm| norm.is_finite()),
        losses: refusal.losses.iter().map(culprit).collect(),
    };
    Skipped {
        step,
        tasks: (0..experience.rolled.len()).map(task).collect(),
        refused: update.refused.iter().map(refused).collect(),
    }
}
