//! Sampling on a card: the cache's blocks in bfloat16, rows of many sequences through the layers,
//! and a token chosen for each without its logits leaving the card. A step sends one array of
//! indices and brings one back.
//!
//! The same calls give the same bits. What is beside a sequence in a batch may move its last
//! ones: cuBLASLt chooses how to cut a sum by the number of rows, and rows that share blocks
//! attend to them in pieces that end where the sharing ends.

mod pieces;

use half::bf16;

use self::pieces::Pieces;
use super::head::WIDE;
use super::resident::Turning;
use super::{ATTENDING, Card, SCRATCH, THREADS, scale};
use crate::args;
use crate::backend::{Backend, Done, Linear, Projection};
use crate::cuda::{Address, Array};
use crate::error::ModelError;
use crate::generator::batch::{Batch, Choice, Decode};
use crate::generator::blocks::{BLOCK, BlockId};
use crate::parameters::LayerOffsets;
use crate::sampling::Sampling;

/// Rows of prompts and observations that go through the layers together.
const TOGETHER: usize = 2048;
/// Blocks that there is room for at first, where nobody says how many there will be.
const FIRST: usize = 8;
/// Queries of a piece of attention's work: rows, times the heads of a key-value head.
const QUERIES: usize = 64;
/// Pieces that each multiprocessor should have at a time.
const PIECES: usize = 4;

/// Samples with a model's weights on its card.
pub(crate) struct Decoder<'m> {
    card: Card<'m>,
    turning: Turning,
    pages: Pages,
}

/// The keys and values of all blocks, for each layer `[blocks, kv_heads, 2, BLOCK, head_dim]`.
struct Pages {
    layers: Vec<Array<bf16>>,
    /// Numbers of a block in one layer.
    block: usize,
    /// Blocks that there is room for.
    room: usize,
}

/// What the kernels of a step are told about its rows, all in one array.
struct Step {
    rows: usize,
    numbers: Array<i32>,
    /// Where each part begins.
    positions: usize,
    slots: usize,
    pieces: usize,
    blocks: usize,
    row_pieces_at: usize,
    row_pieces: usize,
    /// Pieces of attention's work, and what they give, a partial result for each of their rows.
    count: usize,
    partial_out: Array<f32>,
    partial_max: Array<f32>,
    partial_sum: Array<f32>,
}

impl<'m> Decoder<'m> {
    pub(crate) fn new(card: Card<'m>, positions: usize) -> Done<Self> {
        let a = &card.model.architecture;
        if a.heads / a.kv_heads > QUERIES {
            return Err(ModelError::Gpu {
                what: format!(
                    "the model has {} query heads for each key-value head, expected at most \
                     {QUERIES} on a GPU",
                    a.heads / a.kv_heads
                ),
                hint: "sample with `engine.device = \"cpu\"`",
            });
        }
        Ok(Self {
            turning: card.resident.turning(a, positions)?,
            pages: Pages {
                layers: Vec::new(),
                block: a.kv_heads * 2 * BLOCK * a.head_dim,
                room: 0,
            },
            card,
        })
    }

    /// Makes room for so many blocks, beside those that are there; a layer at a time, so that
    /// hardly more than the new room is needed meanwhile.
    fn grow(&mut self, room: usize) -> Done {
        let Pages {
            layers,
            block,
            room: held,
        } = &mut self.pages;
        for layer in 0..self.card.model.architecture.layers {
            let larger = (self.card.device()).uninitialised("cache", room * *block)?;
            match layers.get_mut(layer) {
                Some(pages) => {
                    larger.copy(0, pages, 0, pages.len())?;
                    *pages = larger;
                }
                None => layers.push(larger),
            }
        }
        *held = room;
        Ok(())
    }

