//! From one layer's projected queries, keys and values to what attention reads, and back:
//! per-head RMSNorm (Qwen3), rotary positions (Su et al. 2021,
//! <https://arxiv.org/abs/2104.09864>), and the turn from token-major to head-major.

use crate::Architecture;
use crate::numeric::{rms_norm, rms_norm_backward};

/// cos and sin of every angle: `[positions, head_dim / 2]` each.
pub(crate) struct Rotary {
    half: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
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
    pub(crate) fn rotate(&self, head: &mut [f32], position: usize, inverse: bool) {
        let at = position * self.half..(position + 1) * self.half;
        let (cos, sin) = (&self.cos[at.clone()], &self.sin[at]);
        let sign = if inverse { -1.0 } else { 1.0 };
        let (low, high) = head.split_at_mut(self.half);
        for i in 0..self.half {
            let (a, b, sin) = (low[i], high[i], sign * sin[i]);
            low[i] = a * cos[i] - b * sin;
            high[i] = b * cos[i] + a * sin;
        }
    }
}

/// Queries and keys of one layer, as attention reads them: `[heads, tokens, head_dim]`, the
/// query heads, then the key heads, then the value heads.
pub(crate) struct HeadMajor<'a> {
    pub(crate) architecture: &'a Architecture,
    pub(crate) rotary: &'a Rotary,
    /// Weights of the query and key norms, each `[head_dim]`.
    pub(crate) norms: Option<(&'a [f32], &'a [f32])>,
    /// Position of each token along its path.
    pub(crate) positions: &'a [usize],
}

impl HeadMajor<'_> {
    /// `projected` is `[tokens, heads * head_dim]` with query, key, value heads in turn; `out`
    /// is `[heads, tokens, head_dim]`.
    pub(crate) fn forward(&self, projected: &[f32], out: &mut [f32]) {
        let (width, tokens) = (self.architecture.head_dim, self.positions.len());
        let heads = projected.len() / (tokens * width);
        let mut normed = vec![0.0; width];
        for head in 0..heads {
            for (t, &position) in self.positions.iter().enumerate() {
                let from = (t * heads + head) * width;
                let source = &projected[from..from + width];
                let to = (head * tokens + t) * width;
                let target = &mut out[to..to + width];
                match self.norm(head) {
                    Some(weight) => {
                        let eps = self.architecture.rms_norm_eps;
                        rms_norm(source, weight, eps, &mut normed, &mut [0.0]);
                        target.copy_from_slice(&normed);
                    }
                    None => target.copy_from_slice(source),
                }
                if self.is_rotated(head) {
                    self.rotary.rotate(target, position, false);
                }
            }
        }
    }

    /// Turns `dout` `[heads, tokens, head_dim]` (overwritten) into `dprojected`
    /// `[tokens, heads * head_dim]`; adds to the norms' gradients.
    pub(crate) fn backward(
        &self,
        projected: &[f32],
        dout: &mut [f32],
        dprojected: &mut [f32],
        mut dnorms: Option<(&mut [f32], &mut [f32])>,
    ) {
        let (width, tokens) = (self.architecture.head_dim, self.positions.len());
        let heads = projected.len() / (tokens * width);
        let mut normed = vec![0.0; width];
        for head in 0..heads {
            for (t, &position) in self.positions.iter().enumerate() {
                let at = (head * tokens + t) * width;
                let dhead = &mut dout[at..at + width];
                let at = (t * heads + head) * width;
                let (source, target) =
                    (&projected[at..at + width], &mut dprojected[at..at + width]);
                if self.is_rotated(head) {
                    self.rotary.rotate(dhead, position, true);
                }
                match (self.norm(head), &mut dnorms) {
                    (Some(weight), Some((dq, dk))) => {
                        let eps = self.architecture.rms_norm_eps;
                        let mut inverse = [0.0];
                        rms_norm(source, weight, eps, &mut normed, &mut inverse);
                        target.fill(0.0);
                        let is_query = head < self.architecture.heads;
                        let dweight: &mut [f32] = if is_query { dq } else { dk };
                        rms_norm_backward(source, weight, &inverse, dhead, target, dweight);
                    }
                    _ => target.copy_from_slice(dhead),
                }
            }
        }
    }

    fn is_rotated(&self, head: usize) -> bool {
        head < self.architecture.heads + self.architecture.kv_heads
    }

    fn norm(&self, head: usize) -> Option<&[f32]> {
        let (q, k) = self.norms?;
        if head < self.architecture.heads {
            Some(q)
        } else {
            self.is_rotated(head).then_some(k)
        }
    }
}
