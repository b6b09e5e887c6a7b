//! Sampling on the emulated GPU, held to the CPU's over the same bfloat16 weights, and to the
//! scores of a pass on the card.

use model::{
    Adapter, Buffers, CacheStats, Generator, Keep, LoraConfig, Model, ModelError, Place, Precision,
    Preset, Sampled, Sampling, TokenTree, Weights, init,
};

use crate::emulated::{cubins, emulated};

const VOCABULARY: u32 = 61;
/// Tokens of the longest sequence.
const POSITIONS: usize = 260;
/// 64 keys and values of two heads of 16 numbers, in two layers and in bfloat16.
const BLOCK_BYTES: usize = 64 * 2 * 2 * 16 * 2 * 2;
/// Log-probabilities that are computed in another order, in bfloat16, differ by less,
const ROUNDING: f32 = 2e-2;
/// and by less than this in the mean.
const USUAL: f32 = 4e-3;

fn model(adapted: bool) -> Model {
    let mut architecture = Preset::Tiny.architecture(VOCABULARY as usize);
    architecture.hidden_size = 32;
    architecture.intermediate_size = 72;
    architecture.layers = 2;
    architecture.heads = 6;
    architecture.kv_heads = 2;
    architecture.head_dim = 16;
    architecture.qk_norm = true;
    architecture.initializer_range = 0.1;
    let mut parameters = init(&architecture, 5);
    for (i, value) in parameters.data.iter_mut().enumerate() {
        *value += 0.03 * (i as f32 * 0.7).sin();
    }
    let mut model = Model::new(architecture, Weights::frozen(parameters, Precision::Bf16));
    if adapted {
        let config = LoraConfig {
            rank: 8,
            ..LoraConfig::default()
        };
        let adapter = Adapter::new(&config, &model.architecture, "base", 1);
        let mut adapter = adapter.expect("a rank that it can have");
        for (i, x) in adapter.values.iter_mut().enumerate() {
            *x += 0.1 * (i as f32 * 0.61).cos();
        }
        model.attach(adapter).expect("it is the first");
    }
    model
}

fn on_card(mut model: Model) -> Model {
    (model.move_to(Place::Cuda(0), &cubins())).expect("there is a card");
    model
}

fn tokens(count: usize, seed: usize) -> Vec<u32> {
    (0..count)
        .map(|i| 1 + ((i * i * 7 + i * 3 + seed * 11) % 60) as u32)
        .collect()
}

/// A turn's context and what was sampled after it.
type Turn = (Vec<u32>, Sampled);

/// Two turns of five sequences: four share a prompt of more than two blocks, of which one goes
/// on further before they part, and one is alone.
fn play(
    model: &Model,
    sampling: Sampling,
    stop: &[u32],
    bytes: Option<usize>,
) -> (Vec<Turn>, CacheStats) {
    let generator = Generator::new(model, sampling, stop, POSITIONS);
    let mut generator = generator.expect("there is room");
    if let Some(bytes) = bytes {
        generator = generator.bounded(bytes).expect("room for one sequence");
    }
    let prompt = tokens(150, 1);
    let mut contexts: Vec<Vec<u32>> = vec![prompt.clone(); 3];
    contexts.push([&prompt[..], &tokens(20, 2)].concat());
    contexts.push(tokens(9, 3));
    let mut turns = Vec::new();
    for turn in 0..2 {
        for (name, context) in contexts.iter().enumerate() {
            generator.begin(name, context, 12, (10 * name + turn) as u64);
        }
        let mut open = contexts.len();
        while open > 0 {
            for sampled in generator.step().expect("finite logits") {
                let context = &mut contexts[sampled.sequence];
                let before = context.clone();
                context.extend(&sampled.tokens);
                context.extend(tokens(13 * (1 + sampled.sequence % 3), sampled.sequence));
                turns.push((before, sampled));
                open -= 1;
            }
        }
    }
    turns.sort_by_key(|(context, sampled)| (sampled.sequence, context.len()));
    (turns, generator.stats())
}

