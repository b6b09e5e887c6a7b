//! The decoder's linear layers for few rows: weights packed once, a product's columns spread
//! over the threads, so that a step reads every weight once and all threads are busy even when
//! one sequence is left.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::Range;

use half::bf16;
use rayon::prelude::*;

use crate::numeric::{add, swiglu};
use crate::product::{Matrix, MatrixMut, PANEL, Panels, Store, product_of_panels};
use crate::weights::Weight;

/// Rows of a tile: its output stays in the first cache until it is written.
const HEIGHT: usize = 64;

/// `y = x W^T`, with `W` `[outputs, inputs]`.
pub(super) enum Linear {
    F32(Panels<f32>),
    Bf16(Panels<bf16>),
}

impl Linear {
    /// Packs a weight, `[outputs, inputs]`.
    pub(super) fn new(weight: Weight<'_>) -> Self {
        match weight.t() {
            Weight::F32(weight) => Self::F32(Panels::new(weight)),
            Weight::Bf16(weight) => Self::Bf16(Panels::new(weight)),
        }
    }

    /// Numbers of a row of its input.
    fn inputs(&self) -> usize {
        match self {
            Self::F32(weight) => weight.depth,
            Self::Bf16(weight) => weight.depth,
        }
    }

    /// Numbers of a row of its output.
    pub(super) fn outputs(&self) -> usize {
        match self {
            Self::F32(weight) => weight.columns,
            Self::Bf16(weight) => weight.columns,
        }
    }

    fn panels(&self) -> usize {
        match self {
            Self::F32(weight) => weight.count(),
            Self::Bf16(weight) => weight.count(),
        }
    }

    /// `out = x W^T + bias`. `x` is `[rows, inputs]`, `out` `[rows, outputs]`.
    pub(super) fn apply(&self, x: &[f32], bias: Option<&[f32]>, out: &mut [f32]) {
        let columns = self.outputs();
        let out = Shared::new(out, columns);
        self.for_each_tile(x, |rows, part, tile| {
            for (row, from) in rows.zip(tile.chunks_exact(part.len())) {
                #[expect(unsafe_code, reason = "tiles are written by several threads")]
                // SAFETY: tiles do not overlap, and each is written once.
                let to = unsafe { out.part(row, part.clone()) };
                to.copy_from_slice(from);
                if let Some(bias) = bias {
                    add(to, &bias[part.clone()]);
                }
            }
        });
    }

    /// `out += x W^T`.
    pub(super) fn add(&self, x: &[f32], out: &mut [f32]) {
        let out = Shared::new(out, self.outputs());
        self.for_each_tile(x, |rows, part, tile| {
            for (row, from) in rows.zip(tile.chunks_exact(part.len())) {
                #[expect(unsafe_code, reason = "tiles are written by several threads")]
                // SAFETY: tiles do not overlap, and each is written once.
                let to = unsafe { out.part(row, part.clone()) };
                add(to, from);
            }
        });
    }

    /// Calls `take` with the rows, the columns and the numbers of every tile of `x W^T`.
    fn for_each_tile(&self, x: &[f32], take: impl Fn(Range<usize>, Range<usize>, &[f32]) + Sync) {
        let tiles = Tiles::of(x, self);
        tiles.for_each(|rows, panel, scratch| {
            let columns = self.panel(panel);
            let tile = &mut scratch[..rows.len() * columns.len()];
            self.product(x, &rows, panel, columns.len(), tile);
            take(rows, columns, tile);
        });
    }

    /// Columns of a panel.
    fn panel(&self, panel: usize) -> Range<usize> {
        panel * PANEL..self.outputs().min((panel + 1) * PANEL)
    }

    /// One panel's columns of some rows of `x W^T`, each row `stride` after the last.
    fn product(
        &self,
        x: &[f32],
        rows: &Range<usize>,
        panel: usize,
        stride: usize,
        out: &mut [f32],
    ) {
        let inputs = self.inputs();
        let x = &x[rows.start * inputs..rows.end * inputs];
        let x = Matrix::new(x, rows.len(), inputs);
        let out = MatrixMut::strided(out, rows.len(), self.panel(panel).len(), stride);
        let panels = panel..panel + 1;
        match self {
            Self::F32(weight) => product_of_panels(out, Store::Overwrite, x, weight, panels),
            Self::Bf16(weight) => product_of_panels(out, Store::Overwrite, x, weight, panels),
        }
    }
}

