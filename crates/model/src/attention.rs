//! Attention over a token tree, by tiles with an online softmax (Milakov & Gimelshein 2018; Dao
//! et al. 2022): memory is linear in the tokens, and a shared prefix is stored once however many
//! branches read it. Knows one layer's queries, keys and values, and no weights.

use std::ops::Range;

use rayon::prelude::*;

use crate::TokenTree;
use crate::buffers::{Buffer, Buffers};
use crate::instructions::vectorised;
use crate::numeric::{dot, exp_shifted, max};
use crate::product::{Matrix, MatrixMut, Store, product_in_place};
use crate::rotary::{Heads, rotate_heads};

/// Keys lie in blocks of this many tokens, counted from each root of the tree on, so that what
/// else a forest holds moves no bit; a tile is at most as many queries against a block.
const TILE: usize = 64;

/// Queries of one node, and what they may see.
struct Tile {
    /// First token.
    first: usize,
    count: usize,
    /// Runs of tokens seen by all of them, as `(start, end)`; then the node's own, up to each
    /// query itself.
    ancestors: Vec<(usize, usize)>,
    node: usize,
    /// First token of its root, and the first block that holds the root's keys.
    root: (usize, usize),
}

/// One tile's part of a block of keys: the block's tokens `from..to`, seen up to each query
/// itself where `causal`.
struct Part {
    block: usize,
    /// First token of the block.
    first: usize,
    from: usize,
    to: usize,
    causal: bool,
}

impl Part {
    /// What a tile of `of`, `[queries, TILE]`, has for this part.
    fn seen<'a>(&self, tile: &Tile, of: &'a [f32]) -> Matrix<'a> {
        Matrix::strided(&of[self.from..], tile.count, self.to - self.from, TILE)
    }
}

impl Tile {
    /// All tiles of a tree, in the order of its tokens.
    fn all(tree: &TokenTree) -> Vec<Self> {
        let mut tiles = Vec::new();
        let mut root = (0, 0);
        for (index, node) in tree.nodes().iter().enumerate() {
            if node.parent.is_none() {
                root = (node.start, root.1 + (node.start - root.0).div_ceil(TILE));
            }
            let runs = tree.ancestors(index);
            let ancestors: Vec<_> = runs
                .iter()
                .map(|&(start, len)| (start, start + len))
                .collect();
            for from in (0..node.len).step_by(TILE) {
                tiles.push(Self {
                    first: node.start + from,
                    count: TILE.min(node.len - from),
                    ancestors: ancestors.clone(),
                    node: node.start,
                    root,
                });
            }
        }
        tiles
    }

    fn parts(&self) -> impl Iterator<Item = Part> {
        let own = (self.node, self.first + self.count);
        let runs = self.ancestors.iter().map(|&run| (run, false));
        let (root, blocks) = self.root;
        runs.chain([(own, true)])
            .flat_map(move |((start, end), causal)| {
                ((start - root) / TILE..(end - root).div_ceil(TILE)).map(move |block| {
                    let first = root + block * TILE;
                    Part {
                        block: blocks + block,
                        first,
                        from: start.max(first) - first,
                        to: end.min(first + TILE) - first,
                        causal,
                    }
                })
            })
    }

    /// The tokens of a part that query `i` sees, within its block.
    #[inline(always)]
    fn visible(&self, part: &Part, i: usize) -> (usize, usize) {
        let own = (self.first + i + 1).saturating_sub(part.first);
        match part.causal {
            true => (part.from, part.to.min(own).max(part.from)),
            false => (part.from, part.to),
        }
    }
}

/// One layer's queries, keys and values as products read them. A panel is `[head_dim, TILE]`,
/// a block of rows `[TILE, head_dim]`; there is one for each block of tokens and key-value head.
pub(crate) struct Inputs<'a> {
    pub(crate) tree: &'a TokenTree,
    pub(crate) heads: Heads<'a>,
    /// Queries and keys, `[tokens, queries and keys]`.
    rotated: Buffer,
    /// Keys as panels.
    keys: Buffer,
    /// Values, as rows for the forward pass, as panels for the backward pass.
    values: Buffer,
    /// Keys as rows, for the backward pass.
    key_rows: Buffer,
}

