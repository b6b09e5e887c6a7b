//! What the engine promises for every model and every tree.

mod common;

use model::{
    Adapter, Architecture, Buffers, Coefficient, Generator, Keep, LoraConfig, Model, Precision,
    Preset, Sampling, TokenTree, Weights, init,
};
use proptest::prelude::*;

/// A decoder small enough for finite differences, with every optional part of the family.
fn small(qkv_bias: bool, qk_norm: bool, tied: bool) -> Model {
    common::choose_instructions();
    let mut architecture = Preset::Tiny.architecture(29);
    architecture.hidden_size = 16;
    architecture.intermediate_size = 24;
    architecture.layers = 2;
    architecture.heads = 4;
    architecture.kv_heads = 2;
    architecture.head_dim = 8;
    architecture.qkv_bias = qkv_bias;
    architecture.qk_norm = qk_norm;
    architecture.tied = tied;
    architecture.initializer_range = 0.3;
    let mut parameters = init(&architecture, 5);
    for (i, value) in parameters.data.iter_mut().enumerate() {
        *value += 0.1 * (i as f32 * 0.7).sin();
    }
    Model::new(architecture, parameters)
}

/// The same with an adapter on every weight that can have one.
fn small_with_adapter(qkv_bias: bool, qk_norm: bool, tied: bool) -> Model {
    let mut model = small(qkv_bias, qk_norm, tied);
    let config = LoraConfig {
        rank: 3,
        alpha: 5.0,
        ..LoraConfig::default()
    };
    let mut adapter = Adapter::new(&config, &model.architecture, "small", 8).expect("an adapter");
    // A fresh one's B is 0, which would hide every mistake.
    for (i, value) in adapter.values.iter_mut().enumerate() {
        *value += 0.1 * (i as f32 * 0.3).sin();
    }
    model
        .attach(adapter)
        .expect("an adapter that belongs to it");
    model
}

fn trained(model: &Model) -> &[f32] {
    match &model.adapter {
        Some(adapter) => &adapter.values,
        None => &model.weights.masters().expect("weights in f32").data,
    }
}

fn set(model: &mut Model, at: usize, value: f32) {
    match &mut model.adapter {
        Some(adapter) => adapter.values[at] = value,
        None => model.weights.change(|weights| weights[at] = value),
    }
}

/// Every token but the first ones, with a coefficient that differs from token to token.
fn targets(tree: &TokenTree) -> Vec<usize> {
    (0..tree.len())
        .filter(|&at| tree.predecessor(at).is_some())
        .collect()
}

fn coefficient(i: usize) -> Coefficient {
    Coefficient {
        logprob: (i as f32 * 1.3).cos(),
        entropy: 0.2 * (i as f32 * 0.9).sin(),
    }
}

fn score(model: &Model, tree: &TokenTree, targets: &[usize]) -> (Vec<f32>, Vec<f32>) {
    let buffers = Buffers::default();
    let pass = (model.forward(tree, targets, Keep::Nothing, &buffers)).expect("there is room");
    (pass.logprobs.clone(), pass.entropies.clone())
}

fn gradient(
    model: &Model,
    tree: &TokenTree,
    targets: &[usize],
    coefficients: &[Coefficient],
    keep: Keep,
) -> Vec<f32> {
    let mut gradient = model.gradient().expect("there is room");
    let buffers = Buffers::default();
    let pass = (model.forward(tree, targets, keep, &buffers)).expect("there is room");
    (pass.backward(coefficients, &mut gradient)).expect("there is room");
    gradient.numbers().expect("they are here").into_owned()
}

fn assert_close(got: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(got.len(), expected.len());
    let scale = expected.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
    for (i, (a, b)) in got.iter().zip(expected).enumerate() {
        assert!(
            (a - b).abs() <= tolerance * scale.max(1.0),
            "{what}: number {i} is {a}, expected {b} (scale {scale})"
        );
    }
}

