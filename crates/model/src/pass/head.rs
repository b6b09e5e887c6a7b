//! The language-model head, chunk by chunk: only positions with a target are computed,
//! and the vocabulary-sized logits of a batch never exist at once.

use crate::instructions::vectorised;

use super::Pass;
use crate::Coefficient;
use crate::buffers::Buffers;
use crate::matmul::{Matrix, Store, matmul};
use crate::numeric::{add, dot, exp_shifted, max, rms_norm, rms_norm_backward};

/// Logits of one chunk stay within about this many numbers.
const CHUNK: usize = 1 << 18;

impl Pass<'_> {
    fn chunk_rows(&self) -> usize {
        (CHUNK / self.model.architecture.vocab_size).clamp(8, 256)
    }

    /// The normed hidden rows that predict `predictions`, `[predictions, hidden]`.
    fn predicting_rows(
        &self,
        predictions: &[(usize, u32)],
        buffers: &mut Buffers,
    ) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        let hidden = self.model.architecture.hidden_size;
        let mut x = buffers.take(predictions.len() * hidden);
        for (row, &(at, _)) in x.chunks_exact_mut(hidden).zip(predictions) {
            row.copy_from_slice(&self.last[at * hidden..(at + 1) * hidden]);
        }
        let mut normed = buffers.take(x.len());
        let mut inverse_rms = buffers.take(predictions.len());
        let weight = self.model.slice(self.model.layout().norm, hidden);
        let eps = self.model.architecture.rms_norm_eps;
        rms_norm(&x, weight, eps, &mut normed, &mut inverse_rms);
        (x, normed, inverse_rms)
    }

    fn logits(&self, normed: &[f32], rows: usize, out: &mut [f32]) {
        let a = &self.model.architecture;
        let weight = Matrix::new(self.model.head(), a.vocab_size, a.hidden_size);
        let normed = Matrix::new(normed, rows, a.hidden_size);
        let scale = 1.0 / self.model.temperature;
        matmul(
            out,
            Store::Overwrite,
            scale,
            normed,
            weight.t(),
            self.threads,
        );
    }

    pub(super) fn head_forward(&mut self, buffers: &mut Buffers) {
        let vocab = self.model.architecture.vocab_size;
        let rows = self.chunk_rows();
        let mut logits = buffers.take(rows * vocab);
        for first in (0..self.predictions.len()).step_by(rows) {
            let last = self.predictions.len().min(first + rows);
            let chunk = &self.predictions[first..last];
            let (x, normed, inverse_rms) = self.predicting_rows(chunk, buffers);
            self.logits(&normed, chunk.len(), &mut logits);
            for (i, &(_, token)) in chunk.iter().enumerate() {
                let row = &mut logits[i * vocab..(i + 1) * vocab];
                let (logprob, entropy) = logprob_and_entropy(row, token as usize);
                self.logprobs[first + i] = logprob;
                self.entropies[first + i] = entropy;
            }
            for buffer in [x, normed, inverse_rms] {
                buffers.give(buffer);
            }
        }
        buffers.give(logits);
    }

    /// Returns the gradient of the last layer's output, `[tokens, hidden]`.
    pub(super) fn head_backward(
        &self,
        coefficients: &[Coefficient],
        gradient: &mut [f32],
        buffers: &mut Buffers,
    ) -> Vec<f32> {
        let a = &self.model.architecture;
        let (vocab, hidden) = (a.vocab_size, a.hidden_size);
        let layout = self.model.layout();
        let mut dlast = buffers.zeros(self.last.len());
        let used: Vec<usize> = (0..coefficients.len())
            .filter(|&i| coefficients[i] != Coefficient::default())
            .collect();
        let rows = self.chunk_rows();
        let mut logits = buffers.take(rows * vocab);
        for used in used.chunks(rows) {
            let chunk: Vec<_> = used.iter().map(|&i| self.predictions[i]).collect();
            let (x, normed, inverse_rms) = self.predicting_rows(&chunk, buffers);
            self.logits(&normed, chunk.len(), &mut logits);
            for ((row, &i), &(_, token)) in logits.chunks_exact_mut(vocab).zip(used).zip(&chunk) {
                let entropy = self.entropies[i];
                let scale = 1.0 / self.model.temperature;
                logit_gradient(row, token as usize, coefficients[i], entropy, scale);
            }
            let dlogits = Matrix::new(&logits[..chunk.len() * vocab], chunk.len(), vocab);
            let dhead = &mut gradient[layout.head..layout.head + vocab * hidden];
            let rows = Matrix::new(&normed, chunk.len(), hidden);
            matmul(dhead, Store::Add, 1.0, dlogits.t(), rows, self.threads);
            let mut dnormed = buffers.take(normed.len());
            let weight = Matrix::new(self.model.head(), vocab, hidden);
            matmul(
                &mut dnormed,
                Store::Overwrite,
                1.0,
                dlogits,
                weight,
                self.threads,
            );
            let mut dx = buffers.zeros(x.len());
            let weight = self.model.slice(layout.norm, hidden);
            let dweight = &mut gradient[layout.norm..layout.norm + hidden];
            rms_norm_backward(&x, weight, &inverse_rms, &dnormed, &mut dx, dweight);
            for (row, &(at, _)) in dx.chunks_exact(hidden).zip(&chunk) {
                add(&mut dlast[at * hidden..(at + 1) * hidden], row);
            }
            for buffer in [x, normed, inverse_rms, dnormed, dx] {
                buffers.give(buffer);
            }
        }
        buffers.give(logits);
        dlast
    }
}

vectorised! {
    /// Log-probability of `token` and the entropy, from logits (overwritten).
    fn logprob_and_entropy(logits: &mut [f32], token: usize) -> (f32, f32) {
        let chosen = logits[token];
        let peak = max(logits);
        // Entropy = log Z - E[logit], relative to the peak.
        let mut weighted = 0.0;
        let mut sum = 0.0;
        for chunk in logits.chunks_mut(64) {
            let mut shifted = [0.0; 64];
            for (s, &logit) in shifted.iter_mut().zip(&*chunk) {
                *s = logit - peak;
            }
            sum += f64::from(exp_shifted::<FMA>(chunk, peak));
            weighted += f64::from(dot::<FMA>(chunk, &shifted[..chunk.len()]));
        }
        let log_sum = sum.ln();
        let logprob = f64::from(chosen - peak) - log_sum;
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
