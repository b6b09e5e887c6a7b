//! How attention over the cache is cut: pieces of neighbouring rows that share blocks, so that a
//! prompt is read once for all that share it, and short enough that there are pieces for the
//! whole card. Planned once a step, for all layers.

use std::ops::Range;

use crate::generator::batch::{Batch, Span};
use crate::generator::blocks::BLOCK;

/// The fewest blocks that are worth a piece of their own: its results are written and read again.
const FEWEST: usize = 2;

/// Numbers of a piece.
pub(super) const PIECE: usize = 6;

/// As `kernels/cached.cu` reads them.
#[derive(Default)]
pub(super) struct Pieces {
    /// First row, rows, first in `blocks`, how many there, position of their first token, first
    /// partial result.
    pub(super) pieces: Vec<[usize; PIECE]>,
    pub(super) blocks: Vec<usize>,
    /// Where each row's partial results begin in `row_pieces`, and where the last one's end.
    pub(super) row_pieces_at: Vec<usize>,
    /// Numbers of partial results, those of a row in the order of positions.
    pub(super) row_pieces: Vec<usize>,
}

/// Neighbouring rows of one span.
struct Part {
    rows: Range<usize>,
    /// Their path, as a part of the batch's links.
    path: Range<usize>,
}

/// Neighbouring rows, and neighbouring blocks that all of them meet.
struct Shared {
    rows: Range<usize>,
    /// As a part of the batch's links.
    links: Range<usize>,
    /// Blocks before them.
    level: usize,
}

impl Pieces {
    /// Of a batch's rows, at most `most_rows` in a piece, and about `wanted` pieces if there are
    /// blocks enough.
    pub(super) fn plan(batch: &Batch, most_rows: usize, wanted: usize) -> Self {
        let mut shared = Vec::new();
        share(batch, &parts(batch, most_rows), 0, most_rows, &mut shared);
        let visits: usize = shared.iter().map(|it| it.links.len()).sum();
        let length = visits.div_ceil(wanted.max(1)).max(FEWEST);

        let mut plan = Self::default();
        let mut partials = 0;
        for it in &shared {
            for from in it.links.clone().step_by(length) {
                let links = from..it.links.end.min(from + length);
                let level = it.level + from - it.links.start;
                plan.pieces.push([
                    it.rows.start,
                    it.rows.len(),
                    plan.blocks.len(),
                    links.len(),
                    level * BLOCK,
                    partials,
                ]);
                plan.blocks.extend_from_slice(&batch.links[links]);
                partials += it.rows.len();
            }
        }
        plan.number(batch.rows());
        plan
    }

    /// Lists each row's partial results.
    fn number(&mut self, rows: usize) {
        self.row_pieces_at.resize(rows + 1, 0);
        for &[first, count, ..] in &self.pieces {
            for row in first..first + count {
                self.row_pieces_at[row + 1] += 1;
            }
        }
        for row in 0..rows {
            self.row_pieces_at[row + 1] += self.row_pieces_at[row];
        }
        let mut next = self.row_pieces_at.clone();
        self.row_pieces.resize(next[rows], 0);
        for &[first, count, .., partial] in &self.pieces {
            for i in 0..count {
                self.row_pieces[next[first + i]] = partial + i;
                next[first + i] += 1;
            }
        }
    }
}

/// Spans, cut to at most `most` rows.
fn parts(batch: &Batch, most: usize) -> Vec<Part> {
    let cut = |span: &Span| {
        let (rows, path) = (span.rows.clone(), span.path.clone());
        (rows.clone().step_by(most)).map(move |from| Part {
            rows: from..rows.end.min(from + most),
            path: path.clone(),
        })
    };
    batch.spans.iter().flat_map(cut).collect()
}

/// Finds what parts share, whose first `level` blocks are dealt with.
fn share(batch: &Batch, parts: &[Part], level: usize, most: usize, found: &mut Vec<Shared>) {
    let block = |part: &Part, level: usize| batch.links[part.path.clone()].get(level).copied();
    let mut rest = parts;
    while let Some(first) = rest.first() {
        let Some(own) = block(first, level) else {
            rest = &rest[1..];
            continue;
        };
        let mut end = first.rows.start;
        let count = (rest.iter())
            .take_while(|part| {
                let together = part.rows.start == end && part.rows.end - first.rows.start <= most;
                end = part.rows.end;
                together && block(part, level) == Some(own)
            })
            .count();
        let (group, after) = rest.split_at(count);
        let same = |level| {
            let of_first = block(first, level);
            of_first.is_some() && group.iter().all(|part| block(part, level) == of_first)
        };
        let until = (level + 1..).find(|&level| !same(level));
        let until = until.expect("a path ends");
        found.push(Shared {
            rows: first.rows.start..group[count - 1].rows.end,
            links: first.path.start + level..first.path.start + until,
            level,
        });
        share(batch, group, until, most, found);
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of each sequence that are computed, and its blocks.
    fn batch(sequences: &[(usize, &[usize])]) -> Batch {
        let mut batch = Batch::default();
        for (name, &(rows, path)) in sequences.iter().enumerate() {
            let first = (path.len() - 1) * BLOCK;
            batch.push(name, &vec![1; rows], first, path);
        }
        batch
    }

    /// Every row meets the blocks of its path, each once and in order.
    fn check(batch: &Batch, most_rows: usize, wanted: usize) -> Pieces {
        let plan = Pieces::plan(batch, most_rows, wanted);
        for span in &batch.spans {
            for row in span.rows.clone() {
                let of = plan.row_pieces_at[row]..plan.row_pieces_at[row + 1];
                let met = plan.row_pieces[of].iter().flat_map(|&partial| {
                    let [.., from, count, start, _] = *(plan.pieces.iter())
                        .find(|it| {
                            it[5] + row - it[0] == partial && (it[0]..it[0] + it[1]).contains(&row)
                        })
                        .expect("a piece has this result");
                    (0..count).map(move |i| (start / BLOCK + i, from + i))
                });
                let met: Vec<(usize, usize)> = met.map(|(at, of)| (at, plan.blocks[of])).collect();
                let path = batch.links[span.path.clone()].iter().copied();
                assert_eq!(met, path.enumerate().collect::<Vec<_>>(), "row {row}");
            }
        }
        assert!(plan.pieces.iter().all(|piece| piece[1] <= most_rows));
        plan
    }

    #[test]
    fn a_shared_prompt_is_read_once_for_all_that_share_it() {
        let paths: [(usize, &[usize]); 4] = [
            (1, &[7, 3, 1]),
            (1, &[7, 3, 2, 9]),
            (1, &[7, 3, 2]),
            (1, &[4]),
        ];
        let plan = check(&batch(&paths), 16, 1);
        assert_eq!(plan.blocks.iter().filter(|&&block| block == 7).count(), 1);
        assert_eq!(plan.blocks.iter().filter(|&&block| block == 2).count(), 1);
        assert_eq!(plan.pieces.len(), 5);
    }

    #[test]
    fn long_texts_are_cut_where_there_are_few_and_rows_where_there_are_many() {
        let long: Vec<usize> = (0..100).collect();
        let one = batch(&[(1, &long)]);
        assert_eq!(check(&one, 16, 1).pieces.len(), 1);
        assert_eq!(check(&one, 16, 25).pieces.len(), 25);
        let many = batch(&[(40, &[1, 2]), (3, &[1, 2]), (64, &[5])]);
        assert_eq!(check(&many, 8, 1).pieces.len(), 5 + 1 + 8);
    }
}
