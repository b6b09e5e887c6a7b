//! What a rollout's generator promises: the same tokens to the last bit however sequences are
//! batched, threaded, cached and evicted, and the log-probabilities that training computes.

mod common;

use std::collections::BTreeMap;

use model::{
    Buffers, CacheStats, Generator, Keep, Model, ModelError, Preset, Sampled, Sampling, TokenTree,
    init,
};
use proptest::prelude::*;

/// Tokens of the longest sequence.
const POSITIONS: usize = 420;
const VOCABULARY: u32 = 29;

fn small() -> Model {
    common::choose_instructions();
    let mut architecture = Preset::Tiny.architecture(VOCABULARY as usize);
    architecture.hidden_size = 16;
    architecture.intermediate_size = 72;
    architecture.layers = 2;
    architecture.heads = 6;
    architecture.kv_heads = 2;
    architecture.head_dim = 12;
    architecture.qk_norm = true;
    architecture.initializer_range = 0.3;
    let mut parameters = init(&architecture, 5);
    for (i, value) in parameters.data.iter_mut().enumerate() {
        *value += 0.1 * (i as f32 * 0.7).sin();
    }
    Model::new(architecture, parameters)
}

fn generator(model: &Model, bytes: Option<usize>) -> Generator<'_> {
    let generator =
        Generator::new(model, Sampling::default(), &[0], POSITIONS).expect("there is room");
    match bytes {
        Some(bytes) => generator.bounded(bytes).expect("room for one sequence"),
        None => generator,
    }
}

/// The smallest bound that is not refused.
fn least(model: &Model) -> usize {
    let generator = Generator::new(model, Sampling::default(), &[0], POSITIONS);
    match generator.expect("there is room").bounded(0) {
        Err(ModelError::Cache { needed, .. }) => needed,
        _ => panic!("nothing fits in no memory"),
    }
}

fn tokens(count: usize, seed: usize) -> Vec<u32> {
    (0..count)
        .map(|i| 1 + ((i * i * 7 + i * 3 + seed * 11) % 28) as u32)
        .collect()
}

/// An episode: its prompt, then turns with what tools say in between.
#[derive(Clone, Debug)]
struct Episode {
    prompt: Vec<u32>,
    turns: usize,
    /// Steps that its tools take.
    delay: usize,
    /// Tokens that they return.
    observation: usize,
}

/// Twelve episodes in three groups.
fn groups() -> Vec<Episode> {
    (0..12)
        .map(|e| Episode {
            prompt: tokens([64, 107, 150][e / 4], e / 4),
            turns: 3,
            delay: e % 5,
            observation: 1 + e * 7 % 40,
        })
        .collect()
}

/// A turn's context and what was sampled after it.
type Turn = (Vec<u32>, Sampled);

/// Plays the episodes of these names side by side.
fn play(
    model: &Model,
    episodes: &BTreeMap<usize, Episode>,
    bytes: Option<usize>,
) -> (BTreeMap<usize, Vec<Turn>>, CacheStats) {
    let mut generator = generator(model, bytes);
    let mut contexts: BTreeMap<usize, Vec<u32>> = (episodes.iter())
        .map(|(&name, episode)| (name, episode.prompt.clone()))
        .collect();
    let mut turns: BTreeMap<usize, Vec<Turn>> = BTreeMap::new();
    let mut returning: Vec<(usize, usize)> = episodes.keys().map(|&name| (0, name)).collect();
    let mut open = episodes.len();
    for now in 0.. {
        returning.retain(|&(when, name)| {
            if when == now {
                let turn = turns.entry(name).or_default().len();
                let seed = (100 * name + turn) as u64;
                generator.begin(name, &contexts[&name], 30, seed);
            }
            when > now
        });
        for sampled in generator.step().expect("finite logits") {
            let name = sampled.sequence;
            let (episode, context) = (&episodes[&name], contexts.get_mut(&name));
            let context = context.expect("an episode has a context");
            let before = context.clone();
            context.extend(&sampled.tokens);
            let last = sampled.tokens.len() + sampled.tokens[0] as usize;
            context.extend(tokens(episode.observation, last));
            let own = turns.get_mut(&name).expect("its turn began");
            own.push((before, sampled));
            if own.len() == episode.turns {
                generator.release(name);
                open -= 1;
            } else {
                returning.push((now + 1 + episode.delay, name));
            }
        }
        if open == 0 {
            break;
        }
    }
    (turns, generator.stats())
}

