//! A decoder: its architecture, its weights, what of them is trained, and the passes over them.

use rayon::prelude::*;

use crate::device::{Home, Pass};
use crate::error::ModelError;
use crate::weights::Weight;
use crate::{Adapter, Architecture, Buffers, Layout, ParameterSpec, TokenTree, Weights};

/// A decoder-only transformer of the Llama family.
pub struct Model {
    /// Sizes and variants.
    pub architecture: Architecture,
    /// The weights, one flat buffer.
    pub weights: Weights,
    /// What is added to them; the weights themselves then stand still.
    pub adapter: Option<Adapter>,
    /// What logits are divided by before log-probabilities are taken; the rollout's, so that
    /// training scores the distribution that was sampled from.
    pub temperature: f32,
    pub(crate) home: Home,
}

/// What a forward pass keeps for a backward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Nothing: scores only.
    Nothing,
    /// Each layer's input; the backward pass makes the rest again (activation checkpointing,
    /// Chen et al. 2016): about a third more arithmetic for about a tenth of the memory.
    Inputs,
    /// Everything: the fastest.
    All,
}

/// What one target's log-probability and entropy count for in what is differentiated.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Coefficient {
    /// Of its log-probability.
    pub logprob: f32,
    /// Of the entropy of the distribution that predicts it.
    pub entropy: f32,
}

impl Model {
    /// A decoder at temperature 1.
    pub fn new(architecture: Architecture, weights: impl Into<Weights>) -> Self {
        Self {
            architecture,
            weights: weights.into(),
            adapter: None,
            temperature: 1.0,
            home: Home::Cpu,
        }
    }

    /// Puts an adapter on the weights, and refuses one that was trained on others.
    pub fn attach(&mut self, mut adapter: Adapter) -> Result<(), ModelError> {
        adapter.settle(&self.weights)?;
        self.home.take_on(&adapter.values)?;
        self.adapter = Some(adapter);
        Ok(())
    }

    /// What is trained: the adapter's matrices if there is one, else all weights. Gradients
    /// are laid out as these say.
    pub fn trained(&self) -> &[ParameterSpec] {
        match &self.adapter {
            Some(adapter) => adapter.specs(),
            None => self.layout().specs(),
        }
    }

    /// Numbers that are trained, and those of a gradient.
    pub fn trained_len(&self) -> usize {
        self.trained().last().map_or(0, |spec| spec.range().end)
    }

    pub(crate) fn is_finite_here(&self) -> bool {
        let trained = match &self.adapter {
            Some(adapter) => Some(&adapter.values[..]),
            None => self.weights.masters().map(|masters| &masters.data[..]),
        };
        trained.is_none_or(|values| values.par_iter().all(|value| value.is_finite()))
    }

    /// Log-probability and entropy of each target token, given the tokens before it on its
    /// path. `targets` are indices into the tree, none of a first token.
    pub fn forward(
        &self,
        tree: &TokenTree,
        targets: &[usize],
        keep: Keep,
        buffers: &Buffers,
    ) -> Result<Pass<'_>, ModelError> {
        Pass::forward(self, tree, targets, keep, buffers)
    }

    pub(crate) fn layout(&self) -> &Layout {
        self.weights.layout()
    }

    /// A gain or a bias.
    pub(crate) fn vector(&self, offset: usize, len: usize) -> &[f32] {
        self.weights.vector(offset, len)
    }

    /// A weight, `[rows, columns]`.
    pub(crate) fn matrix(&self, offset: usize, rows: usize, columns: usize) -> Weight<'_> {
        self.weights.matrix(offset, rows, columns)
    }

    /// Writes a token's embedding, `[hidden]`.
    pub(crate) fn embedding_row(&self, token: u32, out: &mut [f32]) {
        let at = self.layout().embed + token as usize * self.architecture.hidden_size;
        self.weights.widen(at, out);
    }

    /// The head, `[vocab, hidden]`; the embedding itself where the two are tied.
    pub(crate) fn head(&self) -> Weight<'_> {
        let a = &self.architecture;
        self.matrix(self.layout().head, a.vocab_size, a.hidden_size)
    }
}
