//! The language-model head, chunk by chunk: only positions with a target are computed,
//! and the vocabulary-sized logits of a batch never exist at once unless they are few.

use std::ops::Range;

use rayon::prelude::*;

use super::{PARTIAL, Pass, block};
use crate::buffers::Buffers;
use crate::instructions::vectorised;
use crate::numeric::{add, dot, exp_shifted, max};
use crate::product::{Matrix, MatrixMut, Store, product_on_all};
use crate::profile::{Phase, Stopwatch};
use crate::{Coefficient, Keep};

/// Logits of one chunk stay within about this many numbers, but for [`FEWEST`] rows of them.
pub(crate) const CHUNK: usize = 1 << 24;
/// Fewer rows a chunk, and reading the head's weights would cost more than the arithmetic.
const FEWEST: usize = 128;

/// Rows of logits that exist at once.
pub(crate) fn chunk_rows(vocabulary: usize) -> usize {
    (CHUNK / vocabulary).clamp(FEWEST, 1024)
}

impl Pass<'_> {
    fn chunks(&self, count: usize) -> impl Iterator<Item = Range<usize>> {
        let rows = chunk_rows(self.model.architecture.vocab_size);
        (0..count)
            .step_by(rows)
            .map(move |first| first..count.min(first + rows))
    }

    /// Gathers the hidden rows that predict `predictions`, and norms them. `[predictions,
    /// hidden]` each.
    fn predicting_rows(&self, predictions: &[(usize, u32)], x: &mut [f32], normed: &mut [f32]) {
        let hidden = self.model.architecture.hidden_size;
        for (row, &(at, _)) in x.chunks_exact_mut(hidden).zip(predictions) {
            row.copy_from_slice(&self.last[at * hidden..(at + 1) * hidden]);
        }
        self.norm(self.model.layout().norm, x, normed);
    }

    fn logits(&self, normed: &[f32], rows: usize, out: &mut [f32]) {
        let a = &self.model.architecture;
        let scale = 1.0 / self.model.temperature;
        let normed = Matrix::new(normed, rows, a.hidden_size);
        let out = MatrixMut::new(out, rows, a.vocab_size);
        (self.model.head().t()).product(out, Store::Overwrite, scale, normed);
    }

    pub(super) fn head_forward(&mut self, keep: Keep, buffers: &mut Buffers) {
        let mut watch = Stopwatch::start();
        let a = &self.model.architecture;
        let (vocab, hidden) = (a.vocab_size, a.hidden_size);
        let count = self.predictions.len();
        let kept = keep == Keep::All && count * vocab <= CHUNK;
        let rows = if kept {
            count
        } else {
            self.chunks(count).map(|c| c.len()).max().unwrap_or(0)
        };
        let mut logits = buffers.take(rows * vocab);
        let mut x = buffers.take(rows * hidden);
        let mut normed = buffers.take(rows * hidden);
        let (mut logprobs, mut entropies) = (vec![0.0; count], vec![0.0; count]);
        let whole = 0..count;
        let chunks: Vec<_> = if kept {
            vec![whole]
        } else {
            self.chunks(count).collect()
        };
        for chunk in chunks {
            let block = block(chunk.len());
            (
                self.predictions[chunk.clone()].par_chunks(block),
                x.par_chunks_mut(block * hidden),
                normed.par_chunks_mut(block * hidden),
                logits.par_chunks_mut(block * vocab),
                logprobs[chunk.clone()].par_chunks_mut(block),
                entropies[chunk].par_chunks_mut(block),
            )
                .into_par_iter()
                .for_each(|(predictions, x, normed, logits, logprobs, entropies)| {
                    let rows = predictions.len();
                    let (x, normed) = (&mut x[..rows * hidden], &mut normed[..rows * hidden]);
                    self.predicting_rows(predictions, x, normed);
                    self.logits(normed, rows, logits);
                    let out = logprobs.iter_mut().zip(entropies);
                    for ((out, &(_, token)), logits) in
                        out.zip(predictions).zip(logits.chunks_exact(vocab))
                    {
                        (*out.0, *out.1) = logprob_and_entropy(logits, token as usize);
                    }
                });
        }
        watch.lap_on_all(Phase::Head);
        (self.logprobs, self.entropies) = (logprobs, entropies);
        buffers.give(x);
        buffers.give(normed);
        match kept {
            true => self.logits = Some(logits),
            false => buffers.give(logits),
        }
    }

    /// Returns the gradient of the last layer's output, `[tokens, hidden]`.
    pub(super) fn head_backward(
        &mut self,
        coefficients: &[Coefficient],
        gradient: &mut [f32],
        buffers: &mut Buffers,
    ) -> Vec<f32> {
        let a = &self.model.architecture;
        let (vocab, hidden) = (a.vocab_size, a.hidden_size);
        let layout = self.model.layout();
        let mut watch = Stopwatch::start();
        let mut dlast = buffers.zeros(self.last.len());
        let used: Vec<usize> = (0..coefficients.len())
            .filter(|&i| coefficients[i] != Coefficient::default())
            .collect();
        let kept = self.logits.take();
        for chunk in self.chunks(used.len()) {
            let used = &used[chunk];
            let block = block(used.len());
            let mut logits = buffers.take(used.len() * vocab);
            let mut x = buffers.take(used.len() * hidden);
            let mut normed = buffers.take(used.len() * hidden);
            let mut dx = buffers.zeros(used.len() * hidden);
            let mut dnormed = buffers.take(used.len() * hidden);
            let mut dnorm = buffers.zeros(used.len().div_ceil(PARTIAL) * hidden);
            (
                used.par_chunks(block),
                logits.par_chunks_mut(block * vocab),
                x.par_chunks_mut(block * hidden),
                normed.par_chunks_mut(block * hidden),
                dx.par_chunks_mut(block * hidden),
                dnormed.par_chunks_mut(block * hidden),
                dnorm.par_chunks_mut(block / PARTIAL * hidden),
            )
                .into_par_iter()
                .for_each(|(used, logits, x, normed, dx, dnormed, dnorm)| {
                    let rows = used.len();
                    let predictions: Vec<_> = used.iter().map(|&i| self.predictions[i]).collect();
                    self.predicting_rows(&predictions, x, normed);
                    match &kept {
                        Some(kept) => {
                            for (row, &i) in logits.chunks_exact_mut(vocab).zip(used) {
                                row.copy_from_slice(&kept[i * vocab..(i + 1) * vocab]);
                            }
                        }
                        None => self.logits(normed, rows, logits),
                    }
                    let rows_of_logits = logits.chunks_exact_mut(vocab);
                    for ((row, &i), &(_, token)) in rows_of_logits.zip(used).zip(&predictions) {
                        let entropy = self.entropies[i];
                        let scale = 1.0 / self.model.temperature;
                        logit_gradient(row, token as usize, coefficients[i], entropy, scale);
                    }
                    let dlogits = Matrix::new(&*logits, rows, vocab);
                    let out = MatrixMut::new(dnormed, rows, hidden);
                    (self.model.head()).product(out, Store::Overwrite, 1.0, dlogits);
                    self.norm_backward(layout.norm, x, dnormed, dx, dnorm);
                });
            for (row, &i) in dx.chunks_exact(hidden).zip(used) {
                let at = self.predictions[i].0;
                add(&mut dlast[at * hidden..(at + 1) * hidden], row);
            }
            watch.lap_on_all(Phase::HeadBackward);
            if self.model.adapter.is_none() {
                let dhead = &mut gradient[layout.head..layout.head + vocab * hidden];
                let dlogits = Matrix::new(&logits, used.len(), vocab);
                product_on_all(
                    MatrixMut::new(dhead, vocab, hidden),
                    Store::Add,
                    1.0,
                    dlogits.t(),
                    Matrix::new(&normed, used.len(), hidden),
                );
            }
            watch.lap_on_all(Phase::WeightGradient);
            self.add_gradient(layout.norm, &dnorm, hidden, gradient);
            for buffer in [logits, x, normed, dx, dnormed, dnorm] {
                buffers.give(buffer);
            }
        }
        if let Some(kept) = kept {
            buffers.give(kept);
        }
        dlast
    }
}

