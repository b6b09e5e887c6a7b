//! Sampling: many sequences step together over a key-value cache. A prompt that several
//! sequences share is stored and computed once; a sequence's cache lives on between its turns.
//!
//! What a sequence samples depends on its own tokens and seed alone, to the last bit: prompts
//! and observations are computed by sequence, and single steps in tiles of one fixed height.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};

use crate::instructions::vectorised;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::numeric::{add, add_scaled, exp_shifted, fma, max, rms_norm, swiglu};
use crate::product::{Matrix, MatrixMut, Store, product, product_on_all};
use crate::rotary::Rotary;
use crate::sampling::{Sampling, rng, sample};
use crate::{Model, Weights};

/// How many threads one call uses.
#[derive(Clone, Copy, PartialEq)]
enum Threads {
    One,
    All,
}

/// Rows of one decoding tile; missing ones are zeros, so that every product has one shape.
const TILE: usize = 16;
/// Rows of a prompt or observation that are computed together.
const SPAN: usize = 64;
/// Longer prompts are computed one after another with all threads, shorter ones side by side.
const LONG: usize = 1024;

/// Samples from a model whose weights stand still meanwhile.
pub struct Generator<'m> {
    decoder: Decoder<'m>,
    sampling: Sampling,
    stop_tokens: Vec<u32>,
    prompts: Vec<Weak<Prompt>>,
    sequences: BTreeMap<usize, Sequence>,
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

/// What the sequences of a group begin with, computed before their first step.
struct Prompt {
    tokens: Vec<u32>,
    cache: OnceLock<Cache>,
}

struct Sequence {
    prompt: Arc<Prompt>,
    own: Cache,
    /// Tokens that the caches hold.
    cached: Vec<u32>,
    turn: Option<Turn>,
}

struct Turn {
    /// Known but not yet computed; never empty.
    pending: Vec<u32>,
    rng: ChaCha8Rng,
    limit: usize,
    tokens: Vec<u32>,
    logprobs: Vec<f32>,
    done: Option<bool>,
}

impl<'m> Generator<'m> {
    /// `stop_tokens` end a turn; sequences reach at most `positions` tokens.
    pub fn new(
        model: &'m Model,
        sampling: Sampling,
        stop_tokens: &[u32],
        positions: usize,
    ) -> Self {
        Self {
            decoder: Decoder::new(model, positions),
            sampling,
            stop_tokens: stop_tokens.to_vec(),
            prompts: Vec::new(),
            sequences: BTreeMap::new(),
        }
    }

    /// Starts a turn of at most `limit` tokens of the sequence called `sequence`, after
    /// `context`, all of its tokens so far. What its cache already holds is not computed again.
    pub fn begin(&mut self, sequence: usize, context: &[u32], limit: usize, seed: u64) {
        assert!(!context.is_empty() && limit > 0, "a turn follows a token");
        let known = self.sequences.remove(&sequence);
        let fits = |s: &Sequence| context.starts_with(&s.cached) && context.len() > s.cached.len();
        let mut state = known.filter(fits).unwrap_or_else(|| {
            let shared = &context[..context.len() - 1];
            Sequence {
                prompt: self.prompt(shared),
                own: Cache::new(&self.decoder, shared.len()),
                cached: shared.to_vec(),
                turn: None,
            }
        });
        state.turn = Some(Turn {
            pending: context[state.cached.len()..].to_vec(),
            rng: rng(seed),
            limit,
            tokens: Vec::new(),
            logprobs: Vec::new(),
            done: None,
        });
        self.sequences.insert(sequence, state);
    }

    /// The shared prompt of these tokens: the one that a living sequence has, or a new one.
    fn prompt(&mut self, tokens: &[u32]) -> Arc<Prompt> {
        self.prompts.retain(|prompt| prompt.strong_count() > 0);
        let mut known = self.prompts.iter().filter_map(Weak::upgrade);
        if let Some(prompt) = known.find(|known| known.tokens == tokens) {
            return prompt;
        }
        let prompt = Arc::new(Prompt {
            tokens: tokens.to_vec(),
            cache: OnceLock::new(),
        });
        self.prompts.push(Arc::downgrade(&prompt));
        prompt
    }