/// For which pass values and keys are laid out.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Direction {
    Forward,
    Backward,
}

impl<'a> Inputs<'a> {
    /// From what was projected, `[tokens, queries, keys and values]`.
    pub(crate) fn new(
        tree: &'a TokenTree,
        heads: Heads<'a>,
        positions: &[usize],
        projected: &[f32],
        direction: Direction,
        buffers: &Buffers,
    ) -> Self {
        let width = heads.width;
        let blocks: Vec<Range<usize>> = (tree.roots().into_iter())
            .flat_map(|root| {
                let starts = root.clone().step_by(TILE);
                starts.map(move |start| start..root.end.min(start + TILE))
            })
            .collect();
        let each = heads.kv_heads * TILE * width;
        let size = blocks.len() * each;
        let rows_each = match direction {
            Direction::Forward => 0,
            Direction::Backward => each,
        };
        let mut inputs = Self {
            tree,
            heads,
            rotated: buffers.take(tree.len() * heads.rotated()),
            keys: buffers.take(size),
            values: buffers.take(size),
            key_rows: buffers.take(blocks.len() * rows_each),
        };
        let lengths = blocks.iter().map(|block| block.len() * heads.rotated());
        let rotated = split(&mut inputs.rotated, lengths);
        let key_rows = split(&mut inputs.key_rows, blocks.iter().map(|_| rows_each));
        let keys = inputs.keys.par_chunks_mut(each);
        let values = inputs.values.par_chunks_mut(each);
        (&blocks, rotated, keys, values, key_rows)
            .into_par_iter()
            .for_each(|(block, rotated, keys, values, key_rows)| {
                let columns = heads.columns();
                let projected = &projected[block.start * columns..block.end * columns];
                rotate_heads(heads, projected, &positions[block.clone()], rotated);
                let keys_at = heads.heads * width;
                to_panels(rotated, heads.rotated(), keys_at, width, keys);
                match direction {
                    Direction::Forward => {
                        to_rows(projected, columns, heads.rotated(), width, values);
                    }
                    Direction::Backward => {
                        to_panels(projected, columns, heads.rotated(), width, values);
                        to_rows(rotated, heads.rotated(), keys_at, width, key_rows);
                    }
                }
            });
        inputs
    }

    /// Queries of one head from token `first` on.
    fn queries(&self, head: usize, first: usize, count: usize) -> Matrix<'_> {
        let stride = self.heads.rotated();
        let from = first * stride + head * self.heads.width;
        Matrix::strided(
            &self.rotated.with_margin()[from..],
            count,
            self.heads.width,
            stride,
        )
    }

    fn block<'b>(&self, of: &'b Buffer, block: usize, kv: usize) -> &'b [f32] {
        &of.with_margin()[(block * self.heads.kv_heads + kv) * TILE * self.heads.width..]
    }

    /// `[head_dim, TILE]`.
    fn panel<'b>(&self, of: &'b Buffer, block: usize, kv: usize) -> Matrix<'b> {
        Matrix::new(self.block(of, block, kv), self.heads.width, TILE)
    }

    /// Rows of a part of a block, `[tokens, head_dim]`.
    fn rows<'b>(&self, of: &'b Buffer, part: &Part, kv: usize) -> Matrix<'b> {
        let width = self.heads.width;
        let block = &self.block(of, part.block, kv)[part.from * width..];
        Matrix::new(block, part.to - part.from, width)
    }

    fn scale(&self) -> f32 {
        1.0 / (self.heads.width as f32).sqrt()
    }
}

/// The vectors at `at` of every token's row, head by head, as `[kv_heads, width, TILE]`.
fn to_panels(from: &[f32], stride: usize, at: usize, width: usize, panels: &mut [f32]) {
    for (kv, panel) in panels.chunks_exact_mut(width * TILE).enumerate() {
        for (t, row) in from.chunks_exact(stride).enumerate() {
            for (i, &value) in row[at + kv * width..][..width].iter().enumerate() {
                panel[i * TILE + t] = value;
            }
        }
    }
}

