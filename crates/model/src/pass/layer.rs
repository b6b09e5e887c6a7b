//! One layer forward and backward: RMSNorm, grouped-query attention, RMSNorm, SwiGLU (Touvron et
//! al. 2023; Yang et al. 2025 for the query and key norms), in the names of this file:
//!
//! ```text
//! x -> norm -> projected -> heads -> attended -> o -> (+x) mid -> norm -> gate_up -> swiglu -> down -> (+mid)
//! ```

use rayon::prelude::*;

use super::{PARTIAL, Pass, Rest, block};
use crate::attention::{self, Direction, Given, Gradients, Inputs, dots};
use crate::buffers::Buffers;
use crate::numeric::{add, rms_norm, rms_norm_backward, swiglu, swiglu_backward};
use crate::product::{Matrix, MatrixMut, Store, product_on_all};
use crate::profile::{Phase, Stopwatch};
use crate::rotary::rotate_heads_backward;

impl Pass<'_> {
    /// What the backward pass needs, and the layer's output.
    pub(super) fn layer_forward(
        &self,
        layer: usize,
        x: &[f32],
        buffers: &mut Buffers,
    ) -> (Rest, Vec<f32>) {
        let a = &self.model.architecture;
        let tokens = self.tree.len();
        let block = block(tokens);
        let (hidden, ffn, query) = (a.hidden_size, a.intermediate_size, a.query_size());
        let at = self.offsets(layer);
        let heads = self.heads(layer);
        let columns = heads.columns();

        let mut normed = buffers.take(tokens * hidden);
        let mut projected = buffers.take(tokens * columns);
        let bias = at.qkv_bias.map(|bias| self.model.vector(bias, columns));
        (
            x.par_chunks(block * hidden),
            normed.par_chunks_mut(block * hidden),
            projected.par_chunks_mut(block * columns),
        )
            .into_par_iter()
            .for_each(|(x, normed, projected)| {
                let mut watch = Stopwatch::start();
                self.norm(at.input_norm, x, normed);
                watch.lap(Phase::Norm);
                self.linear(normed, at.qkv, Store::Overwrite, projected, columns);
                if let Some(bias) = bias {
                    for row in projected.chunks_exact_mut(columns) {
                        add(row, bias);
                    }
                }
                watch.lap(Phase::Qkv);
            });

        let mut watch = Stopwatch::start();
        let direction = Direction::Forward;
        let inputs = Inputs::new(
            self.tree,
            heads,
            &self.positions,
            &projected,
            direction,
            buffers,
        );
        watch.lap_on_all(Phase::Layout);
        let mut attended = buffers.take(tokens * query);
        let mut log_sum = buffers.take(tokens * a.heads);
        attention::forward(&inputs, &mut attended, &mut log_sum);
        watch.lap_on_all(Phase::Attention);
        inputs.give(buffers);

        let mut mid = buffers.take(tokens * hidden);
        let mut gate_up = buffers.take(tokens * 2 * ffn);
        let mut gated = buffers.take(tokens * ffn);
        let mut out = buffers.take(tokens * hidden);
        (
            x.par_chunks(block * hidden),
            attended.par_chunks(block * query),
            mid.par_chunks_mut(block * hidden),
            normed.par_chunks_mut(block * hidden),
            gate_up.par_chunks_mut(block * 2 * ffn),
            gated.par_chunks_mut(block * ffn),
            out.par_chunks_mut(block * hidden),
        )
            .into_par_iter()
            .for_each(|(x, attended, mid, normed, gate_up, gated, out)| {
                let mut watch = Stopwatch::start();
                mid.copy_from_slice(x);
                self.linear(attended, at.o, Store::Add, mid, hidden);
                watch.lap(Phase::Output);
                self.norm(at.post_norm, mid, normed);
                watch.lap(Phase::Norm);
                self.linear(normed, at.gate_up, Store::Overwrite, gate_up, 2 * ffn);
                watch.lap(Phase::GateUp);
                swiglu(gate_up, ffn, gated);
                watch.lap(Phase::Swiglu);
                out.copy_from_slice(mid);
                self.linear(gated, at.down, Store::Add, out, hidden);
                watch.lap(Phase::Down);
            });
        buffers.give(normed);
        buffers.give(gated);
        let rest = Rest {
            projected,
            attended,
            log_sum,
            mid,
            gate_up,
        };
        (rest, out)
    }

    /// From the gradient of the layer's output to that of its input.
    pub(super) fn layer_backward(
        &self,
        layer: usize,
        x: &[f32],
        mut rest: Rest,
        dout: Vec<f32>,
        gradient: &mut [f32],
        buffers: &mut Buffers,
    ) -> Vec<f32> {
        let mut dx = self.feed_forward_backward(layer, &mut rest, dout, gradient, buffers);
        self.attention_backward(layer, x, &rest, &mut dx, gradient, buffers);
        rest.give(buffers);
        dx
    }

    /// From the gradient of the layer's output to that of `mid`. Leaves the gradient of
    /// `gate_up` in its place.
    fn feed_forward_backward(
        &self,
        layer: usize,
        rest: &mut Rest,
        dout: Vec<f32>,
        gradient: &mut [f32],
        buffers: &mut Buffers,
    ) -> Vec<f32> {
        let a = &self.model.architecture;
        let tokens = self.tree.len();
        let block = block(tokens);
        let (hidden, ffn) = (a.hidden_size, a.intermediate_size);
        let wide = hidden.max(ffn);
        let at = self.offsets(layer);
        let mut gated = buffers.take(tokens * ffn);
        let mut normed = buffers.take(tokens * hidden);
        let mut dmid = buffers.take(tokens * hidden);
        let mut scratch = buffers.take(tokens * wide);
        let mut dnorm = buffers.zeros(tokens.div_ceil(PARTIAL) * hidden);
        (
            dout.par_chunks(block * hidden),
            rest.mid.par_chunks(block * hidden),
            rest.gate_up.par_chunks_mut(block * 2 * ffn),
            gated.par_chunks_mut(block * ffn),
            normed.par_chunks_mut(block * hidden),
            dmid.par_chunks_mut(block * hidden),
            scratch.par_chunks_mut(block * wide),
            dnorm.par_chunks_mut(block / PARTIAL * hidden),
        )
            .into_par_iter()
            .for_each(
                |(dout, mid, gate_up, gated, normed, dmid, scratch, dnorm)| {
                    let rows = mid.len() / hidden;
                    let mut watch = Stopwatch::start();
                    swiglu(gate_up, ffn, gated);
                    watch.lap(Phase::SwigluBackward);
                    let dgated = &mut scratch[..rows * ffn];
                    self.input_gradient(dout, at.down, hidden, dgated);
                    watch.lap(Phase::DownBackward);
                    swiglu_backward(gate_up, ffn, dgated);
                    watch.lap(Phase::SwigluBackward);
                    self.norm(at.post_norm, mid, normed);
                    watch.lap(Phase::NormBackward);
                    let dnormed = &mut scratch[..rows * hidden];
                    self.input_gradient(gate_up, at.gate_up, 2 * ffn, dnormed);
                    watch.lap(Phase::GateUpBackward);
                    dmid.copy_from_slice(dout);
                    self.norm_backward(at.post_norm, mid, dnormed, dmid, dnorm);
                    watch.lap(Phase::NormBackward);
                },
            );
        self.weight_gradient(&dout, &gated, at.down, hidden, gradient);
        self.weight_gradient(&rest.gate_up, &normed, at.gate_up, 2 * ffn, gradient);
        self.add_gradient(at.post_norm, &dnorm, hidden, gradient);
        for buffer in [dout, gated, normed, scratch, dnorm] {
            buffers.give(buffer);
        }
        dmid
    }

    /// From the gradient of `mid` to that of the layer's input, in its place.
    fn attention_backward(
        &self,
        layer: usize,
        x: &[f32],
        rest: &Rest,
        dmid: &mut [f32],
        gradient: &mut [f32],
        buffers: &mut Buffers,
    ) {
        let a = &self.model.architecture;
        let tokens = self.tree.len();
        let block = block(tokens);
        let (hidden, query) = (a.hidden_size, a.query_size());
        let at = self.offsets(layer);
        let heads = self.heads(layer);

        let mut dattended = buffers.take(attention::with_margin(tokens * query));
        let mut delta = buffers.take(tokens * a.heads);
        (
            dmid.par_chunks(block * hidden),
            rest.attended.par_chunks(block * query),
            dattended[..tokens * query].par_chunks_mut(block * query),
            delta.par_chunks_mut(block * a.heads),
        )
            .into_par_iter()
            .for_each(|(dmid, attended, dattended, delta)| {
                let mut watch = Stopwatch::start();
                self.input_gradient(dmid, at.o, hidden, dattended);
                watch.lap(Phase::OutputBackward);
                dots(attended, dattended, a.head_dim, delta);
                watch.lap(Phase::AttentionBackward);
            });
        self.weight_gradient(dmid, &rest.attended, at.o, hidden, gradient);
        let mut watch = Stopwatch::start();
        let direction = Direction::Backward;
        let inputs = Inputs::new(
            self.tree,
            heads,
            &self.positions,
            &rest.projected,
            direction,
            buffers,
        );
        watch.lap_on_all(Phase::LayoutBackward);
        let given = Given {
            log_sum: &rest.log_sum,
            delta: &delta,
            dout: &dattended,
        };
        let by_head = attention::backward(&inputs, given, buffers);
        watch.lap_on_all(Phase::AttentionBackward);
        inputs.give(buffers);
        buffers.give(dattended);
        buffers.give(delta);
        self.projection_backward(layer, x, &rest.projected, by_head, dmid, gradient, buffers);
    }

    /// From the gradients of queries, keys and values to that of the layer's input, which is
    /// added to `dx`.
    #[expect(clippy::too_many_arguments, reason = "one step of a backward pass")]
    fn projection_backward(
        &self,
        layer: usize,
        x: &[f32],
        projected: &[f32],
        by_head: Gradients,
        dx: &mut [f32],
        gradient: &mut [f32],
        buffers: &mut Buffers,
    ) {
        let a = &self.model.architecture;
        let tokens = self.tree.len();
        let block = block(tokens);
        let (hidden, width) = (a.hidden_size, a.head_dim);
        let at = self.offsets(layer);
        let heads = self.heads(layer);
        let columns = heads.columns();
        let mut normed = buffers.take(tokens * hidden);
        let mut dnormed = buffers.take(tokens * hidden);
        let mut dprojected = buffers.take(tokens * columns);
        let blocks = tokens.div_ceil(PARTIAL);
        let mut dnorm = buffers.zeros(blocks * hidden);
        let mut dhead_norms = buffers.zeros(blocks * 2 * width);
        (
            x.par_chunks(block * hidden),
            projected.par_chunks(block * columns),
            normed.par_chunks_mut(block * hidden),
            dnormed.par_chunks_mut(block * hidden),
            dprojected.par_chunks_mut(block * columns),
            dx.par_chunks_mut(block * hidden),
            dnorm.par_chunks_mut(block / PARTIAL * hidden),
            dhead_norms.par_chunks_mut(block / PARTIAL * 2 * width),
            self.positions.par_chunks(block),
        )
            .into_par_iter()
            .enumerate()
            .for_each(
                |(
                    i,
                    (x, projected, normed, dnormed, dprojected, dx, dnorm, dhead_norms, positions),
                )| {
                    let mut watch = Stopwatch::start();
                    by_head.token_major(heads, i * block, dprojected);
                    let parts = (projected.chunks(PARTIAL * columns))
                        .zip(dprojected.chunks_mut(PARTIAL * columns))
                        .zip(positions.chunks(PARTIAL))
                        .zip(dhead_norms.chunks_mut(2 * width));
                    for (((projected, dprojected), positions), dnorms) in parts {
                        rotate_heads_backward(heads, projected, positions, dprojected, dnorms);
                    }
                    watch.lap(Phase::LayoutBackward);
                    self.norm(at.input_norm, x, normed);
                    watch.lap(Phase::NormBackward);
                    self.input_gradient(dprojected, at.qkv, columns, dnormed);
                    watch.lap(Phase::QkvBackward);
                    self.norm_backward(at.input_norm, x, dnormed, dx, dnorm);
                    watch.lap(Phase::NormBackward);
                },
            );
        self.weight_gradient(&dprojected, &normed, at.qkv, columns, gradient);
        self.add_gradient(at.input_norm, &dnorm, hidden, gradient);
        if let Some((q, k)) = at.qk_norm {
            // The two gains may not be neighbours.
            for partial in dhead_norms.chunks_exact(2 * width) {
                self.add_gradient(q, &partial[..width], width, gradient);
                self.add_gradient(k, &partial[width..], width, gradient);
            }
        }
        if let Some(bias) = at.qkv_bias {
            self.add_gradient(bias, &dprojected, columns, gradient);
        }
        by_head.give(buffers);
        for buffer in [normed, dnormed, dprojected, dnorm, dhead_norms] {
            buffers.give(buffer);
        }
    }

    pub(super) fn norm(&self, weight: usize, x: &[f32], out: &mut [f32]) {
        let a = &self.model.architecture;
        let weight = self.model.vector(weight, a.hidden_size);
        rms_norm(x, weight, a.rms_norm_eps, out);
    }

    /// Adds to `dx`, and for each part of the rows to its row of `dweight`.
    pub(super) fn norm_backward(
        &self,
        weight: usize,
        x: &[f32],
        dout: &[f32],
        dx: &mut [f32],
        dweight: &mut [f32],
    ) {
        let a = &self.model.architecture;
        let weight = self.model.vector(weight, a.hidden_size);
        let size = PARTIAL * a.hidden_size;
        let parts = (x.chunks(size).zip(dout.chunks(size)))
            .zip(dx.chunks_mut(size).zip(dweight.chunks_mut(a.hidden_size)));
        for ((x, dout), (dx, dweight)) in parts {
            rms_norm_backward(x, weight, a.rms_norm_eps, dout, dx, dweight);
        }
    }

    /// `out (op)= x W^T` with `W` `[columns, x's width]` at `weight`, and what an adapter adds to
    /// it, on the calling thread.
    fn linear(&self, x: &[f32], weight: usize, store: Store, out: &mut [f32], columns: usize) {
        let rows = out.len() / columns;
        let width = x.len() / rows;
        let w = self.model.matrix(weight, columns, width);
        let whole = MatrixMut::new(&mut *out, rows, columns);
        w.t()
            .product(whole, store, 1.0, Matrix::new(x, rows, width));
        if let Some(adapter) = &self.model.adapter {
            adapter.add(weight, x, out);
        }
    }

    /// `dx = dout W` with `W` `[columns, dx's width]` at `weight`, and what an adapter adds to
    /// it, on the calling thread.
    fn input_gradient(&self, dout: &[f32], weight: usize, columns: usize, dx: &mut [f32]) {
        let rows = dout.len() / columns;
        let width = dx.len() / rows;
        let w = self.model.matrix(weight, columns, width);
        let whole = MatrixMut::new(&mut *dx, rows, width);
        w.product(
            whole,
            Store::Overwrite,
            1.0,
            Matrix::new(dout, rows, columns),
        );
        if let Some(adapter) = &self.model.adapter {
            adapter.input_gradient(weight, dout, dx);
        }
    }

    /// `dW += dout^T x` with `dW` `[rows, x's width]` at `weight`, or the gradients of the
    /// adapter beside it, on all threads.
    fn weight_gradient(
        &self,
        dout: &[f32],
        x: &[f32],
        weight: usize,
        rows: usize,
        gradient: &mut [f32],
    ) {
        let mut watch = Stopwatch::start();
        if let Some(adapter) = &self.model.adapter {
            adapter.weight_gradient(weight, dout, x, gradient);
            return watch.lap_on_all(Phase::WeightGradient);
        }
        let tokens = self.tree.len();
        let width = x.len() / tokens;
        let dw = MatrixMut::new(&mut gradient[weight..weight + rows * width], rows, width);
        let dout = Matrix::new(dout, tokens, rows);
        product_on_all(dw, Store::Add, 1.0, dout.t(), Matrix::new(x, tokens, width));
        watch.lap_on_all(Phase::WeightGradient);
    }
}