    /// Computes the prompts that are new.
    fn compute_prompts(&self) {
        let known = self.prompts.iter().filter_map(Weak::upgrade);
        let new = known.filter(|prompt| prompt.cache.get().is_none());
        let (long, short): (Vec<_>, Vec<_>) = new.partition(|p| p.tokens.len() > LONG);
        let compute = |prompt: &Arc<Prompt>, threads| {
            prompt.cache.get_or_init(|| {
                let mut cache = Cache::new(&self.decoder, 0);
                self.decoder
                    .extend(None, &mut cache, &prompt.tokens, threads);
                cache
            });
        };
        short.par_iter().for_each(|p| compute(p, Threads::One));
        long.iter().for_each(|p| compute(p, Threads::All));
    }

    /// Every turn in progress advances by one token; returns those that ended, by sequence.
    pub fn step(&mut self) -> Vec<Sampled> {
        self.compute_prompts();
        let (decoder, sampling, stops) = (&self.decoder, &self.sampling, &self.stop_tokens);
        let mut live: Vec<&mut Sequence> = (self.sequences.values_mut())
            .filter(|s| s.turn.is_some())
            .collect();
        live.par_iter_mut().for_each(|s| s.catch_up(decoder));
        live.par_chunks_mut(TILE).for_each(|tile| {
            let mut logits = decoder.step(tile);
            let vocab = decoder.model.architecture.vocab_size;
            for (s, logits) in tile.iter_mut().zip(logits.chunks_exact_mut(vocab)) {
                let turn = s.turn.as_mut().expect("only live sequences are stepped");
                let (token, logprob) = sample(logits, sampling, &mut turn.rng);
                turn.take(token, logprob, stops);
            }
        });
        let mut ended = Vec::new();
        for (&sequence, state) in &mut self.sequences {
            let done = |turn: &mut Turn| turn.done.is_some();
            if let Some(turn) = state.turn.take_if(done) {
                ended.push(Sampled {
                    sequence,
                    tokens: turn.tokens,
                    logprobs: turn.logprobs,
                    stopped: turn.done == Some(true),
                });
            }
        }
        ended
    }

    /// Forgets a sequence; a prompt goes with its last one.
    pub fn release(&mut self, sequence: usize) {
        self.sequences.remove(&sequence);
    }
}

impl Prompt {
    fn cache(&self) -> &Cache {
        self.cache.get().expect("a prompt is computed first")
    }
}

impl Sequence {
    /// Computes all pending tokens but the last.
    fn catch_up(&mut self, decoder: &Decoder<'_>) {
        let turn = self.turn.as_mut().expect("only live sequences catch up");
        let late: Vec<u32> = turn.pending.drain(..turn.pending.len() - 1).collect();
        if !late.is_empty() {
            decoder.extend(
                Some(self.prompt.cache()),
                &mut self.own,
                &late,
                Threads::One,
            );
            self.cached.extend(late);
        }
    }
}

impl Turn {
    fn take(&mut self, token: u32, logprob: f32, stops: &[u32]) {
        self.tokens.push(token);
        self.logprobs.push(logprob);
        self.pending = vec![token];
        if stops.contains(&token) {
            self.done = Some(true);
        } else if self.tokens.len() == self.limit {
            self.done = Some(false);
        }
    }
}