/// The vectors at `at` of every token's row, head by head, as `[kv_heads, TILE, width]`.
fn to_rows(from: &[f32], stride: usize, at: usize, width: usize, rows: &mut [f32]) {
    for (kv, rows) in rows.chunks_exact_mut(width * TILE).enumerate() {
        for (to, row) in rows.chunks_exact_mut(width).zip(from.chunks_exact(stride)) {
            to.copy_from_slice(&row[at + kv * width..][..width]);
        }
    }
}

/// Consecutive pieces of a slice, of these lengths.
fn split(mut rest: &mut [f32], lengths: impl Iterator<Item = usize>) -> Vec<&mut [f32]> {
    let piece = |length| {
        let (piece, after) = std::mem::take(&mut rest).split_at_mut(length);
        rest = after;
        piece
    };
    lengths.map(piece).collect()
}

/// What a thread works with; `[TILE, TILE]` each, the last `[TILE, head_dim]`.
struct Scratch {
    scores: Vec<f32>,
    gradients: Vec<f32>,
    out: Vec<f32>,
}

impl Scratch {
    fn new(width: usize) -> Self {
        Self {
            scores: vec![0.0; TILE * TILE],
            gradients: vec![0.0; TILE * TILE],
            out: vec![0.0; TILE * width],
        }
    }
}

/// All heads forward. `out` is `[tokens, heads * head_dim]`; `log_sum`, `[tokens, heads]`,
/// receives the log of each softmax's denominator, which the backward pass needs.
pub(crate) fn forward(inputs: &Inputs<'_>, out: &mut [f32], log_sum: &mut [f32]) {
    let Heads { heads, width, .. } = inputs.heads;
    let tiles = Tile::all(inputs.tree);
    let out = split(out, tiles.iter().map(|tile| tile.count * heads * width));
    let log_sum = split(log_sum, tiles.iter().map(|tile| tile.count * heads));
    (&tiles, out, log_sum).into_par_iter().for_each_init(
        || Scratch::new(width),
        |scratch, (tile, out, log_sum)| {
            for head in 0..heads {
                forward_tile(inputs, tile, head, scratch, out, log_sum);
            }
        },
    );
}

fn forward_tile(
    inputs: &Inputs<'_>,
    tile: &Tile,
    head: usize,
    scratch: &mut Scratch,
    out: &mut [f32],
    log_sum: &mut [f32],
) {
    let Heads {
        heads,
        kv_heads,
        width,
        ..
    } = inputs.heads;
    let kv = head / (heads / kv_heads);
    let queries = inputs.queries(head, tile.first, tile.count);
    let Scratch {
        scores, out: sum, ..
    } = scratch;
    let sum = &mut sum[..tile.count * width];
    sum.fill(0.0);
    let (mut peak, mut total) = ([f32::NEG_INFINITY; TILE], [0.0; TILE]);
    for part in tile.parts() {
        product_in_place(
            MatrixMut::new(scores, tile.count, TILE),
            Store::Overwrite,
            inputs.scale(),
            queries,
            inputs.panel(&inputs.keys, part.block, kv),
        );
        absorb_scores(tile, &part, scores, &mut peak, &mut total, sum);
        product_in_place(
            MatrixMut::new(sum, tile.count, width),
            Store::Add,
            1.0,
            part.seen(tile, scores),
            inputs.rows(&inputs.values, &part, kv),
        );
    }
    for (i, sum) in sum.chunks_exact(width).enumerate() {
        let inverse = 1.0 / total[i];
        let out = &mut out[(i * heads + head) * width..][..width];
        for (out, sum) in out.iter_mut().zip(sum) {
            *out = sum * inverse;
        }
        log_sum[i * heads + head] = peak[i] + total[i].ln();
    }
}

