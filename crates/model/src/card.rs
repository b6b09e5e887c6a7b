//! The operations of a pass on a card. What enters a matrix product is bfloat16; the residual
//! stream, its gradient, all sums and every parameter's gradient are f32 (Micikevicius et al.
//! 2018, <https://arxiv.org/abs/1710.03740>).
//!
//! Nothing here waits for the card but where numbers come back: log-probabilities, norms.

mod adapter;
mod decode;
mod forest;
mod head;
mod resident;
mod step;

use half::bf16;

pub(crate) use self::decode::Decoder;
use self::forest::{Groups, Sight};
pub(crate) use self::resident::Resident;
use self::resident::Turning;
pub(crate) use self::step::Moments;
use crate::args;
use crate::backend::{Attended, Backend, Done, Linear, Predicted};
use crate::cuda::{Address, Array, Device, Number, Product, Side};
use crate::operations::Carrier;
use crate::parameters::LayerOffsets;
use crate::{Architecture, Model, TokenTree};

/// Threads of a block of all kernels but attention's.
const THREADS: usize = 256;
/// Threads of a block of attention's kernels: four warps of sixteen queries.
const ATTENDING: usize = 128;
/// Rows of which the kernels make one partial sum.
const PARTIAL: usize = 64;
/// Blocks of kernels that go over a flat array in strides.
const STRIDING: usize = 1024;

/// Computes with a model's weights on its card.
pub(crate) struct Card<'m> {
    pub(crate) model: &'m Model,
    pub(crate) resident: &'m Resident,
}

/// A tree on the card.
pub(crate) struct Forest {
    len: usize,
    tiles: usize,
    tokens: Array<i32>,
    positions: Array<i32>,
    end: Array<i32>,
    ranges_at: Array<i32>,
    ranges: Array<i32>,
    reach: Array<i32>,
    turning: Turning,
    /// Tokens by what they are, for the embedding's gradient.
    alike: Scattered,
}

/// [`Groups`] on the card.
struct Scattered {
    order: Array<i32>,
    starts: Array<i32>,
    ids: Array<i32>,
}

const SCRATCH: &str = "activations";

