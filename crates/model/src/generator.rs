//! Sampling: many sequences step together over a key-value cache. What sequences have in common
//! is stored, computed and read once, and kept between their turns as long as there is room.
//!
//! On the CPU, what a sequence samples depends on its own tokens and seed alone, to the last bit:
//! not on what else is in the batch, on the number of threads, or on what the cache had to give
//! up. On a card the same calls give the same bits; what else is in the batch may move the last
//! ones, since it decides how products and attention cut their sums.

mod attend;
pub(crate) mod batch;
pub(crate) mod blocks;
mod decoder;
mod linear;
mod pages;
mod room;

use std::collections::BTreeMap;

use crate::backend::Done;
use crate::sampling::{Sampling, draw, rng};
use crate::{Model, ModelError};
use batch::{Batch, Choice};
use blocks::{BlockId, Cache, common_prefix};
use rand_chacha::ChaCha8Rng;

pub(crate) use batch::Decode;
pub(crate) use blocks::BLOCK;
pub use blocks::CacheStats;
pub(crate) use decoder::Decoder;
pub(crate) use pages::Shape;

/// A sequence waits for another one's block if that saves it this many tokens.
const WORTH_WAITING: usize = 16;

/// Samples from a model whose weights stand still meanwhile.
pub struct Generator<'m> {
    decoder: Box<dyn Decode + 'm>,
    sampling: Sampling,
    stop_tokens: Vec<u32>,
    positions: usize,
    cache: Cache,
    sequences: BTreeMap<usize, Sequence>,
    /// Turns begun so far.
    begun: u64,
    batch: Batch,
    /// Names of sequences, the earliest turn first, while a step goes through them.
    order: Vec<usize>,
    choices: Vec<Choice>,
}

/// A turn that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampled {
    /// The sequence, as named in [`Generator::begin`].
    pub sequence: usize,
    /// As sampled, the stop token included.
    pub tokens: Vec<u32>,
    /// Log-probability of each under the distribution that it was sampled from.
    pub logprobs: Vec<f32>,
    /// Ended by a stop token rather than by the limit.
    pub stopped: bool,
}

struct Sequence {
    /// All that is known.
    tokens: Vec<u32>,
    /// Tokens, from the first on, whose keys and values `path` holds.
    computed: usize,
    /// The most that it ever held of these tokens.
    reached: usize,
    path: Vec<BlockId>,
    turn: Option<Turn>,
}

struct Turn {
    /// Turns that began earlier have smaller ones.
    order: u64,
    /// Whether it advances, rather than waits for room in the cache.
    live: bool,
    rng: ChaCha8Rng,
    /// Tokens before it.
    start: usize,
    limit: usize,
    logprobs: Vec<f32>,
}

impl<'m> Generator<'m> {
    /// `stop_tokens` end a turn; sequences reach at most `positions` tokens. Samples where the
    /// model is.
    pub fn new(
        model: &'m Model,
        sampling: Sampling,
        stop_tokens: &[u32],
        positions: usize,
    ) -> Result<Self, ModelError> {
        let decoder = model.decoder(positions)?;
        Ok(Self {
            cache: Cache::new(decoder.block_bytes()),
            decoder,
            sampling,
            stop_tokens: stop_tokens.to_vec(),
            positions,
            sequences: BTreeMap::new(),
            begun: 0,
            batch: Batch::default(),
            order: Vec::new(),
            choices: Vec::new(),
        })
    }

    /// Keeps the cache within `bytes`. What does not fit is given up and computed again when it
    /// is needed, first that of sequences between their turns; then turns wait, the latest
    /// first. Refuses a limit that could not hold one sequence.
    pub fn bounded(mut self, bytes: usize) -> Result<Self, ModelError> {
        let block = self.cache.block_bytes;
        let needed = self.positions.div_ceil(BLOCK);
        if bytes / block < needed {
            return Err(ModelError::Cache {
                tokens: self.positions,
                needed: needed * block,
                allowed: bytes,
                fitting: bytes / block * BLOCK,
            });
        }
        self.cache.limit = Some(bytes / block);
        self.decoder.bound(bytes / block)?;
        Ok(self)
    }

    /// What the cache holds and has done.
    pub fn stats(&self) -> CacheStats {
        self.cache.stats()
    }

