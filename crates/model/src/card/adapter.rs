//! What an adapter adds to a product, and what goes back through it: adapter.rs has the formulas.

use half::bf16;

use super::{Card, SCRATCH, stored, transposed};
use crate::adapter::Delta;
use crate::backend::{Done, Linear};
use crate::cuda::{Array, Number, Product, Side};

/// An adapter beside one weight, on the card.
struct Beside<'a> {
    delta: &'a Delta,
    scale: f32,
    rank: usize,
    values: &'a Array<bf16>,
}

impl Beside<'_> {
    /// Columns of what lies between the two matrices: a rank for each part.
    fn width(&self) -> usize {
        self.delta.parts.len() * self.rank
    }

    /// All `A`s, `[width, inputs]`.
    fn a(&self) -> Side {
        stored(self.values.at(self.delta.a), self.delta.inputs)
    }
}

impl<'m> Card<'m> {
    fn beside(&self, linear: Linear) -> Option<Beside<'m>> {
        let adapter = self.model.adapter.as_ref()?;
        let values = self.resident.adapter_values();
        Some(Beside {
            delta: adapter.deltas.get(&linear.weight)?,
            scale: adapter.scale(),
            rank: adapter.config.rank,
            values,
        })
    }

    /// Adds to `out`, the product of `x`, `[rows, inputs]`.
    pub(super) fn adapt<T: Number>(&self, linear: Linear, x: &Array<bf16>, out: &Array<T>) -> Done {
        let Some(beside) = self.beside(linear) else {
            return Ok(());
        };
        let inner = self.inner(&beside, x)?;
        for (i, part) in beside.delta.parts.iter().enumerate() {
            self.device().gemm(&Product {
                m: x.len() / linear.inputs,
                n: part.columns,
                k: beside.rank,
                out: out.at(part.first),
                stride: linear.outputs,
                accumulate: true,
                scale: beside.scale,
                a: stored(inner.at(i * beside.rank), beside.width()),
                b: transposed(beside.values.at(part.b), beside.rank),
            })?;
        }
        Ok(())
    }

    /// Adds to `dx` what goes back through the adapter, and to the gradient its matrices'.
    pub(super) fn adapt_backward(
        &self,
        linear: Linear,
        x: &Array<bf16>,
        dout: &Array<bf16>,
        dx: &Array<bf16>,
        gradient: &Array<f32>,
    ) -> Done {
        let Some(beside) = self.beside(linear) else {
            return Ok(());
        };
        let (rows, rank, width) = (x.len() / linear.inputs, beside.rank, beside.width());
        let inner = self.inner(&beside, x)?;
        let dinner: Array<bf16> = self.device().uninitialised(SCRATCH, rows * width)?;
        for (i, part) in beside.delta.parts.iter().enumerate() {
            let dout = stored(dout.at(part.first), linear.outputs);
            self.device().gemm(&Product {
                m: rows,
                n: rank,
                k: part.columns,
                out: dinner.at(i * rank),
                stride: width,
                accumulate: false,
                scale: beside.scale,
                a: dout,
                b: stored(beside.values.at(part.b), rank),
            })?;
            self.device().gemm(&Product {
                m: part.columns,
                n: rank,
                k: rows,
                out: gradient.at(part.b),
                stride: rank,
                accumulate: true,
                scale: beside.scale,
                a: transposed(dout.at, linear.outputs),
                b: stored(inner.at(i * rank), width),
            })?;
        }
        self.device().gemm(&Product {
            m: width,
            n: linear.inputs,
            k: rows,
            out: gradient.at(beside.delta.a),
            stride: linear.inputs,
            accumulate: true,
            scale: 1.0,
            a: transposed(dinner.at(0), width),
            b: stored(x.at(0), linear.inputs),
        })?;
        self.device().gemm(&Product {
            m: rows,
            n: linear.inputs,
            k: width,
            out: dx.at(0),
            stride: linear.inputs,
            accumulate: true,
            scale: 1.0,
            a: stored(dinner.at(0), width),
            b: beside.a(),
        })
    }

    /// `x A^T` of all parts, `[rows, width]`.
    fn inner(&self, beside: &Beside<'_>, x: &Array<bf16>) -> Done<Array<bf16>> {
        let (inputs, width) = (beside.delta.inputs, beside.width());
        let rows = x.len() / inputs;
        let inner: Array<bf16> = self.device().uninitialised(SCRATCH, rows * width)?;
        self.device().gemm(&Product {
            m: rows,
            n: width,
            k: inputs,
            out: inner.at(0),
            stride: width,
            accumulate: false,
            scale: 1.0,
            a: stored(x.at(0), inputs),
            b: Side {
                transposed: true,
                ..beside.a()
            },
        })?;
        Ok(inner)
    }
}
