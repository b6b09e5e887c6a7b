//! A token tree as kernels read it. In depth-first order, what a token sees follows from one
//! number for each: query q sees key k exactly if `k <= q < end[k]`, where `end[k]` is one past
//! the last token below k's node. Knows no card.

use std::ops::Range;

use crate::TokenTree;

/// Queries of a tile, and keys of a block.
pub(crate) const TILE: usize = 64;

/// Which keys each tile of queries meets, and what it needs to know of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sight {
    /// One past the last token of the subtree of each token's node.
    pub(crate) end: Vec<i32>,
    /// Where the ranges of each tile begin, and where the last one's end: `[tiles + 1]`.
    pub(crate) ranges_at: Vec<i32>,
    /// Runs of key blocks that some query of a tile sees: first, and one past the last.
    pub(crate) ranges: Vec<i32>,
    /// One past the last query that sees any key of a block: `[blocks]`.
    pub(crate) reach: Vec<i32>,
}

impl Sight {
    pub(crate) fn new(tree: &TokenTree) -> Self {
        let end = ends(tree);
        let reach: Vec<i32> = (end.chunks(TILE))
            .map(|keys| *keys.iter().max().expect("a block has keys"))
            .collect();
        let (mut ranges_at, mut ranges) = (vec![0], Vec::new());
        for tile in 0..reach.len() {
            for Range { start, end } in runs(&reach[..=tile], (tile * TILE) as i32) {
                ranges.extend([start as i32, end as i32]);
            }
            ranges_at.push((ranges.len() / 2) as i32);
        }
        Self {
            end,
            ranges_at,
            ranges,
            reach,
        }
    }

    /// Tiles of queries; as many as there are blocks of keys.
    pub(crate) fn tiles(&self) -> usize {
        self.reach.len()
    }
}

fn ends(tree: &TokenTree) -> Vec<i32> {
    let nodes = tree.nodes();
    let mut of_nodes: Vec<usize> = nodes.iter().map(|node| node.start + node.len).collect();
    // Parents come before children.
    for (i, node) in nodes.iter().enumerate().rev() {
        if let Some(parent) = node.parent {
            of_nodes[parent] = of_nodes[parent].max(of_nodes[i]);
        }
    }
    (nodes.iter().zip(of_nodes))
        .flat_map(|(node, end)| std::iter::repeat_n(end as i32, node.len))
        .collect()
}

/// Runs of the blocks that reach beyond token `first`.
fn runs(reach: &[i32], first: i32) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for block in (0..reach.len()).filter(|&block| reach[block] > first) {
        match runs.last_mut() {
            Some(run) if run.end == block => run.end += 1,
            _ => runs.push(block..block + 1),
        }
    }
    runs
}

/// Rows that are added to the same place, so that each place has one writer: those of group `g`
/// are `order[starts[g]..starts[g + 1]]`, in their order, and go to `ids[g]`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Groups {
    pub(crate) order: Vec<i32>,
    pub(crate) starts: Vec<i32>,
    pub(crate) ids: Vec<i32>,
}

impl Groups {
    /// Of rows that go to these places.
    pub(crate) fn new(places: impl Iterator<Item = usize>) -> Self {
        let mut rows: Vec<(usize, usize)> = places
            .enumerate()
            .map(|(row, place)| (place, row))
            .collect();
        rows.sort_unstable();
        let (mut starts, mut ids) = (Vec::new(), Vec::new());
        for (i, &(place, _)) in rows.iter().enumerate() {
            if ids.last() != Some(&(place as i32)) {
                starts.push(i as i32);
                ids.push(place as i32);
            }
        }
        starts.push(rows.len() as i32);
        let order = rows.into_iter().map(|(_, row)| row as i32).collect();
        Self { order, starts, ids }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sees(tree: &TokenTree, query: usize, key: usize) -> bool {
        let mut at = Some(query);
        while let Some(token) = at {
            if token == key {
                return true;
            }
            at = tree.predecessor(token);
        }
        false
    }

    proptest! {
        #[test]
        fn a_query_sees_its_path_and_a_tile_meets_every_block_that_it_sees(
            sequences in prop::collection::vec(prop::collection::vec(0_u32..2, 1..90), 1..6),
        ) {
            let sequences: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
            let (tree, _) = TokenTree::from_sequences(&sequences);
            let sight = Sight::new(&tree);
            for tile in 0..sight.tiles() {
                let queries = tile * TILE..tree.len().min((tile + 1) * TILE);
                let ranges = sight.ranges_at[tile] as usize..sight.ranges_at[tile + 1] as usize;
                let met: Vec<usize> = ranges
                    .flat_map(|r| sight.ranges[2 * r] as usize..sight.ranges[2 * r + 1] as usize)
                    .collect();
                for block in 0..sight.tiles() {
                    let keys = block * TILE..tree.len().min((block + 1) * TILE);
                    let mut any = false;
                    for (q, k) in queries.clone().flat_map(|q| keys.clone().map(move |k| (q, k))) {
                        let seen = k <= q && q < sight.end[k] as usize;
                        prop_assert_eq!(seen, sees(&tree, q, k), "query {}, key {}", q, k);
                        prop_assert!(!seen || q < sight.reach[block] as usize);
                        any |= seen;
                    }
                    prop_assert_eq!(any, met.contains(&block));
                }
            }
        }
    }

    #[test]
    fn rows_with_one_destination_form_a_group_in_their_order() {
        let groups = Groups::new([7, 3, 7, 0].into_iter());
        let expected = Groups {
            order: vec![3, 1, 0, 2],
            starts: vec![0, 1, 2, 4],
            ids: vec![0, 3, 7],
        };
        assert_eq!(groups, expected);
    }
}
