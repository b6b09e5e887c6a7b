//! A decoder: its architecture, its weights, and the passes over them.

use crate::product::Matrix;
use crate::{Architecture, Buffers, Layout, Parameters, Pass, TokenTree};

/// A decoder-only transformer of the Llama family. Weights are one flat buffer.
#[derive(Clone)]
pub struct Model {
    /// Sizes and variants.
    pub architecture: Architecture,
    /// The weights.
    pub parameters: Parameters,
    /// What logits are divided by before log-probabilities are taken; the rollout's, so that
    /// training scores the distribution that was sampled from.
    pub temperature: f32,
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
    pub fn new(architecture: Architecture, parameters: Parameters) -> Self {
        Self {
            architecture,
            parameters,
            temperature: 1.0,
        }
    }

    /// Log-probability and entropy of each target token, given the tokens before it on its
    /// path. `targets` are indices into the tree, none of a first token.
    pub fn forward<'m>(
        &'m self,
        tree: &'m TokenTree,
        targets: &[usize],
        keep: Keep,
        buffers: &mut Buffers,
    ) -> Pass<'m> {
        Pass::forward(self, tree, targets, keep, buffers)
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.parameters.layout
    }

    /// A gain or a bias.
    pub(crate) fn vector(&self, offset: usize, len: usize) -> &[f32] {
        &self.parameters.data[offset..offset + len]
    }

    /// A weight, `[rows, columns]`.
    pub(crate) fn matrix(&self, offset: usize, rows: usize, columns: usize) -> Matrix<'_> {
        let data = &self.parameters.data[offset..offset + rows * columns];
        Matrix::new(data, rows, columns)
    }

    /// Writes a token's embedding, `[hidden]`.
    pub(crate) fn embedding_row(&self, token: u32, out: &mut [f32]) {
        let hidden = self.architecture.hidden_size;
        let at = self.layout().embed + token as usize * hidden;
        out.copy_from_slice(&self.parameters.data[at..at + hidden]);
    }

    /// The head, `[vocab, hidden]`; the embedding itself where the two are tied.
    pub(crate) fn head(&self) -> Matrix<'_> {
        let a = &self.architecture;
        self.matrix(self.layout().head, a.vocab_size, a.hidden_size)
    }
}
