//! A decoder: its architecture, its weights, and the passes over them.

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

/// How many threads one pass uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// The calling one: passes over several trees then run side by side.
    One,
    /// All of rayon's.
    All,
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
        threads: Threads,
        buffers: &mut Buffers,
    ) -> Pass<'m> {
        Pass::forward(self, tree, targets, keep, threads, buffers)
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.parameters.layout
    }

    pub(crate) fn slice(&self, offset: usize, len: usize) -> &[f32] {
        &self.parameters.data[offset..offset + len]
    }

    fn vocabulary(&self, offset: usize) -> &[f32] {
        let a = &self.architecture;
        self.slice(offset, a.vocab_size * a.hidden_size)
    }

    /// `[vocab, hidden]`.
    pub(crate) fn embedding(&self) -> &[f32] {
        self.vocabulary(self.layout().embed)
    }

    /// `[vocab, hidden]`; the embedding itself where the two are tied.
    pub(crate) fn head(&self) -> &[f32] {
        self.vocabulary(self.layout().head)
    }
}