fn all(episodes: &[Episode]) -> BTreeMap<usize, Episode> {
    episodes.iter().cloned().enumerate().collect()
}

fn assert_scored_alike(model: &Model, turns: &BTreeMap<usize, Vec<Turn>>) {
    for (context, turn) in turns.values().flatten() {
        let whole = [&context[..], &turn.tokens].concat();
        let (tree, _) = TokenTree::from_sequences(&[&whole]);
        let sampled: Vec<usize> = (context.len()..whole.len()).collect();
        let buffers = Buffers::default();
        let pass =
            (model.forward(&tree, &sampled, Keep::Nothing, &buffers)).expect("there is room");
        for (got, expected) in turn.logprobs.iter().zip(&pass.logprobs) {
            assert!(
                (got - expected).abs() < 1e-5,
                "log-probability {got}, scored {expected}"
            );
        }
    }
}

#[test]
fn turns_over_shared_and_evicted_blocks_have_the_log_probabilities_of_a_score() {
    let model = small();
    let (turns, stats) = play(&model, &all(&groups()), Some(2 * least(&model)));
    assert!(
        stats.evictions > 0 && stats.recomputed_tokens > 0,
        "{stats:?}"
    );
    assert_scored_alike(&model, &turns);
}

#[test]
fn an_episode_does_not_depend_on_what_is_beside_it() {
    let model = small();
    let episodes = all(&groups());
    let (together, _) = play(&model, &episodes, None);
    for (&name, episode) in &episodes {
        let (alone, _) = play(&model, &BTreeMap::from([(name, episode.clone())]), None);
        assert_eq!(alone[&name], together[&name], "to the last bit");
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let model = small();
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let pool = pool.build().expect("a pool of threads");
        pool.install(|| play(&model, &all(&groups()), Some(2 * least(&model))))
    };
    let one = on(1);
    assert_eq!(one, on(2), "to the last bit, and in what the cache did");
    assert_eq!(one.0, on(5).0, "to the last bit");
}