    /// Tells the card about a batch's rows.
    fn begin(&self, batch: &Batch) -> Done<Step> {
        let (a, card) = (&self.card.model.architecture, &self.card);
        let wanted = PIECES * card.device().multiprocessors() / a.kv_heads;
        let plan = Pieces::plan(batch, QUERIES / (a.heads / a.kv_heads), wanted);
        let slots = (batch.spans.iter()).flat_map(|span| {
            let first = batch.block(span) * BLOCK + span.place;
            first..first + span.rows.len()
        });
        let mut numbers: Vec<usize> = batch.tokens.iter().map(|&token| token as usize).collect();
        let mut part = |part: &mut dyn Iterator<Item = usize>| {
            let at = numbers.len();
            numbers.extend(part);
            at
        };
        let positions = part(&mut batch.positions.iter().copied());
        let slots = part(&mut slots.into_iter());
        let pieces = part(&mut plan.pieces.iter().flatten().copied());
        let blocks = part(&mut plan.blocks.iter().copied());
        let row_pieces_at = part(&mut plan.row_pieces_at.iter().copied());
        let row_pieces = part(&mut plan.row_pieces.iter().copied());
        let partials = plan.row_pieces.len() * a.heads;
        Ok(Step {
            rows: batch.rows(),
            numbers: card.indices(numbers.into_iter())?,
            positions,
            slots,
            pieces,
            blocks,
            row_pieces_at,
            row_pieces,
            count: plan.pieces.len(),
            partial_out: card.array(partials * a.head_dim)?,
            partial_max: card.array(partials)?,
            partial_sum: card.array(partials)?,
        })
    }

    /// `[rows, hidden]`.
    fn embed(&self, step: &Step) -> Done<Array<f32>> {
        let card = &self.card;
        let hidden = card.model.architecture.hidden_size;
        let x = card.array(step.rows * hidden)?;
        let table = card.weight(card.model.layout().embed);
        let arguments = args![&x, table, &step.numbers, hidden];
        (card.resident.rows).launch("embed", step.rows, THREADS, 0, arguments)?;
        Ok(x)
    }

    /// A layer's queries, and its keys, which go into the cache with its values.
    fn write(&mut self, layer: usize, step: &Step, x: &Array<f32>) -> Done<Array<bf16>> {
        let at = self.offsets(layer);
        let a = &self.card.model.architecture;
        let normed = self.card.norm(at.input_norm, x)?;
        let projected = self
            .card
            .linear(Linear::new(a, &at, Projection::Qkv), &normed)?;
        let positions = step.positions();
        let rotated = (self.card).rotated(&at, step.rows, positions, &self.turning, &projected)?;
        let arguments = args![
            &self.pages.layers[layer],
            &rotated,
            &projected,
            step.at(step.slots),
            step.rows,
            a.heads,
            a.kv_heads
        ];
        let cached = &self.card.resident.cached;
        cached.launch("cache_write", step.rows, THREADS, 0, arguments)?;
        Ok(rotated)
    }

    /// A layer's attention and feed-forward, added to `x`.
    fn rest_of(
        &mut self,
        layer: usize,
        step: &Step,
        rotated: &Array<bf16>,
        x: &Array<f32>,
    ) -> Done {
        let at = self.offsets(layer);
        let a = &self.card.model.architecture;
        let linear = |projection| Linear::new(a, &at, projection);
        let attended = self.attend(layer, step, rotated)?;
        (self.card).product(linear(Projection::Output), &attended, x, true)?;
        let normed = self.card.norm(at.post_norm, x)?;
        let gate_up = self.card.linear(linear(Projection::GateUp), &normed)?;
        let gated = self.card.swiglu(&gate_up)?;
        (self.card).product(linear(Projection::Down), &gated, x, true)
    }

