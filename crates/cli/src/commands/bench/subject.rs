//! What is measured, a model of random weights, and what it is measured with: a clock, and the
//! rate of this machine's matrix products.

use std::fs;
use std::ops::Add;

use anyhow::Result;
use episode::Seed;
use model::{
    Adapter, Architecture, Flops, Keep, LoraConfig, Model, ModelError, OptimizerConfig, TokenTree,
    Weights,
};
use objective::{Recipe, Target, TraceToken};
use train::{Batch, Held, Imitated, Learner, Load, Plan, Rollouts, Sample};

use super::measurement::{Measurement, Peak};
use crate::args::BenchSubject;
use crate::config::Engine;
use crate::exit::UsageError;
use crate::{clock, engine};

/// What a model is made for.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Purpose {
    /// Its weights, or its adapter's, move.
    Training,
    /// It stands still.
    Sampling,
}

/// A model under measurement.
pub(super) struct Subject {
    pub(super) model: Model,
    pub(super) repetitions: usize,
    seed: Seed,
    pub(super) profiles: bool,
    /// Bytes that there were before the model was made, where the system says.
    memory: Option<u64>,
    pub(super) clock: train::Clock,
    /// Operations a second of matrix products alone.
    gemm: f64,
}

/// How long some work took.
pub(super) struct Times {
    /// Of each repetition.
    pub(super) seconds: Vec<f64>,
    /// Share of the threads' time by phase; empty unless asked for.
    pub(super) profile: Vec<(&'static str, f64)>,
}

impl Subject {
    /// Takes the threads asked for, makes the model, and measures matrix products.
    pub(super) fn new(arguments: &BenchSubject, purpose: Purpose) -> Result<Self> {
        let architecture = architecture(arguments)?;
        let config = Engine {
            threads: arguments.threads,
            device: arguments.device,
            ..Engine::default()
        };
        engine::start(&config)?;
        let memory = engine::memory(&config)?;
        let clock = clock::start();
        let seed = Seed(arguments.seed);
        let gemm = model::measure_gemm(&*clock);
        let mut model = random(architecture, arguments, &seed, purpose)?;
        engine::place(&mut model, &config)?;
        eprintln!("{}", engine::chosen(&model)?);
        Ok(Self {
            model,
            repetitions: arguments.repetitions,
            profiles: arguments.profile,
            memory,
            seed,
            clock,
            gemm,
        })
    }

    /// Bytes that learning from a batch takes, as counted beforehand; refused where there are
    /// fewer.
    pub(super) fn planned_bytes(&self, batch: &Batch, checkpointing: bool) -> Result<u64> {
        let load = Load::of_batch(batch, keep(checkpointing), OptimizerConfig::default());
        let planned = Plan::new(&self.model.architecture, Held::of(&self.model), &load).total();
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        match self.memory {
            Some(memory) if planned > memory => Err(UsageError(format!(
                "this takes {:.1} GiB of memory, of {:.1} that there are\nhint: take fewer tokens, \
                 a smaller model, or `--checkpointing`",
                gib(planned),
                gib(memory)
            ))
            .into()),
            _ => Ok(planned),
        }
    }

    /// Random tokens, the same for the same name.
    pub(super) fn tokens(&self, name: &str, count: usize) -> Vec<u32> {
        let (seed, vocabulary) = (self.seed.named(name), self.model.architecture.vocab_size);
        (0..count as u64)
            .map(|place| (seed.child(place).0 % vocabulary as u64) as u32)
            .collect()
    }

    /// The seed of what is sampled.
    pub(super) fn sampling_seed(&self, sequence: usize) -> u64 {
        self.seed.named("sampling").child(sequence as u64).0
    }

    /// Times some work after one time that does not count, and, if that was asked for, says
    /// where the time went.
    pub(super) fn repeat<T>(
        &mut self,
        mut work: impl FnMut(&mut Model) -> Result<T, ModelError>,
    ) -> Result<Times> {
        self.forget_peak();
        self.time(&mut work)?;
        if self.profiles {
            model::start_profile(self.clock.clone());
        }
        let seconds: Vec<f64> = (0..self.repetitions)
            .map(|_| self.time(&mut work))
            .collect::<Result<_>>()?;
        let spent = model::take_profile();
        let had = seconds.iter().sum::<f64>() * rayon::current_num_threads() as f64;
        let mut profile: Vec<(&str, f64)> = (spent.into_iter())
            .map(|(phase, seconds)| (phase, seconds / had))
            .collect();
        if self.profiles {
            let rest = 1.0 - profile.iter().map(|(_, share)| share).sum::<f64>();
            profile.push(("waiting, and the rest", rest));
        }
        Ok(Times { seconds, profile })
    }

    /// Begins [`peak`](Self::peak) anew.
    pub(super) fn forget_peak(&self) {
        engine::forget_peak();
        self.model.forget_card_peak();
    }

    /// The most memory at a time.
    pub(super) fn peak(&self) -> Peak {
        Peak {
            process: engine::peak_memory(),
            card: self.model.card_peak(),
        }
    }

    /// Seconds that some work on the model takes.
    pub(super) fn time<T>(
        &mut self,
        work: impl FnOnce(&mut Model) -> Result<T, ModelError>,
    ) -> Result<f64> {
        let began = (self.clock)();
        work(&mut self.model)?;
        Ok(((self.clock)() - began).as_secs_f64())
    }