#[test]
fn the_backward_pass_is_the_derivative_of_the_forward_pass() {
    for mut model in [
        small(false, true, true),
        small(true, false, false),
        small_with_adapter(false, true, true),
        small_with_adapter(true, false, false),
    ] {
        model.temperature = 0.8;
        // Long enough that every kind of attention tile has a gradient to pass on.
        let shared: Vec<u32> = (0..150).map(|i| (i * i + 3) % 29).collect();
        let long: Vec<u32> = (0..160).map(|i| (i * 5 + i * i) % 29).collect();
        let branch = |rest: &[u32]| [&shared[..], rest].concat();
        let sequences = [branch(&long), branch(&[7, 8, 28]), branch(&[9])];
        let slices: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
        let (tree, _) = TokenTree::from_sequences(&slices);
        let mut targets = targets(&tree);
        targets.drain(5..targets.len() - 12);
        let coefficients: Vec<_> = (0..targets.len()).map(coefficient).collect();
        let value = |model: &Model| -> f64 {
            let (logprobs, entropies) = score(model, &tree, &targets);
            let terms = coefficients.iter().zip(logprobs.iter().zip(entropies));
            terms
                .map(|(c, (&l, e))| f64::from(c.logprob * l) + f64::from(c.entropy * e))
                .sum()
        };
        let exact = gradient(&model, &tree, &targets, &coefficients, Keep::All);
        let specs = model.trained().to_vec();
        for spec in specs {
            // A few entries of every parameter.
            for i in (0..spec.count()).step_by(1 + spec.count() / 7) {
                let at = spec.offset + i;
                let (before, step) = (trained(&model)[at], 2e-3);
                set(&mut model, at, before + step);
                let above = value(&model);
                set(&mut model, at, before - step);
                let below = value(&model);
                set(&mut model, at, before);
                let numeric = ((above - below) / f64::from(2.0 * step)) as f32;
                let error = (numeric - exact[at]).abs();
                assert!(
                    error < 2e-2 * exact[at].abs().max(0.5),
                    "{}[{i}]: backward {} but finite difference {numeric}",
                    spec.name,
                    exact[at]
                );
            }
        }
    }
}

#[test]
fn keeping_less_and_using_more_threads_change_no_gradient() {
    for model in [
        small(true, true, true),
        small_with_adapter(true, true, true),
    ] {
        keeping_less_and_using_more_threads_change_nothing(&model);
    }
}

fn keeping_less_and_using_more_threads_change_nothing(model: &Model) {
    let long: Vec<u32> = (0..300).map(|i| i % 29).collect();
    let mut branch = long[..150].to_vec();
    branch.extend((0..90).map(|i| (i * 7 + 3) % 29));
    let (tree, _) = TokenTree::from_sequences(&[&long, &branch]);
    let targets = targets(&tree);
    let coefficients: Vec<_> = (0..targets.len()).map(coefficient).collect();
    let of = |keep, threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let pool = pool.build().expect("a pool of threads");
        pool.install(|| gradient(model, &tree, &targets, &coefficients, keep))
    };
    let all = of(Keep::All, 1);
    assert!(all == of(Keep::Inputs, 1), "to the last bit");
    assert!(all == of(Keep::All, 3), "to the last bit");
}

