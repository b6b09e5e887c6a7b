//! The language-model head, chunk by chunk: only positions with a target are computed,
//! and the vocabulary-sized logits of a batch never exist at once unless they are few.

use std::ops::Range;

use super::{Forward, Prediction};
use crate::backend::{Backend, Done, Predicted};
use crate::{Coefficient, Keep};

/// Logits of one chunk stay within about this many numbers, but for [`FEWEST`] rows of them.
pub(crate) const CHUNK: usize = 1 << 24;
/// Fewer rows a chunk, and reading the head's weights would cost more than the arithmetic.
const FEWEST: usize = 128;

/// Rows of logits that exist at once.
pub(crate) fn chunk_rows(vocabulary: usize) -> usize {
    (CHUNK / vocabulary).clamp(FEWEST, 1024)
}

/// Rows that predict, and what becomes of them before the head.
struct Rows<B: Backend> {
    places: Vec<usize>,
    tokens: Vec<u32>,
    /// `[rows, hidden]`.
    x: B::Exact,
    normed: B::Narrow,
}

impl<B: Backend> Forward<B> {
    pub(super) fn head_forward(&mut self, backend: &mut B, keep: Keep) -> Done {
        let (count, vocabulary) = (
            self.predictions.len(),
            backend.model().architecture.vocab_size,
        );
        let whole = keep == Keep::All && count * vocabulary <= CHUNK;
        let rows = match whole {
            true => count.max(1),
            false => chunk_rows(vocabulary),
        };
        for chunk in chunks(count, rows) {
            let rows = self.rows(backend, self.predictions[chunk].iter())?;
            let logits = backend.logits(&rows.normed)?;
            let (logprobs, entropies) = backend.logprobs(&logits, &rows.tokens)?;
            self.logprobs.extend(logprobs);
            self.entropies.extend(entropies);
            self.logits = whole.then_some(logits);
        }
        Ok(())
    }

    /// Returns the gradient of the last layer's output, `[tokens, hidden]`.
    pub(super) fn head_backward(
        &mut self,
        backend: &mut B,
        coefficients: &[Coefficient],
        gradient: &mut B::Gradient,
    ) -> Done<B::Exact> {
        let a = &backend.model().architecture;
        let (vocabulary, hidden, tokens) = (a.vocab_size, a.hidden_size, self.tokens);
        let norm = backend.model().layout().norm;
        let used: Vec<usize> = (0..coefficients.len())
            .filter(|&i| coefficients[i] != Coefficient::default())
            .collect();
        let mut dlast = backend.zeros(tokens, hidden)?;
        let kept = self.logits.take();
        for chunk in chunks(used.len(), chunk_rows(vocabulary)) {
            let used = &used[chunk];
            let rows = self.rows(backend, used.iter().map(|&i| &self.predictions[i]))?;
            let logits = match &kept {
                Some(kept) => backend.gather(kept, vocabulary, used)?,
                None => backend.logits(&rows.normed)?,
            };
            let predicted = Predicted {
                tokens: &rows.tokens,
                entropies: &used.iter().map(|&i| self.entropies[i]).collect::<Vec<_>>(),
                coefficients: &used.iter().map(|&i| coefficients[i]).collect::<Vec<_>>(),
            };
            let dlogits = backend.logprobs_backward(logits, predicted)?;
            let dnormed = backend.logits_backward(&rows.normed, &dlogits, gradient)?;
            drop(dlogits);
            let mut dx = backend.zeros(used.len(), hidden)?;
            backend.norm_backward(norm, &rows.x, &dnormed, &mut dx, gradient)?;
            backend.scatter(&dx, hidden, &rows.places, &mut dlast)?;
        }
        Ok(dlast)
    }

    fn rows<'p>(
        &self,
        backend: &mut B,
        predictions: impl Iterator<Item = &'p Prediction>,
    ) -> Done<Rows<B>> {
        let (places, tokens): (Vec<_>, Vec<_>) = predictions.map(|it| (it.row, it.token)).unzip();
        let model = backend.model();
        let (hidden, norm) = (model.architecture.hidden_size, model.layout().norm);
        let x = backend.gather(&self.last, hidden, &places)?;
        let normed = backend.norm(norm, &x)?;
        Ok(Rows {
            places,
            tokens,
            x,
            normed,
        })
    }
}

/// `count` rows, so many at a time.
fn chunks(count: usize, rows: usize) -> impl Iterator<Item = Range<usize>> {
    let starts = (0..count).step_by(rows);
    starts.map(move |first| first..count.min(first + rows))
}
