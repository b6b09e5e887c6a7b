//! One pass of the decoder over a token tree: forward to log-probabilities, backward from one
//! coefficient for each of them. Written out by hand, over the operations of whichever backend
//! computes; there is no tape.

mod head;
mod layer;

pub(crate) use self::head::{CHUNK, chunk_rows};
use crate::backend::{Backend, Done};
use crate::parameters::LayerOffsets;
use crate::{Coefficient, Keep, TokenTree};

/// What a layer's forward leaves for its backward.
struct Layer<B: Backend> {
    /// `[tokens, hidden]`.
    x: B::Exact,
    /// Nothing where only the input was kept; the backward pass then makes it again.
    rest: Option<Rest<B>>,
}

/// What lies between a layer's input and output; layer.rs draws where. `[tokens, …]` each.
struct Rest<B: Backend> {
    projected: B::Narrow,
    attended: B::Narrow,
    /// `[tokens, heads]`.
    log_sum: B::Exact,
    mid: B::Exact,
    gate_up: B::Narrow,
}

/// A row of the last layer's output, and the token that it predicts.
#[derive(Clone, Copy)]
struct Prediction {
    row: usize,
    token: u32,
}

/// The forward pass over one tree, with what its backward needs.
pub(crate) struct Forward<B: Backend> {
    forest: B::Forest,
    layers: Vec<Layer<B>>,
    /// Output of the last layer, `[tokens, hidden]`.
    last: B::Exact,
    tokens: usize,
    predictions: Vec<Prediction>,
    /// `[targets, vocab]`, kept where that is little.
    logits: Option<B::Exact>,
    /// Log-probability of each target token, natural log, at the model's temperature.
    pub(crate) logprobs: Vec<f32>,
    /// Entropy of the distribution that each target was predicted with, in nats.
    pub(crate) entropies: Vec<f32>,
}

impl<B: Backend> Forward<B> {
    pub(crate) fn new(
        backend: &mut B,
        tree: &TokenTree,
        targets: &[usize],
        keep: Keep,
    ) -> Done<Self> {
        let predictions = targets.iter().map(|&target| Prediction {
            row: (tree.predecessor(target)).expect("a target has a token before it"),
            token: tree.tokens()[target],
        });
        let forest = backend.forest(tree)?;
        let last = backend.embed(&forest)?;
        let mut pass = Self {
            forest,
            layers: Vec::new(),
            last,
            tokens: tree.len(),
            predictions: predictions.collect(),
            logits: None,
            logprobs: Vec::new(),
            entropies: Vec::new(),
        };
        for layer in 0..backend.model().architecture.layers {
            let (rest, out) = pass.layer_forward(backend, layer, &pass.last)?;
            let x = std::mem::replace(&mut pass.last, out);
            match keep {
                Keep::All => pass.layers.push(Layer {
                    x,
                    rest: Some(rest),
                }),
                Keep::Inputs => pass.layers.push(Layer { x, rest: None }),
                Keep::Nothing => {}
            }
        }
        pass.head_forward(backend, keep)?;
        Ok(pass)
    }

    /// Adds the gradient of `sum_i c_i.logprob * logprob_i + c_i.entropy * entropy_i` to
    /// `gradient`, laid out as what is trained. One coefficient for each target.
    pub(crate) fn backward(
        mut self,
        backend: &mut B,
        coefficients: &[Coefficient],
        gradient: &mut B::Gradient,
    ) -> Done {
        assert_eq!(
            coefficients.len(),
            self.predictions.len(),
            "every target has one coefficient"
        );
        assert!(
            self.layers.len() == backend.model().architecture.layers,
            "a pass that kept nothing has no backward"
        );
        let mut dx = self.head_backward(backend, coefficients, gradient)?;
        for layer in (0..self.layers.len()).rev() {
            let Layer { x, rest } = self.layers.pop().expect("as many layers as were kept");
            let rest = match rest {
                Some(rest) => rest,
                None => self.layer_forward(backend, layer, &x)?.0,
            };
            dx = self.layer_backward(backend, layer, &x, rest, dx, gradient)?;
        }
        backend.embed_backward(&self.forest, &dx, gradient)
    }
}

/// Where the parameters of a layer begin.
fn offsets<B: Backend>(backend: &B, layer: usize) -> LayerOffsets {
    backend.model().layout().layers[layer]
}