impl Card<'_> {
    fn device(&self) -> &Device {
        &self.resident.device
    }

    fn array<T: Number>(&self, len: usize) -> Done<Array<T>> {
        self.device().uninitialised(SCRATCH, len)
    }

    fn indices(&self, numbers: impl Iterator<Item = usize>) -> Done<Array<i32>> {
        let numbers: Vec<i32> = numbers.map(|number| number as i32).collect();
        self.device().upload(SCRATCH, &numbers)
    }

    fn scattered(&self, groups: &Groups) -> Done<Scattered> {
        Ok(Scattered {
            order: self.device().upload(SCRATCH, &groups.order)?,
            starts: self.device().upload(SCRATCH, &groups.starts)?,
            ids: self.device().upload(SCRATCH, &groups.ids)?,
        })
    }

    /// Adds each group's rows of `from` to its row from `to` on.
    fn add_rows(&self, to: Address, from: &Array<f32>, groups: &Scattered, width: usize) -> Done {
        let Scattered { order, starts, ids } = groups;
        let arguments = args![to, from, order, starts, ids, width];
        (self.resident.rows).launch("add_rows", ids.len(), THREADS, 0, arguments)
    }

    /// Adds partial sums, `[parts, width]`, to what begins at `to`.
    fn add_partials(&self, to: Address, partials: &Array<f32>, width: usize) -> Done {
        const COLUMNS: usize = 32;
        let arguments = args![to, partials, partials.len() / width, width];
        let grid = width.div_ceil(COLUMNS);
        (self.resident.rows).launch("add_partials", grid, THREADS, 0, arguments)
    }

    fn weight(&self, offset: usize) -> Address {
        self.resident.weights.at(offset)
    }

    fn narrow(&self, x: &Array<f32>) -> Done<Array<bf16>> {
        let out = self.array(x.len())?;
        let grid = x.len().div_ceil(8 * THREADS).min(STRIDING);
        (self.resident.rows).launch("narrow", grid, THREADS, 0, args![&out, x, x.len()])?;
        Ok(out)
    }

    /// `out (+)= x W^T` and what an adapter adds, `[rows, outputs]`.
    fn product<T: Number>(
        &self,
        linear: Linear,
        x: &Array<bf16>,
        out: &Array<T>,
        accumulate: bool,
    ) -> Done {
        let Linear {
            inputs, outputs, ..
        } = linear;
        let rows = x.len() / inputs;
        self.device().gemm(&Product {
            m: rows,
            n: outputs,
            k: inputs,
            out: out.at(0),
            stride: outputs,
            accumulate,
            scale: 1.0,
            a: stored(x.at(0), inputs),
            b: transposed(self.weight(linear.weight), inputs),
        })?;
        self.adapt(linear, x, out)
    }

    /// `dx = dout W`, `dW += dout^T x`, and the same of an adapter beside it.
    fn product_backward(
        &self,
        linear: Linear,
        x: &Array<bf16>,
        dout: &Array<bf16>,
        gradient: &Array<f32>,
    ) -> Done<Array<bf16>> {
        let Linear {
            inputs,
            outputs,
            weight,
            ..
        } = linear;
        let rows = x.len() / inputs;
        let dx = self.array(x.len())?;
        self.device().gemm(&Product {
            m: rows,
            n: inputs,
            k: outputs,
            out: dx.at(0),
            stride: inputs,
            accumulate: false,
            scale: 1.0,
            a: stored(dout.at(0), outputs),
            b: stored(self.weight(weight), inputs),
        })?;
        if self.model.adapter.is_some() {
            self.adapt_backward(linear, x, dout, &dx, gradient)?;
            return Ok(dx);
        }
        self.device().gemm(&Product {
            m: outputs,
            n: inputs,
            k: rows,
            out: gradient.at(weight),
            stride: inputs,
            accumulate: true,
            scale: 1.0,
            a: transposed(dout.at(0), outputs),
            b: stored(x.at(0), inputs),
        })?;
        if let Some(bias) = linear.bias {
            let partials = self.array(rows.div_ceil(PARTIAL) * outputs)?;
            let grid = (rows.div_ceil(PARTIAL), outputs.div_ceil(8 * THREADS));
            let arguments = args![&partials, dout, rows, outputs];
            (self.resident.rows).launch("column_sums", grid, THREADS, 0, arguments)?;
            self.add_partials(gradient.at(bias), &partials, outputs)?;
        }
        Ok(dx)
    }

    /// Queries and keys, normed and turned, `[rows, queries and keys]`.
    fn rotated(
        &self,
        at: &LayerOffsets,
        rows: usize,
        positions: Address,
        turning: &Turning,
        projected: &Array<bf16>,
    ) -> Done<Array<bf16>> {
        let a = &self.model.architecture;
        let rotated = self.array(rows * (a.query_size() + a.kv_size()))?;
        let (q, k) = self.gains(at);
        let arguments = args![
            &rotated,
            projected,
            positions,
            &*turning.cos,
            &*turning.sin,
            q,
            k,
            rows,
            a.heads,
            a.kv_heads,
            a.rms_norm_eps
        ];
        (self.resident.rotary).launch("rotate", rows, THREADS, 0, arguments)?;
        Ok(rotated)
    }

    fn turned(
        &self,
        at: &LayerOffsets,
        forest: &Forest,
        projected: &Array<bf16>,
    ) -> Done<Array<bf16>> {
        let Forest {
            len,
            positions,
            turning,
            ..
        } = forest;
        self.rotated(at, *len, positions.at(0), turning, projected)
    }

    fn gains(&self, at: &LayerOffsets) -> (Address, Address) {
        match at.qk_norm {
            Some((q, k)) => (self.weight(q), self.weight(k)),
            None => (Address::NONE, Address::NONE),
        }
    }
}

/// A matrix as it lies.
fn stored(at: Address, stride: usize) -> Side {
    Side {
        at,
        stride,
        transposed: false,
    }
}

/// A matrix whose rows and columns change places.
fn transposed(at: Address, stride: usize) -> Side {
    Side {
        transposed: true,
        ..stored(at, stride)
    }
}

