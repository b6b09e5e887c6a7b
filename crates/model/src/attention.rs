//! Attention over a token tree, one query head at a time, by tiles with an online softmax
//! (Milakov & Gimelshein 2018; Dao et al. 2022): memory is linear in the tokens, and a shared
//! prefix is stored once however many branches read it.

use crate::instructions::vectorised;

use crate::matmul::{Matrix, Store, matmul};
use crate::numeric::{add, dot, exp_shifted, max};
use crate::{Threads, TokenTree};

/// Queries and keys are taken this many at a time.
const QUERIES: usize = 64;
const KEYS: usize = 128;

/// A tile of queries of one node against a tile of keys that they may see.
struct Tile {
    query: usize,
    queries: usize,
    key: usize,
    keys: usize,
    /// In the node's own tokens, key `key + j` is visible to query `query + i` iff
    /// `j <= i + key_lead`; `None` where all are visible.
    key_lead: Option<isize>,
}

impl Tile {
    /// How many of the tile's keys query `i` sees.
    fn visible(&self, i: usize) -> usize {
        let Some(lead) = self.key_lead else {
            return self.keys;
        };
        (i as isize + lead + 1).clamp(0, self.keys as isize) as usize
    }
}

/// Calls `visit` with every pair of tiles; those of one query tile come one after another.
fn for_each_tile(tree: &TokenTree, mut visit: impl FnMut(&Tile, bool)) {
    for (index, node) in tree.nodes().iter().enumerate() {
        let ancestors = tree.ancestors(index);
        for from in (0..node.len).step_by(QUERIES) {
            let queries = QUERIES.min(node.len - from);
            let query = node.start + from;
            let mut first = true;
            for &(start, len) in &ancestors {
                for at in (0..len).step_by(KEYS) {
                    let tile = Tile {
                        query,
                        queries,
                        key: start + at,
                        keys: KEYS.min(len - at),
                        key_lead: None,
                    };
                    visit(&tile, std::mem::take(&mut first));
                }
            }
            let own = from + queries;
            for at in (0..own).step_by(KEYS) {
                let tile = Tile {
                    query,
                    queries,
                    key: node.start + at,
                    keys: KEYS.min(own - at),
                    key_lead: Some(from as isize - at as isize),
                };
                visit(&tile, std::mem::take(&mut first));
            }
        }
    }
}

fn rows(data: &[f32], first: usize, count: usize, width: usize) -> Matrix<'_> {
    Matrix::new(&data[first * width..(first + count) * width], count, width)
}

/// One head forward. `q`, `k`, `v` and `out` are `[tokens, width]`; `log_sum` is `[tokens]` and
/// receives the log of each softmax's denominator, which the backward pass needs.
pub(crate) fn forward(
    tree: &TokenTree,
    width: usize,
    q: &[f32],
    k: &[f32],
    v: &[f32],
    out: &mut [f32],
    log_sum: &mut [f32],
) {
    let scale = 1.0 / (width as f32).sqrt();
    let mut scores = vec![0.0; QUERIES * KEYS];
    let mut product = vec![0.0; QUERIES * width];
    let mut peak = vec![0.0; tree.len()];
    // Until `finish`, `log_sum` holds the denominator relative to `peak`.
    for_each_tile(tree, |tile, first| {
        let (query, keys) = (tile.query, tile.keys);
        if first {
            out[query * width..(query + tile.queries) * width].fill(0.0);
            log_sum[query..query + tile.queries].fill(0.0);
            peak[query..query + tile.queries].fill(f32::NEG_INFINITY);
        }
        matmul(
            &mut scores,
            Store::Overwrite,
            scale,
            rows(q, query, tile.queries, width),
            rows(k, tile.key, keys, width).t(),
            Threads::One,
        );
        let at = query..query + tile.queries;
        let state = Online {
            peak: &mut peak[at.clone()],
            sum: &mut log_sum[at.clone()],
            out: &mut out[at.start * width..at.end * width],
        };
        absorb_scores(tile, &mut scores, state);
        matmul(
            &mut product,
            Store::Overwrite,
            1.0,
            rows(&scores, 0, tile.queries, keys),
            rows(v, tile.key, keys, width),
            Threads::One,
        );
        add(
            &mut out[query * width..(query + tile.queries) * width],
            &product,
        );
    });
    for (at, out) in out.chunks_exact_mut(width).enumerate() {
        let inverse = 1.0 / log_sum[at];
        out.iter_mut().for_each(|o| *o *= inverse);
        log_sum[at] = peak[at] + log_sum[at].ln();
    }
}

/// What is known of a tile's queries so far: the largest score, the sum of exponentials and
/// the weighted values, both relative to it. `[queries]`, `[queries]`, `[queries, width]`.
struct Online<'a> {
    peak: &'a mut [f32],
    sum: &'a mut [f32],
    out: &'a mut [f32],
}

