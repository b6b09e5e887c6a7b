//! The CPU's decoder for inference: one pass over rows of many sequences, each row a token at the end
//! of what its sequence's blocks hold. A row's numbers depend on its own tokens alone.

use rayon::prelude::*;

use super::attend::{Meetings, Queries, attend};
use super::batch::{Batch, Choice, Decode};
use super::blocks::BlockId;
use super::linear::{Linear, Shared, gated};
use super::pages::{Pages, Shape};
use crate::Model;
use crate::backend::Done;
use crate::numeric::rms_norm;
use crate::profile::{Phase, Stopwatch};
use crate::rotary::{Heads, Rotary, rotate_heads};
use crate::sampling::{Sampling, choose};

/// Rows of prompts and observations that go through the layers together.
const TOGETHER: usize = 512;
/// Rows that a thread norms together: fewer are done before a second thread has heard of them.
const ROWS: usize = 64;
/// Rows that a thread adapts together.
const ADAPTED: usize = 16;

/// One layer's weights.
struct Layer {
    qkv: Linear,
    o: Linear,
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// Numbers of all rows, `[rows, …]` each, reused from pass to pass.
#[derive(Default)]
struct Rows {
    /// The residual stream.
    x: Vec<f32>,
    normed: Vec<f32>,
    projected: Vec<f32>,
    rotated: Vec<f32>,
    attended: Vec<f32>,
    gated: Vec<f32>,
    /// What an adapter adds to gate and up.
    adapted: Vec<f32>,
    logits: Vec<f32>,
}

pub(crate) struct Decoder<'m> {
    model: &'m Model,
    rotary: Rotary,
    layers: Vec<Layer>,
    head: Linear,
    pages: Pages,
    rows: Rows,
    meetings: Meetings,
    /// The numbers of each span's block, while they are written.
    written: Vec<Vec<f32>>,
}

impl<'m> Decoder<'m> {
    pub(crate) fn new(model: &'m Model, positions: usize) -> Self {
        let a = &model.architecture;
        let (hidden, ffn) = (a.hidden_size, a.intermediate_size);
        let mut watch = Stopwatch::start();
        let pack = |offset, outputs, inputs| Linear::new(model.matrix(offset, outputs, inputs));
        let layers = (model.layout().layers.iter())
            .map(|at| Layer {
                qkv: pack(at.qkv, (a.heads + 2 * a.kv_heads) * a.head_dim, hidden),
                o: pack(at.o, hidden, a.heads * a.head_dim),
                gate: pack(at.gate_up, ffn, hidden),
                up: pack(at.gate_up + ffn * hidden, ffn, hidden),
                down: pack(at.down, hidden, ffn),
            })
            .collect();
        let head = Linear::new(model.head());
        watch.lap_on_all(Phase::Packing);
        Self {
            model,
            rotary: Rotary::new(a, positions),
            layers,
            head,
            pages: Pages::new(Shape::of(a)),
            rows: Rows::default(),
            meetings: Meetings::default(),
            written: Vec::new(),
        }
    }

    /// What follows every row: logits, `[rows, vocabulary]`.
    fn predict(&mut self, batch: &Batch) -> &mut [f32] {
        self.begin(batch);
        for layer in 0..self.layers.len() {
            self.write(layer, batch);
            self.rest_of(layer, batch);
        }
        let Rows {
            x, normed, logits, ..
        } = &mut self.rows;
        let mut watch = Stopwatch::start();
        norm(self.model, self.model.layout().norm, x, normed);
        watch.lap_on_all(Phase::Norm);
        logits.resize(batch.rows() * self.head.outputs(), 0.0);
        self.head.apply(normed, None, logits);
        watch.lap_on_all(Phase::Head);
        logits
    }

    /// Embeds the rows, and finds out which blocks they meet.
    fn begin(&mut self, batch: &Batch) {
        let a = &self.model.architecture;
        let count = batch.rows();
        let rows = &mut self.rows;
        for (buffer, width) in [
            (&mut rows.x, a.hidden_size),
            (&mut rows.normed, a.hidden_size),
            (&mut rows.projected, (a.heads + 2 * a.kv_heads) * a.head_dim),
            (&mut rows.rotated, (a.heads + a.kv_heads) * a.head_dim),
            (&mut rows.attended, a.heads * a.head_dim),
            (&mut rows.gated, a.intermediate_size),
        ] {
            buffer.resize(count * width, 0.0);
        }
        let embeddings = rows.x.chunks_exact_mut(a.hidden_size);
        for (row, &token) in embeddings.zip(&batch.tokens) {
            self.model.embedding_row(token, row);
        }
        self.meetings.plan(batch, a.heads / a.kv_heads);
    }

