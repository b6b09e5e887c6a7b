//! The engine against transformers: every model folder of `PACT_DATA/models`.

mod common;

use std::path::{Path, PathBuf};

use model::{
    Buffers, Coefficient, Generator, Keep, Model, Precision, Sampling, TokenTree, Weights, load,
};
use safetensors::SafeTensors;

/// The data folder, if there is one.
fn data() -> Option<PathBuf> {
    common::choose_instructions();
    #[expect(
        clippy::disallowed_methods,
        reason = "tests find their data through PACT_DATA"
    )]
    let named = std::env::var("PACT_DATA").ok().map(PathBuf::from);
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = named.unwrap_or(default);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: PACT_DATA not found");
    None
}

struct Golden {
    bytes: Vec<u8>,
}

impl Golden {
    fn floats(&self, name: &str) -> Vec<f32> {
        let tensors = SafeTensors::deserialize(&self.bytes).expect("a golden opens");
        let view = tensors.tensor(name).expect(name);
        let (words, rest) = view.data().as_chunks::<4>();
        assert!(rest.is_empty());
        words.iter().map(|&word| f32::from_le_bytes(word)).collect()
    }

    fn integers(&self, name: &str) -> Vec<u32> {
        let tensors = SafeTensors::deserialize(&self.bytes).expect("a golden opens");
        let view = tensors.tensor(name).expect(name);
        let count: usize = view.shape().iter().product();
        let size = view.data().len() / count;
        (view.data().chunks(size))
            .map(|word| {
                let mut bytes = [0; 8];
                bytes[..size].copy_from_slice(word);
                u32::try_from(i64::from_le_bytes(bytes)).expect("a token id")
            })
            .collect()
    }

    fn shape(&self, name: &str) -> Vec<usize> {
        let tensors = SafeTensors::deserialize(&self.bytes).expect("a golden opens");
        tensors.tensor(name).expect(name).shape().to_vec()
    }
}

/// Log-softmax of row `at` of `[.., vocab]` logits, in double precision.
fn log_softmax(logits: &[f32], vocab: usize, at: usize) -> Vec<f64> {
    let row = &logits[at * vocab..(at + 1) * vocab];
    let peak = row.iter().copied().fold(f32::MIN, f32::max);
    let sum: f64 = row.iter().map(|&l| f64::from(l - peak).exp()).sum();
    row.iter()
        .map(|&l| f64::from(l - peak) - sum.ln())
        .collect()
}

fn check(folder: &Path) {
    let name = folder.display();
    let (architecture, parameters) = load(folder).expect("a golden's model loads");
    let model = Model::new(architecture, parameters);
    let golden = Golden {
        bytes: std::fs::read(folder.join("golden.safetensors")).expect("a golden is there"),
    };
    let ids = golden.integers("input_ids");
    let [rows, length] = golden.shape("input_ids")[..] else {
        panic!("input_ids is a matrix")
    };
    let vocab = model.architecture.vocab_size;
    let logits = golden.floats("logits");
    let token_logprobs = golden.floats("token_logprobs");
    let weights = golden.floats("target_weights");
    // The first token of a row is never a target.
    let total: f32 = (weights.chunks(length).flat_map(|row| &row[1..])).sum();
    let buffers = Buffers::default();

    let mut loss = 0.0;
    let mut gradient = model.gradient().expect("there is room");
    for row in 0..rows {
        let ids = &ids[row * length..(row + 1) * length];
        // Every possible next token after every token: the whole matrix of logits.
        let fans: Vec<Vec<u32>> = (1..=length)
            .flat_map(|end| (0..vocab as u32).map(move |v| [&ids[..end], &[v]].concat()))
            .collect();
        let fans: Vec<&[u32]> = fans.iter().map(Vec::as_slice).collect();
        let (fan, paths) = TokenTree::from_sequences(&fans);
        let leaves: Vec<usize> = paths.iter().map(|path| path[path.len() - 1]).collect();
        let pass = (model.forward(&fan, &leaves, Keep::Nothing, &buffers)).expect("there is room");
        for at in 0..length {
            let expected = log_softmax(&logits, vocab, row * length + at);
            for (v, expected) in expected.iter().enumerate() {
                let got = f64::from(pass.logprobs[at * vocab + v]);
                assert!(
                    (got - expected).abs() < 1e-4,
                    "{name}: log-softmax of logits[{row},{at},{v}] is {got}, expected {expected}"
                );
            }
        }

        let (tree, paths) = TokenTree::from_sequences(&[ids]);
        let targets = &paths[0][1..];
        let pass = (model.forward(&tree, targets, Keep::All, &buffers)).expect("there is room");
        let mut coefficients = Vec::new();
        for at in 1..length {
            let expected = token_logprobs[row * (length - 1) + at - 1];
            let got = pass.logprobs[at - 1];
            assert!(
                (got - expected).abs() < 1e-4,
                "{name}: log-probability {got}, expected {expected}"
            );
            let weight = weights[row * length + at] / total;
            loss -= weight * got;
            coefficients.push(Coefficient {
                logprob: -weight,
                entropy: 0.0,
            });
        }
        (pass.backward(&coefficients, &mut gradient)).expect("there is room");
    }
    let expected = golden.floats("loss")[0];
    assert!(
        (loss - expected).abs() < 1e-4,
        "{name}: loss {loss}, expected {expected}"
    );

    let gradient = gradient.numbers().expect("they are here");
    for spec in model.trained() {
        let expected = golden.floats(&format!("grad.{}", spec.name));
        let got = &gradient[spec.range()];
        let scale = expected.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
        for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
            assert!(
                (got - expected).abs() <= 1e-3 * scale,
                "{name}: gradient of {}[{i}] is {got}, expected {expected}",
                spec.name
            );
        }
    }

    let greedy = golden.integers("greedy");
    let prompt = 7;
    let sampling = Sampling {
        temperature: 0.0,
        ..Sampling::default()
    };
    let mut generator =
        Generator::new(&model, sampling, &[], greedy.len() + 1).expect("there is room");
    generator.begin(0, &greedy[..prompt], greedy.len() - prompt, 0);
    let continuation = loop {
        if let Some(turn) = generator.step().expect("finite logits").pop() {
            break turn.tokens;
        }
    };
    assert_eq!(
        continuation,
        greedy[prompt..],
        "{name}: greedy continuation"
    );
}