#[test]
fn a_bound_on_the_cache_is_kept_and_changes_no_bit() {
    let model = small();
    let episodes = all(&groups());
    let (free, stats) = play(&model, &episodes, None);
    assert_eq!((stats.evictions, stats.recomputed_tokens), (0, 0));
    let least = least(&model);
    assert!(stats.peak_bytes > 2 * least, "the bounds below bind");
    for bytes in [least, least + least / 3, 2 * least] {
        let (bounded, stats) = play(&model, &episodes, Some(bytes));
        assert!(stats.peak_bytes <= bytes, "{stats:?} within {bytes}");
        assert!(stats.evictions > 0, "{stats:?} within {bytes}");
        assert_eq!(bounded, free, "to the last bit within {bytes} bytes");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_episodes_within_any_bound_are_those_that_were_alone(
        drawn in prop::collection::vec(
            (0..3_usize, 1..200_usize, 0..3_usize, 1..3_usize, 0..6_usize, 1..70_usize),
            1..9,
        ),
        room in 1.0..3.0,
    ) {
        let model = small();
        // Prompts agree for a while, or are each other's beginnings.
        let episodes: Vec<Episode> = (drawn.iter())
            .map(|&(root, shared, leaf, turns, delay, observation)| Episode {
                prompt: [tokens(shared, root), tokens(40 * leaf, leaf)].concat(),
                turns,
                delay,
                observation,
            })
            .collect();
        let bytes = (least(&model) as f64 * room) as usize;
        let (together, stats) = play(&model, &all(&episodes), Some(bytes));
        prop_assert!(stats.peak_bytes <= bytes);
        prop_assert_eq!(stats.bytes, 0, "all were released");
        for (name, episode) in all(&episodes) {
            let (alone, _) = play(&model, &BTreeMap::from([(name, episode)]), None);
            prop_assert_eq!(&alone[&name], &together[&name], "to the last bit");
        }
    }
}

/// Runs turns to their end.
fn finish(generator: &mut Generator<'_>, mut turns: usize) -> Vec<Sampled> {
    let mut ended = Vec::new();
    while turns > 0 {
        let now = generator.step().expect("finite logits");
        turns -= now.len();
        ended.extend(now);
    }
    ended
}

#[test]
fn a_group_stores_its_prompt_once_and_agreeing_turns_too() {
    let model = small();
    let mut generator =
        Generator::new(&model, Sampling::GREEDY, &[], POSITIONS).expect("there is room");
    // 128 tokens of prompt are two blocks; so are 128 of a greedy turn, of which all agree.
    for name in 0..8 {
        generator.begin(name, &tokens(128, 0), 129, 0);
    }
    finish(&mut generator, 8);
    let stats = generator.stats();
    assert_eq!(stats.shared_blocks, 4);
    assert_eq!(stats.bytes, 4 * least(&model) / POSITIONS.div_ceil(64));
    (0..8).for_each(|name| generator.release(name));
    assert_eq!(generator.stats().bytes, 0);
}

#[test]
fn a_context_that_was_rewritten_is_continued_like_a_new_one() {
    let model = small();
    for (keep, context) in [
        (150, tokens(180, 0)),
        (70, tokens(100, 0)),
        (64, tokens(65, 0)),
    ] {
        let mut rewritten = context[..keep].to_vec();
        rewritten.extend(tokens(20, 9));
        let mut fresh = generator(&model, None);
        fresh.begin(0, &rewritten, 30, 1);
        let expected = finish(&mut fresh, 1);
        let mut used = generator(&model, None);
        used.begin(0, &context, 30, 0);
        used.begin(1, &context, 30, 7);
        finish(&mut used, 2);
        used.begin(0, &rewritten, 30, 1);
        assert_eq!(
            finish(&mut used, 1),
            expected,
            "the first {keep} tokens kept"
        );
        used.release(1);
        used.begin(0, &rewritten, 30, 1);
        assert_eq!(finish(&mut used, 1), expected, "the same again");
    }
}

#[test]
fn a_turn_that_is_dropped_leaves_the_others_as_they_are() {
    let model = small();
    let mut alone = generator(&model, None);
    alone.begin(1, &tokens(70, 0), 30, 1);
    let expected = finish(&mut alone, 1);
    let mut both = generator(&model, None);
    both.begin(0, &tokens(70, 0), 30, 0);
    both.begin(1, &tokens(70, 0), 30, 1);
    assert!(
        both.step().expect("finite logits").is_empty(),
        "one step ends neither"
    );
    both.release(0);
    assert_eq!(finish(&mut both, 1), expected);
}

#[test]
fn a_bound_below_one_sequence_is_refused_with_the_way_out() {
    let model = small();
    let least = least(&model);
    let generator = Generator::new(&model, Sampling::default(), &[0], POSITIONS);
    let refused = generator.expect("there is room").bounded(least - 1);
    let Err(error) = refused else {
        panic!("one byte is missing")
    };
    assert_eq!(
        error.to_string(),
        "a sequence of 420 tokens needs 0.0002 GiB of key-value cache, but `engine.cache-gib` \
         allows 0.0002\nhint: raise `engine.cache-gib`, or set `rollout.max-tokens` below 384"
    );
}

#[test]
fn all_of_this_holds_with_every_set_of_instructions() {
    common::on_every_set_of_instructions("all_of_this_holds");
}