/// `out = silu(x gate^T) * (x up^T)`, the gated half of a feed-forward layer. `more`, `[rows,
/// gate and up]`, is added to the two products first.
pub(super) fn gated(gate: &Linear, up: &Linear, x: &[f32], more: Option<&[f32]>, out: &mut [f32]) {
    let ffn = gate.outputs();
    let out = Shared::new(out, ffn);
    Tiles::of(x, gate).for_each(|rows, panel, scratch| {
        let columns = gate.panel(panel);
        let width = columns.len();
        let (both, tile) = scratch.split_at_mut(2 * rows.len() * width);
        gate.product(x, &rows, panel, 2 * width, both);
        up.product(x, &rows, panel, 2 * width, &mut both[width..]);
        if let Some(more) = more {
            let more = more.chunks_exact(2 * ffn).skip(rows.start);
            for (both, more) in both.chunks_exact_mut(2 * width).zip(more) {
                add(&mut both[..width], &more[columns.clone()]);
                add(&mut both[width..], &more[ffn..][columns.clone()]);
            }
        }
        let tile = &mut tile[..rows.len() * width];
        swiglu(both, width, tile);
        for (row, from) in rows.zip(tile.chunks_exact(width)) {
            #[expect(unsafe_code, reason = "tiles are written by several threads")]
            // SAFETY: tiles do not overlap, and each is written once.
            let to = unsafe { out.part(row, columns.clone()) };
            to.copy_from_slice(from);
        }
    });
}

/// How a product is cut: every panel of columns by blocks of rows.
struct Tiles {
    rows: usize,
    panels: usize,
}

impl Tiles {
    fn of(x: &[f32], linear: &Linear) -> Self {
        Self {
            rows: x.len() / linear.inputs(),
            panels: linear.panels(),
        }
    }

    /// Calls `compute` with the rows, the panel and some scratch of every tile, on all threads.
    /// One panel's tiles are neighbours, so that a thread keeps it in its cache.
    fn for_each(&self, compute: impl Fn(Range<usize>, usize, &mut [f32]) + Sync) {
        let blocks = self.rows.div_ceil(HEIGHT);
        (0..self.panels * blocks).into_par_iter().for_each(|tile| {
            let (panel, first) = (tile / blocks, tile % blocks * HEIGHT);
            let rows = first..self.rows.min(first + HEIGHT);
            SCRATCH.with_borrow_mut(|scratch| {
                scratch.resize(3 * HEIGHT * PANEL, 0.0);
                compute(rows, panel, scratch);
            });
        });
    }
}

thread_local! {
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// A matrix `[rows, columns]` of which several threads write parts that do not overlap.
pub(super) struct Shared<'a> {
    data: *mut f32,
    len: usize,
    columns: usize,
    of: PhantomData<&'a mut [f32]>,
}

#[expect(unsafe_code, reason = "a raw pointer forbids what its parts allow")]
// SAFETY: it hands out disjoint parts of one exclusive slice, as `part` demands of its callers.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub(super) fn new(data: &'a mut [f32], columns: usize) -> Self {
        Self {
            data: data.as_mut_ptr(),
            len: data.len(),
            columns,
            of: PhantomData,
        }
    }

    /// Columns `part` of row `row`.
    ///
    /// # Safety
    /// While the slice lives, nobody else asks for any of its numbers.
    #[expect(unsafe_code, reason = "disjointness is the caller's to know")]
    #[expect(clippy::mut_from_ref, reason = "parts are disjoint")]
    pub(super) unsafe fn part(&self, row: usize, part: Range<usize>) -> &mut [f32] {
        let from = row * self.columns + part.start;
        assert!(
            part.start <= part.end && part.end <= self.columns && from + part.len() <= self.len,
            "a part lies within its matrix"
        );
        // SAFETY: within the slice, as just checked, and nobody else's, as the caller promises.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(from), part.len()) }
    }
}
