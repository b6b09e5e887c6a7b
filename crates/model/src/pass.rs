//! One pass of the decoder over a token tree: forward to log-probabilities, backward from one
//! coefficient for each of them. Written out by hand; there is no tape.
//!
//! A layer (RMSNorm, grouped-query attention, RMSNorm, SwiGLU; Touvron et al. 2023, Yang et
//! al. 2025 for the query and key norms) in the names of this file:
//!
//! ```text
//! x -> norm -> qkv -> heads -> attended -> o -> (+x) mid -> norm -> gate_up -> swiglu -> down -> (+mid)
//! ```

use rayon::prelude::*;

use crate::attention;
use crate::buffers::Buffers;
use crate::matmul::{Matrix, Store, matmul};
use crate::numeric::{add, rms_norm, rms_norm_backward, swiglu, swiglu_backward};
use crate::parameters::LayerOffsets;
use crate::rotary::{HeadMajor, Rotary};
use crate::{Coefficient, Keep, Model, Threads, TokenTree};

/// What a layer's forward leaves for its backward. `[tokens, …]` each.
struct Layer {
    x: Vec<f32>,
    /// Empty where only the input was kept; the backward pass then makes it again.
    rest: Option<Rest>,
}

struct Rest {
    input_inverse_rms: Vec<f32>,
    projected: Vec<f32>,
    attended: Vec<f32>,
    /// `[heads, tokens]`.
    log_sum: Vec<f32>,
    mid: Vec<f32>,
    mid_inverse_rms: Vec<f32>,
    gate_up: Vec<f32>,
}

impl Rest {
    fn give(self, buffers: &mut Buffers) {
        buffers.give(self.input_inverse_rms);
        buffers.give(self.projected);
        buffers.give(self.attended);
        buffers.give(self.log_sum);
        buffers.give(self.mid);
        buffers.give(self.mid_inverse_rms);
        buffers.give(self.gate_up);
    }
}

