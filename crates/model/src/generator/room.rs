//! Who advances when the cache is bounded: what is given up for a new block, which turns wait,
//! and when they go on. Without a bound, everybody advances.

use super::blocks::BLOCK;
use super::{Generator, live};
use crate::backend::Done;

impl Generator<'_> {
    /// Lets waiting turns advance, the earliest first, as far as there is room for them.
    pub(super) fn admit(&mut self) {
        self.list(|turn| !turn.live);
        for i in 0..self.order.len() {
            let name = self.order[i];
            if !self.fits(name) {
                return;
            }
            let state = self.sequences.get_mut(&name).expect("it was just listed");
            if let Some(turn) = &mut state.turn {
                turn.live = true;
                self.cache.wake(&state.path);
            }
        }
    }

    /// Whether a waiting sequence has room beside the advancing ones, of which each may soon
    /// need a block. Alone it always has.
    fn fits(&self, name: usize) -> bool {
        let Some(limit) = self.cache.limit else {
            return true;
        };
        let advancing = (self.sequences.values())
            .filter(|state| state.turn.as_ref().is_some_and(|turn| turn.live))
            .count();
        let state = &self.sequences[&name];
        let own = state.tokens.len().div_ceil(BLOCK) - self.live_part_of(name);
        advancing == 0 || self.cache.live() + own + advancing < limit
    }

    /// How many of a sequence's blocks advancing ones hold anyway.
    fn live_part_of(&self, name: usize) -> usize {
        let state = &self.sequences[&name];
        let (known, _) = state.tokens.as_chunks::<BLOCK>();
        let mut last = None;
        for (i, tokens) in known.iter().enumerate() {
            let next = match state.path.get(i) {
                Some(&id) => Some(id),
                None => self.cache.full(last, tokens),
            };
            match next {
                Some(id) if self.cache.is_live(id) => last = Some(id),
                _ => return i,
            }
        }
        known.len()
    }

    /// Puts an empty block at the end of a sequence's path, for which others give way; `false`
    /// if this sequence is the one to wait.
    pub(super) fn open_block(&mut self, name: usize) -> Done<bool> {
        loop {
            let Some(state) = live(&mut self.sequences, name) else {
                return Ok(false);
            };
            if let Some(id) = self.cache.allocate(state.path.last().copied()) {
                state.path.push(id);
                self.decoder.open(id)?;
                return Ok(true);
            }
            if !self.evict() {
                self.pause_latest();
            }
        }
    }

    /// Gives up one block that no advancing sequence needs, if there is one.
    fn evict(&mut self) -> bool {
        let Some(id) = self.cache.evict() else {
            return false;
        };
        for state in self.sequences.values_mut() {
            if state.path.last() == Some(&id) {
                state.path.pop();
                state.computed = state.computed.min(state.path.len() * BLOCK);
            }
        }
        true
    }

    fn pause_latest(&mut self) {
        let advancing = (self.sequences.iter()).filter_map(|(&name, state)| {
            let turn = state.turn.as_ref().filter(|turn| turn.live)?;
            Some((turn.order, name))
        });
        let (_, latest) = advancing.max().expect("somebody holds the blocks");
        self.pause(latest);
    }

    /// A sequence's turn, if it has one, no longer advances.
    pub(super) fn pause(&mut self, name: usize) {
        if let Some(state) = live(&mut self.sequences, name) {
            self.cache.rest(&state.path);
            if let Some(turn) = &mut state.turn {
                turn.live = false;
            }
        }
    }
}
