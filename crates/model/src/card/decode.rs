//! Sampling on a card: the cache's blocks in bfloat16, rows of many sequences through the layers,
//! and a token chosen for each without its logits leaving the card. A step sends one array of
//! indices and brings one back, and is one call where its like was taken before: sizes are rounded
//! up, so that they recur, and work of sizes that came twice is recorded.
//!
//! The same calls give the same bits. What is beside a sequence in a batch may move its last
//! ones: cuBLASLt chooses how to cut a sum by the number of rows, and rows that share blocks
//! attend to them in pieces that end where the sharing ends.

mod pieces;
mod step;

use std::collections::HashMap;

use half::bf16;

use self::pieces::Pieces;
use self::step::{Sizes, Step};
use super::head::WIDE;
use super::resident::Turning;
use super::{ATTENDING, Card, SCRATCH, THREADS, scale};
use crate::args;
use crate::backend::{Backend, Done, Linear, Projection};
use crate::cuda::{Array, Graph, Recorder};
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
/// Sizes of steps whose records are kept.
const MOST_RECORDS: usize = 64;

/// Samples with a model's weights on its card.
pub(crate) struct Decoder<'m> {
    card: Card<'m>,
    turning: Turning,
    pages: Pages,
    stages: HashMap<Sizes, Stage>,
    recorder: Recorder,
}

/// The keys and values of all blocks, for each layer `[blocks, kv_heads, 2, BLOCK, head_dim]`.
struct Pages {
    layers: Vec<Array<bf16>>,
    /// Numbers of a block in one layer.
    block: usize,
    /// Blocks that there is room for.
    room: usize,
}

/// What pieces of attention's work give, `[partials, heads, head_dim]` and `[partials, heads]`.
struct Partials {
    out: Array<f32>,
    max: Array<f32>,
    sum: Array<f32>,
}

