//! One pass of the decoder over a token tree: forward to log-probabilities, backward from one
//! coefficient for each of them. Written out by hand; there is no tape.
//!
//! Work is spread over all threads by blocks of rows. A row's numbers do not depend on its block,
//! and sums over rows are taken part by part in the order of the rows: the outcome is the same to
//! the last bit on however many threads.

mod head;
mod layer;

pub(crate) use self::head::{CHUNK, chunk_rows};
use crate::buffers::Buffers;
use crate::numeric::add;
use crate::parameters::LayerOffsets;
use crate::profile::{Phase, Stopwatch};
use crate::rotary::{Heads, Rotary};
use crate::{Coefficient, Keep, Model, TokenTree};

/// Sums over rows are made of parts of this many rows, whatever the threads.
const PARTIAL: usize = 64;

/// What a layer's forward leaves for its backward. `[tokens, …]` each.
struct Layer {
    x: Vec<f32>,
    /// Empty where only the input was kept; the backward pass then makes it again.
    rest: Option<Rest>,
}

/// What lies between a layer's input and output; layer.rs draws where.
struct Rest {
    projected: Vec<f32>,
    attended: Vec<f32>,
    /// `[tokens, heads]`.
    log_sum: Vec<f32>,
    mid: Vec<f32>,
    gate_up: Vec<f32>,
}

impl Rest {
    fn give(self, buffers: &mut Buffers) {
        buffers.give(self.projected);
        buffers.give(self.attended);
        buffers.give(self.log_sum);
        buffers.give(self.mid);
        buffers.give(self.gate_up);
    }
}

/// The forward pass over one tree, with what its backward needs.
pub struct Pass<'m> {
    model: &'m Model,
    tree: &'m TokenTree,
    positions: Vec<usize>,
    rotary: Rotary,
    layers: Vec<Layer>,
    /// Output of the last layer, `[tokens, hidden]`.
    last: Vec<f32>,
    /// Row of `last` that predicts each target, and the target's token id.
    predictions: Vec<(usize, u32)>,
    /// `[targets, vocab]`, kept where that is little.
    logits: Option<Vec<f32>>,
    /// Log-probability of each target token, natural log, at the model's temperature.
    pub logprobs: Vec<f32>,
    /// Entropy of the distribution that each target was predicted with, in nats.
    pub entropies: Vec<f32>,
}

impl<'m> Pass<'m> {
    pub(crate) fn forward(
        model: &'m Model,
        tree: &'m TokenTree,
        targets: &[usize],
        keep: Keep,
        buffers: &mut Buffers,
    ) -> Self {
        let positions: Vec<usize> = (0..tree.len()).map(|at| tree.position(at)).collect();
        let length = positions.iter().max().map_or(0, |last| last + 1);
        let predictions = targets
            .iter()
            .map(|&target| {
                let at = tree
                    .predecessor(target)
                    .expect("a target has a token before it");
                (at, tree.tokens()[target])
            })
            .collect();
        let hidden = model.architecture.hidden_size;
        let mut pass = Self {
            model,
            tree,
            positions,
            rotary: Rotary::new(&model.architecture, length),
            layers: Vec::new(),
            last: buffers.take(tree.len() * hidden),
            predictions,
            logits: None,
            logprobs: vec![0.0; targets.len()],
            entropies: vec![0.0; targets.len()],
        };
        let mut watch = Stopwatch::start();
        for (row, &token) in pass.last.chunks_exact_mut(hidden).zip(tree.tokens()) {
            model.embedding_row(token, row);
        }
        watch.lap(Phase::Embedding);
        for layer in 0..model.architecture.layers {
            let x = std::mem::take(&mut pass.last);
            let (rest, out) = pass.layer_forward(layer, &x, buffers);
            pass.last = out;
            match keep {
                Keep::All => pass.layers.push(Layer {
                    x,
                    rest: Some(rest),
                }),
                Keep::Inputs => {
                    rest.give(buffers);
                    pass.layers.push(Layer { x, rest: None });
                }
                Keep::Nothing => {
                    rest.give(buffers);
                    buffers.give(x);
                }
            }
        }
        pass.head_forward(keep, buffers);
        pass
    }

    /// Adds the gradient of `sum_i c_i.logprob * logprob_i + c_i.entropy * entropy_i` to
    /// `gradient`, laid out as what is trained. One coefficient for each target.
    pub fn backward(
        mut self,
        coefficients: &[Coefficient],
        gradient: &mut [f32],
        buffers: &mut Buffers,
    ) {
        assert_eq!(
            coefficients.len(),
            self.predictions.len(),
            "every target has one coefficient"
        );
        assert!(
            self.layers.len() == self.model.architecture.layers,
            "a pass that kept nothing has no backward"
        );
        assert_eq!(
            gradient.len(),
            self.model.trained_len(),
            "a gradient is laid out as what is trained"
        );
        let mut dx = self.head_backward(coefficients, gradient, buffers);
        for layer in (0..self.layers.len()).rev() {
            let Layer { x, rest } = self.layers.pop().expect("as many layers as were kept");
            let rest = rest.unwrap_or_else(|| {
                let (rest, out) = self.layer_forward(layer, &x, buffers);
                buffers.give(out);
                rest
            });
            dx = self.layer_backward(layer, &x, rest, dx, gradient, buffers);
            buffers.give(x);
        }
        let mut watch = Stopwatch::start();
        if self.model.adapter.is_none() {
            let hidden = self.model.architecture.hidden_size;
            let at = self.model.layout().embed;
            for (row, &token) in dx.chunks_exact(hidden).zip(self.tree.tokens()) {
                let into = &mut gradient[at + token as usize * hidden..][..hidden];
                add(into, row);
            }
        }
        watch.lap(Phase::EmbeddingBackward);
        buffers.give(dx);
        self.finish(buffers);
    }

    /// Ends a pass without a backward, handing its buffers back.
    pub fn finish(self, buffers: &mut Buffers) {
        buffers.give(self.last);
        if let Some(logits) = self.logits {
            buffers.give(logits);
        }
        for Layer { x, rest } in self.layers {
            buffers.give(x);
            if let Some(rest) = rest {
                rest.give(buffers);
            }
        }
    }

    /// Adds what every part of the rows gave to the gradient of the vector at `vector`, in the
    /// order of the parts; nothing where the weights stand still. `partials` is `[parts, len]`.
    fn add_gradient(&self, vector: usize, partials: &[f32], len: usize, gradient: &mut [f32]) {
        if self.model.adapter.is_none() {
            let into = &mut gradient[vector..vector + len];
            for partial in partials.chunks_exact(len) {
                add(into, partial);
            }
        }
    }

    fn offsets(&self, layer: usize) -> &'m LayerOffsets {
        &self.model.layout().layers[layer]
    }

    fn heads(&self, layer: usize) -> Heads<'_> {
        let a = &self.model.architecture;
        let norms = self.offsets(layer).qk_norm;
        Heads {
            rotary: &self.rotary,
            heads: a.heads,
            kv_heads: a.kv_heads,
            width: a.head_dim,
            eps: a.rms_norm_eps,
            norms: norms.map(|(q, k)| {
                let of = |offset| self.model.vector(offset, a.head_dim);
                (of(q), of(k))
            }),
        }
    }
}

/// Rows that a thread takes through the row-wise part of a layer at a time: enough that packing
/// a weight costs little, few enough that every thread has some. A multiple of [`PARTIAL`].
fn block(rows: usize) -> usize {
    let each = rows.div_ceil(rayon::current_num_threads());
    each.next_multiple_of(PARTIAL).min(512)
}
