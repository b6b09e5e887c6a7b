//! From one layer's projected queries and keys to what attention reads, and back: per-head
//! RMSNorm (Qwen3) and rotary positions (Su et al. 2021, <https://arxiv.org/abs/2104.09864>).

use crate::Architecture;
use crate::instructions::vectorised;
use crate::numeric::dot;

/// cos and sin of every angle: `[positions, head_dim / 2]` each.
pub(crate) struct Rotary {
    half: usize,
    pub(crate) cos: Vec<f32>,
    pub(crate) sin: Vec<f32>,
}

impl Rotary {
    pub(crate) fn new(architecture: &Architecture, positions: usize) -> Self {
        let frequencies = architecture.inverse_frequencies();
        let half = frequencies.len();
        let angles = (0..positions)
            .flat_map(|position| frequencies.iter().map(move |f| position as f32 * f));
        let (sin, cos) = angles.map(f32::sin_cos).unzip();
        Self { half, cos, sin }
    }

    /// Rotates one head's vector at `position`; backwards where `inverse`.
    #[inline(always)]
    pub(crate) fn rotate(&self, head: &mut [f32], position: usize, inverse: bool) {
        let at = position * self.half..(position + 1) * self.half;
        let (cos, sin) = (&self.cos[at.clone()], &self.sin[at]);
        let sign = if inverse { -1.0 } else { 1.0 };
        let (low, high) = head.split_at_mut(self.half);
        for (((low, high), cos), sin) in low.iter_mut().zip(high).zip(cos).zip(sin) {
            let (a, b, sin) = (*low, *high, sign * sin);
            *low = a * cos - b * sin;
            *high = b * cos + a * sin;
        }
    }
}

/// How one layer's heads are normed and rotated.
#[derive(Clone, Copy)]
pub(crate) struct Heads<'a> {
    pub(crate) rotary: &'a Rotary,
    /// Query heads.
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    /// Numbers of one head.
    pub(crate) width: usize,
    pub(crate) eps: f32,
    /// Gains of the query and key norms, each `[head_dim]`.
    pub(crate) norms: Option<(&'a [f32], &'a [f32])>,
}

impl Heads<'_> {
    /// Numbers of one token's queries, keys and values.
    pub(crate) fn columns(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.width
    }

    /// Numbers of one token's queries and keys.
    pub(crate) fn rotated(&self) -> usize {
        (self.heads + self.kv_heads) * self.width
    }

    #[inline(always)]
    fn norm(&self, head: usize) -> Option<&[f32]> {
        let (q, k) = self.norms?;
        Some(if head < self.heads { q } else { k })
    }
}

vectorised! {
    /// `projected` is `[rows, queries, keys and values]`, `rotated` `[rows, queries and keys]`,
    /// `positions` `[rows]`.
    pub(crate) fn rotate_heads(
        heads: Heads<'_>,
        projected: &[f32],
        positions: &[usize],
        rotated: &mut [f32],
    ) {
        let rows = (projected.chunks_exact(heads.columns()))
            .zip(rotated.chunks_exact_mut(heads.rotated()));
        for ((from, to), &position) in rows.zip(positions) {
            let pairs = from.chunks_exact(heads.width).zip(to.chunks_exact_mut(heads.width));
            for (head, (from, to)) in pairs.enumerate() {
                match heads.norm(head) {
                    Some(weight) => {
                        let inverse = inverse_rms::<FMA>(from, heads.eps);
                        for ((to, from), weight) in to.iter_mut().zip(from).zip(weight) {
                            *to = from * inverse * weight;
                        }
                    }
                    None => to.copy_from_slice(from),
                }
                heads.rotary.rotate(to, position, false);
            }
        }
    }
}

vectorised! {
    /// Backward of [`rotate_heads`]: turns the queries and keys of `gradient`, `[rows, queries,
    /// keys and values]`, into the gradient of what was projected; adds to the gradients of the
    /// norms' gains, queries first, `[2, head_dim]`.
    pub(crate) fn rotate_heads_backward(
        heads: Heads<'_>,
        projected: &[f32],
        positions: &[usize],
        gradient: &mut [f32],
        dnorms: &mut [f32],
    ) {
        let width = heads.width;
        let rows = (projected.chunks_exact(heads.columns()))
            .zip(gradient.chunks_exact_mut(heads.columns()));
        for ((x, d), &position) in rows.zip(positions) {
            let pairs = x.chunks_exact(width).zip(d.chunks_exact_mut(width));
            for (head, (x, d)) in pairs.take(heads.heads + heads.kv_heads).enumerate() {
                heads.rotary.rotate(d, position, true);
                let Some(weight) = heads.norm(head) else { continue };
                let first = if head < heads.heads { 0 } else { width };
                let dweight = &mut dnorms[first..first + width];
                let inverse = inverse_rms::<FMA>(x, heads.eps);
                for (((d, x), weight), dweight) in d.iter_mut().zip(x).zip(weight).zip(dweight) {
                    *dweight += *d * x * inverse;
                    *d *= weight;
                }
                let projection = dot::<FMA>(d, x) * inverse * inverse * inverse / width as f32;
                for (d, x) in d.iter_mut().zip(x) {
                    *d = *d * inverse - x * projection;
                }
            }
        }
    }
}

#[inline(always)]
fn inverse_rms<const FMA: bool>(x: &[f32], eps: f32) -> f32 {
    1.0 / (dot::<FMA>(x, x) / x.len() as f32 + eps).sqrt()
}