/// Steps of one size that sample: where numbers come in, and where tokens come out, each with the
/// bits of its log-probability.
struct Stage {
    step: Step,
    drawn: Array<f64>,
    chosen: Array<i32>,
    /// Made when such a step comes for the second time.
    recorded: Option<(Graph, Sampling)>,
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
            stages: HashMap::new(),
            recorder: Recorder::new(card.device()),
            card,
        })
    }

    /// Makes room for so many blocks, beside those that are there; a layer at a time, so that
    /// hardly more than the new room is needed meanwhile.
    fn grow(&mut self, room: usize) -> Done {
        // They are of the cache where it was.
        self.stages.clear();
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

    /// How a batch's attention is cut.
    fn plan(&self, batch: &Batch) -> Pieces {
        let a = &self.card.model.architecture;
        Pieces::plan(batch, QUERIES / (a.heads / a.kv_heads), self.wanted())
    }

    /// Pieces of attention's work that fill the card.
    fn wanted(&self) -> usize {
        PIECES * self.card.device().multiprocessors() / self.card.model.architecture.kv_heads
    }

    /// Where steps of such sizes come in and out.
    fn stage(&self, sizes: Sizes) -> Done<Stage> {
        Ok(Stage {
            step: Step {
                sizes,
                numbers: self.card.array(sizes.len())?,
            },
            drawn: self.card.device().zeros(SCRATCH, sizes.rows)?,
            chosen: self.card.array(2 * sizes.rows)?,
            recorded: None,
        })
    }

    /// Does the work of a step that samples, whose numbers are in their places.
    fn run(&mut self, stage: &mut Stage, sampling: &Sampling, again: bool) -> Done {
        match &stage.recorded {
            Some((work, same)) if same == sampling => work.launch(),
            _ if !again => self.choose(stage, sampling),
            _ => {
                let recorder = self.recorder.clone();
                let work = recorder.record(|| self.choose(stage, sampling))?;
                work.launch()?;
                stage.recorded = Some((work, *sampling));
                Ok(())
            }
        }
    }

    /// All rows through the layers, and a token for each.
    fn choose(&mut self, stage: &Stage, sampling: &Sampling) -> Done {
        let step = &stage.step;
        let room = self.partials(step)?;
        let x = self.embed(step)?;
        for layer in 0..self.card.model.architecture.layers {
            let rotated = self.write(layer, step, &x)?;
            self.rest_of(layer, step, &room, &rotated, &x)?;
        }
        let normed = self.card.norm(self.card.model.layout().norm, &x)?;
        let logits = self.card.logits_of(&normed, 1.0)?;
        let arguments = args![
            &stage.chosen,
            stage.chosen.floats_at(step.sizes.rows),
            &logits,
            &stage.drawn,
            sampling.temperature,
            sampling.top_k,
            sampling.top_p,
            sampling.min_p,
            step.sizes.rows,
            self.card.model.architecture.vocab_size
        ];
        (self.card.resident.sampling).launch("sample", step.sizes.rows, WIDE, 0, arguments)
    }

    fn partials(&self, step: &Step) -> Done<Partials> {
        let a = &self.card.model.architecture;
        let rows = step.sizes.partials * a.heads;
        Ok(Partials {
            out: self.card.array(rows * a.head_dim)?,
            max: self.card.array(rows)?,
            sum: self.card.array(rows)?,
        })
    }

    /// `[rows, hidden]`.
    fn embed(&self, step: &Step) -> Done<Array<f32>> {
        let card = &self.card;
        let hidden = card.model.architecture.hidden_size;
        let x = card.array(step.sizes.rows * hidden)?;
        let table = card.weight(card.model.layout().embed);
        let arguments = args![&x, table, &step.numbers, hidden];
        (card.resident.rows).launch("embed", step.sizes.rows, THREADS, 0, arguments)?;
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
        let (rows, positions) = (step.sizes.rows, step.positions());
        let rotated = (self.card).rotated(&at, rows, positions, &self.turning, &projected)?;
        let arguments = args![
            &self.pages.layers[layer],
            &rotated,
            &projected,
            step.slots(),
            rows,
            a.heads,
            a.kv_heads
        ];
        let cached = &self.card.resident.cached;
        cached.launch("cache_write", rows, THREADS, 0, arguments)?;
        Ok(rotated)
    }

    /// A layer's attention and feed-forward, added to `x`.
    fn rest_of(
        &mut self,
        layer: usize,
        step: &Step,
        room: &Partials,
        rotated: &Array<bf16>,
        x: &Array<f32>,
    ) -> Done {
        let at = self.offsets(layer);
        let a = &self.card.model.architecture;
        let linear = |projection| Linear::new(a, &at, projection);
        let attended = self.attend(layer, step, room, rotated)?;
        (self.card).product(linear(Projection::Output), &attended, x, true)?;
        let normed = self.card.norm(at.post_norm, x)?;
        let gate_up = self.card.linear(linear(Projection::GateUp), &normed)?;
        let gated = self.card.swiglu(&gate_up)?;
        (self.card).product(linear(Projection::Down), &gated, x, true)
    }

    /// `[rows, queries]`.
    fn attend(
        &self,
        layer: usize,
        step: &Step,
        room: &Partials,
        rotated: &Array<bf16>,
    ) -> Done<Array<bf16>> {
        let (card, a) = (&self.card, &self.card.model.architecture);
        let sizes = step.sizes;
        let arguments = args![
            &room.out,
            &room.max,
            &room.sum,
            rotated,
            &self.pages.layers[layer],
            step.pieces(),
            step.blocks(),
            step.positions(),
            a.heads,
            a.kv_heads,
            scale(a)
        ];
        let (cached, shared) = (&card.resident.cached, card.resident.shared.cached);
        let grid = (sizes.pieces, a.kv_heads);
        cached.launch("cached_attention", grid, ATTENDING, shared, arguments)?;
        let attended = card.array(sizes.rows * a.query_size())?;
        let arguments = args![
            &attended,
            &room.out,
            &room.max,
            &room.sum,
            step.row_pieces_at(),
            step.row_pieces(),
            a.heads
        ];
        cached.launch("merge_pieces", sizes.rows, THREADS, 0, arguments)?;
        Ok(attended)
    }

    fn offsets(&self, layer: usize) -> LayerOffsets {
        self.card.model.layout().layers[layer]
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
        let plan = self.plan(batch);
        let sizes = Sizes::of(batch, &plan);
        let numbers = self.card.array(sizes.len())?;
        let step = Step { sizes, numbers };
        step.tell(batch, &plan)?;
        let room = self.partials(&step)?;
        let x = self.embed(&step)?;
        let last = self.card.model.architecture.layers - 1;
        for layer in 0..last {
            let rotated = self.write(layer, &step, &x)?;
            self.rest_of(layer, &step, &room, &rotated, &x)?;
        }
        // Nobody reads what comes after the last layer's keys and values.
        self.write(last, &step, &x)?;
        Ok(())
    }

    fn sample(&mut self, batch: &Batch, sampling: &Sampling, choices: &mut [Choice]) -> Done {
        let plan = self.plan(batch);
        let sizes = Sizes::of(batch, &plan).rounded(self.wanted());
        let known = self.stages.remove(&sizes);
        let again = known.is_some();
        let mut stage = match known {
            Some(stage) => stage,
            None => self.stage(sizes)?,
        };
        stage.step.tell(batch, &plan)?;
        let drawn: Vec<f64> = choices.iter().map(|choice| choice.drawn).collect();
        stage.drawn.write(0, &drawn)?;
        self.run(&mut stage, sampling, again)?;
        let chosen = stage.chosen.download()?;
        let (tokens, logprobs) = chosen.split_at(sizes.rows);
        for (choice, (&token, &logprob)) in choices.iter_mut().zip(tokens.iter().zip(logprobs)) {
            (choice.token, choice.logprob) = (token as u32, f32::from_bits(logprob as u32));
        }
        if self.stages.len() >= MOST_RECORDS {
            self.stages.clear();
        }
        self.stages.insert(sizes, stage);
        Ok(())
    }
}
