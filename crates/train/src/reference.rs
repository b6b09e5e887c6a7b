//! The policy that training is pulled towards, which never moves.

use model::{Adapter, Model};

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
    pub(crate) fn of_start(model: &Model) -> Self {
        match &model.adapter {
            Some(adapter) => Self::Adapter(Box::new(adapter.clone())),
            None => Self::Whole(Box::new(model.clone())),
        }
    }

    /// Its log-probabilities of every sample's targets.
    pub(crate) fn score(
        &mut self,
        learner: &mut Learner,
        model: &mut Model,
        batch: &Batch,
    ) -> Vec<Vec<f32>> {
        match self {
            Self::Whole(reference) => learner.score(reference, batch),
            Self::Adapter(start) => {
                let own = model.adapter.as_mut().expect("an adapter is trained");
                std::mem::swap(own, start);
                let scores = learner.score(model, batch);
                let own = model.adapter.as_mut().expect("an adapter is trained");
                std::mem::swap(own, start);
                scores
            }
        }
    }
}