    /// Starts a turn of at most `limit` tokens of the sequence called `sequence`, after
    /// `context`, all of its tokens so far. What the cache holds of it is not computed again.
    pub fn begin(&mut self, sequence: usize, context: &[u32], limit: usize, seed: u64) {
        assert!(!context.is_empty() && limit > 0, "a turn follows a token");
        assert!(
            context.len() + limit <= self.positions,
            "a sequence stays within the positions that its generator was made for"
        );
        self.pause(sequence);
        let state = self.sequences.entry(sequence).or_insert(Sequence {
            tokens: Vec::new(),
            computed: 0,
            reached: 0,
            path: Vec::new(),
            turn: None,
        });
        // The last token is always computed: what follows it is to be predicted.
        let known = common_prefix(&state.tokens, context).min(context.len() - 1);
        state.reached = state.reached.min(known);
        state.keep(known, &mut self.cache);
        state.tokens.clear();
        state.tokens.extend_from_slice(context);
        state.turn = Some(Turn {
            order: self.begun,
            live: false,
            rng: rng(seed),
            start: context.len(),
            limit,
            logprobs: Vec::new(),
        });
        self.begun += 1;
    }

    /// Turns in progress advance by one token, but for those that wait for room; returns those
    /// that ended, by sequence. An error where a token has no distribution to be drawn from; no
    /// later step would fare better.
    pub fn step(&mut self) -> Result<Vec<Sampled>, ModelError> {
        // On a thread of the pool: from outside, each of the many parallel loops would have to
        // wake it up.
        rayon::scope(|_| {
            self.admit();
            self.catch_up()?;
            self.sample()?;
            Ok(self.ended())
        })
    }

    /// Forgets a sequence, and what no other one shares with it.
    pub fn release(&mut self, sequence: usize) {
        self.pause(sequence);
        if let Some(mut state) = self.sequences.remove(&sequence) {
            state.keep(0, &mut self.cache);
        }
    }

    /// Lists the sequences that advance.
    fn list_live(&mut self) {
        self.list(|turn| turn.live);
    }

    /// Lists the sequences with such turns, the earliest first.
    fn list(&mut self, such: impl Fn(&Turn) -> bool) {
        let (order, sequences) = (&mut self.order, &self.sequences);
        order.clear();
        order.extend(
            (sequences.iter())
                .filter(|(_, state)| state.turn.as_ref().is_some_and(&such))
                .map(|(&name, _)| name),
        );
        order.sort_unstable_by_key(|name| sequences[name].turn.as_ref().map(|turn| turn.order));
    }

    /// Computes all tokens of the advancing sequences but the last of each.
    fn catch_up(&mut self) -> Done {
        loop {
            self.batch.clear();
            self.list_live();
            for i in 0..self.order.len() {
                self.plan(self.order[i])?;
            }
            if self.batch.rows() == 0 {
                return Ok(());
            }
            self.decoder.fill(&self.batch)?;
            self.settle();
        }
    }

    /// Finds what there is of a sequence's late tokens, and adds to the batch what is missing,
    /// as far as there is room in it.
    fn plan(&mut self, name: usize) -> Done {
        let most = self.decoder.rows();
        while let Some(state) = live(&mut self.sequences, name) {
            let late = &state.tokens[state.computed..state.tokens.len() - 1];
            if late.is_empty() {
                return Ok(());
            }
            let place = state.computed % BLOCK;
            let count = late.len().min(BLOCK - place);
            if state.lacks_block() {
                let parent = state.path.last().copied();
                if count == BLOCK
                    && let Some(id) = self.cache.full(parent, &late[..BLOCK])
                {
                    self.cache.hold(id);
                    state.path.push(id);
                    state.advance(BLOCK);
                    continue;
                }
                let likeness = self.cache.likeness(parent, late);
                if likeness.coming >= likeness.ready.1 + WORTH_WAITING
                    || self.batch.rows() + count > most
                    || !self.open_block(name)?
                {
                    return Ok(());
                }
                self.begin_alike(name)?;
                continue;
            }
            if self.batch.rows() + count > most {
                return Ok(());
            }
            let first = state.computed;
            let late = &late[..count];
            self.batch.push(name, late, first, &state.path);
            self.cache.extend(state.last_block(), late);
            self.cache.stats.recomputed_tokens += state.advance(count);
        }
        Ok(())
    }

    /// Takes over what the first tokens of a sequence's new block have in common with another.
    fn begin_alike(&mut self, name: usize) -> Done {
        let state = live(&mut self.sequences, name).expect("only live sequences get blocks");
        let late = &state.tokens[state.computed..state.tokens.len() - 1];
        let id = state.last_block();
        let parent = state.path.len().checked_sub(2).map(|at| state.path[at]);
        let (from, count) = self.cache.likeness(parent, late).ready;
        if count > 0 {
            self.cache.copy(from, id, count);
            state.advance(count);
            self.decoder.copy(from, id)?;
        }
        Ok(())
    }