impl Backend for Card<'_> {
    type Exact = Array<f32>;
    type Narrow = Array<bf16>;
    type Forest = Forest;
    type Gradient = Array<f32>;

    fn model(&self) -> &Model {
        self.model
    }

    fn forest(&mut self, tree: &TokenTree) -> Done<Forest> {
        let sight = Sight::new(tree);
        let positions: Vec<usize> = (0..tree.len()).map(|at| tree.position(at)).collect();
        let length = positions.iter().max().map_or(0, |last| last + 1);
        let tokens = || tree.tokens().iter().map(|&token| token as usize);
        let upload = |numbers: &[i32]| self.device().upload(SCRATCH, numbers);
        Ok(Forest {
            len: tree.len(),
            tiles: sight.tiles(),
            tokens: self.indices(tokens())?,
            positions: self.indices(positions.into_iter())?,
            end: upload(&sight.end)?,
            ranges_at: upload(&sight.ranges_at)?,
            ranges: upload(&sight.ranges)?,
            reach: upload(&sight.reach)?,
            turning: self.resident.turning(&self.model.architecture, length)?,
            alike: self.scattered(&Groups::new(tokens()))?,
        })
    }

    fn embed(&mut self, forest: &Forest) -> Done<Array<f32>> {
        let hidden = self.model.architecture.hidden_size;
        let x = self.array(forest.len * hidden)?;
        let table = self.weight(self.model.layout().embed);
        let arguments = args![&x, table, &forest.tokens, hidden];
        (self.resident.rows).launch("embed", forest.len, THREADS, 0, arguments)?;
        Ok(x)
    }

    fn embed_backward(
        &mut self,
        forest: &Forest,
        dx: &Array<f32>,
        gradient: &mut Array<f32>,
    ) -> Done {
        if self.model.adapter.is_some() {
            return Ok(());
        }
        let table = gradient.at(self.model.layout().embed);
        self.add_rows(
            table,
            dx,
            &forest.alike,
            self.model.architecture.hidden_size,
        )
    }

    fn norm(&mut self, gain: usize, x: &Array<f32>) -> Done<Array<bf16>> {
        let a = &self.model.architecture;
        let out = self.array(x.len())?;
        let rows = x.len() / a.hidden_size;
        let arguments = args![
            &out,
            x,
            self.weight(gain),
            rows,
            a.hidden_size,
            a.rms_norm_eps
        ];
        (self.resident.norm).launch("rms_norm", rows, THREADS, 0, arguments)?;
        Ok(out)
    }

    fn norm_backward(
        &mut self,
        gain: usize,
        x: &Array<f32>,
        dnormed: &Array<bf16>,
        dx: &mut Array<f32>,
        gradient: &mut Array<f32>,
    ) -> Done {
        let a = &self.model.architecture;
        let hidden = a.hidden_size;
        let rows = x.len() / hidden;
        let parts = rows.div_ceil(PARTIAL);
        let partials: Array<f32> = self.array(parts * hidden)?;
        let arguments = args![
            &*dx,
            &partials,
            x,
            self.weight(gain),
            dnormed,
            rows,
            hidden,
            a.rms_norm_eps
        ];
        let shared = hidden * size_of::<f32>();
        (self.resident.norm).launch("rms_norm_backward", parts, THREADS, shared, arguments)?;
        match self.model.adapter {
            Some(_) => Ok(()),
            None => self.add_partials(gradient.at(gain), &partials, hidden),
        }
    }

    fn linear(&mut self, linear: Linear, x: &Array<bf16>) -> Done<Array<bf16>> {
        let rows = x.len() / linear.inputs;
        let out: Array<bf16> = self.array(rows * linear.outputs)?;
        self.product(linear, x, &out, false)?;
        if let Some(bias) = linear.bias {
            let arguments = args![&out, self.weight(bias), rows, linear.outputs];
            (self.resident.rows).launch("add_bias", rows, THREADS, 0, arguments)?;
        }
        Ok(out)
    }

    fn add_linear(
        &mut self,
        linear: Linear,
        x: &Array<bf16>,
        onto: &Array<f32>,
    ) -> Done<Array<f32>> {
        let out: Array<f32> = self.array(onto.len())?;
        out.copy(0, onto, 0, onto.len())?;
        self.product(linear, x, &out, true)?;
        Ok(out)
    }

    fn linear_backward(
        &mut self,
        linear: Linear,
        x: &Array<bf16>,
        dout: &Array<bf16>,
        gradient: &mut Array<f32>,
    ) -> Done<Array<bf16>> {
        self.product_backward(linear, x, dout, gradient)
    }

    fn add_linear_backward(
        &mut self,
        linear: Linear,
        x: &Array<bf16>,
        dout: &Array<f32>,
        gradient: &mut Array<f32>,
    ) -> Done<Array<bf16>> {
        let dout = self.narrow(dout)?;
        self.product_backward(linear, x, &dout, gradient)
    }

    fn swiglu(&mut self, gate_up: &Array<bf16>) -> Done<Array<bf16>> {
        let ffn = self.model.architecture.intermediate_size;
        let rows = gate_up.len() / (2 * ffn);
        let gated = self.array(rows * ffn)?;
        let arguments = args![&gated, gate_up, rows, ffn];
        (self.resident.swiglu).launch("swiglu", rows, THREADS, 0, arguments)?;
        Ok(gated)
    }

    fn swiglu_backward(&mut self, gate_up: &mut Array<bf16>, dgated: &Array<bf16>) -> Done {
        let ffn = self.model.architecture.intermediate_size;
        let rows = gate_up.len() / (2 * ffn);
        let arguments = args![&*gate_up, dgated, rows, ffn];
        (self.resident.swiglu).launch("swiglu_backward", rows, THREADS, 0, arguments)
    }

    fn attend(
        &mut self,
        at: &LayerOffsets,
        forest: &Forest,
        projected: &Array<bf16>,
    ) -> Done<(Array<bf16>, Array<f32>)> {
        let a = &self.model.architecture;
        let (query, stride) = (a.query_size(), a.query_size() + a.kv_size());
        let rotated = self.turned(at, forest, projected)?;
        let attended = self.array(forest.len * query)?;
        let log_sum = self.array(forest.len * a.heads)?;
        let arguments = args![
            &attended,
            &log_sum,
            &rotated,
            rotated.at(query),
            stride,
            projected.at(stride),
            stride + a.kv_size(),
            &forest.end,
            &forest.ranges_at,
            &forest.ranges,
            forest.len,
            a.heads,
            a.kv_heads,
            scale(a)
        ];
        let grid = (forest.tiles, a.heads);
        (self.resident.attention).launch(
            "attention_forward",
            grid,
            ATTENDING,
            self.resident.shared.forward,
            arguments,
        )?;
        Ok((attended, log_sum))
    }

    fn attend_backward(
        &mut self,
        at: &LayerOffsets,
        forest: &Forest,
        forward: Attended<'_, Self>,
        dattended: Array<bf16>,
        gradient: &mut Array<f32>,
    ) -> Done<Array<bf16>> {
        let a = &self.model.architecture;
        let (query, kv) = (a.query_size(), a.kv_size());
        let (stride, columns) = (query + kv, query + 2 * kv);
        let (projected, tokens) = (forward.projected, forest.len);
        let rotated = self.turned(at, forest, projected)?;
        let delta: Array<f32> = self.array(tokens * a.heads)?;
        let arguments = args![&delta, forward.attended, &dattended, tokens, a.heads];
        let attention = &self.resident.attention;
        let blocks = (tokens * query / 8).div_ceil(THREADS);
        attention.launch("attention_delta", blocks, THREADS, 0, arguments)?;
        let dprojected: Array<bf16> = self.array(tokens * columns)?;
        let (q, k, v) = (rotated.at(0), rotated.at(query), projected.at(stride));
        let scale = scale(a);
        let arguments = args![
            &dprojected,
            columns,
            q,
            k,
            stride,
            v,
            columns,
            &dattended,
            forward.log_sum,
            &delta,
            &forest.end,
            &forest.ranges_at,
            &forest.ranges,
            tokens,
            a.heads,
            a.kv_heads,
            scale
        ];
        let shared = self.resident.shared;
        let grid = (forest.tiles, a.heads);
        attention.launch(
            "attention_backward_queries",
            grid,
            ATTENDING,
            shared.queries,
            arguments,
        )?;
        let (dk, dv) = (dprojected.at(query), dprojected.at(stride));
        let arguments = args![
            dk,
            dv,
            columns,
            q,
            k,
            stride,
            v,
            columns,
            &dattended,
            forward.log_sum,
            &delta,
            &forest.end,
            &forest.reach,
            tokens,
            a.heads,
            a.kv_heads,
            scale
        ];
        let grid = (forest.tiles, a.kv_heads);
        attention.launch(
            "attention_backward_keys",
            grid,
            ATTENDING,
            shared.keys,
            arguments,
        )?;
        self.turn_back(at, forest, projected, &dprojected, gradient)?;
        Ok(dprojected)
    }

    fn zeros(&mut self, rows: usize, width: usize) -> Done<Array<f32>> {
        self.device().zeros(SCRATCH, rows * width)
    }

    fn gather(&mut self, x: &Array<f32>, width: usize, places: &[usize]) -> Done<Array<f32>> {
        let rows = self.array(places.len() * width)?;
        let places = self.indices(places.iter().copied())?;
        let arguments = args![&rows, x, &places, width];
        (self.resident.rows).launch("gather_rows", places.len(), THREADS, 0, arguments)?;
        Ok(rows)
    }

    fn scatter(
        &mut self,
        rows: &Array<f32>,
        width: usize,
        places: &[usize],
        x: &mut Array<f32>,
    ) -> Done {
        let groups = self.scattered(&Groups::new(places.iter().copied()))?;
        self.add_rows(x.at(0), rows, &groups, width)
    }

    fn logits(&mut self, normed: &Array<bf16>) -> Done<Array<f32>> {
        self.logits_of(normed, 1.0 / self.model.temperature)
    }

    fn logprobs(&mut self, logits: &Array<f32>, tokens: &[u32]) -> Done<(Vec<f32>, Vec<f32>)> {
        self.logprobs_of(logits, tokens)
    }

    fn logprobs_backward(&mut self, logits: Array<f32>, rows: Predicted<'_>) -> Done<Array<bf16>> {
        self.logits_gradient(&logits, rows)
    }

    fn logits_backward(
        &mut self,
        normed: &Array<bf16>,
        dlogits: &Array<bf16>,
        gradient: &mut Array<f32>,
    ) -> Done<Array<bf16>> {
        self.head_gradient(normed, dlogits, gradient)
    }
}