/// Log-probabilities of a turn's tokens by a pass.
fn score(model: &Model, context: &[u32], tokens: &[u32]) -> Vec<f32> {
    let whole = [context, tokens].concat();
    let (tree, _) = TokenTree::from_sequences(&[&whole]);
    let targets: Vec<usize> = (context.len()..whole.len()).collect();
    let pass = model.forward(&tree, &targets, Keep::Nothing, &Buffers::default());
    pass.expect("there is room").logprobs.clone()
}

/// That what was sampled is what a pass on the same device scores.
fn assert_scored_alike(model: &Model, turns: &[Turn]) {
    let (mut largest, mut sum, mut count) = (0.0_f32, 0.0, 0);
    for (context, turn) in turns {
        let scored = score(model, context, &turn.tokens);
        for (found, expected) in turn.logprobs.iter().zip(&scored) {
            let apart = (found - expected).abs();
            (largest, sum, count) = (largest.max(apart), sum + apart, count + 1);
        }
    }
    let mean = sum / count as f32;
    println!("scored within {largest:.1e}, {mean:.1e} in the mean");
    assert!(
        largest < ROUNDING && mean < USUAL,
        "{largest}, {mean} in the mean"
    );
}

/// That greedy turns are the CPU's up to the first token whose likelihood and that of the CPU's
/// choice are within rounding. Returns how many turns are the same to their end.
fn assert_greedy_alike(here: &Model, found: &[Turn], expected: &[Turn]) -> usize {
    let mut same = 0;
    assert_eq!(found.len(), expected.len());
    for ((context, turn), (other_context, other)) in found.iter().zip(expected) {
        if context != other_context {
            continue;
        }
        let pairs = turn.tokens.iter().zip(&other.tokens);
        let agreed = pairs.take_while(|(a, b)| a == b).count();
        for (a, b) in turn.logprobs[..agreed].iter().zip(&other.logprobs) {
            assert!(
                (a - b).abs() < ROUNDING,
                "log-probability {a}, on the CPU {b}"
            );
        }
        if agreed == turn.tokens.len() {
            same += 1;
            continue;
        }
        let chosen = score(here, context, &turn.tokens[..=agreed])[agreed];
        let likeliest = other.logprobs[agreed];
        assert!(
            likeliest - chosen < ROUNDING,
            "log-probability {chosen} of what the card chose, {likeliest} of the likeliest"
        );
    }
    same
}

#[test]
fn greedy_turns_on_a_card_are_the_cpus_within_rounding() {
    emulated(&[], || {
        for adapted in [false, true] {
            let (here, there) = (model(adapted), on_card(model(adapted)));
            let (expected, _) = play(&here, Sampling::GREEDY, &[], None);
            let (found, stats) = play(&there, Sampling::GREEDY, &[], None);
            assert!(stats.shared_blocks > 0, "{stats:?}");
            assert!(stats.peak_bytes > 8 * BLOCK_BYTES, "more than at first");
            let same = assert_greedy_alike(&here, &found, &expected);
            assert_scored_alike(&there, &found);
            println!("{same} of {} are the same", found.len());
            assert!(same >= 5, "{same} of {}", found.len());
        }
    });
}

#[test]
fn an_adapter_counts_while_sampling_on_a_card() {
    emulated(&[], || {
        let (plain, adapted) = (on_card(model(false)), on_card(model(true)));
        let (first, _) = play(&plain, Sampling::GREEDY, &[], None);
        let (second, _) = play(&adapted, Sampling::GREEDY, &[], None);
        assert_ne!(first, second);
    });
}