vectorised! {
    /// Turns a tile's scores into weights relative to the largest score so far of each query,
    /// `peak`, which they may raise; `total`, the sum of the weights, and `sum`, the weighted
    /// values `[queries, head_dim]`, are kept relative to it.
    fn absorb_scores(
        tile: &Tile,
        part: &Part,
        scores: &mut [f32],
        peak: &mut [f32],
        total: &mut [f32],
        sum: &mut [f32],
    ) {
        let width = sum.len() / tile.count;
        for (i, row) in scores.chunks_exact_mut(TILE).take(tile.count).enumerate() {
            let (from, to) = tile.visible(part, i);
            row[to..].fill(0.0);
            let row = &mut row[from..to];
            if row.is_empty() {
                continue;
            }
            let (old, new) = (peak[i], max(row).max(peak[i]));
            if old < new {
                let shrink = (old - new).exp();
                total[i] *= shrink;
                for sum in &mut sum[i * width..(i + 1) * width] {
                    *sum *= shrink;
                }
                peak[i] = new;
            }
            total[i] += exp_shifted::<FMA>(row, new);
        }
    }
}

/// What the backward pass is given besides its inputs, token-major.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a> {
    /// The forward pass's, `[tokens, heads]`.
    pub(crate) log_sum: &'a [f32],
    /// `out · dout` of each head, `[tokens, heads]`.
    pub(crate) delta: &'a [f32],
    /// Gradient of `out`, `[tokens, heads * head_dim]`.
    pub(crate) dout: &'a Buffer,
}

/// The gradients of queries, keys and values, by key-value head.
pub(crate) struct Gradients {
    /// `[kv_heads, tokens, heads / kv_heads, head_dim]`.
    pub(crate) queries: Buffer,
    /// `[kv_heads, tokens, head_dim]`.
    pub(crate) keys: Buffer,
    /// `[kv_heads, tokens, head_dim]`.
    pub(crate) values: Buffer,
}

impl Gradients {
    /// Writes the rows of all heads, `[rows, queries, keys and values]`, from token `first` on.
    pub(crate) fn token_major(&self, heads: Heads<'_>, first: usize, rows: &mut [f32]) {
        let Heads {
            kv_heads, width, ..
        } = heads;
        let group = heads.heads / kv_heads * width;
        let tokens = self.keys.len() / (kv_heads * width);
        for (t, row) in rows.chunks_exact_mut(heads.columns()).enumerate() {
            let (queries, others) = row.split_at_mut(heads.heads * width);
            let (keys, values) = others.split_at_mut(kv_heads * width);
            for kv in 0..kv_heads {
                let at = kv * tokens + first + t;
                let copy = |to: &mut [f32], from: &[f32], size: usize| {
                    to[kv * size..][..size].copy_from_slice(&from[at * size..][..size]);
                };
                copy(queries, &self.queries, group);
                copy(keys, &self.keys, width);
                copy(values, &self.values, width);
            }
        }
    }
}

/// One root's tokens under one key-value head: what a thread works on.
struct Share<'a> {
    kv: usize,
    first: usize,
    tiles: &'a [Tile],
    queries: &'a mut [f32],
    keys: &'a mut [f32],
    values: &'a mut [f32],
}

/// All heads backward.
pub(crate) fn backward(inputs: &Inputs<'_>, given: Given<'_>, buffers: &Buffers) -> Gradients {
    let Heads {
        heads,
        kv_heads,
        width,
        ..
    } = inputs.heads;
    let tokens = inputs.tree.len();
    let mut gradients = Gradients {
        queries: buffers.zeros(tokens * heads * width),
        keys: buffers.zeros(tokens * kv_heads * width),
        values: buffers.zeros(tokens * kv_heads * width),
    };
    let tiles = Tile::all(inputs.tree);
    let roots = inputs.tree.roots();
    let of_roots = |numbers: usize| {
        let sizes: Vec<usize> = roots.iter().map(|root| root.len() * numbers).collect();
        (0..kv_heads).flat_map(move |_| sizes.clone())
    };
    let queries = split(&mut gradients.queries, of_roots(heads / kv_heads * width));
    let keys = split(&mut gradients.keys, of_roots(width));
    let values = split(&mut gradients.values, of_roots(width));
    let places = (0..kv_heads).flat_map(|kv| roots.iter().map(move |root| (kv, root)));
    let mut shares: Vec<Share<'_>> = (places.zip(queries).zip(keys).zip(values))
        .map(|((((kv, root), queries), keys), values)| {
            let from = tiles.partition_point(|tile| tile.first < root.start);
            let to = tiles.partition_point(|tile| tile.first < root.end);
            Share {
                kv,
                first: root.start,
                tiles: &tiles[from..to],
                queries,
                keys,
                values,
            }
        })
        .collect();
    shares.par_iter_mut().for_each_init(
        || Scratch::new(width),
        |scratch, share| {
            for tile in share.tiles {
                for head in 0..heads / kv_heads {
                    backward_tile(inputs, given, tile, head, share, scratch);
                }
            }
        },
    );
    gradients
}