/// The forward pass over one tree, with what its backward needs.
pub struct Pass<'m> {
    model: &'m Model,
    tree: &'m TokenTree,
    threads: Threads,
    positions: Vec<usize>,
    rotary: Rotary,
    layers: Vec<Layer>,
    /// Output of the last layer, `[tokens, hidden]`.
    last: Vec<f32>,
    /// Row of `last` that predicts each target, and the target's token id.
    predictions: Vec<(usize, u32)>,
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
        threads: Threads,
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
            threads,
            positions,
            rotary: Rotary::new(&model.architecture, length),
            layers: Vec::new(),
            last: buffers.take(tree.len() * hidden),
            predictions,
            logprobs: vec![0.0; targets.len()],
            entropies: vec![0.0; targets.len()],
        };
        let embedding = model.embedding();
        for (row, &token) in pass.last.chunks_exact_mut(hidden).zip(tree.tokens()) {
            row.copy_from_slice(&embedding[token as usize * hidden..][..hidden]);
        }
        for layer in 0..model.architecture.layers {
            let x = std::mem::take(&mut pass.last);
            let rest = pass.layer_forward(layer, &x, buffers);
            pass.last = pass.down(layer, &rest, buffers);
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
        pass.head_forward(buffers);
        pass
    }

    /// Adds the gradient of `sum_i c_i.logprob * logprob_i + c_i.entropy * entropy_i` to
    /// `gradient`, laid out as the parameters. One coefficient for each target.
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
        let mut dx = self.head_backward(coefficients, gradient, buffers);
        for layer in (0..self.layers.len()).rev() {
            let Layer { x, rest } = self.layers.pop().expect("as many layers as were kept");
            let rest = rest.unwrap_or_else(|| self.layer_forward(layer, &x, buffers));
            self.layer_backward(layer, &x, &rest, &mut dx, gradient, buffers);
            rest.give(buffers);
            buffers.give(x);
        }
        let hidden = self.model.architecture.hidden_size;
        let at = self.model.layout().embed;
        for (row, &token) in dx.chunks_exact(hidden).zip(self.tree.tokens()) {
            let into = &mut gradient[at + token as usize * hidden..][..hidden];
            add(into, row);
        }
        buffers.give(dx);
        self.finish(buffers);
    }

    /// Ends a pass without a backward, handing its buffers back.
    pub fn finish(self, buffers: &mut Buffers) {
        buffers.give(self.last);
        for Layer { x, rest } in self.layers {
            buffers.give(x);
            if let Some(rest) = rest {
                rest.give(buffers);
            }
        }
    }

    fn offsets(&self, layer: usize) -> &'m LayerOffsets {
        &self.model.layout().layers[layer]
    }

    fn heads(&self, layer: usize) -> HeadMajor<'_> {
        let width = self.model.architecture.head_dim;
        let norms = self.offsets(layer).qk_norm;
        HeadMajor {
            architecture: &self.model.architecture,
            rotary: &self.rotary,
            norms: norms.map(|(q, k)| (self.model.slice(q, width), self.model.slice(k, width))),
            positions: &self.positions,
        }
    }

    /// A layer up to and including its gate and up projections.
    fn layer_forward(&self, layer: usize, x: &[f32], buffers: &mut Buffers) -> Rest {
        let a = &self.model.architecture;
        let (tokens, hidden) = (self.tree.len(), a.hidden_size);
        let (heads, width) = (a.heads, a.head_dim);
        let at = self.offsets(layer);
        let eps = a.rms_norm_eps;

        let mut input_inverse_rms = buffers.take(tokens);
        let mut normed = buffers.take(tokens * hidden);
        let weight = self.model.slice(at.input_norm, hidden);
        rms_norm(x, weight, eps, &mut normed, &mut input_inverse_rms);
        let columns = (heads + 2 * a.kv_heads) * width;
        let mut projected = buffers.take(tokens * columns);
        self.linear(&normed, at.qkv, columns, Store::Overwrite, &mut projected);
        if let Some(bias) = at.qkv_bias {
            let bias = self.model.slice(bias, columns);
            for row in projected.chunks_exact_mut(columns) {
                add(row, bias);
            }
        }

        let mut by_head = buffers.take(tokens * columns);
        self.heads(layer).forward(&projected, &mut by_head);
        let mut out = buffers.take(tokens * heads * width);
        let mut log_sum = buffers.take(tokens * heads);
        self.attend(&by_head, &mut out, &mut log_sum);
        let mut attended = buffers.take(tokens * heads * width);
        to_token_major(&out, tokens, heads, width, &mut attended);

        let mut mid = buffers.take(tokens * hidden);
        mid.copy_from_slice(x);
        self.linear(&attended, at.o, hidden, Store::Add, &mut mid);
        let mut mid_inverse_rms = buffers.take(tokens);
        let weight = self.model.slice(at.post_norm, hidden);
        rms_norm(&mid, weight, eps, &mut normed, &mut mid_inverse_rms);
        let mut gate_up = buffers.take(tokens * 2 * a.intermediate_size);
        let columns = 2 * a.intermediate_size;
        self.linear(&normed, at.gate_up, columns, Store::Overwrite, &mut gate_up);
        for buffer in [normed, by_head, out] {
            buffers.give(buffer);
        }
        Rest {
            input_inverse_rms,
            projected,
            attended,
            log_sum,
            mid,
            mid_inverse_rms,
            gate_up,
        }
    }

    /// The end of a layer: `mid + down(swiglu(gate_up))`.
    fn down(&self, layer: usize, rest: &Rest, buffers: &mut Buffers) -> Vec<f32> {
        let a = &self.model.architecture;
        let mut gated = buffers.take(self.tree.len() * a.intermediate_size);
        swiglu(&rest.gate_up, a.intermediate_size, &mut gated);
        let mut out = buffers.take(rest.mid.len());
        out.copy_from_slice(&rest.mid);
        let down = self.offsets(layer).down;
        self.linear(&gated, down, a.hidden_size, Store::Add, &mut out);
        buffers.give(gated);
        out
    }

    /// Turns `dx`, the gradient of the layer's output, into that of its input.
    fn layer_backward(
        &self,
        layer: usize,
        x: &[f32],
        rest: &Rest,
        dx: &mut [f32],
        gradient: &mut [f32],
        buffers: &mut Buffers,
    ) {
        let a = &self.model.architecture;
        let (tokens, hidden) = (self.tree.len(), a.hidden_size);
        let (heads, width, ffn) = (a.heads, a.head_dim, a.intermediate_size);
        let at = self.offsets(layer);
        let eps = a.rms_norm_eps;

        // The feed-forward half.
        let mut gated = buffers.take(tokens * ffn);
        swiglu(&rest.gate_up, ffn, &mut gated);
        self.weight_gradient(dx, &gated, at.down, hidden, gradient);
        let mut dgated = gated;
        self.input_gradient(dx, at.down, ffn, &mut dgated);
        let mut dgate_up = buffers.take(tokens * 2 * ffn);
        dgate_up.copy_from_slice(&rest.gate_up);
        swiglu_backward(&mut dgate_up, ffn, &dgated);
        let mut normed = buffers.take(tokens * hidden);
        let weight = self.model.slice(at.post_norm, hidden);
        let mut inverse_rms = buffers.take(tokens);
        rms_norm(&rest.mid, weight, eps, &mut normed, &mut inverse_rms);
        self.weight_gradient(&dgate_up, &normed, at.gate_up, 2 * ffn, gradient);
        let mut dnormed = buffers.take(tokens * hidden);
        self.input_gradient(&dgate_up, at.gate_up, hidden, &mut dnormed);
        let dweight = &mut gradient[at.post_norm..at.post_norm + hidden];
        rms_norm_backward(
            &rest.mid,
            weight,
            &rest.mid_inverse_rms,
            &dnormed,
            dx,
            dweight,
        );

        // The attention half.
        self.weight_gradient(dx, &rest.attended, at.o, hidden, gradient);
        let mut dattended = buffers.take(tokens * heads * width);
        self.input_gradient(dx, at.o, heads * width, &mut dattended);
        let dprojected = self.attend_backward(layer, rest, &dattended, gradient, buffers);
        let columns = (heads + 2 * a.kv_heads) * width;
        if let Some(bias) = at.qkv_bias {
            let into = &mut gradient[bias..bias + columns];
            for row in dprojected.chunks_exact(columns) {
                add(into, row);
            }
        }
        let weight = self.model.slice(at.input_norm, hidden);
        rms_norm(x, weight, eps, &mut normed, &mut inverse_rms);
        self.weight_gradient(&dprojected, &normed, at.qkv, columns, gradient);
        self.input_gradient(&dprojected, at.qkv, hidden, &mut dnormed);
        let dweight = &mut gradient[at.input_norm..at.input_norm + hidden];
        rms_norm_backward(x, weight, &rest.input_inverse_rms, &dnormed, dx, dweight);

        for buffer in [
            dgated,
            dgate_up,
            normed,
            inverse_rms,
            dnormed,
            dattended,
            dprojected,
        ] {
            buffers.give(buffer);
        }
    }

    /// All query heads. `by_head` is `[heads + 2 kv_heads, tokens, head_dim]`, `out` is
    /// `[heads, tokens, head_dim]`, `log_sum` is `[heads, tokens]`.
    fn attend(&self, by_head: &[f32], out: &mut [f32], log_sum: &mut [f32]) {
        let a = &self.model.architecture;
        let (tokens, width) = (self.tree.len(), a.head_dim);
        let size = tokens * width;
        let work = |(head, (out, log_sum)): (usize, (&mut [f32], &mut [f32]))| {
            let (q, k, v) = self.qkv_of(by_head, head);
            attention::forward(self.tree, width, q, k, v, out, log_sum);
        };
        match self.threads {
            Threads::One => (out.chunks_mut(size).zip(log_sum.chunks_mut(tokens)))
                .enumerate()
                .for_each(work),
            Threads::All => (out.par_chunks_mut(size).zip(log_sum.par_chunks_mut(tokens)))
                .enumerate()
                .for_each(work),
        }
    }

    fn qkv_of<'a>(&self, by_head: &'a [f32], head: usize) -> (&'a [f32], &'a [f32], &'a [f32]) {
        let a = &self.model.architecture;
        let size = self.tree.len() * a.head_dim;
        let kv = a.heads + head / (a.heads / a.kv_heads);
        let of = |head: usize| &by_head[head * size..(head + 1) * size];
        (of(head), of(kv), of(kv + a.kv_heads))
    }

    /// From the gradient of the attended values, `[tokens, heads * head_dim]`, to that of the
    /// projected queries, keys and values.
    fn attend_backward(
        &self,
        layer: usize,
        rest: &Rest,
        dattended: &[f32],
        gradient: &mut [f32],
        buffers: &mut Buffers,
    ) -> Vec<f32> {
        let a = &self.model.architecture;
        let (tokens, heads, width) = (self.tree.len(), a.heads, a.head_dim);
        let size = tokens * width;
        let group = heads / a.kv_heads;
        let heads_of_layer = self.heads(layer);

        let mut by_head = buffers.take(rest.projected.len());
        heads_of_layer.forward(&rest.projected, &mut by_head);
        let mut out = buffers.take(heads * size);
        to_head_major(&rest.attended, tokens, heads, width, &mut out);
        let mut dout = buffers.take(heads * size);
        to_head_major(dattended, tokens, heads, width, &mut dout);
        let mut dby_head = buffers.zeros(rest.projected.len());

        let (dq, dkv) = dby_head.split_at_mut(heads * size);
        let (dk, dv) = dkv.split_at_mut(a.kv_heads * size);
        let work = |kv: usize, dq: &mut [f32], dk: &mut [f32], dv: &mut [f32]| {
            for (g, dq) in dq.chunks_mut(size).enumerate() {
                let head = kv * group + g;
                let (q, k, v) = self.qkv_of(&by_head, head);
                let head = attention::Head {
                    q,
                    k,
                    v,
                    out: &out[head * size..(head + 1) * size],
                    log_sum: &rest.log_sum[head * tokens..(head + 1) * tokens],
                    dout: &dout[head * size..(head + 1) * size],
                };
                attention::backward(self.tree, width, &head, dq, dk, dv);
            }
        };
        match self.threads {
            Threads::One => (dq.chunks_mut(group * size).zip(dk.chunks_mut(size)))
                .zip(dv.chunks_mut(size))
                .enumerate()
                .for_each(|(kv, ((dq, dk), dv))| work(kv, dq, dk, dv)),
            Threads::All => (dq.par_chunks_mut(group * size).zip(dk.par_chunks_mut(size)))
                .zip(dv.par_chunks_mut(size))
                .enumerate()
                .for_each(|(kv, ((dq, dk), dv))| work(kv, dq, dk, dv)),
        }

        let mut dprojected = buffers.take(rest.projected.len());
        let norms = self.offsets(layer).qk_norm;
        let (mut dq_norm, mut dk_norm) = (vec![0.0; width], vec![0.0; width]);
        let dnorms = norms.map(|_| (&mut dq_norm[..], &mut dk_norm[..]));
        heads_of_layer.backward(&rest.projected, &mut dby_head, &mut dprojected, dnorms);
        if let Some((q, k)) = norms {
            add(&mut gradient[q..q + width], &dq_norm);
            add(&mut gradient[k..k + width], &dk_norm);
        }
        for buffer in [by_head, out, dout, dby_head] {
            buffers.give(buffer);
        }
        dprojected
    }

    /// `out (op)= x W^T` with `W` `[columns, x's width]` at `weight`.
    fn linear(&self, x: &[f32], weight: usize, columns: usize, store: Store, out: &mut [f32]) {
        let tokens = self.tree.len();
        let width = x.len() / tokens;
        let w = Matrix::new(self.model.slice(weight, columns * width), columns, width);
        let x = Matrix::new(x, tokens, width);
        matmul(out, store, 1.0, x, w.t(), self.threads);
    }

    /// `dx = dout W` with `W` `[dout's width, width]` at `weight`.
    fn input_gradient(&self, dout: &[f32], weight: usize, width: usize, dx: &mut [f32]) {
        let tokens = self.tree.len();
        let rows = dout.len() / tokens;
        let w = Matrix::new(self.model.slice(weight, rows * width), rows, width);
        let dout = Matrix::new(dout, tokens, rows);
        matmul(dx, Store::Overwrite, 1.0, dout, w, self.threads);
    }

    /// `dW += dout^T x` with `dW` `[rows, x's width]` at `weight`.
    fn weight_gradient(
        &self,
        dout: &[f32],
        x: &[f32],
        weight: usize,
        rows: usize,
        gradient: &mut [f32],
    ) {
        let tokens = self.tree.len();
        let width = x.len() / tokens;
        let dw = &mut gradient[weight..weight + rows * width];
        let dout = Matrix::new(dout, tokens, rows);
        let x = Matrix::new(x, tokens, width);
        matmul(dw, Store::Add, 1.0, dout.t(), x, self.threads);
    }
}

/// `[heads, tokens, width]` to `[tokens, heads * width]`.
fn to_token_major(by_head: &[f32], tokens: usize, heads: usize, width: usize, out: &mut [f32]) {
    for head in 0..heads {
        for t in 0..tokens {
            let from = (head * tokens + t) * width;
            let to = (t * heads + head) * width;
            out[to..to + width].copy_from_slice(&by_head[from..from + width]);
        }
    }
}

/// `[tokens, heads * width]` to `[heads, tokens, width]`.
fn to_head_major(by_token: &[f32], tokens: usize, heads: usize, width: usize, out: &mut [f32]) {
    for head in 0..heads {
        for t in 0..tokens {
            let from = (t * heads + head) * width;
            let to = (head * tokens + t) * width;
            out[to..to + width].copy_from_slice(&by_token[from..from + width]);
        }
    }
}

mod head;