/// Keys and values of a run of tokens, for all layers: for each layer and key-value head, keys
/// as `[head_dim, capacity]` (so that scores of neighbouring tokens are computed side by side)
/// and values as `[capacity, head_dim]`.
struct Cache {
    /// Position of the first token.
    start: usize,
    len: usize,
    capacity: usize,
    width: usize,
    blocks: usize,
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl Cache {
    fn new(decoder: &Decoder<'_>, start: usize) -> Self {
        let a = &decoder.model.architecture;
        Self {
            start,
            len: 0,
            capacity: 0,
            width: a.head_dim,
            blocks: a.layers * a.kv_heads,
            keys: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Makes room for `more` tokens.
    fn reserve(&mut self, more: usize) {
        let needed = self.len + more;
        if needed <= self.capacity {
            return;
        }
        let capacity = needed.max(2 * self.capacity).next_multiple_of(64);
        let size = capacity * self.width;
        let mut keys = vec![0.0; self.blocks * size];
        let mut values = vec![0.0; self.blocks * size];
        let old = self.capacity * self.width;
        for block in 0..self.blocks {
            for i in 0..self.width {
                let from = &self.keys[block * old + i * self.capacity..][..self.len];
                keys[block * size + i * capacity..][..self.len].copy_from_slice(from);
            }
            let from = &self.values[block * old..][..self.len * self.width];
            values[block * size..][..from.len()].copy_from_slice(from);
        }
        (self.keys, self.values, self.capacity) = (keys, values, capacity);
    }

    /// Writes one head's key and value at place `at`, for which there is room.
    fn write(&mut self, block: usize, at: usize, key: &[f32], value: &[f32]) {
        let base = block * self.capacity * self.width;
        for (i, &k) in key.iter().enumerate() {
            self.keys[base + i * self.capacity + at] = k;
        }
        self.values[base + at * self.width..][..self.width].copy_from_slice(value);
    }

    /// `scores[j] = q · key_j` for the first `scores.len()` tokens.
    #[inline(always)]
    fn scores<const FMA: bool>(&self, block: usize, q: &[f32], scores: &mut [f32]) {
        const LANES: usize = 64;
        let base = block * self.capacity * self.width;
        for (chunk, out) in scores.chunks_mut(LANES).enumerate() {
            let mut sums = [0.0; LANES];
            for (i, &q) in q.iter().enumerate() {
                // The capacity is a multiple of LANES.
                let keys = &self.keys[base + i * self.capacity + chunk * LANES..][..LANES];
                for (sum, &key) in sums.iter_mut().zip(keys) {
                    *sum = fma::<FMA>(key, q, *sum);
                }
            }
            out.copy_from_slice(&sums[..out.len()]);
        }
    }

    /// `out += sum_j weights[j] * value_j`.
    #[inline(always)]
    fn weigh<const FMA: bool>(&self, block: usize, weights: &[f32], out: &mut [f32]) {
        let values = &self.values[block * self.capacity * self.width..];
        for (&weight, value) in weights.iter().zip(values.chunks_exact(self.width)) {
            add_scaled::<FMA>(out, weight, value);
        }
    }
}

/// One row of a product: which of the caches it reads, and its position.
struct Row {
    cache: usize,
    position: usize,
}

/// What a row attends to: a shared prompt, then its own tokens.
struct Context<'a> {
    prompt: Option<&'a Cache>,
    own: &'a mut Cache,
}

/// The decoder for inference: weights transposed once, since products of few rows are faster
/// with the output dimension contiguous.
struct Decoder<'m> {
    model: &'m Model,
    rotary: Rotary,
    layers: Vec<Transposed>,
    /// `[hidden, vocab]`.
    head: Vec<f32>,
}

/// `[in, out]` each.
struct Transposed {
    qkv: Vec<f32>,
    o: Vec<f32>,
    gate_up: Vec<f32>,
    down: Vec<f32>,
}

/// The transposed of the weight that begins at `offset`, as f32.
fn transposed(weights: &Weights, offset: usize, rows: usize, columns: usize) -> Vec<f32> {
    let mut out = vec![0.0; rows * columns];
    let mut row = vec![0.0; columns];
    for r in 0..rows {
        weights.widen(offset + r * columns, &mut row);
        for (c, &value) in row.iter().enumerate() {
            out[c * rows + r] = value;
        }
    }
    out
}

impl<'m> Decoder<'m> {
    fn new(model: &'m Model, positions: usize) -> Self {
        let a = &model.architecture;
        let qkv = (a.heads + 2 * a.kv_heads) * a.head_dim;
        let ffn = a.intermediate_size;
        let of = |offset, rows, columns| transposed(&model.weights, offset, rows, columns);
        let layers = (model.layout().layers.par_iter())
            .map(|at| Transposed {
                qkv: of(at.qkv, qkv, a.hidden_size),
                o: of(at.o, a.hidden_size, a.heads * a.head_dim),
                gate_up: of(at.gate_up, 2 * ffn, a.hidden_size),
                down: of(at.down, a.hidden_size, ffn),
            })
            .collect();
        Self {
            model,
            rotary: Rotary::new(a, positions),
            layers,
            head: of(model.layout().head, a.vocab_size, a.hidden_size),
        }
    }

    /// Computes `tokens` into `own`, which follows `prompt`.
    fn extend(&self, prompt: Option<&Cache>, own: &mut Cache, tokens: &[u32], threads: Threads) {
        own.reserve(tokens.len());
        for span in tokens.chunks(SPAN) {
            let first = own.start + own.len;
            let rows: Vec<Row> = (0..span.len())
                .map(|i| Row {
                    cache: 0,
                    position: first + i,
                })
                .collect();
            own.len += span.len();
            let mut x = self.embed(span.iter().copied(), span.len());
            let mut contexts = [Context {
                prompt,
                own: &mut *own,
            }];
            self.run(&mut x, &rows, &mut contexts, threads);
        }
    }

