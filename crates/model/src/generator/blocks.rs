//! The key-value cache: blocks of 64 positions counted from a sequence's first token, each
//! stored once for all sequences that agree up to its end. The blocks are a tree; a sequence is
//! a path in it. Knows which tokens a block stands for, and none of its numbers: those are with
//! whoever decodes.

/// Positions of one block.
pub(crate) const BLOCK: usize = 64;

/// A block's place among all.
pub(crate) type BlockId = usize;

/// What a cache has done and holds; sizes in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Of the blocks in use now.
    pub bytes: usize,
    /// The most that were ever in use.
    pub peak_bytes: usize,
    /// Blocks in use that more than one sequence holds.
    pub shared_blocks: usize,
    /// Blocks that were given up to make room.
    pub evictions: usize,
    /// Tokens computed again after their block was evicted.
    pub recomputed_tokens: usize,
}

/// What stands in a block, up to [`BLOCK`] tokens, and who needs it.
struct Block {
    /// The last of them may still be under way.
    tokens: Vec<u32>,
    /// Tokens whose keys and values are there.
    ready: usize,
    parent: Option<BlockId>,
    children: Vec<BlockId>,
    /// Sequences whose path leads through here.
    holders: usize,
    /// Those of them that are advancing.
    live: usize,
    /// When the last of these stopped.
    used: u64,
}

/// All blocks, in use or vacant.
pub(super) struct Cache {
    /// Bytes of a block's keys and values.
    pub(super) block_bytes: usize,
    /// The most blocks that may be there.
    pub(super) limit: Option<usize>,
    blocks: Vec<Block>,
    vacant: Vec<BlockId>,
    roots: Vec<BlockId>,
    /// Counts the times that a path stopped advancing.
    clock: u64,
    /// What only grows.
    pub(super) stats: CacheStats,
}

/// How much a block and some tokens have in common.
#[derive(Clone, Copy, Default)]
pub(super) struct Likeness {
    /// The block whose finished positions agree the furthest, and how far.
    pub(super) ready: (BlockId, usize),
    /// How far a block agrees that is under way.
    pub(super) coming: usize,
}

impl Cache {
    pub(super) fn new(block_bytes: usize) -> Self {
        Self {
            block_bytes,
            limit: None,
            blocks: Vec::new(),
            vacant: Vec::new(),
            roots: Vec::new(),
            clock: 0,
            stats: CacheStats::default(),
        }
    }

    pub(super) fn stats(&self) -> CacheStats {
        CacheStats {
            bytes: self.in_use() * self.block_bytes,
            shared_blocks: self.blocks.iter().filter(|b| b.holders > 1).count(),
            ..self.stats
        }
    }

    fn in_use(&self) -> usize {
        self.blocks.len() - self.vacant.len()
    }

    /// Blocks that advancing sequences hold.
    pub(super) fn live(&self) -> usize {
        self.blocks.iter().filter(|block| block.live > 0).count()
    }

    pub(super) fn is_live(&self, id: BlockId) -> bool {
        self.blocks[id].live > 0
    }

    /// An empty block after `parent`, held by one advancing sequence; `None` if there is no room.
    pub(super) fn allocate(&mut self, parent: Option<BlockId>) -> Option<BlockId> {
        let id = match self.vacant.pop() {
            Some(id) => id,
            None if self.limit.is_some_and(|limit| self.blocks.len() >= limit) => return None,
            None => {
                self.blocks.push(Block {
                    tokens: Vec::with_capacity(BLOCK),
                    ready: 0,
                    parent: None,
                    children: Vec::new(),
                    holders: 0,
                    live: 0,
                    used: 0,
                });
                self.blocks.len() - 1
            }
        };
        let block = &mut self.blocks[id];
        (block.parent, block.holders, block.live) = (parent, 1, 1);
        self.siblings(parent).push(id);
        let bytes = self.in_use() * self.block_bytes;
        self.stats.peak_bytes = self.stats.peak_bytes.max(bytes);
        Some(id)
    }

    fn siblings(&mut self, parent: Option<BlockId>) -> &mut Vec<BlockId> {
        match parent {
            Some(parent) => &mut self.blocks[parent].children,
            None => &mut self.roots,
        }
    }

    fn after(&self, parent: Option<BlockId>) -> impl Iterator<Item = (BlockId, &Block)> {
        let ids = match parent {
            Some(parent) => &self.blocks[parent].children,
            None => &self.roots,
        };
        ids.iter().map(|&id| (id, &self.blocks[id]))
    }

