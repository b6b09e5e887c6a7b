//! Passes and steps on the emulated GPU, held to the CPU's over the same bfloat16 weights.

use model::{
    Adapter, Buffers, Coefficient, Keep, LoraConfig, Model, OptimizerConfig, OptimizerState,
    ParameterSpec, Place, Precision, Preset, TokenTree, Weights, init,
};

use crate::emulated::{cubins, emulated};

/// A model with every part that there is, large enough that attention matters.
fn model(adapted: bool) -> Model {
    let mut architecture = Preset::Tiny.architecture(301);
    (architecture.layers, architecture.qkv_bias) = (2, !adapted);
    let mut parameters = init(&architecture, 3);
    // Gains and biases of their own.
    for (i, x) in parameters.data.iter_mut().enumerate() {
        *x += 0.02 * (i as f32 * 0.37).sin();
    }
    let weights = match adapted {
        true => Weights::frozen(parameters, Precision::Bf16),
        false => Weights::trained(parameters, Precision::Bf16),
    };
    let mut model = Model::new(architecture, weights);
    model.temperature = 0.9;
    if adapted {
        let config = LoraConfig {
            rank: 8,
            ..LoraConfig::default()
        };
        let adapter = Adapter::new(&config, &model.architecture, "base", 1);
        let mut adapter = adapter.expect("a rank that it can have");
        for (i, x) in adapter.values.iter_mut().enumerate() {
            *x += 0.03 * (i as f32 * 0.61).cos();
        }
        model.attach(adapter).expect("it is the first");
    }
    model
}

fn on_card(mut model: Model) -> Model {
    (model.move_to(Place::Cuda(0), &cubins())).expect("there is a card");
    model
}

/// A prompt with rollouts that branch, one of them long, and a sequence of its own.
fn tree() -> TokenTree {
    let text = |from: u32, count: u32| (from..from + count).map(|i| i * i % 301).collect();
    let prompt: Vec<u32> = text(1, 70);
    let mut sequences: Vec<Vec<u32>> = [(5, 3), (90, 40), (200, 75)]
        .map(|(from, count)| [prompt.clone(), text(from, count)].concat())
        .into();
    sequences.push([&sequences[1][..100], &text(7, 9)[..]].concat());
    sequences.push(text(33, 12));
    let sequences: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
    TokenTree::from_sequences(&sequences).0
}

struct Outcome {
    logprobs: Vec<f32>,
    entropies: Vec<f32>,
    gradient: Vec<f32>,
}

fn outcome(model: &Model, keep: Keep) -> Outcome {
    let tree = tree();
    let targets: Vec<usize> = (0..tree.len())
        .filter(|&at| tree.predecessor(at).is_some() && at % 7 != 0)
        .collect();
    let coefficients: Vec<Coefficient> = (0..targets.len())
        .map(|i| Coefficient {
            logprob: (i as f32 * 1.3).cos(),
            entropy: if i % 5 == 0 { 0.3 } else { 0.0 },
        })
        .collect();
    let mut gradient = model.gradient().expect("there is room");
    let pass = model.forward(&tree, &targets, keep, &Buffers::default());
    let pass = pass.expect("there is room");
    let (logprobs, entropies) = (pass.logprobs.clone(), pass.entropies.clone());
    (pass.backward(&coefficients, &mut gradient)).expect("there is room");
    Outcome {
        logprobs,
        entropies,
        gradient: gradient.numbers().expect("it is there").into_owned(),
    }
}

/// Norm of the difference over the norm.
fn distance(found: &[f32], expected: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let apart: f64 = (found.iter().zip(expected))
        .map(|(a, b)| square(a - b))
        .sum();
    let all: f64 = expected.iter().map(|&x| square(x)).sum();
    (apart / all).sqrt()
}

fn assert_alike(found: &Outcome, expected: &Outcome, specs: &[ParameterSpec]) {
    let largest = |found: &[f32], expected: &[f32]| {
        let apart = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
        apart.fold(0.0, f32::max)
    };
    let logprobs = largest(&found.logprobs, &expected.logprobs);
    let entropies = largest(&found.entropies, &expected.entropies);
    println!("log-probabilities within {logprobs:.1e}, entropies within {entropies:.1e}");
    assert!(logprobs < 6e-2 && entropies < 3e-2);
    let whole = distance(&found.gradient, &expected.gradient);
    println!("gradient within {whole:.1e}");
    assert!(whole < 1e-2, "gradient: {whole}");
    for spec in specs {
        let apart = distance(
            &found.gradient[spec.range()],
            &expected.gradient[spec.range()],
        );
        assert!(apart < 3e-2, "{}: {apart}", spec.name);
    }
}