    /// Computes the one pending token of each sequence; returns `[sequences, vocab]` logits.
    fn step(&self, tile: &mut [&mut Sequence]) -> Vec<f32> {
        let mut tokens = Vec::with_capacity(TILE);
        let mut rows = Vec::with_capacity(TILE);
        let mut contexts = Vec::with_capacity(TILE);
        for (cache, sequence) in tile.iter_mut().enumerate() {
            let turn = sequence.turn.as_ref().expect("only live sequences step");
            let token = turn.pending[0];
            rows.push(Row {
                cache,
                position: sequence.cached.len(),
            });
            tokens.push(token);
            sequence.cached.push(token);
            sequence.own.reserve(1);
            sequence.own.len += 1;
            contexts.push(Context {
                prompt: Some(sequence.prompt.cache()),
                own: &mut sequence.own,
            });
        }
        let a = &self.model.architecture;
        let mut x = self.embed(tokens.iter().copied(), TILE);
        self.run(&mut x, &rows, &mut contexts, Threads::One);
        let mut normed = vec![0.0; x.len()];
        let norm = self.model.vector(self.model.layout().norm, a.hidden_size);
        rms_norm(&x, norm, a.rms_norm_eps, &mut normed);
        let mut logits = vec![0.0; TILE * a.vocab_size];
        linear(
            &normed,
            &self.head,
            Store::Overwrite,
            &mut logits,
            TILE,
            Threads::One,
        );
        logits.truncate(rows.len() * a.vocab_size);
        logits
    }

    /// Embedding rows, then zeros up to `rows`.
    fn embed(&self, tokens: impl Iterator<Item = u32>, rows: usize) -> Vec<f32> {
        let hidden = self.model.architecture.hidden_size;
        let mut x = vec![0.0; rows * hidden];
        for (row, token) in x.chunks_exact_mut(hidden).zip(tokens) {
            self.model.embedding_row(token, row);
        }
        x
    }

