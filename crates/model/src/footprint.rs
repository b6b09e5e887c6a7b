//! How much memory the engine takes, in numbers of four bytes, counted from shapes: what passes
//! take from [`Buffers`](crate::Buffers) and keep there, and what a generator holds. Follows
//! pass.rs, its layer.rs and head.rs, attention.rs and generator.rs; a test of the binary holds
//! it to what a run really takes.

use crate::generator::{BLOCK, Shape};
use crate::pass::{CHUNK, chunk_rows};
use crate::{Architecture, Keep, Layout, OptimizerKind};

/// Numbers that one forward and backward pass has at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// What the layers keep for the backward pass.
    pub activations: usize,
    /// What the layer at work needs besides, forward or backward.
    pub working: usize,
    /// Logits, and the rows that they are made of.
    pub head: usize,
}

impl Footprint {
    /// Of a pass over a tree, or a forest, of `tokens` tokens, of which `targets` are predicted.
    pub fn of_pass(architecture: &Architecture, tokens: usize, targets: usize, keep: Keep) -> Self {
        let a = architecture;
        let (hidden, ffn) = (a.hidden_size, a.intermediate_size);
        let (query, kv) = (a.query_size(), a.kv_size());
        let columns = query + 2 * kv;
        // `Rest`: projected, attended, log_sum, mid, gate_up.
        let rest = columns + query + a.heads + hidden + 2 * ffn;
        let kept = match keep {
            Keep::All => a.layers * (hidden + rest),
            Keep::Inputs => a.layers * hidden + rest,
            Keep::Nothing => rest + hidden,
        };
        // Rotated queries and keys, then keys and values of attention; then what the feed-forward
        // layer norms, gates, and differentiates. The rest of the backward pass finds room there.
        let attention = query + kv + 2 * kv;
        let feed_forward = 3 * hidden + ffn + hidden.max(ffn);
        let working = match keep {
            Keep::Nothing => attention + 2 * hidden + ffn,
            Keep::Inputs => attention + feed_forward,
            // But for what finds none while every layer's own is still kept.
            Keep::All => attention + feed_forward + hidden + columns + 2 * query + 3 * kv,
        };
        let rows = targets.min(chunk_rows(a.vocab_size));
        let chunk = rows * (a.vocab_size + 4 * hidden);
        let whole = targets * a.vocab_size;
        let kept_logits = if keep == Keep::All && whole <= CHUNK {
            whole
        } else {
            0
        };
        Self {
            activations: tokens * kept,
            working: tokens * working,
            head: chunk + kept_logits,
        }
    }

    /// The same on a card, also in numbers of four bytes, of which one in bfloat16 is half.
    /// Follows card.rs.
    pub fn of_pass_on_card(
        architecture: &Architecture,
        tokens: usize,
        targets: usize,
        keep: Keep,
    ) -> Self {
        let a = architecture;
        let (hidden, ffn) = (a.hidden_size, a.intermediate_size);
        let (query, kv) = (a.query_size(), a.kv_size());
        let columns = query + 2 * kv;
        // In bytes. `Rest`: projected, attended, log_sum, mid, gate_up.
        let input = 4 * hidden;
        let rest = 2 * columns + 2 * query + 4 * a.heads + input + 4 * ffn;
        let kept = match keep {
            Keep::All => a.layers * (input + rest),
            Keep::Inputs => a.layers * input + rest,
            Keep::Nothing => rest + input,
        };
        // The gradient of the residual stream and a copy in bfloat16; then either what the
        // feed-forward layer gates, twice, or what attention turns and differentiates.
        let feed_forward = 4 * ffn + 4 * hidden;
        let attention = 2 * (query + kv) + 2 * query + 2 * columns + 4 * a.heads;
        let working = match keep {
            Keep::Nothing => input + 2 * ffn.max(query + kv) + 2 * hidden,
            _ => 2 * input + feed_forward.max(attention),
        };
        let rows = targets.min(chunk_rows(a.vocab_size));
        // Logits and their gradient; rows before and after the norm, and their gradients.
        let chunk = rows * (6 * a.vocab_size + 12 * hidden);
        let whole = targets * a.vocab_size;
        let kept_logits = match keep == Keep::All && whole <= CHUNK {
            true => 4 * whole,
            false => 0,
        };
        Self {
            activations: (tokens * kept).div_ceil(4),
            working: (tokens * working).div_ceil(4),
            head: (chunk + kept_logits).div_ceil(4),
        }
    }

