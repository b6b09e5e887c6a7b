//! Every operation of a pass in f64, as plainly as it can be said. Slow, and never used but to
//! be compared with.

use crate::TokenTree;

/// `[rows, k] [n, k]^T`, row-major.
pub(super) fn product(x: &[f64], w: &[f64], k: usize) -> Vec<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum();
    (x.chunks(k))
        .flat_map(|row| w.chunks(k).map(move |column| dot(row, column)))
        .collect()
}

/// `[rows, columns]` to `[columns, rows]`.
pub(super) fn transposed(x: &[f64], columns: usize) -> Vec<f64> {
    let rows = x.len() / columns;
    (0..columns)
        .flat_map(|column| (0..rows).map(move |row| x[row * columns + column]))
        .collect()
}

/// `x / rms(x) * gain`, row by row.
pub(super) fn norm(x: &[f64], gain: &[f64], eps: f64) -> Vec<f64> {
    (x.chunks(gain.len()))
        .flat_map(|row| {
            let inverse = inverse_rms(row, eps);
            row.iter()
                .zip(gain)
                .map(move |(x, gain)| x * inverse * gain)
        })
        .collect()
}

/// Gradients of a norm's input and of its gain.
pub(super) fn norm_backward(
    x: &[f64],
    gain: &[f64],
    eps: f64,
    dout: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let width = gain.len();
    let (mut dx, mut dgain) = (Vec::new(), vec![0.0; width]);
    for (x, dout) in x.chunks(width).zip(dout.chunks(width)) {
        let inverse = inverse_rms(x, eps);
        let pushed: f64 = (0..width).map(|i| dout[i] * gain[i] * x[i]).sum();
        for i in 0..width {
            dgain[i] += dout[i] * x[i] * inverse;
            let through_rms = x[i] * pushed * inverse.powi(3) / width as f64;
            dx.push(dout[i] * gain[i] * inverse - through_rms);
        }
    }
    (dx, dgain)
}

fn inverse_rms(x: &[f64], eps: f64) -> f64 {
    let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
    1.0 / (mean + eps).sqrt()
}

/// `silu(gate) * up` of rows of gates, then ups.
pub(super) fn swiglu(gate_up: &[f64], ffn: usize) -> Vec<f64> {
    (gate_up.chunks(2 * ffn))
        .flat_map(|row| (0..ffn).map(move |i| row[i] * sigmoid(row[i]) * row[ffn + i]))
        .collect()
}