    /// All layers over `x`, `[at least rows.len(), hidden]`; each context already counts the
    /// tokens of its rows.
    fn run(&self, x: &mut [f32], rows: &[Row], contexts: &mut [Context<'_>], threads: Threads) {
        let a = &self.model.architecture;
        let height = x.len() / a.hidden_size;
        let columns = (a.heads + 2 * a.kv_heads) * a.head_dim;
        let mut normed = vec![0.0; x.len()];
        let mut projected = vec![0.0; height * columns];
        let mut attended = vec![0.0; height * a.heads * a.head_dim];
        let mut gate_up = vec![0.0; height * 2 * a.intermediate_size];
        let mut gated = vec![0.0; height * a.intermediate_size];
        for (layer, weights) in self.layers.iter().enumerate() {
            let at = &self.model.layout().layers[layer];
            let norm = self.model.vector(at.input_norm, a.hidden_size);
            rms_norm(x, norm, a.rms_norm_eps, &mut normed);
            linear(
                &normed,
                &weights.qkv,
                Store::Overwrite,
                &mut projected,
                height,
                threads,
            );
            self.adapt(at.qkv, &normed, &mut projected);
            if let Some(bias) = at.qkv_bias {
                let bias = self.model.vector(bias, columns);
                for row in projected.chunks_exact_mut(columns) {
                    add(row, bias);
                }
            }
            for (row, projected) in rows.iter().zip(projected.chunks_exact_mut(columns)) {
                self.rotate_and_store(layer, row, projected, contexts[row.cache].own);
            }
            let width = a.heads * a.head_dim;
            let work = |((row, projected), out): ((&Row, &[f32]), &mut [f32])| {
                self.attend(layer, row, projected, &contexts[row.cache], out);
            };
            match threads {
                Threads::One => (rows.iter().zip(projected.chunks_exact(columns)))
                    .zip(attended.chunks_exact_mut(width))
                    .for_each(work),
                Threads::All => (rows.par_iter().zip(projected.par_chunks_exact(columns)))
                    .zip(attended.par_chunks_exact_mut(width))
                    .for_each(work),
            }
            linear(&attended, &weights.o, Store::Add, x, height, threads);
            self.adapt(at.o, &attended, x);
            let norm = self.model.vector(at.post_norm, a.hidden_size);
            rms_norm(x, norm, a.rms_norm_eps, &mut normed);
            linear(
                &normed,
                &weights.gate_up,
                Store::Overwrite,
                &mut gate_up,
                height,
                threads,
            );
            self.adapt(at.gate_up, &normed, &mut gate_up);
            swiglu(&gate_up, a.intermediate_size, &mut gated);
            linear(&gated, &weights.down, Store::Add, x, height, threads);
            self.adapt(at.down, &gated, x);
        }
    }

    /// Adds what an adapter adds to the product of `x` with the weight at `weight`.
    fn adapt(&self, weight: usize, x: &[f32], out: &mut [f32]) {
        if let Some(adapter) = &self.model.adapter {
            adapter.add(weight, x, out);
        }
    }

    /// Norms and rotates a row's queries and keys in place, and writes its keys and values.
    fn rotate_and_store(&self, layer: usize, row: &Row, projected: &mut [f32], own: &mut Cache) {
        let a = &self.model.architecture;
        let width = a.head_dim;
        let norms = self.model.layout().layers[layer].qk_norm;
        let (rotated, values) = projected.split_at_mut((a.heads + a.kv_heads) * width);
        let mut normed = vec![0.0; width];
        for (head, vector) in rotated.chunks_exact_mut(width).enumerate() {
            if let Some((q, k)) = norms {
                let weight = self.model.vector(if head < a.heads { q } else { k }, width);
                rms_norm(vector, weight, a.rms_norm_eps, &mut normed);
                vector.copy_from_slice(&normed);
            }
            self.rotary.rotate(vector, row.position, false);
        }
        let at = row.position - own.start;
        let keys = &rotated[a.heads * width..];
        let pairs = keys.chunks_exact(width).zip(values.chunks_exact(width));
        for (head, (key, value)) in pairs.enumerate() {
            own.write(layer * a.kv_heads + head, at, key, value);
        }
    }

    /// Attention of one row; `out` is `[heads * head_dim]`.
    fn attend(
        &self,
        layer: usize,
        row: &Row,
        projected: &[f32],
        context: &Context<'_>,
        out: &mut [f32],
    ) {
        let a = &self.model.architecture;
        let width = a.head_dim;
        let visible = row.position - context.own.start + 1;
        let parts = [
            context.prompt.map(|prompt| (prompt, prompt.len)),
            Some((&*context.own, visible)),
        ];
        let length = parts.iter().flatten().map(|(_, len)| len).sum();
        let mut scores = vec![0.0; length];
        let mut q = vec![0.0; width];
        let scale = 1.0 / (width as f32).sqrt();
        for (head, out) in out.chunks_exact_mut(width).enumerate() {
            for (q, &p) in q.iter_mut().zip(&projected[head * width..]) {
                *q = p * scale;
            }
            let block = layer * a.kv_heads + head / (a.heads / a.kv_heads);
            attend_one(&parts, block, &q, &mut scores, out);
        }
    }
}

vectorised! {
    /// Attention of one query over the first tokens of each cache, in turn. `scores` has a place
    /// for each of them; `out` is `[head_dim]`.
    fn attend_one(
        parts: &[Option<(&Cache, usize)>],
        block: usize,
        q: &[f32],
        scores: &mut [f32],
        out: &mut [f32],
    ) {
        let mut rest = &mut *scores;
        for (cache, len) in parts.iter().flatten() {
            let (own, others) = rest.split_at_mut(*len);
            cache.scores::<FMA>(block, q, own);
            rest = others;
        }
        let peak = max(scores);
        let inverse = 1.0 / exp_shifted::<FMA>(scores, peak);
        out.fill(0.0);
        let mut rest = &*scores;
        for (cache, len) in parts.iter().flatten() {
            let (own, others) = rest.split_at(*len);
            cache.weigh::<FMA>(block, own, out);
            rest = others;
        }
        out.iter_mut().for_each(|o| *o *= inverse);
    }
}

/// `out (op)= x W` with `W` `[in, out]`.
fn linear(x: &[f32], weight: &[f32], store: Store, out: &mut [f32], rows: usize, threads: Threads) {
    let width = x.len() / rows;
    let columns = weight.len() / width;
    let x = Matrix::new(x, rows, width);
    let weight = Matrix::new(weight, width, columns);
    let out = MatrixMut::new(out, rows, columns);
    match threads {
        Threads::One => product(out, store, 1.0, x, weight),
        Threads::All => product_on_all(out, store, 1.0, x, weight),
    }
}
