//! `pact bench losses`: a training on given tokens, step by step, to hold it to another program's.

use std::fs;
use std::path::Path;

use anyhow::Result;
use model::{Keep, Model, OptimizerConfig, Weights};
use objective::{Algorithm, Recipe};
use serde_json::{Map, json};
use train::{Fixed, Learner};

use super::measurement::table;
use super::subject;
use crate::args::BenchLosses;
use crate::config::Engine;
use crate::engine;
use crate::exit::UsageError;

pub(super) fn run(arguments: &BenchLosses) -> Result<()> {
    let config = Engine {
        threads: arguments.threads,
        device: arguments.device,
        ..Engine::default()
    };
    let optimizer = OptimizerConfig {
        learning_rate: arguments.learning_rate,
        ..OptimizerConfig::default()
    };
    (optimizer.check()).map_err(|error| UsageError(format!("`--learning-rate`: {error}")))?;
    engine::start(&config)?;
    let (architecture, parameters) = model::load(&arguments.model)?;
    let sequences = sequences(&arguments.tokens, architecture.vocab_size)?;
    let weights = Weights::trained(parameters, arguments.weights.into());
    let mut model = Model::new(architecture, weights);
    engine::place(&mut model, &config)?;
    eprintln!("{}", engine::chosen(&model)?);

    let batch = subject::imitation_by(&sequences, plain());
    let mut learner = Learner::new(&model, optimizer, Keep::All)?;
    let logprobs = learner.score(&model, &batch)?;
    let (mut losses, mut norms) = (Vec::new(), Vec::new());
    for _ in 0..arguments.steps {
        let update = learner.update(&mut model, &batch, Fixed::default(), 1.0)?;
        losses.push(update.loss_trace);
        norms.push(update.grad_norm);
    }

    let rows: Vec<[String; 3]> = (losses.iter().zip(&norms).enumerate())
        .map(|(i, (loss, norm))| {
            let note = format!("nats a token, gradient of norm {norm:.4}");
            [format!("step {}", i + 1), format!("{loss:.6}"), note]
        })
        .collect();
    let mut json = Map::new();
    json.insert("losses".into(), json!(losses));
    json.insert("grad-norms".into(), json!(norms));
    json.insert("logprobs".into(), json!(logprobs));
    super::print(arguments.json, json, &table(&rows))
}

/// The mean over tokens of what each lacks in likelihood.
fn plain() -> Recipe {
    let config = objective::Config {
        algorithm: Algorithm::Sft,
        ..objective::Config::default()
    };
    config.recipe(0, 1, 1)
}

/// Reads a JSON list of lists of tokens.
fn sequences(path: &Path, vocabulary: usize) -> Result<Vec<Vec<u32>>, UsageError> {
    let wrong = |what: String| {
        let path = path.display();
        UsageError(format!(
            "`{path}`: {what}\nhint: it holds sequences of token ids as JSON, as in \
             [[5, 2, 9], [7, 7, 1, 3]]"
        ))
    };
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let sequences: Vec<Vec<u32>> =
        serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    for (i, sequence) in sequences.iter().enumerate() {
        if sequence.len() < 2 {
            let what = format!("sequence {i} has {} tokens", sequence.len());
            return Err(wrong(format!("{what}, expected at least 2")));
        }
        if let Some(token) = (sequence.iter()).find(|&&token| token as usize >= vocabulary) {
            return Err(wrong(format!(
                "sequence {i} has the token {token}, and the model's vocabulary {vocabulary} tokens"
            )));
        }
    }
    match sequences.is_empty() {
        true => Err(wrong("there is no sequence".to_owned())),
        false => Ok(sequences),
    }
}