/// Largest distance of a token's log-probability from the golden's, and of a gradient relative
/// to the largest number of its parameter's, where the weights are rounded to bfloat16.
fn rounded_distances(folder: &Path) -> (f32, f32) {
    let (architecture, parameters) = load(folder).expect("a golden's model loads");
    let weights = Weights::trained(parameters, Precision::Bf16);
    let model = Model::new(architecture, weights);
    let golden = Golden {
        bytes: std::fs::read(folder.join("golden.safetensors")).expect("a golden is there"),
    };
    let length = golden.shape("input_ids")[1];
    let ids = golden.integers("input_ids");
    let weights = golden.floats("target_weights");
    let total: f32 = (weights.chunks(length).flat_map(|row| &row[1..])).sum();
    let token_logprobs = golden.floats("token_logprobs");
    let buffers = Buffers::default();
    let mut gradient = model.gradient().expect("there is room");
    let (mut of_logprobs, mut of_gradients) = (0.0_f32, 0.0_f32);
    let rows =
        (ids.chunks(length).zip(weights.chunks(length))).zip(token_logprobs.chunks(length - 1));
    for ((ids, weights), expected) in rows {
        let (tree, paths) = TokenTree::from_sequences(&[ids]);
        let pass =
            (model.forward(&tree, &paths[0][1..], Keep::All, &buffers)).expect("there is room");
        for (got, expected) in pass.logprobs.iter().zip(expected) {
            of_logprobs = of_logprobs.max((got - expected).abs());
        }
        let coefficients = weights[1..].iter().map(|weight| Coefficient {
            logprob: -weight / total,
            entropy: 0.0,
        });
        let coefficients: Vec<_> = coefficients.collect();
        (pass.backward(&coefficients, &mut gradient)).expect("there is room");
    }
    let numbers = gradient.numbers().expect("they are here");
    for spec in model.trained() {
        let expected = golden.floats(&format!("grad.{}", spec.name));
        let scale = expected.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
        for (got, expected) in numbers[spec.range()].iter().zip(&expected) {
            of_gradients = of_gradients.max((got - expected).abs() / scale);
        }
    }
    (of_logprobs, of_gradients)
}

#[test]
fn data_every_model_matches_its_golden_in_bfloat16_within_rounding() {
    let Some(data) = data() else { return };
    for folder in folders(&data) {
        let (logprobs, gradients) = rounded_distances(&folder);
        println!(
            "{}: log-probabilities within {logprobs:.1e}, gradients within {gradients:.1e}",
            folder.display()
        );
        assert!(logprobs > 1e-5, "rounding moves something");
        assert!(
            logprobs < 2e-2 && gradients < 5e-2,
            "{logprobs} {gradients}"
        );
    }
}

/// The folders of all models with a golden.
fn folders(data: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(data.join("models"))
        .expect("the data has models")
        .map(|entry| entry.expect("a folder entry").path())
        .filter(|folder| folder.join("golden.safetensors").is_file())
        .collect();
    folders.sort();
    assert!(!folders.is_empty(), "no golden under {}", data.display());
    folders
}

#[test]
fn data_every_model_matches_its_golden() {
    let Some(data) = data() else { return };
    let folders = folders(&data);
    folders.iter().for_each(|folder| check(folder));
    println!("{} models match their goldens", folders.len());
}

#[test]
fn all_of_this_holds_with_every_set_of_instructions() {
    common::on_every_set_of_instructions("all_of_this_holds");
}