vectorised! {
    /// Turns a tile's scores into weights relative to the peaks, which they may raise.
    fn absorb_scores(tile: &Tile, scores: &mut [f32], state: Online<'_>) {
        let width = state.out.len() / tile.queries;
        for i in 0..tile.queries {
            let row = &mut scores[i * tile.keys..(i + 1) * tile.keys];
            let (row, hidden) = row.split_at_mut(tile.visible(i));
            hidden.fill(0.0);
            if row.is_empty() {
                continue;
            }
            let (old, new) = (state.peak[i], max(row).max(state.peak[i]));
            if old < new {
                let shrink = (old - new).exp();
                state.sum[i] *= shrink;
                for o in &mut state.out[i * width..(i + 1) * width] {
                    *o *= shrink;
                }
                state.peak[i] = new;
            }
            state.sum[i] += exp_shifted::<FMA>(row, new);
        }
    }
}

vectorised! {
    /// Turns a tile's scores into weights, and the gradients of the weights into those of the
    /// scores times `scale`. `log_sum` and `delta` are those of the tile's queries.
    fn differentiate_weights(
        tile: &Tile,
        scores: &mut [f32],
        dweights: &mut [f32],
        log_sum: &[f32],
        delta: &[f32],
        scale: f32,
    ) {
        for i in 0..tile.queries {
            let visible = tile.visible(i);
            let weights = &mut scores[i * tile.keys..(i + 1) * tile.keys];
            let dweights = &mut dweights[i * tile.keys..(i + 1) * tile.keys];
            exp_shifted::<FMA>(&mut weights[..visible], log_sum[i]);
            for (d, &w) in dweights[..visible].iter_mut().zip(&*weights) {
                *d = w * (*d - delta[i]) * scale;
            }
            weights[visible..].fill(0.0);
            dweights[visible..].fill(0.0);
        }
    }
}

vectorised! {
    /// `out[i] = a_i . b_i` for rows of `width` numbers.
    fn dot_rows(a: &[f32], b: &[f32], width: usize, out: &mut [f32]) {
        let rows = a.chunks_exact(width).zip(b.chunks_exact(width));
        for (out, (a, b)) in out.iter_mut().zip(rows) {
            *out = dot::<FMA>(a, b);
        }
    }
}

/// What the backward pass of one query head reads: the forward's inputs and outputs, and the
/// gradient of its output. All `[tokens, width]`, except `log_sum` `[tokens]`.
pub(crate) struct Head<'a> {
    pub(crate) q: &'a [f32],
    pub(crate) k: &'a [f32],
    pub(crate) v: &'a [f32],
    pub(crate) out: &'a [f32],
    pub(crate) log_sum: &'a [f32],
    pub(crate) dout: &'a [f32],
}

/// One head backward: adds to `dq`, `dk` and `dv`, all `[tokens, width]`.
pub(crate) fn backward(
    tree: &TokenTree,
    width: usize,
    head: &Head<'_>,
    dq: &mut [f32],
    dk: &mut [f32],
    dv: &mut [f32],
) {
    let scale = 1.0 / (width as f32).sqrt();
    let mut weights = vec![0.0; QUERIES * KEYS];
    let mut dweights = vec![0.0; QUERIES * KEYS];
    let mut delta = vec![0.0; tree.len()];
    dot_rows(head.out, head.dout, width, &mut delta);
    for_each_tile(tree, |tile, _| {
        let (query, queries, keys) = (tile.query, tile.queries, tile.keys);
        let (q, dout) = (
            rows(head.q, query, queries, width),
            rows(head.dout, query, queries, width),
        );
        let (k, v) = (
            rows(head.k, tile.key, keys, width),
            rows(head.v, tile.key, keys, width),
        );
        matmul(
            &mut weights,
            Store::Overwrite,
            scale,
            q,
            k.t(),
            Threads::One,
        );
        matmul(
            &mut dweights,
            Store::Overwrite,
            1.0,
            dout,
            v.t(),
            Threads::One,
        );
        let at = query..query + queries;
        let (log_sum, delta) = (&head.log_sum[at.clone()], &delta[at]);
        differentiate_weights(tile, &mut weights, &mut dweights, log_sum, delta, scale);
        let (weights, dscores) = (
            rows(&weights, 0, queries, keys),
            rows(&dweights, 0, queries, keys),
        );
        let dq = &mut dq[query * width..(query + queries) * width];
        matmul(dq, Store::Add, 1.0, dscores, k, Threads::One);
        let keys = tile.key * width..(tile.key + keys) * width;
        matmul(
            &mut dk[keys.clone()],
            Store::Add,
            1.0,
            dscores.t(),
            q,
            Threads::One,
        );
        matmul(
            &mut dv[keys],
            Store::Add,
            1.0,
            weights.t(),
            dout,
            Threads::One,
        );
    });
}
