//! The head's operations on a card.

use half::bf16;

use super::{Card, SCRATCH, stored, transposed};
use crate::args;
use crate::backend::{Done, Predicted};
use crate::cuda::{Array, Product};

const LOGITS: &str = "logits";
/// Threads of a block that goes over a row of logits.
pub(super) const WIDE: usize = 512;

impl Card<'_> {
    /// Logits times `scale`.
    pub(super) fn logits_of(&self, normed: &Array<bf16>, scale: f32) -> Done<Array<f32>> {
        let a = &self.model.architecture;
        let (vocabulary, hidden) = (a.vocab_size, a.hidden_size);
        let rows = normed.len() / hidden;
        let logits: Array<f32> = self.device().uninitialised(LOGITS, rows * vocabulary)?;
        self.device().gemm(&Product {
            m: rows,
            n: vocabulary,
            k: hidden,
            out: logits.at(0),
            stride: vocabulary,
            accumulate: false,
            scale,
            a: stored(normed.at(0), hidden),
            b: transposed(self.weight(self.model.layout().head), hidden),
        })?;
        Ok(logits)
    }

    pub(super) fn logprobs_of(
        &self,
        logits: &Array<f32>,
        tokens: &[u32],
    ) -> Done<(Vec<f32>, Vec<f32>)> {
        let (rows, vocabulary) = (tokens.len(), self.model.architecture.vocab_size);
        let tokens = self.indices(tokens.iter().map(|&token| token as usize))?;
        let logprobs: Array<f32> = self.array(rows)?;
        let entropies: Array<f32> = self.array(rows)?;
        let arguments = args![&logprobs, &entropies, logits, &tokens, rows, vocabulary];
        (self.resident.head).launch("logprob", rows, WIDE, 0, arguments)?;
        Ok((logprobs.download()?, entropies.download()?))
    }

    pub(super) fn logits_gradient(
        &self,
        logits: &Array<f32>,
        predicted: Predicted<'_>,
    ) -> Done<Array<bf16>> {
        let (rows, vocabulary) = (predicted.tokens.len(), self.model.architecture.vocab_size);
        let upload = |numbers: &[f32]| self.device().upload(SCRATCH, numbers);
        let coefficients = predicted.coefficients.iter();
        let of_logprobs: Vec<f32> = coefficients.clone().map(|it| it.logprob).collect();
        let of_entropies: Vec<f32> = coefficients.map(|it| it.entropy).collect();
        let tokens = self.indices(predicted.tokens.iter().map(|&token| token as usize))?;
        let dlogits = self.device().uninitialised(LOGITS, rows * vocabulary)?;
        let arguments = args![
            &dlogits,
            logits,
            &tokens,
            &upload(&of_logprobs)?,
            &upload(&of_entropies)?,
            &upload(predicted.entropies)?,
            1.0 / self.model.temperature,
            rows,
            vocabulary
        ];
        (self.resident.head).launch("logit_gradient", rows, WIDE, 0, arguments)?;
        Ok(dlogits)
    }

    pub(super) fn head_gradient(
        &self,
        normed: &Array<bf16>,
        dlogits: &Array<bf16>,
        gradient: &Array<f32>,
    ) -> Done<Array<bf16>> {
        let a = &self.model.architecture;
        let (vocabulary, hidden) = (a.vocab_size, a.hidden_size);
        let rows = normed.len() / hidden;
        let head = self.model.layout().head;
        let dnormed = self.array(normed.len())?;
        self.device().gemm(&Product {
            m: rows,
            n: hidden,
            k: vocabulary,
            out: dnormed.at(0),
            stride: hidden,
            accumulate: false,
            scale: 1.0,
            a: stored(dlogits.at(0), vocabulary),
            b: stored(self.weight(head), hidden),
        })?;
        if self.model.adapter.is_none() {
            self.device().gemm(&Product {
                m: vocabulary,
                n: hidden,
                k: rows,
                out: gradient.at(head),
                stride: hidden,
                accumulate: true,
                scale: 1.0,
                a: transposed(dlogits.at(0), vocabulary),
                b: stored(normed.at(0), hidden),
            })?;
        }
        Ok(dnormed)
    }
}