#[test]
fn a_pass_on_a_card_is_the_cpus_within_rounding() {
    emulated(&[], || {
        let here = model(false);
        let expected = outcome(&here, Keep::All);
        let there = on_card(model(false));
        let found = outcome(&there, Keep::All);
        assert_alike(&found, &expected, here.trained());
        // What is made again is what it was, and all of it is the same every time.
        for keep in [Keep::Inputs, Keep::All] {
            let again = outcome(&there, keep);
            assert!(again.gradient == found.gradient && again.logprobs == found.logprobs);
        }
    });
}

#[test]
fn an_adapter_on_a_card_is_the_cpus_within_rounding() {
    emulated(&[], || {
        let here = model(true);
        let expected = outcome(&here, Keep::All);
        let found = outcome(&on_card(model(true)), Keep::Inputs);
        assert_alike(&found, &expected, here.trained());
    });
}

#[test]
fn steps_on_a_card_are_the_cpus_and_can_be_taken_up_again() {
    emulated(&[], || {
        for adapted in [false, true] {
            let (mut here, mut there) = (model(adapted), on_card(model(adapted)));
            let config = OptimizerConfig {
                weight_decay: 0.1,
                ..OptimizerConfig::default()
            };
            let trained = |model: &Model| match model.current_adapter().expect("it is there") {
                Some(adapter) => adapter.values.clone(),
                None => (model.masters().expect("they are there"))
                    .expect("it is trained")
                    .data
                    .clone(),
            };
            let mut gradient = here.gradient().expect("there is room");
            let mut on = there.gradient().expect("there is room");
            for (model, gradient) in [(&here, &mut gradient), (&there, &mut on)] {
                let (tree, targets) = (tree(), [5, 9, 80]);
                let pass = model.forward(&tree, &targets, Keep::All, &Buffers::default());
                let one = Coefficient {
                    logprob: 1.0,
                    entropy: 0.0,
                };
                (pass.expect("there is room").backward(&[one; 3], gradient)).expect("room");
            }
            let norms = (here.gradient_norm(&gradient), there.gradient_norm(&on));
            let (here_norm, there_norm) = (norms.0.expect("here"), norms.1.expect("there"));
            assert!((here_norm / there_norm - 1.0).abs() < 1e-2);

            let before = trained(&there);
            let mut optimizer = there.optimizer(config).expect("there is room");
            let mut own = here.optimizer(config).expect("there is room");
            for _ in 0..3 {
                own.restore(optimizer.state().expect("it is there"))
                    .expect("it fits");
                let stats = there.step(&mut optimizer, &on, 0.5).expect("a step");
                assert!(stats.applied);
                assert!((f64::from(stats.grad_norm) - there_norm).abs() < 1e-3 * there_norm);
                here.step(&mut own, &gradient, 0.5).expect("a step");
            }
            let (found, expected) = (trained(&there), trained(&here));
            let moved: Vec<f32> = found.iter().zip(&before).map(|(a, b)| a - b).collect();
            let by: Vec<f32> = expected.iter().zip(&before).map(|(a, b)| a - b).collect();
            assert!(distance(&moved, &by) < 0.2, "{}", distance(&moved, &by));
            assert!(there.is_finite().expect("it is there"));

            // Taken up again from what was kept, the next step is the same.
            let mut again = on_card(model(adapted));
            match there.current_adapter().expect("it is there") {
                Some(adapter) => again.attach(adapter.into_owned()).expect("same base"),
                None => {
                    let masters = there.masters().expect("there").expect("it is trained");
                    again.restore(masters.into_owned()).expect("it fits");
                }
            }
            let mut resumed = again.optimizer(config).expect("there is room");
            resumed
                .restore(optimizer.state().expect("it is there"))
                .expect("it fits");
            there.step(&mut optimizer, &on, 1.0).expect("a step");
            again.step(&mut resumed, &on, 1.0).expect("a step");
            assert!(trained(&there) == trained(&again));
        }
    });
}

