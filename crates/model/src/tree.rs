//! The token tree: sequences that share prefixes, stored so that each shared token is
//! computed once (method.md, section 5). The one input of scoring and training.

/// A run of tokens without a branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The node whose last token comes before this node's first.
    pub parent: Option<usize>,
    /// Index of its first token in the tree.
    pub start: usize,
    /// How many tokens it has, at least one.
    pub len: usize,
    /// Position of its first token along the path from the root.
    pub depth: usize,
}

/// Tokens in depth-first order; a node's tokens attend to all its ancestors' and causally to
/// their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenTree {
    tokens: Vec<u32>,
    nodes: Vec<Node>,
    node_of: Vec<u32>,
}

impl TokenTree {
    /// The tree of these sequences by longest common prefix, and for each sequence the index
    /// in the tree of each of its tokens.
    pub fn from_sequences(sequences: &[&[u32]]) -> (Self, Vec<Vec<usize>>) {
        let mut tree = Self::default();
        let mut paths = vec![Vec::new(); sequences.len()];
        let all: Vec<usize> = (0..sequences.len()).collect();
        tree.grow(sequences, &all, 0, None, &mut paths);
        (tree, paths)
    }

    /// Adds what `members` hold from `depth` on, below `parent`.
    fn grow(
        &mut self,
        sequences: &[&[u32]],
        members: &[usize],
        depth: usize,
        parent: Option<usize>,
        paths: &mut [Vec<usize>],
    ) {
        let mut waiting: Vec<usize> = (members.iter().copied())
            .filter(|&s| sequences[s].len() > depth)
            .collect();
        while let Some(&first) = waiting.first() {
            let token = sequences[first][depth];
            let (branch, rest): (Vec<usize>, Vec<usize>) = waiting
                .into_iter()
                .partition(|&s| sequences[s][depth] == token);
            let end = (depth + 1..)
                .find(|&at| {
                    let token = sequences[first].get(at);
                    token.is_none() || branch.iter().any(|&s| sequences[s].get(at) != token)
                })
                .expect("a sequence ends");
            let start = self.tokens.len();
            self.tokens.extend_from_slice(&sequences[first][depth..end]);
            self.node_of
                .resize(self.tokens.len(), self.nodes.len() as u32);
            let node = self.nodes.len();
            self.nodes.push(Node {
                parent,
                start,
                len: end - depth,
                depth,
            });
            for &s in &branch {
                paths[s].extend(start..start + end - depth);
            }
            self.grow(sequences, &branch, end, Some(node), paths);
            waiting = rest;
        }
    }

    /// Several trees as one forest: their tokens one after the other, in the order given.
    pub fn join<'a>(trees: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut all = Self::default();
        for tree in trees {
            let (tokens, nodes) = (all.tokens.len(), all.nodes.len());
            all.tokens.extend_from_slice(&tree.tokens);
            all.nodes.extend(tree.nodes.iter().map(|node| Node {
                parent: node.parent.map(|parent| parent + nodes),
                start: node.start + tokens,
                ..*node
            }));
            let shifted = tree.node_of.iter().map(|node| node + nodes as u32);
            all.node_of.extend(shifted);
        }
        all
    }

    /// The tokens below each root, as ranges.
    pub(crate) fn roots(&self) -> Vec<std::ops::Range<usize>> {
        let roots = self.nodes.iter().filter(|node| node.parent.is_none());
        let starts: Vec<usize> = roots.map(|node| node.start).chain([self.len()]).collect();
        starts.windows(2).map(|pair| pair[0]..pair[1]).collect()
    }

    /// Number of tokens that are computed.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Every token, in depth-first order.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Every node, parents before children.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Position along its path of the token at `index`.
    pub fn position(&self, index: usize) -> usize {
        let node = &self.nodes[self.node_of[index] as usize];
        node.depth + index - node.start
    }

    /// The token before the one at `index` on its path: the one that predicts it.
    pub fn predecessor(&self, index: usize) -> Option<usize> {
        let node = &self.nodes[self.node_of[index] as usize];
        if index > node.start {
            return Some(index - 1);
        }
        let parent = &self.nodes[node.parent?];
        Some(parent.start + parent.len - 1)
    }

    /// The runs of consecutive tokens before `node` on its path, from the root on, as
    /// `(start, len)`. Runs that touch are one.
    pub(crate) fn ancestors(&self, node: usize) -> Vec<(usize, usize)> {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        let mut at = self.nodes[node].parent;
        while let Some(parent) = at {
            let Node { start, len, .. } = self.nodes[parent];
            match runs.last_mut() {
                Some(run) if start + len == run.0 => *run = (start, len + run.1),
                _ => runs.push((start, len)),
            }
            at = self.nodes[parent].parent;
        }
        runs.reverse();
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forest_holds_its_trees_one_after_the_other() {
        let (one, _) = TokenTree::from_sequences(&[&[1, 2, 3], &[1, 4]]);
        let (two, _) = TokenTree::from_sequences(&[&[5, 6], &[7]]);
        let forest = TokenTree::join([&one, &two]);
        assert_eq!(forest.tokens(), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(forest.roots(), [0..4, 4..6, 6..7]);
        assert_eq!(forest.predecessor(3), Some(0));
        assert_eq!(forest.predecessor(5), Some(4));
        assert_eq!(forest.predecessor(6), None);
        assert_eq!(forest.position(5), 1);
    }

    #[test]
    fn shared_prefixes_are_stored_once() {
        let (tree, paths) =
            TokenTree::from_sequences(&[&[1, 2, 3, 4], &[1, 2, 5], &[1, 2, 3, 6], &[1, 2], &[7]]);
        assert_eq!(tree.tokens(), [1, 2, 3, 4, 6, 5, 7]);
        assert_eq!(
            paths,
            [
                vec![0, 1, 2, 3],
                vec![0, 1, 5],
                vec![0, 1, 2, 4],
                vec![0, 1],
                vec![6]
            ]
        );
        assert_eq!(tree.position(4), 3);
        assert_eq!(tree.predecessor(4), Some(2));
        assert_eq!(tree.predecessor(5), Some(1));
        assert_eq!(tree.predecessor(6), None);
        assert_eq!(tree.ancestors(3), [(0, 3)]);
        assert_eq!(tree.ancestors(4), [(0, 2)]);
    }
}
