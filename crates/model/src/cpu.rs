//! The operations of a pass on this machine's processors, in f32.
//!
//! Work is spread over all threads by blocks of rows. A row's numbers do not depend on its block,
//! and sums over rows are taken part by part in the order of the rows: the outcome is the same to
//! the last bit on however many threads.

mod head;

use rayon::prelude::*;

use crate::attention::{self, Direction, Given, Inputs, dots};
use crate::backend::{Attended, Backend, Done, Linear, Predicted, Projection};
use crate::buffers::{Buffer, Buffers};
use crate::numeric::{add, rms_norm, rms_norm_backward, swiglu, swiglu_backward};
use crate::operations::Carrier;
use crate::parameters::LayerOffsets;
use crate::product::{Matrix, MatrixMut, Store, product_on_all};
use crate::profile::{Phase, Stopwatch};
use crate::rotary::{Heads, Rotary, rotate_heads_backward};
use crate::{Model, TokenTree};

/// Sums over rows are made of parts of this many rows, whatever the threads.
const PARTIAL: usize = 64;

/// Computes with a model's weights where they are.
pub(crate) struct Cpu<'m> {
    pub(crate) model: &'m Model,
    pub(crate) buffers: Buffers,
}

/// A tree and what attention needs to know of its tokens.
pub(crate) struct Forest {
    tree: TokenTree,
    positions: Vec<usize>,
    rotary: Rotary,
}

