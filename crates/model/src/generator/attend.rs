//! Attention over the blocks of a cache, by tiles with an online softmax (Milakov & Gimelshein
//! 2018). Queries of all rows whose sequences share a block meet it in one product, so that a
//! group's prompt is read once for the whole group. A row goes through its blocks in the order
//! of their positions, shared or not: its bits do not depend on who else reads them.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use super::batch::Batch;
use super::blocks::{BLOCK, BlockId};
use super::linear::Shared;
use super::pages::Pages;
use crate::instructions::vectorised;
use crate::numeric::{exp_shifted, max};
use crate::product::{Matrix, MatrixMut, Store, product_in_place};
use crate::rotary::Heads;

/// Queries of one key-value head that a thread takes together, about.
const QUERIES: usize = 128;

/// Which rows meet which blocks in one pass over the layers.
#[derive(Default)]
pub(super) struct Meetings {
    pieces: Vec<Piece>,
    chunks: Vec<Chunk>,
    runs: Vec<Run>,
}

/// Neighbouring rows of one span, by their place in the batch.
struct Piece {
    rows: Range<usize>,
    /// Their path, as a part of the batch's links.
    path: Range<usize>,
}

/// Neighbouring rows that share their first block at least: what one thread takes.
struct Chunk {
    rows: Range<usize>,
    runs: Range<usize>,
}

/// Neighbouring rows of a chunk that meet one block.
struct Run {
    rows: Range<usize>,
    block: BlockId,
    /// Position of the block's first token.
    start: usize,
}

impl Meetings {
    /// Of the rows of a batch, `per_kv` query heads for each key-value head.
    pub(super) fn plan(&mut self, batch: &Batch, per_kv: usize) {
        self.chunks.clear();
        self.runs.clear();
        self.cut(batch, (QUERIES / per_kv).max(1));
        let mut first = 0;
        while first < self.pieces.len() {
            let begin = self.pieces[first].rows.start;
            let root = batch.links[self.pieces[first].path.start];
            let together = |piece: &&Piece| {
                batch.links[piece.path.start] == root
                    && piece.rows.end - begin <= (QUERIES / per_kv).max(1)
            };
            let count = self.pieces[first..].iter().take_while(together).count();
            self.meet(batch, first..first + count);
            first += count;
        }
    }

    /// Cuts spans into pieces of at most `most` rows.
    fn cut(&mut self, batch: &Batch, most: usize) {
        self.pieces.clear();
        for span in &batch.spans {
            for from in span.rows.clone().step_by(most) {
                self.pieces.push(Piece {
                    rows: from..span.rows.end.min(from + most),
                    path: span.path.clone(),
                });
            }
        }
    }

    /// The runs of one chunk, block by block in the order of positions.
    fn meet(&mut self, batch: &Batch, pieces: Range<usize>) {
        let pieces = &self.pieces[pieces];
        let from = self.runs.len();
        let depth = pieces.iter().map(|piece| piece.path.len()).max();
        for level in 0..depth.unwrap_or(0) {
            for piece in pieces.iter().filter(|piece| level < piece.path.len()) {
                let block = batch.links[piece.path.start + level];
                let start = level * BLOCK;
                match self.runs[from..].last_mut() {
                    Some(last) if last.block == block && last.rows.end == piece.rows.start => {
                        last.rows.end = piece.rows.end;
                    }
                    _ => self.runs.push(Run {
                        rows: piece.rows.clone(),
                        block,
                        start,
                    }),
                }
            }
        }
        self.chunks.push(Chunk {
            rows: pieces[0].rows.start..pieces[pieces.len() - 1].rows.end,
            runs: from..self.runs.len(),
        });
    }
}

/// One layer's rotated queries, `[rows, queries and keys]`, and where they are in their texts.
#[derive(Clone, Copy)]
pub(super) struct Queries<'a> {
    pub(super) heads: Heads<'a>,
    pub(super) rotated: &'a [f32],
    pub(super) positions: &'a [usize],
}

/// Attention of all rows and heads of a layer; `out` is `[rows, heads * width]`.
pub(super) fn attend(
    queries: Queries<'_>,
    pages: &Pages,
    layer: usize,
    meetings: &Meetings,
    out: &mut [f32],
) {
    let Heads {
        heads,
        kv_heads,
        width,
        ..
    } = queries.heads;
    let out = Shared::new(out, heads * width);
    let group = heads / kv_heads * width;
    let tasks = meetings.chunks.len() * kv_heads;
    (0..tasks).into_par_iter().for_each(|task| {
        let (chunk, kv) = (&meetings.chunks[task / kv_heads], task % kv_heads);
        SCRATCH.with_borrow_mut(|state| {
            state.begin(queries, chunk, kv);
            for run in &meetings.runs[chunk.runs.clone()] {
                state.meet(queries, chunk, run, pages.head(run.block, layer, kv));
            }
            for (i, row) in chunk.rows.clone().enumerate() {
                #[expect(unsafe_code, reason = "heads are written by several threads")]
                // SAFETY: each chunk has rows of its own, and each task a group of heads.
                let to = unsafe { out.part(row, kv * group..(kv + 1) * group) };
                state.finish(i, width, to);
            }
        });
    });
}