    /// `[rows, queries]`.
    fn attend(&self, layer: usize, step: &Step, rotated: &Array<bf16>) -> Done<Array<bf16>> {
        let (card, a) = (&self.card, &self.card.model.architecture);
        let arguments = args![
            &step.partial_out,
            &step.partial_max,
            &step.partial_sum,
            rotated,
            &self.pages.layers[layer],
            step.at(step.pieces),
            step.at(step.blocks),
            step.positions(),
            a.heads,
            a.kv_heads,
            scale(a)
        ];
        let (cached, shared) = (&card.resident.cached, card.resident.shared.cached);
        let grid = (step.count, a.kv_heads);
        cached.launch("cached_attention", grid, ATTENDING, shared, arguments)?;
        let attended = card.array(step.rows * a.query_size())?;
        let arguments = args![
            &attended,
            &step.partial_out,
            &step.partial_max,
            &step.partial_sum,
            step.at(step.row_pieces_at),
            step.at(step.row_pieces),
            a.heads
        ];
        cached.launch("merge_pieces", step.rows, THREADS, 0, arguments)?;
        Ok(attended)
    }

    fn offsets(&self, layer: usize) -> LayerOffsets {
        self.card.model.layout().layers[layer]
    }
}

impl Step {
    fn at(&self, offset: usize) -> Address {
        self.numbers.at(offset)
    }

    fn positions(&self) -> Address {
        self.at(self.positions)
    }
}

impl Decode for Decoder<'_> {
    fn block_bytes(&self) -> usize {
        self.card.model.architecture.layers * self.pages.block * size_of::<bf16>()
    }

    fn rows(&self) -> usize {
        TOGETHER
    }

    fn bound(&mut self, blocks: usize) -> Done {
        self.grow(blocks)
    }

    fn open(&mut self, id: BlockId) -> Done {
        match id < self.pages.room {
            true => Ok(()),
            false => self.grow((id + 1).next_power_of_two().max(FIRST)),
        }
    }

    fn copy(&mut self, from: BlockId, to: BlockId) -> Done {
        let block = self.pages.block;
        (self.pages.layers.iter())
            .try_for_each(|layer| layer.copy(to * block, layer, from * block, block))
    }

    fn fill(&mut self, batch: &Batch) -> Done {
        let step = self.begin(batch)?;
        let x = self.embed(&step)?;
        let last = self.card.model.architecture.layers - 1;
        for layer in 0..last {
            let rotated = self.write(layer, &step, &x)?;
            self.rest_of(layer, &step, &rotated, &x)?;
        }
        // Nobody reads what comes after the last layer's keys and values.
        self.write(last, &step, &x)?;
        Ok(())
    }

    fn sample(&mut self, batch: &Batch, sampling: &Sampling, choices: &mut [Choice]) -> Done {
        let step = self.begin(batch)?;
        let x = self.embed(&step)?;
        for layer in 0..self.card.model.architecture.layers {
            let rotated = self.write(layer, &step, &x)?;
            self.rest_of(layer, &step, &rotated, &x)?;
        }
        let normed = self.card.norm(self.card.model.layout().norm, &x)?;
        let logits = self.card.logits_of(&normed, 1.0)?;
        let drawn: Vec<f64> = choices.iter().map(|choice| choice.drawn).collect();
        let drawn = self.card.device().upload(SCRATCH, &drawn)?;
        // Tokens, then log-probabilities.
        let chosen: Array<i32> = self.card.array(2 * step.rows)?;
        let arguments = args![
            &chosen,
            chosen.floats_at(step.rows),
            &logits,
            &drawn,
            sampling.temperature,
            sampling.top_k,
            sampling.top_p,
            sampling.min_p,
            step.rows,
            self.card.model.architecture.vocab_size
        ];
        (self.card.resident.sampling).launch("sample", step.rows, WIDE, 0, arguments)?;
        let chosen = chosen.download()?;
        let (tokens, logprobs) = chosen.split_at(step.rows);
        for (choice, (&token, &logprob)) in choices.iter_mut().zip(tokens.iter().zip(logprobs)) {
            (choice.token, choice.logprob) = (token as u32, f32::from_bits(logprob as u32));
        }
        Ok(())
    }
}