impl Cpu<'_> {
    fn vector(&self, offset: usize, len: usize) -> &[f32] {
        self.model.vector(offset, len)
    }

    fn heads<'a>(&'a self, at: &LayerOffsets, rotary: &'a Rotary) -> Heads<'a> {
        let a = &self.model.architecture;
        Heads {
            rotary,
            heads: a.heads,
            kv_heads: a.kv_heads,
            width: a.head_dim,
            eps: a.rms_norm_eps,
            norms: (at.qk_norm).map(|(q, k)| {
                let of = |offset| self.vector(offset, a.head_dim);
                (of(q), of(k))
            }),
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

    /// `out (op)= x W^T + bias` and what an adapter adds to it, block by block.
    fn forward(&self, linear: Linear, x: &[f32], store: Store, out: &mut [f32]) {
        let Linear {
            inputs, outputs, ..
        } = linear;
        let block = block(x.len() / inputs);
        let w = self.model.matrix(linear.weight, outputs, inputs);
        let bias = linear.bias.map(|bias| self.vector(bias, outputs));
        (x.par_chunks(block * inputs))
            .zip(out.par_chunks_mut(block * outputs))
            .for_each(|(x, out)| {
                let rows = x.len() / inputs;
                let whole = MatrixMut::new(&mut *out, rows, outputs);
                (w.t()).product(whole, store, 1.0, Matrix::new(x, rows, inputs));
                if let Some(adapter) = &self.model.adapter {
                    adapter.add(linear.weight, x, out);
                }
                if let Some(bias) = bias {
                    for row in out.chunks_exact_mut(outputs) {
                        add(row, bias);
                    }
                }
            });
    }

    /// `dx = dout W` and what goes through an adapter, then `dW += dout^T x` or the gradients of
    /// the adapter beside it.
    fn backward(&self, linear: Linear, x: &[f32], dout: &[f32], gradient: &mut [f32]) -> Buffer {
        let Linear {
            inputs,
            outputs,
            weight,
            ..
        } = linear;
        let rows = x.len() / inputs;
        let block = block(rows);
        let mut watch = Stopwatch::start();
        let mut dx = self.buffers.take(rows * inputs);
        let w = self.model.matrix(weight, outputs, inputs);
        (dout.par_chunks(block * outputs))
            .zip(dx.par_chunks_mut(block * inputs))
            .for_each(|(dout, dx)| {
                let rows = dout.len() / outputs;
                let whole = MatrixMut::new(&mut *dx, rows, inputs);
                let dout_rows = Matrix::new(dout, rows, outputs);
                w.product(whole, Store::Overwrite, 1.0, dout_rows);
                if let Some(adapter) = &self.model.adapter {
                    adapter.input_gradient(weight, dout, dx);
                }
            });
        watch.lap_on_all(phases(linear.projection).1);
        if let Some(bias) = linear.bias {
            self.add_gradient(bias, dout, outputs, gradient);
        }
        match &self.model.adapter {
            Some(adapter) => adapter.weight_gradient(weight, dout, x, gradient),
            None => {
                let dw = &mut gradient[weight..weight + outputs * inputs];
                product_on_all(
                    MatrixMut::new(dw, outputs, inputs),
                    Store::Add,
                    1.0,
                    Matrix::new(dout, rows, outputs).t(),
                    Matrix::new(x, rows, inputs),
                );
            }
        }
        watch.lap_on_all(Phase::WeightGradient);
        dx
    }
}

impl Backend for Cpu<'_> {
    type Exact = Buffer;
    type Narrow = Buffer;
    type Forest = Forest;
    type Gradient = [f32];

    fn model(&self) -> &Model {
        self.model
    }

    fn forest(&mut self, tree: &TokenTree) -> Done<Forest> {
        let positions: Vec<usize> = (0..tree.len()).map(|at| tree.position(at)).collect();
        let length = positions.iter().max().map_or(0, |last| last + 1);
        Ok(Forest {
            tree: tree.clone(),
            positions,
            rotary: Rotary::new(&self.model.architecture, length),
        })
    }

    fn embed(&mut self, forest: &Forest) -> Done<Buffer> {
        let mut watch = Stopwatch::start();
        let hidden = self.model.architecture.hidden_size;
        let mut x = self.buffers.take(forest.tree.len() * hidden);
        for (row, &token) in x.chunks_exact_mut(hidden).zip(forest.tree.tokens()) {
            self.model.embedding_row(token, row);
        }
        watch.lap(Phase::Embedding);
        Ok(x)
    }

    fn embed_backward(&mut self, forest: &Forest, dx: &Buffer, gradient: &mut [f32]) -> Done {
        let mut watch = Stopwatch::start();
        if self.model.adapter.is_none() {
            let hidden = self.model.architecture.hidden_size;
            let at = self.model.layout().embed;
            for (row, &token) in dx.chunks_exact(hidden).zip(forest.tree.tokens()) {
                add(&mut gradient[at + token as usize * hidden..][..hidden], row);
            }
        }
        watch.lap(Phase::EmbeddingBackward);
        Ok(())
    }

    fn norm(&mut self, gain: usize, x: &Buffer) -> Done<Buffer> {
        let mut watch = Stopwatch::start();
        let a = &self.model.architecture;
        let hidden = a.hidden_size;
        let block = block(x.len() / hidden) * hidden;
        let gain = self.vector(gain, hidden);
        let mut out = self.buffers.take(x.len());
        (x.par_chunks(block))
            .zip(out.par_chunks_mut(block))
            .for_each(|(x, out)| rms_norm(x, gain, a.rms_norm_eps, out));
        watch.lap_on_all(Phase::Norm);
        Ok(out)
    }

    fn norm_backward(
        &mut self,
        gain: usize,
        x: &Buffer,
        dnormed: &Buffer,
        dx: &mut Buffer,
        gradient: &mut [f32],
    ) -> Done {
        let mut watch = Stopwatch::start();
        let a = &self.model.architecture;
        let hidden = a.hidden_size;
        let part = PARTIAL * hidden;
        let gains = self.vector(gain, hidden);
        let mut partials = self.buffers.zeros(x.len().div_ceil(part) * hidden);
        (
            x.par_chunks(part),
            dnormed.par_chunks(part),
            dx.par_chunks_mut(part),
            partials.par_chunks_mut(hidden),
        )
            .into_par_iter()
            .for_each(|(x, dnormed, dx, dgain)| {
                rms_norm_backward(x, gains, a.rms_norm_eps, dnormed, dx, dgain);
            });
        self.add_gradient(gain, &partials, hidden, gradient);
        watch.lap_on_all(Phase::NormBackward);
        Ok(())
    }

    fn linear(&mut self, linear: Linear, x: &Buffer) -> Done<Buffer> {
        let mut watch = Stopwatch::start();
        let rows = x.len() / linear.inputs;
        let mut out = self.buffers.take(rows * linear.outputs);
        self.forward(linear, x, Store::Overwrite, &mut out);
        watch.lap_on_all(phases(linear.projection).0);
        Ok(out)
    }

    fn add_linear(&mut self, linear: Linear, x: &Buffer, onto: &Buffer) -> Done<Buffer> {
        let mut watch = Stopwatch::start();
        let mut out = self.buffers.take(onto.len());
        out.copy_from_slice(onto);
        self.forward(linear, x, Store::Add, &mut out);
        watch.lap_on_all(phases(linear.projection).0);
        Ok(out)
    }

    fn linear_backward(
        &mut self,
        linear: Linear,
        x: &Buffer,
        dout: &Buffer,
        gradient: &mut [f32],
    ) -> Done<Buffer> {
        Ok(self.backward(linear, x, dout, gradient))
    }

    fn add_linear_backward(
        &mut self,
        linear: Linear,
        x: &Buffer,
        dout: &Buffer,
        gradient: &mut [f32],
    ) -> Done<Buffer> {
        Ok(self.backward(linear, x, dout, gradient))
    }

    fn swiglu(&mut self, gate_up: &Buffer) -> Done<Buffer> {
        let mut watch = Stopwatch::start();
        let ffn = self.model.architecture.intermediate_size;
        let block = block(gate_up.len() / (2 * ffn)) * ffn;
        let mut gated = self.buffers.take(gate_up.len() / 2);
        (gate_up.par_chunks(2 * block))
            .zip(gated.par_chunks_mut(block))
            .for_each(|(gate_up, gated)| swiglu(gate_up, ffn, gated));
        watch.lap_on_all(Phase::Swiglu);
        Ok(gated)
    }

    fn swiglu_backward(&mut self, gate_up: &mut Buffer, dgated: &Buffer) -> Done {
        let mut watch = Stopwatch::start();
        let ffn = self.model.architecture.intermediate_size;
        let block = block(gate_up.len() / (2 * ffn)) * ffn;
        (gate_up.par_chunks_mut(2 * block))
            .zip(dgated.par_chunks(block))
            .for_each(|(gate_up, dgated)| swiglu_backward(gate_up, ffn, dgated));
        watch.lap_on_all(Phase::SwigluBackward);
        Ok(())
    }

    fn attend(
        &mut self,
        at: &LayerOffsets,
        forest: &Forest,
        projected: &Buffer,
    ) -> Done<(Buffer, Buffer)> {
        let mut watch = Stopwatch::start();
        let a = &self.model.architecture;
        let inputs = Inputs::new(
            &forest.tree,
            self.heads(at, &forest.rotary),
            &forest.positions,
            projected,
            Direction::Forward,
            &self.buffers,
        );
        watch.lap_on_all(Phase::Layout);
        let tokens = forest.tree.len();
        let mut attended = self.buffers.take(tokens * a.query_size());
        let mut log_sum = self.buffers.take(tokens * a.heads);
        attention::forward(&inputs, &mut attended, &mut log_sum);
        watch.lap_on_all(Phase::Attention);
        Ok((attended, log_sum))
    }

    fn attend_backward(
        &mut self,
        at: &LayerOffsets,
        forest: &Forest,
        forward: Attended<'_, Self>,
        dattended: Buffer,
        gradient: &mut [f32],
    ) -> Done<Buffer> {
        let mut watch = Stopwatch::start();
        let a = &self.model.architecture;
        let (tokens, query, width) = (forest.tree.len(), a.query_size(), a.head_dim);
        let heads = self.heads(at, &forest.rotary);
        let rows = block(tokens);
        let mut delta = self.buffers.take(tokens * a.heads);
        (
            forward.attended.par_chunks(rows * query),
            dattended.par_chunks(rows * query),
            delta.par_chunks_mut(rows * a.heads),
        )
            .into_par_iter()
            .for_each(|(out, dout, delta)| dots(out, dout, width, delta));
        watch.lap_on_all(Phase::AttentionBackward);
        let inputs = Inputs::new(
            &forest.tree,
            heads,
            &forest.positions,
            forward.projected,
            Direction::Backward,
            &self.buffers,
        );
        watch.lap_on_all(Phase::LayoutBackward);
        let given = Given {
            log_sum: forward.log_sum,
            delta: &delta,
            dout: &dattended,
        };
        let by_head = attention::backward(&inputs, given, &self.buffers);
        watch.lap_on_all(Phase::AttentionBackward);
        drop((inputs, delta, dattended));

        let part = PARTIAL * heads.columns();
        let mut dprojected = self.buffers.take(tokens * heads.columns());
        let mut dgains = self.buffers.zeros(tokens.div_ceil(PARTIAL) * 2 * width);
        (
            forward.projected.par_chunks(part),
            dprojected.par_chunks_mut(part),
            forest.positions.par_chunks(PARTIAL),
            dgains.par_chunks_mut(2 * width),
        )
            .into_par_iter()
            .enumerate()
            .for_each(|(i, (projected, dprojected, positions, dgains))| {
                by_head.token_major(heads, i * PARTIAL, dprojected);
                rotate_heads_backward(heads, projected, positions, dprojected, dgains);
            });
        if let Some((q, k)) = at.qk_norm {
            // The two gains may not be neighbours.
            for partial in dgains.chunks_exact(2 * width) {
                self.add_gradient(q, &partial[..width], width, gradient);
                self.add_gradient(k, &partial[width..], width, gradient);
            }
        }
        watch.lap_on_all(Phase::LayoutBackward);
        Ok(dprojected)
    }

    fn zeros(&mut self, rows: usize, width: usize) -> Done<Buffer> {
        Ok(self.buffers.zeros(rows * width))
    }

    fn gather(&mut self, x: &Buffer, width: usize, places: &[usize]) -> Done<Buffer> {
        let mut rows = self.buffers.take(places.len() * width);
        (rows.par_chunks_exact_mut(width))
            .zip(places)
            .for_each(|(row, &at)| row.copy_from_slice(&x[at * width..(at + 1) * width]));
        Ok(rows)
    }

    fn scatter(&mut self, rows: &Buffer, width: usize, places: &[usize], x: &mut Buffer) -> Done {
        for (row, &at) in rows.chunks_exact(width).zip(places) {
            add(&mut x[at * width..(at + 1) * width], row);
        }
        Ok(())
    }

    fn logits(&mut self, normed: &Buffer) -> Done<Buffer> {
        Ok(self.logits_of(normed))
    }

    fn logprobs(&mut self, logits: &Buffer, tokens: &[u32]) -> Done<(Vec<f32>, Vec<f32>)> {
        Ok(head::logprobs(logits, tokens))
    }

    fn logprobs_backward(&mut self, logits: Buffer, rows: Predicted<'_>) -> Done<Buffer> {
        Ok(head::logprobs_backward(
            logits,
            rows,
            1.0 / self.model.temperature,
        ))
    }

    fn logits_backward(
        &mut self,
        normed: &Buffer,
        dlogits: &Buffer,
        gradient: &mut [f32],
    ) -> Done<Buffer> {
        Ok(self.logits_gradient(normed, dlogits, gradient))
    }
}