vectorised! {
    /// Log-probability of `token` and the entropy, from logits.
    fn logprob_and_entropy(logits: &[f32], token: usize) -> (f32, f32) {
        let peak = max(logits);
        // Entropy = log Z - E[logit], relative to the peak.
        let (mut sum, mut weighted) = (0.0, 0.0);
        for chunk in logits.chunks(64) {
            let (mut shifted, mut weights) = ([0.0; 64], [0.0; 64]);
            for ((s, w), &logit) in shifted.iter_mut().zip(&mut weights).zip(chunk) {
                *s = logit - peak;
                *w = *s;
            }
            let weights = &mut weights[..chunk.len()];
            sum += f64::from(exp_shifted::<FMA>(weights, 0.0));
            weighted += f64::from(dot::<FMA>(weights, &shifted[..chunk.len()]));
        }
        let log_sum = sum.ln();
        let logprob = f64::from(logits[token] - peak) - log_sum;
        (logprob as f32, (log_sum - weighted / sum) as f32)
    }
}

vectorised! {
    /// Turns logits into the gradient of `c.logprob * logprob(token) + c.entropy * entropy`.
    fn logit_gradient(
        logits: &mut [f32],
        token: usize,
        coefficient: Coefficient,
        entropy: f32,
        scale: f32,
    ) {
        let c = Coefficient {
            logprob: coefficient.logprob * scale,
            entropy: coefficient.entropy * scale,
        };
        let peak = max(logits);
        let raw = (c.entropy != 0.0).then(|| logits.to_vec());
        let sum = exp_shifted::<FMA>(logits, peak);
        let inverse = 1.0 / sum;
        match raw {
            // d entropy / d logit = -p (log p + entropy)
            Some(raw) => {
                let log_sum = sum.ln();
                for (logit, raw) in logits.iter_mut().zip(raw) {
                    let p = *logit * inverse;
                    let log_p = raw - peak - log_sum;
                    *logit = -c.logprob * p - c.entropy * p * (log_p + entropy);
                }
            }
            None => {
                let factor = -c.logprob * inverse;
                logits.iter_mut().for_each(|logit| *logit *= factor);
            }
        }
        logits[token] += c.logprob;
    }
}