    /// One token of every advancing sequence.
    fn sample(&mut self) -> Result<(), ModelError> {
        self.batch.clear();
        self.list_live();
        for i in 0..self.order.len() {
            let name = self.order[i];
            if live(&mut self.sequences, name).is_some_and(|state| state.lacks_block()) {
                self.open_block(name)?;
            }
        }
        self.list_live();
        let sequences = &mut self.sequences;
        // Sequences that share blocks side by side.
        (self.order).sort_unstable_by(|a, b| sequences[a].path.cmp(&sequences[b].path));
        self.choices.clear();
        for name in &self.order {
            let state = sequences.get_mut(name).expect("only sequences are listed");
            let (first, path) = (state.computed, &state.path);
            self.batch.push(*name, &state.tokens[first..], first, path);
            (self.cache).extend(state.last_block(), &state.tokens[first..]);
            self.cache.stats.recomputed_tokens += state.advance(1);
            let turn = state.turn.as_mut().expect("only turns advance");
            self.choices.push(Choice {
                drawn: draw(&self.sampling, &mut turn.rng),
                token: 0,
                logprob: 0.0,
            });
        }
        if self.order.is_empty() {
            return Ok(());
        }
        (self.decoder).sample(&self.batch, &self.sampling, &mut self.choices)?;
        if self.choices.iter().any(|choice| choice.logprob.is_nan()) {
            return Err(ModelError::Diverged);
        }
        self.settle();
        for (name, choice) in self.order.iter().zip(&self.choices) {
            let state = (self.sequences.get_mut(name)).expect("only sequences are listed");
            state.tokens.push(choice.token);
            let turn = state.turn.as_mut().expect("only turns advance");
            turn.logprobs.push(choice.logprob);
        }
        Ok(())
    }

    /// The batch's tokens are computed. A block that has become what another one is gives way.
    fn settle(&mut self) {
        for span in &self.batch.spans {
            self.cache.finish(self.batch.block(span));
        }
        for span in &self.batch.spans {
            let id = self.batch.block(span);
            if let Some(twin) = self.cache.twin(id) {
                let state = (self.sequences.get_mut(&span.sequence))
                    .expect("only sequences are in a batch");
                state.path[span.path.len() - 1] = twin;
                self.cache.hold(twin);
                self.cache.let_go(id, true);
            }
        }
    }

    /// Hands over the turns that are done.
    fn ended(&mut self) -> Vec<Sampled> {
        let mut ended = Vec::new();
        for (&sequence, state) in &mut self.sequences {
            let Some(turn) = &state.turn else { continue };
            let tokens = &state.tokens[turn.start..];
            let stopped = tokens.last().is_some_and(|t| self.stop_tokens.contains(t));
            if !stopped && tokens.len() < turn.limit {
                continue;
            }
            let tokens = tokens.to_vec();
            let turn = state.turn.take().expect("it was just there");
            if turn.live {
                self.cache.rest(&state.path);
            }
            ended.push(Sampled {
                sequence,
                tokens,
                logprobs: turn.logprobs,
                stopped,
            });
        }
        ended
    }
}

impl Sequence {
    /// `count` more tokens are in its blocks; returns how many of them had been before.
    fn advance(&mut self, count: usize) -> usize {
        let again = self.reached.saturating_sub(self.computed).min(count);
        self.computed += count;
        self.reached = self.reached.max(self.computed);
        again
    }

    /// Whether its next token needs a new block.
    fn lacks_block(&self) -> bool {
        self.computed == self.path.len() * BLOCK
    }

    fn last_block(&self) -> BlockId {
        *self.path.last().expect("a token lies in a block")
    }

    /// Forgets what it holds after its first `count` tokens; its turn does not advance.
    fn keep(&mut self, count: usize, cache: &mut Cache) {
        self.computed = self.computed.min(count);
        while self.path.len() > self.computed.div_ceil(BLOCK) {
            cache.let_go(self.last_block(), false);
            self.path.pop();
        }
        let inside = self.computed % BLOCK;
        if inside > 0 {
            let last = self.last_block();
            if cache.is_own(last) {
                cache.shorten(last, inside);
            } else {
                // Found again, as the beginning of another's, when the turn is planned.
                cache.let_go(last, false);
                self.path.pop();
                self.computed -= inside;
            }
        }
    }
}

/// A sequence, if it advances.
fn live(sequences: &mut BTreeMap<usize, Sequence>, name: usize) -> Option<&mut Sequence> {
    let state = sequences.get_mut(&name)?;
    state.turn.as_ref()?.live.then_some(state)
}
