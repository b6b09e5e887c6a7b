//! What the engine promises for every model and every tree.

mod common;

use model::{
    Architecture, Buffers, Coefficient, Generator, Keep, Model, Preset, Sampling, TokenTree, init,
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
    let mut buffers = Buffers::default();
    let pass = model.forward(tree, targets, Keep::Nothing, &mut buffers);
    (pass.logprobs.clone(), pass.entropies.clone())
}

fn gradient(
    model: &Model,
    tree: &TokenTree,
    targets: &[usize],
    coefficients: &[Coefficient],
    keep: Keep,
) -> Vec<f32> {
    let mut gradient = vec![0.0; model.parameters.data.len()];
    let mut buffers = Buffers::default();
    let pass = model.forward(tree, targets, keep, &mut buffers);
    pass.backward(coefficients, &mut gradient, &mut buffers);
    gradient
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
    for (bias, norm, tied) in [(false, true, true), (true, false, false)] {
        let mut model = small(bias, norm, tied);
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
        let specs = model.parameters.layout.specs().to_vec();
        for spec in specs {
            // A few entries of every parameter.
            for i in (0..spec.count()).step_by(1 + spec.count() / 7) {
                let at = spec.offset + i;
                let (before, step) = (model.parameters.data[at], 2e-3);
                model.parameters.data[at] = before + step;
                let above = value(&model);
                model.parameters.data[at] = before - step;
                let below = value(&model);
                model.parameters.data[at] = before;
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
    let model = small(true, true, true);
    let long: Vec<u32> = (0..300).map(|i| i % 29).collect();
    let mut branch = long[..150].to_vec();
    branch.extend((0..90).map(|i| (i * 7 + 3) % 29));
    let (tree, _) = TokenTree::from_sequences(&[&long, &branch]);
    let targets = targets(&tree);
    let coefficients: Vec<_> = (0..targets.len()).map(coefficient).collect();
    let of = |keep, threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let pool = pool.build().expect("a pool of threads");
        pool.install(|| gradient(&model, &tree, &targets, &coefficients, keep))
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
        let mut apart = vec![0.0; model.parameters.data.len()];
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
    let mut generator = Generator::new(model, sampling, &[0], 400);
    for (name, context) in requests {
        generator.begin(*name, context, limit, *name as u64);
    }
    let mut all = Vec::new();
    while all.len() < requests.len() {
        all.extend(generator.step());
    }
    all.sort_by_key(|turn| turn.sequence);
    all
}

#[test]
fn a_rollout_and_a_score_agree_on_every_logprob() {
    for model in [small(false, true, true), small(true, false, false)] {
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
    let mut generator = Generator::new(&model, sampling, &[0], 400);
    let mut context = vec![3, 4, 5, 6];
    for turn in 0..3_u64 {
        generator.begin(9, &context, 12, turn);
        let ended = loop {
            let ended = generator.step();
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
