//! The head's operations: logits, what they say of a token, and back.

use rayon::prelude::*;

use super::{Cpu, block};
use crate::Coefficient;
use crate::backend::Predicted;
use crate::buffers::Buffer;
use crate::instructions::vectorised;
use crate::numeric::{dot, exp_shifted, max};
use crate::product::{Matrix, MatrixMut, Store, product_on_all};
use crate::profile::{Phase, Stopwatch};

impl Cpu<'_> {
    pub(super) fn logits_of(&self, normed: &Buffer) -> Buffer {
        let mut watch = Stopwatch::start();
        let a = &self.model.architecture;
        let (vocabulary, hidden) = (a.vocab_size, a.hidden_size);
        let rows = normed.len() / hidden;
        let block = block(rows);
        let scale = 1.0 / self.model.temperature;
        let head = self.model.head();
        let mut logits = self.buffers.take(rows * vocabulary);
        (normed.par_chunks(block * hidden))
            .zip(logits.par_chunks_mut(block * vocabulary))
            .for_each(|(normed, logits)| {
                let rows = normed.len() / hidden;
                let out = MatrixMut::new(logits, rows, vocabulary);
                (head.t()).product(
                    out,
                    Store::Overwrite,
                    scale,
                    Matrix::new(normed, rows, hidden),
                );
            });
        watch.lap_on_all(Phase::Head);
        logits
    }

    pub(super) fn logits_gradient(
        &self,
        normed: &Buffer,
        dlogits: &Buffer,
        gradient: &mut [f32],
    ) -> Buffer {
        let mut watch = Stopwatch::start();
        let a = &self.model.architecture;
        let (vocabulary, hidden) = (a.vocab_size, a.hidden_size);
        let rows = normed.len() / hidden;
        let block = block(rows);
        let head = self.model.head();
        let mut dnormed = self.buffers.take(normed.len());
        (dlogits.par_chunks(block * vocabulary))
            .zip(dnormed.par_chunks_mut(block * hidden))
            .for_each(|(dlogits, dnormed)| {
                let rows = dnormed.len() / hidden;
                let dlogits = Matrix::new(dlogits, rows, vocabulary);
                let out = MatrixMut::new(dnormed, rows, hidden);
                head.product(out, Store::Overwrite, 1.0, dlogits);
            });
        watch.lap_on_all(Phase::HeadBackward);
        if self.model.adapter.is_none() {
            let at = self.model.layout().head;
            let dhead = &mut gradient[at..at + vocabulary * hidden];
            product_on_all(
                MatrixMut::new(dhead, vocabulary, hidden),
                Store::Add,
                1.0,
                Matrix::new(dlogits, rows, vocabulary).t(),
                Matrix::new(normed, rows, hidden),
            );
        }
        watch.lap_on_all(Phase::WeightGradient);
        dnormed
    }
}

pub(super) fn logprobs(logits: &[f32], tokens: &[u32]) -> (Vec<f32>, Vec<f32>) {
    let mut watch = Stopwatch::start();
    let vocabulary = logits.len() / tokens.len().max(1);
    let both = (logits.par_chunks_exact(vocabulary.max(1)))
        .zip(tokens)
        .map(|(logits, &token)| logprob_and_entropy(logits, token as usize))
        .unzip();
    watch.lap_on_all(Phase::Head);
    both
}

pub(super) fn logprobs_backward(mut logits: Buffer, rows: Predicted<'_>, scale: f32) -> Buffer {
    let mut watch = Stopwatch::start();
    let vocabulary = logits.len() / rows.tokens.len();
    (
        logits.par_chunks_exact_mut(vocabulary),
        rows.tokens,
        rows.coefficients,
        rows.entropies,
    )
        .into_par_iter()
        .for_each(|(logits, &token, &coefficient, &entropy)| {
            logit_gradient(logits, token as usize, coefficient, entropy, scale);
        });
    watch.lap_on_all(Phase::HeadBackward);
    logits
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
