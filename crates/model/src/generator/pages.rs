//! The keys and values of the cache's blocks, in this machine's memory.

use super::blocks::{BLOCK, BlockId};
use crate::Architecture;

/// What products may read behind the last row of their right side.
const MARGIN: usize = 16;

/// Sizes of a block.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    layers: usize,
    kv_heads: usize,
    /// Numbers of one head.
    width: usize,
}

impl Shape {
    pub(crate) fn of(architecture: &Architecture) -> Self {
        Self {
            layers: architecture.layers,
            kv_heads: architecture.kv_heads,
            width: architecture.head_dim,
        }
    }

    pub(crate) fn len(self) -> usize {
        self.layers * self.layer() + MARGIN
    }

    /// Numbers of one layer of a block.
    fn layer(self) -> usize {
        self.kv_heads * 2 * BLOCK * self.width
    }

    fn bytes(self) -> usize {
        self.len() * size_of::<f32>()
    }
}

/// Of each block, for each layer and key-value head, keys as `[width, BLOCK]`, so that the scores
/// of neighbours are computed side by side, then values as `[BLOCK, width]`.
pub(super) struct Pages {
    pub(super) shape: Shape,
    blocks: Vec<Vec<f32>>,
}

impl Pages {
    pub(super) fn new(shape: Shape) -> Self {
        Self {
            shape,
            blocks: Vec::new(),
        }
    }

    pub(super) fn block_bytes(&self) -> usize {
        self.shape.bytes()
    }

    /// Makes room for a block, if there never was one of this place.
    pub(super) fn open(&mut self, id: BlockId) {
        if self.blocks.len() <= id {
            self.blocks
                .resize_with(id + 1, || vec![0.0; self.shape.len()]);
        }
    }

    pub(super) fn copy(&mut self, from: BlockId, to: BlockId) {
        let mut numbers = self.take(to);
        numbers.copy_from_slice(&self.blocks[from]);
        self.put_back(to, numbers);
    }

    /// Takes a block's numbers out, to be written while others are read.
    pub(super) fn take(&mut self, id: BlockId) -> Vec<f32> {
        std::mem::take(&mut self.blocks[id])
    }

    pub(super) fn put_back(&mut self, id: BlockId, numbers: Vec<f32>) {
        self.blocks[id] = numbers;
    }

    /// Keys, `[width, BLOCK]`, then values, `[BLOCK, width]`, and a margin.
    pub(super) fn head(&self, id: BlockId, layer: usize, kv: usize) -> (&[f32], &[f32]) {
        let at = layer * self.shape.layer() + kv * 2 * BLOCK * self.shape.width;
        self.blocks[id][at..].split_at(BLOCK * self.shape.width)
    }
}

impl Shape {
    /// Writes one token's keys and values, `[kv_heads, width]` each, at place `place` of a
    /// block's numbers.
    pub(super) fn write(
        self,
        data: &mut [f32],
        layer: usize,
        place: usize,
        keys: &[f32],
        values: &[f32],
    ) {
        let size = BLOCK * self.width;
        let heads = data[layer * self.layer()..].chunks_exact_mut(2 * size);
        let tokens = (keys.chunks_exact(self.width)).zip(values.chunks_exact(self.width));
        for (to, (key, value)) in heads.zip(tokens) {
            let (keys, values) = to.split_at_mut(size);
            for (line, &k) in keys.chunks_exact_mut(BLOCK).zip(key) {
                line[place] = k;
            }
            values[place * self.width..][..self.width].copy_from_slice(value);
        }
    }
}