/// One tile under the `member`-th query head of its key-value head.
fn backward_tile(
    inputs: &Inputs<'_>,
    given: Given<'_>,
    tile: &Tile,
    member: usize,
    share: &mut Share<'_>,
    scratch: &mut Scratch,
) {
    let Heads {
        heads,
        kv_heads,
        width,
        ..
    } = inputs.heads;
    let (kv, group) = (share.kv, heads / kv_heads);
    let head = kv * group + member;
    let queries = inputs.queries(head, tile.first, tile.count);
    let dout = &given.dout.with_margin()[(tile.first * heads + head) * width..];
    let dout = Matrix::strided(dout, tile.count, width, heads * width);
    let Scratch {
        scores: weights,
        gradients,
        ..
    } = scratch;
    for part in tile.parts() {
        let count = part.to - part.from;
        let of_tile = |of: &[f32]| -> [f32; TILE] {
            let of = &of[tile.first * heads + head..];
            std::array::from_fn(|i| if i < tile.count { of[i * heads] } else { 0.0 })
        };
        let (log_sum, delta) = (of_tile(given.log_sum), of_tile(given.delta));
        product_in_place(
            MatrixMut::new(weights, tile.count, TILE),
            Store::Overwrite,
            inputs.scale(),
            queries,
            inputs.panel(&inputs.keys, part.block, kv),
        );
        product_in_place(
            MatrixMut::new(gradients, tile.count, TILE),
            Store::Overwrite,
            1.0,
            dout,
            inputs.panel(&inputs.values, part.block, kv),
        );
        let scale = inputs.scale();
        differentiate_weights(tile, &part, weights, gradients, &log_sum, &delta, scale);

        let at = ((tile.first - share.first) * group + member) * width;
        product_in_place(
            MatrixMut::strided(&mut share.queries[at..], tile.count, width, group * width),
            Store::Add,
            1.0,
            part.seen(tile, gradients),
            inputs.rows(&inputs.key_rows, &part, kv),
        );
        let at = (part.first + part.from - share.first) * width;
        product_in_place(
            MatrixMut::new(&mut share.keys[at..], count, width),
            Store::Add,
            1.0,
            part.seen(tile, gradients).t(),
            queries,
        );
        product_in_place(
            MatrixMut::new(&mut share.values[at..], count, width),
            Store::Add,
            1.0,
            part.seen(tile, weights).t(),
            dout,
        );
    }
}

vectorised! {
    /// Turns a tile's scores into weights, and the gradients of the weights into those of the
    /// scores times `scale`. `log_sum` and `delta` are those of the tile's queries.
    fn differentiate_weights(
        tile: &Tile,
        part: &Part,
        scores: &mut [f32],
        gradients: &mut [f32],
        log_sum: &[f32],
        delta: &[f32],
        scale: f32,
    ) {
        let rows = scores.chunks_exact_mut(TILE).zip(gradients.chunks_exact_mut(TILE));
        for (i, (weights, gradients)) in rows.take(tile.count).enumerate() {
            let (from, to) = tile.visible(part, i);
            weights[to..].fill(0.0);
            gradients[to..].fill(0.0);
            exp_shifted::<FMA>(&mut weights[from..to], log_sum[i]);
            for (d, &w) in gradients[from..to].iter_mut().zip(&weights[from..to]) {
                *d = w * (*d - delta[i]) * scale;
            }
        }
    }
}

vectorised! {
    /// `out[i] = a_i . b_i` for vectors of `width` numbers.
    pub(crate) fn dots(a: &[f32], b: &[f32], width: usize, out: &mut [f32]) {
        let rows = a.chunks_exact(width).zip(b.chunks_exact(width));
        for (out, (a, b)) in out.iter_mut().zip(rows) {
            *out = dot::<FMA>(a, b);
        }
    }
}
