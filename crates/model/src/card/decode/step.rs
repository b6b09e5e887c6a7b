//! What a step tells the card about its rows: all in one array, whose parts have lengths that
//! recur.

use super::Pieces;
use super::pieces::PIECE;
use crate::backend::Done;
use crate::cuda::{Address, Array};
use crate::generator::batch::Batch;
use crate::generator::blocks::BLOCK;

/// A step's numbers, on the card.
pub(super) struct Step {
    pub(super) sizes: Sizes,
    pub(super) numbers: Array<i32>,
}

/// Lengths of the parts of a step's numbers, in the order of the parts: three of a row each
/// (tokens, positions, places in the cache), pieces of attention's work, their blocks, and for
/// each row where the list of its partial results begins, and these lists.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Sizes {
    pub(super) rows: usize,
    pub(super) pieces: usize,
    blocks: usize,
    pub(super) partials: usize,
}

impl Sizes {
    /// As many as there are.
    pub(super) fn of(batch: &Batch, plan: &Pieces) -> Self {
        Self {
            rows: batch.rows(),
            pieces: plan.pieces.len(),
            blocks: plan.blocks.len(),
            partials: plan.row_pieces.len(),
        }
    }

    /// At least as many, such that the next steps of these sequences need no others: they grow
    /// into other blocks, and one after another ends.
    pub(super) fn rounded(self, wanted: usize) -> Self {
        let rows = match self.rows {
            0..=8 => self.rows.next_power_of_two(),
            9..=64 => self.rows.next_multiple_of(8),
            _ => self.rows.next_multiple_of(32),
        };
        Self {
            rows,
            // What rows share is a tree of them, and the parts of it are cut further to what is
            // wanted.
            pieces: 2 * rows + wanted,
            blocks: self.blocks.next_power_of_two(),
            partials: self.partials.next_power_of_two(),
        }
    }

    pub(super) fn len(self) -> usize {
        self.row_pieces() + self.partials
    }

    fn positions(self) -> usize {
        self.rows
    }

    fn slots(self) -> usize {
        2 * self.rows
    }

    fn pieces(self) -> usize {
        3 * self.rows
    }

    fn blocks(self) -> usize {
        self.pieces() + PIECE * self.pieces
    }

    fn row_pieces_at(self) -> usize {
        self.blocks() + self.blocks
    }

    fn row_pieces(self) -> usize {
        self.row_pieces_at() + self.rows + 1
    }
}

impl Step {
    /// Writes its numbers. Rows beyond those that there are have no place in the cache, and no
    /// pieces; pieces beyond those that there are, no rows.
    pub(super) fn tell(&self, batch: &Batch, plan: &Pieces) -> Done {
        let sizes = self.sizes;
        let mut numbers = vec![0; sizes.len()];
        let mut put = |at: usize, part: &mut dyn Iterator<Item = usize>| {
            for (i, number) in part.enumerate() {
                numbers[at + i] = number as i32;
            }
        };
        let slots = (batch.spans.iter()).flat_map(|span| {
            let first = batch.block(span) * BLOCK + span.place;
            first..first + span.rows.len()
        });
        put(0, &mut batch.tokens.iter().map(|&token| token as usize));
        put(sizes.positions(), &mut batch.positions.iter().copied());
        put(sizes.slots(), &mut slots.into_iter());
        put(sizes.pieces(), &mut plan.pieces.iter().flatten().copied());
        put(sizes.blocks(), &mut plan.blocks.iter().copied());
        let ends = std::iter::repeat_n(plan.row_pieces.len(), sizes.rows - batch.rows());
        let row_pieces_at = plan.row_pieces_at.iter().copied().chain(ends);
        put(sizes.row_pieces_at(), &mut row_pieces_at.into_iter());
        put(sizes.row_pieces(), &mut plan.row_pieces.iter().copied());
        numbers[sizes.slots() + batch.rows()..sizes.pieces()].fill(-1);
        self.numbers.write(0, &numbers)
    }

    pub(super) fn positions(&self) -> Address {
        self.numbers.at(self.sizes.positions())
    }

    pub(super) fn slots(&self) -> Address {
        self.numbers.at(self.sizes.slots())
    }

    pub(super) fn pieces(&self) -> Address {
        self.numbers.at(self.sizes.pieces())
    }

    pub(super) fn blocks(&self) -> Address {
        self.numbers.at(self.sizes.blocks())
    }

    pub(super) fn row_pieces_at(&self) -> Address {
        self.numbers.at(self.sizes.row_pieces_at())
    }

    pub(super) fn row_pieces(&self) -> Address {
        self.numbers.at(self.sizes.row_pieces())
    }
}