/// Sequences that share prefixes, three levels deep.
fn family() -> impl Strategy<Value = Vec<Vec<u32>>> {
    let run = || prop::collection::vec(0..29_u32, 1..90);
    let level2 = prop::collection::vec((run(), prop::collection::vec(run(), 1..3)), 1..3);
    (run(), prop::collection::vec((run(), level2), 1..3)).prop_map(|(root, children)| {
        let mut all = Vec::new();
        for (child, grandchildren) in children {
            for (grandchild, leaves) in grandchildren {
                for leaf in leaves {
                    all.push([&root[..], &child, &grandchild, &leaf].concat());
                }
            }
        }
        all
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_tree_computes_what_its_sequences_do_apart(sequences in family()) {
        let model = small(false, true, true);
        let slices: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
        let (tree, paths) = TokenTree::from_sequences(&slices);
        let all = targets(&tree);
        let mut of_token = vec![None; tree.len()];
        for (i, &at) in all.iter().enumerate() {
            of_token[at] = Some(i);
        }
        let (logprobs, entropies) = score(&model, &tree, &all);
        let mut shared = vec![Coefficient::default(); all.len()];
        let mut apart = vec![0.0; model.trained_len()];
        for (s, path) in slices.iter().zip(&paths) {
            let (alone, _) = TokenTree::from_sequences(&[s]);
            let own = targets(&alone);
            let (expected, expected_entropies) = score(&model, &alone, &own);
            let mut coefficients = Vec::new();
            for (i, &at) in own.iter().enumerate() {
                let in_tree = of_token[path[at]].expect("every later token is a target");
                prop_assert!((logprobs[in_tree] - expected[i]).abs() < 1e-5);
                prop_assert!((entropies[in_tree] - expected_entropies[i]).abs() < 1e-5);
                let c = coefficient(i);
                shared[in_tree].logprob += c.logprob;
                shared[in_tree].entropy += c.entropy;
                coefficients.push(c);
            }
            let part = gradient(&model, &alone, &own, &coefficients, Keep::All);
            apart.iter_mut().zip(part).for_each(|(sum, g)| *sum += g);
        }
        let together = gradient(&model, &tree, &all, &shared, Keep::All);
        assert_close(&together, &apart, 1e-5, "gradient");
    }
}

fn generate(model: &Model, requests: &[(usize, Vec<u32>)], limit: usize) -> Vec<model::Sampled> {
    let sampling = Sampling {
        temperature: 1.0,
        ..Sampling::default()
    };
    let mut generator = Generator::new(model, sampling, &[0], 400).expect("there is room");
    for (name, context) in requests {
        generator.begin(*name, context, limit, *name as u64);
    }
    let mut all = Vec::new();
    while all.len() < requests.len() {
        all.extend(generator.step().expect("finite logits"));
    }
    all.sort_by_key(|turn| turn.sequence);
    all
}

#[test]
fn a_rollout_and_a_score_agree_on_every_logprob() {
    for model in [
        small(false, true, true),
        small(true, false, false),
        small_with_adapter(false, true, true),
        small_with_adapter(true, false, false),
    ] {
        let prompt: Vec<u32> = (0..300).map(|i| 1 + i % 28).collect();
        let requests: Vec<_> = (0..5)
            .map(|i| (i, prompt[..prompt.len() - i / 3].to_vec()))
            .collect();
        for (turn, (_, context)) in generate(&model, &requests, 40).iter().zip(&requests) {
            let whole = [&context[..], &turn.tokens].concat();
            let (tree, _) = TokenTree::from_sequences(&[&whole]);
            let sampled: Vec<usize> = (context.len()..whole.len()).collect();
            let (logprobs, _) = score(&model, &tree, &sampled);
            assert_close(&turn.logprobs, &logprobs, 1e-5, "log-probability");
        }
    }
}

#[test]
fn a_rollout_does_not_depend_on_what_else_is_in_the_batch() {
    let model = small(false, true, true);
    let requests: Vec<(usize, Vec<u32>)> = (0..37)
        .map(|i| (i, (0..=20 + i as u32 % 3).map(|t| 1 + t % 28).collect()))
        .collect();
    let together = generate(&model, &requests, 30);
    for (turn, request) in together.iter().zip(&requests) {
        let alone = generate(&model, std::slice::from_ref(request), 30);
        assert_eq!(alone[0], *turn, "to the last bit");
    }
}

#[test]
fn a_second_turn_continues_from_the_first_ones_cache() {
    let model = small(false, true, true);
    let sampling = Sampling {
        temperature: 1.0,
        ..Sampling::default()
    };
    let mut generator = Generator::new(&model, sampling, &[0], 400).expect("there is room");
    let mut context = vec![3, 4, 5, 6];
    for turn in 0..3_u64 {
        generator.begin(9, &context, 12, turn);
        let ended = loop {
            let ended = generator.step().expect("finite logits");
            if !ended.is_empty() {
                break ended;
            }
        };
        let first = context.len();
        context.extend(&ended[0].tokens);
        let (tree, _) = TokenTree::from_sequences(&[&context]);
        let sampled: Vec<usize> = (first..context.len()).collect();
        let (logprobs, _) = score(&model, &tree, &sampled);
        assert_close(&ended[0].logprobs, &logprobs, 1e-5, "log-probability");
        context.extend([7, 8, 9]); // what a tool returned
    }
    generator.release(9);
}

/// A tree, and the coefficients of all its targets.
fn a_tree() -> (TokenTree, Vec<usize>, Vec<Coefficient>) {
    let shared: Vec<u32> = (0..90).map(|i| (i * i + 3) % 29).collect();
    let branch = |rest: &[u32]| [&shared[..], rest].concat();
    let (tree, _) = TokenTree::from_sequences(&[&branch(&[4, 5, 6]), &branch(&[7, 8])]);
    let targets = targets(&tree);
    let coefficients = (0..targets.len()).map(coefficient).collect();
    (tree, targets, coefficients)
}

#[test]
fn bfloat16_weights_compute_what_the_same_numbers_in_f32_do() {
    let (tree, targets, coefficients) = a_tree();
    for exact in [small(false, true, true), small(true, false, false)] {
        let masters = exact.weights.masters().expect("weights in f32").clone();
        let mut same = masters.clone();
        for x in &mut same.data {
            *x = half::bf16::from_f32(*x).to_f32();
        }
        let of = |weights: Weights| Model::new(exact.architecture.clone(), weights);
        let wide = of(Weights::F32(same));
        let all = |model: &Model| {
            let gradient = gradient(model, &tree, &targets, &coefficients, Keep::Inputs);
            let turns = generate(model, &[(0, vec![3, 4, 5]), (1, vec![6, 7])], 20);
            (score(model, &tree, &targets), gradient, turns)
        };
        assert!(all(&wide) != all(&exact), "rounding moves something");
        let mixed = of(Weights::trained(masters.clone(), Precision::Bf16));
        let frozen = of(Weights::frozen(masters, Precision::Bf16));
        assert!(all(&wide) == all(&mixed), "to the last bit");
        assert!(all(&wide) == all(&frozen), "to the last bit");
    }
}

#[test]
fn a_fresh_adapter_changes_nothing_and_a_merged_one_what_it_did_unmerged() {
    let (tree, targets, _) = a_tree();
    for (bias, norm, tied) in [(false, true, true), (true, false, false)] {
        let base = small(bias, norm, tied);
        let mut model = base.copy().expect("there is room");
        let config = LoraConfig {
            rank: 4,
            ..LoraConfig::default()
        };
        let fresh = Adapter::new(&config, &base.architecture, "small", 8).expect("an adapter");
        model.attach(fresh).expect("an adapter that belongs to it");
        assert!(score(&model, &tree, &targets) == score(&base, &tree, &targets));

        let adapted = small_with_adapter(bias, norm, tied);
        let mut weights = adapted.weights.masters().expect("weights in f32").clone();
        let adapter = adapted.adapter.as_ref().expect("it has one");
        adapter.merge(&mut weights);
        let merged = Model::new(adapted.architecture.clone(), weights);
        let (expected, _) = score(&adapted, &tree, &targets);
        assert_close(
            &score(&merged, &tree, &targets).0,
            &expected,
            2e-5,
            "merged",
        );
        let (before, _) = score(&base, &tree, &targets);
        let change = expected.iter().zip(&before).map(|(a, b)| (a - b).abs());
        assert!(
            change.fold(0.0, f32::max) > 0.1,
            "the adapter does something"
        );
    }
}

#[test]
fn an_adapter_of_some_targets_leaves_the_others_alone() {
    let (tree, targets, coefficients) = a_tree();
    let mut model = small(false, true, true);
    let config = LoraConfig {
        rank: 2,
        targets: vec![model::Target::VProj, model::Target::UpProj],
        ..LoraConfig::default()
    };
    let adapter = Adapter::new(&config, &model.architecture, "small", 8).expect("an adapter");
    model
        .attach(adapter)
        .expect("an adapter that belongs to it");
    let names: Vec<&str> = model
        .trained()
        .iter()
        .map(|spec| spec.name.as_str())
        .collect();
    assert_eq!(
        names[..5],
        [
            "base_model.model.model.layers.0.self_attn.v_proj.lora_A.weight",
            "base_model.model.model.layers.0.self_attn.v_proj.lora_B.weight",
            "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight",
            "base_model.model.model.layers.0.mlp.up_proj.lora_B.weight",
            "base_model.model.model.layers.1.self_attn.v_proj.lora_A.weight",
        ]
    );
    // B is 0 at first, so that only B has a gradient.
    let gradient = gradient(&model, &tree, &targets, &coefficients, Keep::All);
    for spec in model.trained() {
        let moves = gradient[spec.range()].iter().any(|g| *g != 0.0);
        assert_eq!(moves, spec.name.contains("lora_B"), "{}", spec.name);
    }
}

#[test]
fn presets_have_the_sizes_they_are_named_for() {
    let count = |preset: Preset| init(&preset.architecture(1000), 0).data.len();
    assert!((800_000..1_200_000).contains(&count(Preset::Tiny)));
    assert!((4_000_000..8_000_000).contains(&count(Preset::Small)));
    let architecture: Architecture = Preset::Tiny.architecture(1000);
    assert_eq!(architecture.vocab_size, 1000);
}

#[test]
fn all_of_this_holds_with_every_set_of_instructions() {
    common::on_every_set_of_instructions("all_of_this_holds");
}