#[test]
fn sampling_on_a_card_repeats_and_is_what_a_pass_scores() {
    emulated(&[], || {
        let mut there = on_card(model(false));
        there.temperature = 0.8;
        let sampling = Sampling {
            temperature: 0.8,
            ..Sampling::default()
        };
        let (turns, _) = play(&there, sampling, &[], None);
        assert_scored_alike(&there, &turns);
        assert_eq!(
            play(&there, sampling, &[], None).0,
            turns,
            "to the last bit"
        );
        // Sequences of one prompt draw apart.
        assert!(turns[0].1.tokens != turns[2].1.tokens);
        // Of the likeliest alone, nothing is left to chance.
        let one = Sampling {
            top_k: 1,
            ..sampling
        };
        let (only, _) = play(&there, one, &[], None);
        assert!(
            only.iter()
                .all(|(_, turn)| turn.logprobs.iter().all(|&it| it == 0.0))
        );
    });
}

#[test]
fn a_step_like_one_before_is_recorded() {
    emulated(&[("EMULATED_CUDA_GRAPHS", "0")], || {
        let there = on_card(model(false));
        let generator = Generator::new(&there, Sampling::GREEDY, &[], POSITIONS);
        let mut generator = generator.expect("there is room");
        generator.begin(0, &tokens(5, 0), 3, 1);
        generator.step().expect("the first is not");
        let Err(error) = generator.step() else {
            panic!("the card was asked for each kernel by itself")
        };
        assert!(error.to_string().contains("record work"), "{error}");
    });
}

#[test]
fn a_bound_on_a_cards_cache_is_kept_and_what_was_given_up_is_computed_again() {
    emulated(&[], || {
        let (here, there) = (model(false), on_card(model(false)));
        let generator = Generator::new(&there, Sampling::GREEDY, &[], POSITIONS);
        let Err(ModelError::Cache { needed, .. }) = generator.expect("there is room").bounded(0)
        else {
            panic!("nothing fits in no memory")
        };
        assert_eq!(needed, POSITIONS.div_ceil(64) * BLOCK_BYTES);
        let bytes = needed + needed / 2;
        let (free, stats) = play(&there, Sampling::GREEDY, &[], None);
        assert!(stats.peak_bytes > bytes, "the bound binds: {stats:?}");
        let (bounded, stats) = play(&there, Sampling::GREEDY, &[], Some(bytes));
        assert!(
            stats.peak_bytes <= bytes && stats.evictions > 0,
            "{stats:?}"
        );
        let same = assert_greedy_alike(&here, &bounded, &free);
        assert!(same >= 5, "{same} of {}", free.len());
        assert_scored_alike(&there, &bounded);
    });
}

#[test]
fn turns_on_a_card_end_at_stop_tokens_and_limits() {
    emulated(&[], || {
        let there = on_card(model(false));
        let (turns, _) = play(&there, Sampling::GREEDY, &[], None);
        let stop = turns[0].1.tokens[3];
        let first = turns[0].1.tokens.iter().position(|&it| it == stop);
        let (stopped, _) = play(&there, Sampling::GREEDY, &[stop], None);
        let (context, turn) = &stopped[0];
        assert_eq!(context, &turns[0].0);
        assert!(turn.stopped);
        assert_eq!(turn.tokens.len(), first.expect("it is there") + 1);
        assert!(
            turns
                .iter()
                .all(|(_, turn)| !turn.stopped && turn.tokens.len() == 12)
        );
    });
}

#[test]
fn a_model_that_has_diverged_samples_nothing_on_a_card() {
    emulated(&[], || {
        let mut broken = model(false);
        let mut parameters = init(&broken.architecture, 5);
        parameters.data.fill(f32::NAN);
        broken.weights = Weights::frozen(parameters, Precision::Bf16);
        let broken = on_card(broken);
        let generator = Generator::new(&broken, Sampling::default(), &[], POSITIONS);
        let mut generator = generator.expect("there is room");
        generator.begin(0, &tokens(5, 0), 3, 1);
        assert!(matches!(generator.step(), Err(ModelError::Diverged)));
    });
}