    /// All of it.
    pub fn total(self) -> usize {
        self.activations + self.working + self.head
    }
}

/// Numbers of an optimiser's state.
pub fn optimizer_numbers(architecture: &Architecture, kind: OptimizerKind) -> usize {
    let layout = Layout::new(architecture);
    let second = match kind {
        OptimizerKind::Adamw => layout.len,
        OptimizerKind::Muon => (layout.specs().iter())
            .filter(|spec| !spec.kind.is_hidden_matrix())
            .map(|spec| spec.count())
            .sum(),
    };
    layout.len + second
}

/// Numbers of the weights that a generator lays out for itself: the layers' and the head's.
pub fn packed_numbers(architecture: &Architecture) -> usize {
    let a = architecture;
    let attention = 2 * a.query_size() + 2 * a.kv_size();
    let layer = a.hidden_size * (attention + 3 * a.intermediate_size);
    a.layers * layer + a.vocab_size * a.hidden_size
}

/// Numbers of a generator's cache for the keys and values of one sequence of `tokens` tokens.
pub fn cached_numbers(architecture: &Architecture, tokens: usize) -> usize {
    tokens.div_ceil(BLOCK) * Shape::of(architecture).len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Buffers, Coefficient, Model, Optimizer, OptimizerConfig, Preset, TokenTree, init};

    fn model() -> Model {
        let architecture = Preset::Tiny.architecture(500);
        let parameters = init(&architecture, 0);
        Model::new(architecture, parameters)
    }

    #[test]
    fn a_pass_takes_the_buffers_that_are_counted() {
        let model = model();
        let tokens: Vec<u32> = (0..600).map(|i| i % 500).collect();
        let (tree, _) = TokenTree::from_sequences(&[&tokens]);
        let targets: Vec<usize> = (1..tree.len()).collect();
        for keep in [Keep::All, Keep::Inputs] {
            let buffers = Buffers::default();
            let mut gradient = model.gradient().expect("there is room");
            let coefficients = vec![
                Coefficient {
                    logprob: 1.0,
                    entropy: 0.0
                };
                targets.len()
            ];
            for _ in 0..2 {
                let pass = (model.forward(&tree, &targets, keep, &buffers)).expect("there is room");
                (pass.backward(&coefficients, &mut gradient)).expect("there is room");
            }
            let found = buffers.numbers() as f64;
            let footprint = Footprint::of_pass(&model.architecture, 600, 599, keep);
            let expected = footprint.total() as f64;
            assert!(
                (0.8..1.15).contains(&(found / expected)),
                "{keep:?}: {found} numbers, not {expected}"
            );
        }
    }

    #[test]
    fn checkpointing_keeps_a_fraction() {
        let architecture = Preset::Small.architecture(4096);
        let of = |keep| Footprint::of_pass(&architecture, 4096, 4088, keep).activations;
        assert!(of(Keep::All) > 4 * of(Keep::Inputs));
    }

    #[test]
    fn an_optimiser_has_the_numbers_that_are_counted() {
        let model = model();
        for kind in [OptimizerKind::Adamw, OptimizerKind::Muon] {
            let config = OptimizerConfig {
                kind,
                ..OptimizerConfig::default()
            };
            let optimizer = Optimizer::new(config, model.trained());
            let state = optimizer.state().expect("it is here");
            let found: usize = state.buffers.iter().map(|(_, buffer)| buffer.len()).sum();
            assert_eq!(found, optimizer_numbers(&model.architecture, kind));
        }
    }

    #[test]
    fn a_generator_packs_every_matrix_but_the_embedding() {
        let model = model();
        let vectors: usize = (model.trained().iter())
            .filter(|spec| spec.shape.len() == 1)
            .map(|spec| spec.count())
            .sum();
        // Tied: what is packed for the head is the embedding once more.
        let matrices = model.trained_len() - vectors;
        assert_eq!(packed_numbers(&model.architecture), matrices);
    }
}