    /// The block after `parent` with exactly these [`BLOCK`] tokens, finished or under way.
    pub(super) fn full(&self, parent: Option<BlockId>, tokens: &[u32]) -> Option<BlockId> {
        let mut children = self.after(parent);
        let (id, _) = children.find(|(_, block)| block.tokens == tokens)?;
        Some(id)
    }

    /// How far the blocks after `parent` begin with `tokens`.
    pub(super) fn likeness(&self, parent: Option<BlockId>, tokens: &[u32]) -> Likeness {
        let mut best = Likeness::default();
        for (id, block) in self.after(parent) {
            let same = common_prefix(&block.tokens, tokens);
            best.coming = best.coming.max(same);
            let ready = same.min(block.ready);
            if ready > best.ready.1 {
                best.ready = (id, ready);
            }
        }
        best
    }

    /// Notes that `to`, which is empty, begins with the first `count` tokens of `from`.
    pub(super) fn copy(&mut self, from: BlockId, to: BlockId, count: usize) {
        let tokens = std::mem::take(&mut self.blocks[from].tokens);
        let block = &mut self.blocks[to];
        block.tokens.extend_from_slice(&tokens[..count]);
        block.ready = count;
        self.blocks[from].tokens = tokens;
    }

    /// Notes tokens that are about to be computed.
    pub(super) fn extend(&mut self, id: BlockId, tokens: &[u32]) {
        let block = &mut self.blocks[id];
        block.tokens.extend_from_slice(tokens);
        assert!(block.tokens.len() <= BLOCK, "a block holds {BLOCK} tokens");
    }

    /// All of a block's tokens are computed.
    pub(super) fn finish(&mut self, id: BlockId) {
        self.blocks[id].ready = self.blocks[id].tokens.len();
    }

    /// Another block of the same whole content that a full block's one holder can have instead.
    pub(super) fn twin(&self, id: BlockId) -> Option<BlockId> {
        let block = &self.blocks[id];
        if block.ready < BLOCK || block.holders > 1 || !block.children.is_empty() {
            return None;
        }
        let mut siblings = self.after(block.parent);
        let (twin, _) = siblings
            .find(|(other, b)| *other != id && b.ready == BLOCK && b.tokens == block.tokens)?;
        Some(twin)
    }

    /// Whether one sequence alone holds it, so that it may be shortened.
    pub(super) fn is_own(&self, id: BlockId) -> bool {
        self.blocks[id].holders == 1
    }

    /// Forgets all but the first `count` tokens of a block without children.
    pub(super) fn shorten(&mut self, id: BlockId, count: usize) {
        let block = &mut self.blocks[id];
        block.tokens.truncate(count);
        block.ready = block.ready.min(count);
    }

    /// One more sequence holds the block; it is advancing.
    pub(super) fn hold(&mut self, id: BlockId) {
        self.blocks[id].holders += 1;
        self.blocks[id].live += 1;
    }

    /// A sequence no longer holds this last block of its path.
    pub(super) fn let_go(&mut self, id: BlockId, live: bool) {
        let block = &mut self.blocks[id];
        block.holders -= 1;
        block.live -= usize::from(live);
        if block.holders == 0 {
            self.remove(id);
        }
    }

    /// A holder of these blocks advances from now on.
    pub(super) fn wake(&mut self, path: &[BlockId]) {
        path.iter().for_each(|&id| self.blocks[id].live += 1);
    }

    /// A holder of these blocks no longer advances.
    pub(super) fn rest(&mut self, path: &[BlockId]) {
        self.clock += 1;
        for &id in path {
            self.blocks[id].live -= 1;
            self.blocks[id].used = self.clock;
        }
    }

    /// Gives up the block that was used the longest ago, of those that no advancing sequence and
    /// no other block needs. It was the last of its holders' paths.
    pub(super) fn evict(&mut self) -> Option<BlockId> {
        let unneeded =
            |block: &Block| block.holders > 0 && block.live == 0 && block.children.is_empty();
        let (_, id) = (self.blocks.iter().enumerate())
            .filter(|(_, block)| unneeded(block))
            .map(|(id, block)| (block.used, id))
            .min()?;
        self.remove(id);
        self.stats.evictions += 1;
        Some(id)
    }

    fn remove(&mut self, id: BlockId) {
        let block = &mut self.blocks[id];
        assert!(block.children.is_empty(), "a block's end is held before it");
        block.tokens.clear();
        (block.ready, block.holders, block.live) = (0, 0, 0);
        let parent = block.parent.take();
        self.siblings(parent).retain(|&other| other != id);
        self.vacant.push(id);
    }
}

/// How many tokens both begin with.
pub(super) fn common_prefix(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