/// Steps along one gradient, with moments held so, from a second moment that is half of what it
/// tends to.
fn small_steps(held: Precision, count: usize) -> (Vec<f32>, Vec<f32>) {
    let mut there = on_card(model(true));
    let config = OptimizerConfig {
        moments: held,
        ..OptimizerConfig::default()
    };
    let mut gradient = there.gradient().expect("there is room");
    let one = Coefficient {
        logprob: 1.0,
        entropy: 0.0,
    };
    let (tree, targets) = (tree(), [5, 9, 80]);
    let pass = there.forward(&tree, &targets, Keep::All, &Buffers::default());
    (pass
        .expect("there is room")
        .backward(&[one; 3], &mut gradient))
    .expect("there is room");
    let mut optimizer = there.optimizer(config).expect("there is room");
    let stats = there.step(&mut optimizer, &gradient, 0.0).expect("a step");
    let mut state = optimizer.state().expect("it is there");
    let numbers = gradient.numbers().expect("it is there");
    let half = |x: &f32| 0.5 * (x * stats.grad_scale) * (x * stats.grad_scale);
    state.buffers[1].1 = numbers.iter().map(half).collect();
    let (step, buffers) = (1000, state.buffers.iter().cloned());
    let buffers = buffers.map(|(name, values)| (name, values.into_owned().into()));
    let state = OptimizerState {
        step,
        buffers: buffers.collect(),
    };
    optimizer.restore(state).expect("it fits");
    for _ in 0..count {
        there.step(&mut optimizer, &gradient, 1e-3).expect("a step");
    }
    let state = optimizer.state().expect("it is there");
    let adapter = there.current_adapter().expect("there").expect("one");
    (state.buffers[1].1.to_vec(), adapter.values.clone())
}

#[test]
fn moments_in_bfloat16_follow_those_in_f32_and_repeat() {
    emulated(&[], || {
        let (expected, _) = small_steps(Precision::F32, 30);
        let (begun, _) = small_steps(Precision::F32, 0);
        let (found, moved) = small_steps(Precision::Bf16, 30);
        let sum = |numbers: &[f32]| numbers.iter().map(|&x| f64::from(x)).sum::<f64>();
        // A step moves them by a thousandth, which the nearest bfloat16 does not see.
        let grown = sum(&expected) / sum(&begun);
        assert!((1.025..1.035).contains(&grown), "{grown}");
        let ratio = sum(&found) / sum(&expected);
        println!("the second moments' sum is {ratio} of that in f32");
        assert!((ratio - 1.0).abs() < 3e-3, "{ratio}");
        assert!(distance(&found, &expected) < 0.02);
        assert!(found.iter().all(|x| x.to_bits() & 0xFFFF == 0));
        assert!(
            small_steps(Precision::Bf16, 30) == (found, moved),
            "to the last bit"
        );
    });
}

#[test]
fn moments_in_bfloat16_are_for_a_card() {
    let config = OptimizerConfig {
        moments: Precision::Bf16,
        ..OptimizerConfig::default()
    };
    let Err(error) = model(false).optimizer(config) else {
        panic!("the CPU holds them in f32")
    };
    assert!(
        error.to_string().contains("for a graphics card alone"),
        "{error}"
    );
}

#[test]
fn every_operation_on_a_card_is_the_reference_within_bfloat16() {
    emulated(&[], || {
        let checked = Model::check_operations(Place::Cuda(0), &cubins()).expect("there is a card");
        assert!(checked.len() > 25);
        for it in checked {
            println!("{:32} {:.1e}", it.operation, it.error);
            assert!(it.error < 6e-3, "{}: {}", it.operation, it.error);
        }
    });
}

#[test]
fn whole_passes_on_a_card_are_the_cpus_and_agree_with_each_other() {
    emulated(&[], || {
        let checked = Model::check_passes(Place::Cuda(0), &cubins()).expect("there is a card");
        assert_eq!(checked.len(), 5);
        for it in checked {
            println!("{:32} {:.1e}", it.operation, it.error);
            assert!(it.error < 1e-2, "{}: {}", it.operation, it.error);
        }
    });
}