/// Gradients of gates, then ups.
pub(super) fn swiglu_backward(gate_up: &[f64], ffn: usize, dout: &[f64]) -> Vec<f64> {
    let mut gradient = Vec::new();
    for (row, dout) in gate_up.chunks(2 * ffn).zip(dout.chunks(ffn)) {
        let slope = |gate: f64| sigmoid(gate) * (1.0 + gate * (1.0 - sigmoid(gate)));
        gradient.extend((0..ffn).map(|i| dout[i] * row[ffn + i] * slope(row[i])));
        gradient.extend((0..ffn).map(|i| dout[i] * row[i] * sigmoid(row[i])));
    }
    gradient
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// One layer's heads.
pub(super) struct Heads<'a> {
    pub(super) tree: &'a TokenTree,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) width: usize,
    pub(super) eps: f64,
    /// Radians per position of each pair.
    pub(super) frequencies: &'a [f32],
    /// Gains of query and key norms.
    pub(super) gains: [&'a [f64]; 2],
}

/// What attention makes of what was projected.
pub(super) struct Attended {
    pub(super) out: Vec<f64>,
    pub(super) log_sum: Vec<f64>,
}

/// Gradients of what was projected, and of both gains.
pub(super) struct Attending {
    pub(super) projected: Vec<f64>,
    pub(super) gains: [Vec<f64>; 2],
}

impl Heads<'_> {
    fn columns(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.width
    }

    fn vector<'v>(&self, rows: &'v [f64], token: usize, head: usize) -> &'v [f64] {
        &rows[token * self.columns() + head * self.width..][..self.width]
    }

    /// Turns a vector to its position, or back.
    fn turn(&self, vector: &mut [f64], token: usize, back: bool) {
        let half = self.width / 2;
        for i in 0..half {
            let angle = f64::from(self.tree.position(token) as f32 * self.frequencies[i]);
            let (sin, cos) = if back { -angle } else { angle }.sin_cos();
            let (a, b) = (vector[i], vector[half + i]);
            vector[i] = a * cos - b * sin;
            vector[half + i] = b * cos + a * sin;
        }
    }

    /// Queries and keys normed and turned; values as they are.
    fn turned(&self, projected: &[f64]) -> Vec<f64> {
        let mut turned = projected.to_vec();
        for token in 0..self.tree.len() {
            for head in 0..self.heads + self.kv_heads {
                let gain = self.gains[usize::from(head >= self.heads)];
                let mut vector = norm(self.vector(projected, token, head), gain, self.eps);
                self.turn(&mut vector, token, false);
                let at = token * self.columns() + head * self.width;
                turned[at..at + self.width].copy_from_slice(&vector);
            }
        }
        turned
    }

    /// The tokens that a token sees, itself first.
    fn path(&self, token: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(token), |&at| self.tree.predecessor(at))
    }

    fn weights(&self, turned: &[f64], token: usize, head: usize) -> (Vec<(usize, f64)>, f64) {
        let key_head = self.heads + head / (self.heads / self.kv_heads);
        let query = self.vector(turned, token, head);
        let score = |key: usize| {
            let pairs = query.iter().zip(self.vector(turned, key, key_head));
            pairs.map(|(a, b)| a * b).sum::<f64>() / (self.width as f64).sqrt()
        };
        let scores: Vec<(usize, f64)> = self.path(token).map(|key| (key, score(key))).collect();
        let log_sum = scores
            .iter()
            .map(|(_, score)| score.exp())
            .sum::<f64>()
            .ln();
        let weight = |&(key, score): &(usize, f64)| (key, (score - log_sum).exp());
        (scores.iter().map(weight).collect(), log_sum)
    }

    pub(super) fn attend(&self, projected: &[f64]) -> Attended {
        let turned = self.turned(projected);
        let (mut out, mut log_sums) = (Vec::new(), Vec::new());
        for token in 0..self.tree.len() {
            for head in 0..self.heads {
                let (weights, log_sum) = self.weights(&turned, token, head);
                log_sums.push(log_sum);
                let mut sum = vec![0.0; self.width];
                for (key, weight) in weights {
                    let value = self.vector(&turned, key, self.value_head(head));
                    sum.iter_mut()
                        .zip(value)
                        .for_each(|(sum, v)| *sum += weight * v);
                }
                out.extend(sum);
            }
        }
        Attended {
            out,
            log_sum: log_sums,
        }
    }

    fn value_head(&self, head: usize) -> usize {
        self.heads + self.kv_heads + head / (self.heads / self.kv_heads)
    }

    pub(super) fn attend_backward(&self, projected: &[f64], dout: &[f64]) -> Attending {
        let turned = self.turned(projected);
        let mut gradient = vec![0.0; projected.len()];
        let scale = 1.0 / (self.width as f64).sqrt();
        for token in 0..self.tree.len() {
            for head in 0..self.heads {
                let (weights, _) = self.weights(&turned, token, head);
                let dout = &dout[(token * self.heads + head) * self.width..][..self.width];
                let of_weight = |key: usize| -> f64 {
                    let value = self.vector(&turned, key, self.value_head(head));
                    dout.iter().zip(value).map(|(d, v)| d * v).sum()
                };
                let mean: f64 = weights.iter().map(|&(key, w)| w * of_weight(key)).sum();
                for &(key, weight) in &weights {
                    let dscore = weight * (of_weight(key) - mean) * scale;
                    let key_head = self.value_head(head) - self.kv_heads;
                    let query_at = token * self.columns() + head * self.width;
                    let key_at = key * self.columns() + key_head * self.width;
                    let value_at = key_at + self.kv_heads * self.width;
                    for i in 0..self.width {
                        gradient[query_at + i] += dscore * turned[key_at + i];
                        gradient[key_at + i] += dscore * turned[query_at + i];
                        gradient[value_at + i] += weight * dout[i];
                    }
                }
            }
        }
        self.turn_back(projected, gradient)
    }

    fn turn_back(&self, projected: &[f64], mut gradient: Vec<f64>) -> Attending {
        let mut dgains = [vec![0.0; self.width], vec![0.0; self.width]];
        for token in 0..self.tree.len() {
            for head in 0..self.heads + self.kv_heads {
                let which = usize::from(head >= self.heads);
                let at = token * self.columns() + head * self.width;
                let d = &mut gradient[at..at + self.width];
                self.turn(d, token, true);
                let x = self.vector(projected, token, head);
                let (dx, dgain) = norm_backward(x, self.gains[which], self.eps, d);
                d.copy_from_slice(&dx);
                dgains[which]
                    .iter_mut()
                    .zip(dgain)
                    .for_each(|(sum, d)| *sum += d);
            }
        }
        Attending {
            projected: gradient,
            gains: dgains,
        }
    }
}

/// Log-probability of a token, and the entropy, of one row of logits.
pub(super) fn logprob(logits: &[f64], token: usize) -> (f64, f64) {
    let log_sum = logits.iter().map(|logit| logit.exp()).sum::<f64>().ln();
    let logprobs = logits.iter().map(|logit| logit - log_sum);
    (
        logits[token] - log_sum,
        logprobs.map(|l| -l.exp() * l).sum(),
    )
}

/// Gradient of `c * logprob(token) + e * entropy` by one row of logits.
pub(super) fn logprob_backward(logits: &[f64], token: usize, c: f64, e: f64) -> Vec<f64> {
    let (at_token, entropy) = logprob(logits, token);
    let log_sum = logits[token] - at_token;
    let gradient = logits.iter().enumerate().map(|(i, logit)| {
        let logprob = logit - log_sum;
        let own = if i == token { c } else { 0.0 };
        own - c * logprob.exp() - e * logprob.exp() * (logprob + entropy)
    });
    gradient.collect()
}
