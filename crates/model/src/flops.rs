//! How much arithmetic a pass asks for, counted from shapes alone: what a measured time is held
//! against. Matrix products are counted, two operations for each multiply-add; what a backward
//! pass computes for a second time (checkpointed activations, attention's scores) is not.

use std::ops::{Add, Range};

use crate::{Architecture, TokenTree};

/// Floating-point operations, by the part of the decoder that asks for them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Flops {
    /// The layers' weights: query, key, value, output, gate, up and down.
    pub linear: f64,
    /// Queries against keys, and their weights against values.
    pub attention: f64,
    /// The head, for the tokens that are predicted.
    pub head: f64,
}

impl Flops {
    /// One forward pass of `tokens` tokens, of which `targets` are predicted. `pairs` counts
    /// each token with each token that it attends to, itself included.
    pub fn forward(
        architecture: &Architecture,
        tokens: usize,
        pairs: usize,
        targets: usize,
    ) -> Self {
        let a = architecture;
        let weights = a.hidden_size * (2 * a.query_size() + 2 * a.kv_size())
            + 3 * a.hidden_size * a.intermediate_size;
        let twice = |multiplies: usize, times: usize| 2.0 * multiplies as f64 * times as f64;
        Self {
            linear: twice(a.layers * weights, tokens),
            attention: twice(2 * a.layers * a.query_size(), pairs),
            head: twice(a.vocab_size * a.hidden_size, targets),
        }
    }

    /// One forward pass over a token tree, in which a shared prefix is computed once.
    pub fn of_tree(architecture: &Architecture, tree: &TokenTree, targets: usize) -> Self {
        let nodes = tree.nodes().iter();
        let pairs = nodes
            .map(|node| attended_pairs(node.depth..node.depth + node.len))
            .sum();
        Self::forward(architecture, tree.len(), pairs, targets)
    }

    /// This forward pass and its backward pass, in which every product has two: one for the
    /// gradient of each side.
    pub fn with_backward(self) -> Self {
        Self {
            linear: 3.0 * self.linear,
            attention: 3.0 * self.attention,
            head: 3.0 * self.head,
        }
    }

    /// This forward pass over `tokens` tokens and its backward pass where only an adapter of
    /// `numbers` numbers is trained: weights that stand still have no gradient, and each of the
    /// adapter's numbers is multiplied once a token in each of its three products.
    pub fn with_backward_of_adapter(self, numbers: usize, tokens: usize) -> Self {
        Self {
            linear: 2.0 * self.linear + 6.0 * numbers as f64 * tokens as f64,
            attention: 3.0 * self.attention,
            head: 2.0 * self.head,
        }
    }

    /// All parts together.
    pub fn total(self) -> f64 {
        self.linear + self.attention + self.head
    }
}

impl Add for Flops {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            linear: self.linear + other.linear,
            attention: self.attention + other.attention,
            head: self.head + other.head,
        }
    }
}

/// How many tokens the tokens at `positions` of a sequence attend to, all together: each to
/// those before it and to itself.
pub fn attended_pairs(positions: Range<usize>) -> usize {
    let first = positions.start + 1;
    positions.len() * (first + positions.end) / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Preset;

    /// Hidden 128, 4 layers, heads 4 and 2 of 32, intermediate 384, vocabulary 100.
    fn tiny() -> Architecture {
        Preset::Tiny.architecture(100)
    }

    #[test]
    fn a_token_attends_to_those_before_it_and_to_itself() {
        assert_eq!(attended_pairs(0..4), 1 + 2 + 3 + 4);
        assert_eq!(attended_pairs(2..4), 3 + 4);
        assert_eq!(attended_pairs(7..7), 0);
    }

    #[test]
    fn operations_are_two_for_each_multiply_add_of_each_product() {
        let (tree, _) = TokenTree::from_sequences(&[&[1, 2, 3]]);
        let flops = Flops::of_tree(&tiny(), &tree, 2);
        // q and o 128x128, k and v 128x64, gate, up and down 128x384
        let layer = 2 * 128 * 128 + 2 * 128 * 64 + 3 * 128 * 384;
        assert_eq!(flops.linear, (2 * 4 * layer * 3) as f64);
        // 6 pairs, 4 heads of 32, scores and weighted values
        assert_eq!(flops.attention, (2 * 2 * 4 * 128 * 6) as f64);
        assert_eq!(flops.head, (2 * 128 * 100 * 2) as f64);
        assert_eq!(flops.with_backward().total(), 3.0 * flops.total());
        let adapter = flops.with_backward_of_adapter(10, 3);
        assert_eq!(adapter.linear, 2.0 * flops.linear + 180.0);
        assert_eq!(adapter.head, 2.0 * flops.head);
    }

    #[test]
    fn a_shared_prefix_counts_once_and_is_attended_to_by_every_branch() {
        let rows: [&[u32]; 2] = [&[1, 2, 3, 4], &[1, 2, 5, 6]];
        let (tree, _) = TokenTree::from_sequences(&rows);
        let alone =
            rows.map(|row| Flops::of_tree(&tiny(), &TokenTree::from_sequences(&[row]).0, 2));
        let (shared, apart) = (Flops::of_tree(&tiny(), &tree, 4), alone[0] + alone[1]);
        assert_eq!(apart.linear / shared.linear, 8.0 / 6.0);
        // 10 pairs each, 3 of them the prefix's own
        assert_eq!(apart.attention / shared.attention, 20.0 / 17.0);
        assert_eq!(apart.head, shared.head);
    }
}
