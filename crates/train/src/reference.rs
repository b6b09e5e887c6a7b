//! The policy that training is pulled towards, which never moves.

use model::{Adapter, Model, ModelError};

use crate::batch::Batch;
use crate::learner::Learner;

/// A reference policy.
pub(crate) enum Reference {
    /// The trained model's own weights, which stand still, under the adapter of the start.
    Adapter(Box<Adapter>),
    /// Weights of its own.
    Whole(Box<Model>),
}

impl Reference {
    /// The policy as a run begins.
    pub(crate) fn of_start(model: &Model) -> Result<Self, ModelError> {
        Ok(match model.current_adapter()? {
            Some(adapter) => Self::Adapter(Box::new(adapter.into_owned())),
            None => Self::Whole(Box::new(model.copy()?)),
        })
    }

    /// Its log-probabilities of every sample's targets.
    pub(crate) fn score(
        &mut self,
        learner: &mut Learner,
        model: &mut Model,
        batch: &Batch,
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        match self {
            Self::Whole(reference) => learner.score(reference, batch),
            Self::Adapter(start) => {
                model.swap_adapter(start)?;
                let scores = learner.score(model, batch);
                model.swap_adapter(start)?;
                scores
            }
        }
    }
}