    /// A layer's queries, keys and values; the last two go into the cache.
    fn write(&mut self, layer: usize, batch: &Batch) {
        let at = &self.model.layout().layers[layer];
        let heads = heads(self.model, &self.rotary, layer);
        let (columns, rotated) = (heads.columns(), heads.rotated());
        let rows = &mut self.rows;
        let mut watch = Stopwatch::start();
        norm(self.model, at.input_norm, &rows.x, &mut rows.normed);
        watch.lap_on_all(Phase::Norm);
        let bias = at.qkv_bias.map(|bias| self.model.vector(bias, columns));
        (self.layers[layer].qkv).apply(&rows.normed, bias, &mut rows.projected);
        adapt(
            self.model,
            at.qkv,
            &rows.normed,
            batch.rows(),
            &mut rows.projected,
        );
        watch.lap_on_all(Phase::Qkv);

        let (pages, positions) = (&mut self.pages, &batch.positions);
        (self.written).extend(batch.spans.iter().map(|span| pages.take(batch.block(span))));
        let (shape, projected) = (pages.shape, &rows.projected);
        let out = Shared::new(&mut rows.rotated, rotated);
        let spans = self.written.par_iter_mut().zip(&batch.spans);
        spans.for_each(|(block, span)| {
            for (i, row) in span.rows.clone().enumerate() {
                let from = &projected[row * columns..(row + 1) * columns];
                #[expect(unsafe_code, reason = "rows are written by several threads")]
                // SAFETY: every row is in one span.
                let to = unsafe { out.part(row, 0..rotated) };
                rotate_heads(heads, from, &positions[row..=row], to);
                let keys = &to[heads.heads * heads.width..];
                let values = &from[rotated..];
                shape.write(block, layer, span.place + i, keys, values);
            }
        });
        for (block, span) in self.written.drain(..).zip(&batch.spans) {
            pages.put_back(batch.block(span), block);
        }
        watch.lap_on_all(Phase::Layout);
    }

    /// A layer's attention and feed-forward.
    fn rest_of(&mut self, layer: usize, batch: &Batch) {
        let at = &self.model.layout().layers[layer];
        let weights = &self.layers[layer];
        let rows = &mut self.rows;
        let queries = Queries {
            heads: heads(self.model, &self.rotary, layer),
            rotated: &rows.rotated,
            positions: &batch.positions,
        };
        let mut watch = Stopwatch::start();
        let (pages, meetings) = (&self.pages, &self.meetings);
        attend(queries, pages, layer, meetings, &mut rows.attended);
        watch.lap_on_all(Phase::Attention);
        weights.o.add(&rows.attended, &mut rows.x);
        adapt(self.model, at.o, &rows.attended, batch.rows(), &mut rows.x);
        watch.lap_on_all(Phase::Output);
        norm(self.model, at.post_norm, &rows.x, &mut rows.normed);
        watch.lap_on_all(Phase::Norm);
        let more = self.model.adapter.is_some().then(|| {
            rows.adapted.clear();
            (rows.adapted).resize(batch.rows() * 2 * weights.gate.outputs(), 0.0);
            adapt(
                self.model,
                at.gate_up,
                &rows.normed,
                batch.rows(),
                &mut rows.adapted,
            );
            &rows.adapted[..]
        });
        gated(
            &weights.gate,
            &weights.up,
            &rows.normed,
            more,
            &mut rows.gated,
        );
        watch.lap_on_all(Phase::GateUp);
        weights.down.add(&rows.gated, &mut rows.x);
        adapt(self.model, at.down, &rows.gated, batch.rows(), &mut rows.x);
        watch.lap_on_all(Phase::Down);
    }
}

impl Decode for Decoder<'_> {
    fn block_bytes(&self) -> usize {
        self.pages.block_bytes()
    }

    fn rows(&self) -> usize {
        TOGETHER
    }

    fn bound(&mut self, _: usize) -> Done {
        Ok(())
    }

    fn open(&mut self, id: BlockId) -> Done {
        self.pages.open(id);
        Ok(())
    }

    fn copy(&mut self, from: BlockId, to: BlockId) -> Done {
        self.pages.copy(from, to);
        Ok(())
    }

    fn fill(&mut self, batch: &Batch) -> Done {
        self.begin(batch);
        let last = self.layers.len() - 1;
        for layer in 0..last {
            self.write(layer, batch);
            self.rest_of(layer, batch);
        }
        // Nobody reads what comes after the last layer's keys and values.
        self.write(last, batch);
        Ok(())
    }

    fn sample(&mut self, batch: &Batch, sampling: &Sampling, choices: &mut [Choice]) -> Done {
        let vocabulary = self.head.outputs();
        let logits = self.predict(batch);
        let mut watch = Stopwatch::start();
        (logits.par_chunks_mut(vocabulary), choices)
            .into_par_iter()
            .for_each(|(logits, choice)| {
                let chosen = choose(logits, sampling, choice.drawn);
                (choice.token, choice.logprob) = chosen.unwrap_or((0, f32::NAN));
            });
        watch.lap_on_all(Phase::Sampling);
        Ok(())
    }
}

/// Adds to `out` what an adapter adds to the product of `x` with the weight at `weight`.
fn adapt(model: &Model, weight: usize, x: &[f32], rows: usize, out: &mut [f32]) {
    if let Some(adapter) = &model.adapter {
        let (inputs, outputs) = (x.len() / rows, out.len() / rows);
        (x.par_chunks(ADAPTED * inputs))
            .zip(out.par_chunks_mut(ADAPTED * outputs))
            .for_each(|(x, out)| adapter.add(weight, x, out));
    }
}

/// RMSNorm of all rows by the gains at `gains`.
fn norm(model: &Model, gains: usize, x: &[f32], out: &mut [f32]) {
    let a = &model.architecture;
    let gains = model.vector(gains, a.hidden_size);
    x.par_chunks(ROWS * a.hidden_size)
        .zip(out.par_chunks_mut(ROWS * a.hidden_size))
        .for_each(|(x, out)| rms_norm(x, gains, a.rms_norm_eps, out));
}

fn heads<'a>(model: &'a Model, rotary: &'a Rotary, layer: usize) -> Heads<'a> {
    let a = &model.architecture;
    let norms = model.layout().layers[layer].qk_norm;
    Heads {
        rotary,
        heads: a.heads,
        kv_heads: a.kv_heads,
        width: a.head_dim,
        eps: a.rms_norm_eps,
        norms: norms.map(|(q, k)| (model.vector(q, a.head_dim), model.vector(k, a.head_dim))),
    }
}