    /// Operations of an update on a batch, forward and backward.
    pub(super) fn training_flops(&self, batch: &Batch) -> f64 {
        let of = |sample: &Sample| {
            Flops::of_tree(&self.model.architecture, &sample.tree, sample.targets.len())
        };
        let all: Flops = (batch.samples.iter().map(of)).fold(Flops::default(), Flops::add);
        let adapter = self
            .model
            .adapter
            .as_ref()
            .map(|_| self.model.trained_len());
        let tokens = batch.samples.iter().map(|sample| sample.tree.len()).sum();
        match adapter {
            Some(numbers) => all.with_backward_of_adapter(numbers, tokens).total(),
            None => all.with_backward().total(),
        }
    }

    /// The outcome of repetitions that took so many seconds each, once for `tokens` tokens and
    /// `flops` operations. Matrix products are measured once more, and the better time counts.
    pub(super) fn outcome(&self, times: Times, tokens: usize, flops: f64) -> Measurement {
        Measurement {
            seconds: times.seconds,
            tokens,
            flops,
            peak: self.peak(),
            planned_bytes: None,
            gemm: self.gemm.max(model::measure_gemm(&*self.clock)),
            parameters: self.model.weights.layout().len,
            threads: rayon::current_num_threads(),
            instructions: model::Instructions::current().name(),
            profile: times.profile,
        }
    }
}

/// A model of random weights, with a fresh adapter if one was asked for.
fn random(
    architecture: Architecture,
    arguments: &BenchSubject,
    seed: &Seed,
    purpose: Purpose,
) -> Result<Model> {
    let parameters = model::init(&architecture, seed.named("model").0);
    let precision = arguments.weights.into();
    let weights = match (purpose, arguments.lora_rank) {
        (Purpose::Training, 0) => Weights::trained(parameters, precision),
        _ => Weights::frozen(parameters, precision),
    };
    let mut model = Model::new(architecture, weights);
    if arguments.lora_rank > 0 {
        let config = LoraConfig {
            rank: arguments.lora_rank,
            ..LoraConfig::default()
        };
        let seed = seed.named("adapter").0;
        let adapter = Adapter::new(&config, &model.architecture, "random", seed);
        let adapter = adapter.map_err(|error| UsageError(format!("`--lora-rank`: {error}")))?;
        model.attach(adapter)?;
    }
    Ok(model)
}

fn architecture(arguments: &BenchSubject) -> Result<Architecture> {
    let Some(path) = &arguments.config else {
        let preset = model::Preset::from(arguments.preset);
        return Ok(preset.architecture(arguments.vocabulary));
    };
    let text = fs::read_to_string(path)
        .map_err(|error| UsageError(format!("`{}`: {error}", path.display())))?;
    Ok(Architecture::from_json(&text, path)?)
}

/// A learner that takes AdamW's steps.
pub(super) fn learner(model: &Model, checkpointing: bool) -> Result<Learner> {
    let keep = keep(checkpointing);
    Ok(Learner::new(model, Default::default(), keep)?)
}

fn keep(checkpointing: bool) -> Keep {
    match checkpointing {
        true => Keep::Inputs,
        false => Keep::All,
    }
}

/// Sequences of which every token is imitated, each a sample.
pub(super) fn imitation(sequences: &[Vec<u32>]) -> Batch {
    imitation_by(sequences, Recipe::default())
}

/// The same by another recipe.
pub(super) fn imitation_by(sequences: &[Vec<u32>], recipe: Recipe) -> Batch {
    let samples: Vec<Sample> = (sequences.iter())
        .map(|sequence| {
            let (tree, _) = TokenTree::from_sequences(&[sequence]);
            let targets: Vec<usize> = (1..tree.len()).collect();
            let token = TraceToken {
                component: Target::Call,
                supervised: true,
            };
            Sample {
                imitation: Imitated {
                    places: (0..targets.len()).collect(),
                    tokens: vec![token; targets.len()],
                },
                unshared_tokens: tree.len(),
                trace_tokens: tree.len(),
                tree,
                targets,
                ..Sample::default()
            }
        })
        .collect();
    Batch::of(samples, recipe)
}

/// Groups of sequences, each group a sample whose tree shares what its sequences share; their
/// tokens from `context` on are a policy's.
pub(super) fn rollouts(groups: &[&[Vec<u32>]], context: usize) -> Batch {
    let samples: Vec<Sample> = groups.iter().map(|group| sample(group, context)).collect();
    Batch::of(samples, Recipe::default())
}

fn sample(group: &[Vec<u32>], context: usize) -> Sample {
    let sequences: Vec<&[u32]> = group.iter().map(Vec::as_slice).collect();
    let (tree, paths) = TokenTree::from_sequences(&sequences);
    let sampled = |path: &Vec<usize>| path[context..].to_vec();
    // A tree's tokens are in the order of its paths, so equal ones are neighbours.
    let mut targets: Vec<usize> = paths.iter().flat_map(sampled).collect();
    targets.sort_unstable();
    targets.dedup();
    let mut rollouts = Rollouts {
        conditioned: true,
        count: group.len(),
        ..Rollouts::default()
    };
    for (i, path) in paths.iter().enumerate() {
        let begin = rollouts.places.len();
        let advantage = if i % 2 == 0 { 1.0 } else { -1.0 };
        for token in &path[context..] {
            let place = targets.binary_search(token).expect("every one is a target");
            rollouts.places.push(place);
            rollouts.advantages.push(advantage);
            rollouts.sampled.push(0.0);
        }
        rollouts.episodes.push(begin..rollouts.places.len());
        rollouts.numbers.push(i);
    }
    Sample {
        unshared_tokens: sequences.iter().map(|sequence| sequence.len()).sum(),
        rollouts,
        tree,
        targets,
        ..Sample::default()
    }
}
