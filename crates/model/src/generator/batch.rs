//! What is to be computed in one pass over the layers, and what whoever computes it is asked.

use std::ops::Range;

use super::blocks::{BLOCK, BlockId};
use crate::backend::Done;
use crate::sampling::Sampling;

/// Who has the numbers of the cache's blocks, and computes with them.
pub(crate) trait Decode: Send {
    /// Bytes of a block.
    fn block_bytes(&self) -> usize;

    /// Rows of prompts and observations that go through the layers together.
    fn rows(&self) -> usize;

    /// From now on there will be no more than so many blocks.
    fn bound(&mut self, blocks: usize) -> Done;

    /// A block is used from now on, whose numbers may be those of an earlier use.
    fn open(&mut self, id: BlockId) -> Done;

    /// Makes one block's numbers those of another.
    fn copy(&mut self, from: BlockId, to: BlockId) -> Done;

    /// Writes the keys and values of a batch's rows into their blocks.
    fn fill(&mut self, batch: &Batch) -> Done;

    /// As [`fill`](Self::fill), and chooses the token after each row; a log-probability that is
    /// NaN says that there is no distribution to choose from.
    fn sample(&mut self, batch: &Batch, sampling: &Sampling, choices: &mut [Choice]) -> Done;
}

/// One row's draw from [0, 1), and what it led to.
pub(crate) struct Choice {
    pub(crate) drawn: f64,
    pub(crate) token: u32,
    pub(crate) logprob: f32,
}

/// Neighbouring tokens of one sequence within one block, to be computed.
pub(crate) struct Span {
    /// The sequence, as the caller names it.
    pub(crate) sequence: usize,
    /// Their rows in the batch.
    pub(crate) rows: Range<usize>,
    /// The sequence's blocks up to theirs, as a part of the batch's links.
    pub(crate) path: Range<usize>,
    /// Place of the first of them in its block.
    pub(crate) place: usize,
}

/// Rows that go through the layers together.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) tokens: Vec<u32>,
    pub(crate) positions: Vec<usize>,
    pub(crate) spans: Vec<Span>,
    pub(crate) links: Vec<BlockId>,
}

impl Batch {
    pub(crate) fn clear(&mut self) {
        self.tokens.clear();
        self.positions.clear();
        self.spans.clear();
        self.links.clear();
    }

    pub(crate) fn rows(&self) -> usize {
        self.tokens.len()
    }

    /// Adds tokens from position `first` on, all within the last block of `path`.
    pub(crate) fn push(&mut self, sequence: usize, tokens: &[u32], first: usize, path: &[BlockId]) {
        let (row, link) = (self.tokens.len(), self.links.len());
        self.tokens.extend_from_slice(tokens);
        self.positions.extend(first..first + tokens.len());
        self.links.extend_from_slice(path);
        self.spans.push(Span {
            sequence,
            rows: row..row + tokens.len(),
            path: link..link + path.len(),
            place: first % BLOCK,
        });
    }

    /// The block that a span's tokens are in.
    pub(crate) fn block(&self, span: &Span) -> BlockId {
        self.links[span.path.end - 1]
    }
}