thread_local! {
    static SCRATCH: RefCell<State> = RefCell::default();
}

/// The queries of one chunk and key-value head, `[rows * heads for each, …]`, and their softmax
/// so far.
#[derive(Default)]
struct State {
    /// `[queries, width]`.
    queries: Vec<f32>,
    /// Scores of one block, then weights, `[queries, BLOCK]`.
    scores: Vec<f32>,
    /// Weighted values, relative to the peak, `[queries, width]`.
    sum: Vec<f32>,
    /// The largest score of each query.
    peak: Vec<f32>,
    /// The sum of its weights.
    total: Vec<f32>,
    /// Tokens of the block that it sees.
    seen: Vec<usize>,
}

impl State {
    fn begin(&mut self, of: Queries<'_>, chunk: &Chunk, kv: usize) {
        let Heads {
            heads,
            kv_heads,
            width,
            ..
        } = of.heads;
        let per_kv = heads / kv_heads;
        let count = chunk.rows.len() * per_kv;
        self.queries.clear();
        for row in chunk.rows.clone() {
            let from = row * of.heads.rotated() + kv * per_kv * width;
            self.queries
                .extend_from_slice(&of.rotated[from..from + per_kv * width]);
        }
        self.scores.resize(count * BLOCK, 0.0);
        self.sum.clear();
        self.sum.resize(count * width, 0.0);
        self.peak.clear();
        self.peak.resize(count, f32::NEG_INFINITY);
        self.total.clear();
        self.total.resize(count, 0.0);
    }

    /// Takes in one block, whose head's `keys` and `values` these are.
    fn meet(&mut self, of: Queries<'_>, chunk: &Chunk, run: &Run, head: (&[f32], &[f32])) {
        let (width, (keys, values)) = (of.heads.width, head);
        let per_kv = of.heads.heads / of.heads.kv_heads;
        let first = (run.rows.start - chunk.rows.start) * per_kv;
        let count = run.rows.len() * per_kv;
        self.seen.clear();
        for &position in &of.positions[run.rows.clone()] {
            let seen = BLOCK.min(position + 1 - run.start);
            self.seen.extend((0..per_kv).map(|_| seen));
        }
        let queries = &self.queries[first * width..(first + count) * width];
        let sum = &mut self.sum[first * width..(first + count) * width];
        product_in_place(
            MatrixMut::new(&mut self.scores, count, BLOCK),
            Store::Overwrite,
            1.0 / (width as f32).sqrt(),
            Matrix::new(queries, count, width),
            Matrix::new(keys, width, BLOCK),
        );
        absorb(
            &self.seen,
            &mut self.scores,
            &mut self.peak[first..first + count],
            &mut self.total[first..first + count],
            sum,
        );
        let most = self.seen.iter().copied().max().unwrap_or(0);
        product_in_place(
            MatrixMut::new(sum, count, width),
            Store::Add,
            1.0,
            Matrix::strided(&self.scores, count, most, BLOCK),
            Matrix::new(values, most, width),
        );
    }

    /// Writes what the heads of the chunk's row `row` attended to.
    fn finish(&self, row: usize, width: usize, out: &mut [f32]) {
        let per_kv = out.len() / width;
        for (h, out) in out.chunks_exact_mut(width).enumerate() {
            let query = row * per_kv + h;
            let inverse = 1.0 / self.total[query];
            let sum = &self.sum[query * width..][..width];
            for (out, sum) in out.iter_mut().zip(sum) {
                *out = sum * inverse;
            }
        }
    }
}

vectorised! {
    /// Turns each query's scores of the tokens it sees into weights relative to its largest score
    /// so far, `peak`, which they may raise, and those of the others into zeros; `total` and
    /// `sum`, `[queries, width]`, are kept relative to it.
    fn absorb(
        seen: &[usize],
        scores: &mut [f32],
        peak: &mut [f32],
        total: &mut [f32],
        sum: &mut [f32],
    ) {
        let width = sum.len() / seen.len();
        let rows = scores.chunks_exact_mut(BLOCK).zip(sum.chunks_exact_mut(width));
        let softmax = peak.iter_mut().zip(total);
        for (((row, sum), (peak, total)), &seen) in rows.zip(softmax).zip(seen) {
            row[seen..].fill(0.0);
            let row = &mut row[..seen];
            let (old, new) = (*peak, max(row).max(*peak));
            if old < new {
                let shrink = (old - new).exp();
                *total *= shrink;
                sum.iter_mut().for_each(|sum| *sum *= shrink);
                *peak = new;
            }
            *total += exp_shifted::<FMA>(row, new);
        }
    }
}