impl Carrier for Cpu<'_> {
    fn put(&mut self, numbers: &[f32]) -> Done<Buffer> {
        let mut buffer = self.buffers.take(numbers.len());
        buffer.copy_from_slice(numbers);
        Ok(buffer)
    }

    fn put_narrow(&mut self, numbers: &[f32]) -> Done<Buffer> {
        self.put(numbers)
    }

    fn get(&self, numbers: &Buffer) -> Done<Vec<f32>> {
        Ok(numbers.to_vec())
    }

    fn get_narrow(&self, numbers: &Buffer) -> Done<Vec<f32>> {
        self.get(numbers)
    }
}

/// The phases of a product, forward and backward.
fn phases(projection: Projection) -> (Phase, Phase) {
    match projection {
        Projection::Qkv => (Phase::Qkv, Phase::QkvBackward),
        Projection::Output => (Phase::Output, Phase::OutputBackward),
        Projection::GateUp => (Phase::GateUp, Phase::GateUpBackward),
        Projection::Down => (Phase::Down, Phase::DownBackward),
    }
}

/// Rows that a thread takes at a time: enough that packing a weight costs little, few enough
/// that every thread has some. A multiple of [`PARTIAL`].
fn block(rows: usize) -> usize {
    let each = rows.div_ceil(rayon::current_num_threads());
    each.next_multiple_of(PARTIAL).clamp(PARTIAL, 512)
}