impl Card<'_> {
    /// From the gradients of turned queries and keys to those of projected ones, in place.
    fn turn_back(
        &self,
        at: &LayerOffsets,
        forest: &Forest,
        projected: &Array<bf16>,
        dprojected: &Array<bf16>,
        gradient: &Array<f32>,
    ) -> Done {
        let a = &self.model.architecture;
        let parts = forest.len.div_ceil(PARTIAL);
        let (q, k) = self.gains(at);
        let partials: Array<f32> = self.array(parts * 2 * a.head_dim)?;
        let arguments = args![
            dprojected,
            &partials,
            projected,
            &forest.positions,
            &*forest.turning.cos,
            &*forest.turning.sin,
            q,
            k,
            forest.len,
            a.heads,
            a.kv_heads,
            a.rms_norm_eps
        ];
        (self.resident.rotary).launch("rotate_backward", parts, THREADS, 0, arguments)?;
        match at.qk_norm {
            Some((q, k)) if self.model.adapter.is_none() => {
                // The two gains may not be neighbours.
                let sums: Array<f32> = self.device().zeros(SCRATCH, 2 * a.head_dim)?;
                self.add_partials(sums.at(0), &partials, 2 * a.head_dim)?;
                let each = |to: usize, from: usize| {
                    let arguments = args![gradient.at(to), sums.at(from), 1_usize, a.head_dim];
                    let grid = a.head_dim.div_ceil(32);
                    (self.resident.rows).launch("add_partials", grid, THREADS, 0, arguments)
                };
                each(q, 0)?;
                each(k, a.head_dim)
            }
            _ => Ok(()),
        }
    }
}

impl Carrier for Card<'_> {
    fn put(&mut self, numbers: &[f32]) -> Done<Array<f32>> {
        self.device().upload(SCRATCH, numbers)
    }

    fn put_narrow(&mut self, numbers: &[f32]) -> Done<Array<bf16>> {
        self.device().upload(SCRATCH, &resident::rounded(numbers))
    }

    fn get(&self, numbers: &Array<f32>) -> Done<Vec<f32>> {
        numbers.download()
    }

    fn get_narrow(&self, numbers: &Array<bf16>) -> Done<Vec<f32>> {
        let numbers = numbers.download()?;
        Ok(numbers.into_iter().map(bf16::to_f32).collect())
    }
}

/// What a query's products with keys are multiplied by.
fn scale(a: &Architecture) -> f32 {
    1.0 / (a.head_dim as f32).sqrt()
}
