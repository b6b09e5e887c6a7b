//! One batch in, one (or a few) optimiser steps out. The trees of several samples go through
//! the model together, as one forest, so that short ones keep all threads busy.

use std::ops::Range;

use model::{Buffers, Coefficient, Keep, Model, Optimizer, OptimizerConfig, StepStats, TokenTree};
use objective::{
    RatioOld, Stream, TraceLift, clipped_surrogate, component_weights, trace_lift, weighted_nll,
};

use crate::batch::{Batch, Sample};
use crate::folder::StepRecord;

/// Samples go through the model together up to so many tokens: enough to fill the caches and the
/// threads, few enough to keep activations small.
pub(crate) const FOREST: usize = 2048;

/// Holds the optimiser, and what is reused from step to step.
pub struct Learner {
    /// With its moments.
    pub optimizer: Optimizer,
    objective: objective::Config,
    keep: Keep,
    buffers: Buffers,
    gradient: Vec<f32>,
}

/// What an update did, summed or meant over its batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Update {
    /// Loss of the rollouts.
    pub loss_rollouts: f64,
    /// Loss of the trace.
    pub loss_trace: f64,
    /// Rollout tokens.
    pub sampled_tokens: usize,
    /// Rollout tokens that the clip keeps from being pushed further.
    pub clipped_tokens: usize,
    /// Trace tokens that are supervised.
    pub target_tokens: usize,
    /// Mean log-probability of the trace's supervised reasoning.
    pub reasoning_logprob: Option<f64>,
    /// Mean log-probability of its supervised calls, the answer included.
    pub calls_logprob: Option<f64>,
    /// How much the trace in the context raises the rollouts' log-probabilities.
    pub lift: TraceLift,
    /// Largest distance between a log-probability when sampled and when scored again.
    pub sampler_gap: Option<f64>,
    /// Mean entropy of the rollouts' distributions, in nats.
    pub entropy: Option<f64>,
    /// Mean tokens of a trace.
    pub trace_tokens: Option<f64>,
    /// Tokens that were computed.
    pub tree_tokens: usize,
    /// Tokens that would have been computed without sharing.
    pub unshared_tokens: usize,
    /// Norm of the gradient before clipping.
    pub grad_norm: f64,
    /// False when a gradient was not finite; that step was skipped.
    pub applied: bool,
}

impl Update {
    /// Adds a later update of the same step: losses and counts add up, all else is the
    /// earlier update's unless it had none.
    pub fn absorb(&mut self, later: &Self) {
        let first = self.tree_tokens == 0;
        self.loss_rollouts += later.loss_rollouts;
        self.loss_trace += later.loss_trace;
        self.sampled_tokens += later.sampled_tokens;
        self.clipped_tokens += later.clipped_tokens;
        self.target_tokens += later.target_tokens;
        self.tree_tokens += later.tree_tokens;
        self.unshared_tokens += later.unshared_tokens;
        self.grad_norm = self.grad_norm.max(later.grad_norm);
        self.applied = later.applied && (first || self.applied);
        self.reasoning_logprob = self.reasoning_logprob.or(later.reasoning_logprob);
        self.calls_logprob = self.calls_logprob.or(later.calls_logprob);
        self.sampler_gap = self.sampler_gap.or(later.sampler_gap);
        self.entropy = self.entropy.or(later.entropy);
        self.trace_tokens = self.trace_tokens.or(later.trace_tokens);
        if first {
            self.lift = later.lift;
        }
    }

    /// Writes its numbers into a step's metrics.
    pub(crate) fn record(&self, metrics: &mut StepRecord) {
        let share = |part: usize, whole: usize| (whole > 0).then(|| part as f64 / whole as f64);
        metrics.set("loss-rollouts", self.loss_rollouts);
        metrics.set("loss-trace", self.loss_trace);
        metrics.set("sampled-tokens", self.sampled_tokens as f64);
        metrics.set("target-tokens", self.target_tokens as f64);
        metrics.set("clipped", share(self.clipped_tokens, self.sampled_tokens));
        metrics.set("reasoning-logprob", self.reasoning_logprob);
        metrics.set("calls-logprob", self.calls_logprob);
        metrics.set("trace-lift-positive", self.lift.positive);
        metrics.set("trace-lift-negative", self.lift.negative);
        metrics.set("privilege-gap", self.lift.privilege_gap);
        metrics.set("sampler-gap", self.sampler_gap);
        metrics.set("entropy", self.entropy);
        metrics.set("trace-tokens", self.trace_tokens);
        metrics.set("tree-tokens", self.tree_tokens as f64);
        let saved = share(
            self.unshared_tokens - self.tree_tokens,
            self.unshared_tokens,
        );
        metrics.set("tokens-shared", saved);
        metrics.set("grad-norm", self.grad_norm);
        metrics.set("skipped", f64::from(!self.applied));
    }
}

/// What one sample adds to an [`Update`].
#[derive(Default)]
struct Tally {
    loss_rollouts: f64,
    loss_trace: f64,
    clipped: usize,
    reasoning: (f64, usize),
    calls: (f64, usize),
    entropy: f64,
    gap: Option<f64>,
    /// Under the trace, under the prompt, advantage: of conditioned rollouts.
    lift: [Vec<f32>; 3],
}

impl Learner {
    /// A learner of what is trained of `model`.
    pub fn new(
        model: &Model,
        optimizer: OptimizerConfig,
        objective: objective::Config,
        keep: Keep,
    ) -> Self {
        Self {
            optimizer: Optimizer::new(optimizer, model.trained()),
            objective,
            keep,
            buffers: Buffers::default(),
            gradient: vec![0.0; model.trained_len()],
        }
    }

    /// Scores, evaluates the objective, differentiates and steps. `old` are the
    /// log-probabilities that ratios are taken against, for each sample and target; without
    /// them, the ones scored now: every ratio is then exactly 1.
    pub fn update(
        &mut self,
        model: &mut Model,
        batch: &Batch,
        old: Option<&[Vec<f32>]>,
        rate: f32,
    ) -> Update {
        let tallies = self.gradient(model, batch, old);
        let stats = model.step(&mut self.optimizer, &self.gradient, rate);
        summary(batch, &tallies, stats)
    }

    /// Log-probabilities of every sample's targets under the weights as they are.
    pub fn score(&mut self, model: &Model, batch: &Batch) -> Vec<Vec<f32>> {
        let mut all = Vec::with_capacity(batch.samples.len());
        for range in forests(&batch.samples) {
            let forest = Forest::new(&batch.samples[range]);
            let (tree, targets) = (&forest.tree, &forest.targets);
            let pass = model.forward(tree, targets, Keep::Nothing, &mut self.buffers);
            all.extend((forest.places.iter()).map(|place| pass.logprobs[place.clone()].to_vec()));
            pass.finish(&mut self.buffers);
        }
        all
    }

    /// Leaves the batch's gradient in `self.gradient`.
    fn gradient(&mut self, model: &Model, batch: &Batch, old: Option<&[Vec<f32>]>) -> Vec<Tally> {
        self.gradient.fill(0.0);
        let mut tallies = Vec::with_capacity(batch.samples.len());
        for range in forests(&batch.samples) {
            let samples = &batch.samples[range.clone()];
            let forest = Forest::new(samples);
            let (tree, targets) = (&forest.tree, &forest.targets);
            let pass = model.forward(tree, targets, self.keep, &mut self.buffers);
            let mut coefficients = Vec::with_capacity(targets.len());
            for ((i, sample), place) in range.zip(samples).zip(&forest.places) {
                let scored = Scored {
                    logprobs: &pass.logprobs[place.clone()],
                    entropies: &pass.entropies[place.clone()],
                    old: old.map(|old| &old[i][..]),
                };
                let (stream, tally) = evaluate(&self.objective, batch, sample, scored);
                let logprobs = stream.coefficients().into_iter();
                coefficients.extend(logprobs.map(|logprob| Coefficient {
                    logprob,
                    entropy: 0.0,
                }));
                tallies.push(tally);
            }
            pass.backward(&coefficients, &mut self.gradient, &mut self.buffers);
        }
        tallies
    }
}

/// The samples that go through the model together.
pub(crate) fn forests(samples: &[Sample]) -> Vec<Range<usize>> {
    let mut forests: Vec<Range<usize>> = Vec::new();
    let mut tokens = 0;
    for (i, sample) in samples.iter().enumerate() {
        tokens += sample.tree.len();
        match forests.last_mut() {
            Some(forest) if tokens <= FOREST => forest.end = i + 1,
            _ => {
                tokens = sample.tree.len();
                forests.push(i..i + 1);
            }
        }
    }
    forests
}

/// Several samples as one tree, with the targets of all; `places` are each sample's among them.
struct Forest {
    tree: TokenTree,
    targets: Vec<usize>,
    places: Vec<Range<usize>>,
}

impl Forest {
    fn new(samples: &[Sample]) -> Self {
        let tree = TokenTree::join(samples.iter().map(|sample| &sample.tree));
        let (mut targets, mut places, mut first) = (Vec::new(), Vec::new(), 0);
        for sample in samples {
            let start = targets.len();
            targets.extend(sample.targets.iter().map(|target| first + target));
            places.push(start..targets.len());
            first += sample.tree.len();
        }
        Self {
            tree,
            targets,
            places,
        }
    }
}

/// What the model says of one sample's targets, and what it said when they were sampled if that
/// was scored.
#[derive(Clone, Copy)]
struct Scored<'a> {
    logprobs: &'a [f32],
    entropies: &'a [f32],
    old: Option<&'a [f32]>,
}

/// The objectives of one sample, summed into one stream over its targets.
fn evaluate(
    config: &objective::Config,
    batch: &Batch,
    sample: &Sample,
    scored: Scored<'_>,
) -> (Stream, Tally) {
    let mut stream = Stream::new(sample.targets.len());
    let mut tally = Tally::default();
    let gather = |from: &[f32], places: &[usize]| -> Vec<f32> {
        places.iter().map(|&place| from[place]).collect()
    };

    let rollouts = &sample.rollouts;
    let now = gather(scored.logprobs, &rollouts.places);
    let old = match (config.ratio_old, scored.old) {
        (RatioOld::Prompt, _) if rollouts.conditioned => rollouts.sampled.clone(),
        (_, Some(old)) => gather(old, &rollouts.places),
        (_, None) => now.clone(),
    };
    let surrogate = clipped_surrogate(&now, &old, &rollouts.advantages, config.clip());
    let share = 1.0 / batch.sampled_tokens.max(1) as f64;
    stream.add(
        &rollouts.places,
        surrogate.loss,
        &surrogate.coefficients,
        share,
    );
    tally.loss_rollouts = share * surrogate.loss;
    tally.clipped = surrogate.clipped;
    tally.entropy = (rollouts.places.iter())
        .map(|&place| f64::from(scored.entropies[place]))
        .sum();
    if rollouts.conditioned {
        tally.lift = [now, rollouts.sampled.clone(), rollouts.advantages.clone()];
    } else {
        let pairs = now.iter().zip(&rollouts.sampled);
        let gaps = pairs.map(|(now, sampled)| f64::from((now - sampled).abs()));
        tally.gap = gaps.reduce(f64::max);
    }

    let imitation = &sample.imitation;
    let (counts, progress) = (batch.target_counts, batch.progress);
    let weights = component_weights(&imitation.targets, counts, &config.sft, progress);
    let logprobs = gather(scored.logprobs, &imitation.places);
    let likelihood = weighted_nll(&logprobs, &weights);
    stream.add(
        &imitation.places,
        likelihood.loss,
        &likelihood.coefficients,
        1.0,
    );
    tally.loss_trace = likelihood.loss;
    for (&logprob, target) in logprobs.iter().zip(&imitation.targets) {
        let sum = match target {
            Some(objective::Target::Reasoning) => &mut tally.reasoning,
            Some(objective::Target::Call) => &mut tally.calls,
            None => continue,
        };
        *sum = (sum.0 + f64::from(logprob), sum.1 + 1);
    }
    (stream, tally)
}

fn summary(batch: &Batch, tallies: &[Tally], stats: StepStats) -> Update {
    let mean = |of: fn(&Tally) -> (f64, usize)| {
        let (sum, count) =
            (tallies.iter().map(of)).fold((0.0, 0), |(sum, count), (s, n)| (sum + s, count + n));
        (count > 0).then(|| sum / count as f64)
    };
    let lift = [0, 1, 2].map(|i| -> Vec<f32> {
        let all = tallies.iter().flat_map(|tally| &tally.lift[i]);
        all.copied().collect()
    });
    let samples = || batch.samples.iter();
    let traced: Vec<f64> = samples()
        .filter(|sample| sample.trace_tokens > 0)
        .map(|sample| sample.trace_tokens as f64)
        .collect();
    Update {
        loss_rollouts: tallies.iter().map(|tally| tally.loss_rollouts).sum(),
        loss_trace: tallies.iter().map(|tally| tally.loss_trace).sum(),
        sampled_tokens: batch.sampled_tokens,
        clipped_tokens: tallies.iter().map(|tally| tally.clipped).sum(),
        target_tokens: batch.target_counts.reasoning + batch.target_counts.calls,
        reasoning_logprob: mean(|tally| tally.reasoning),
        calls_logprob: mean(|tally| tally.calls),
        lift: trace_lift(&lift[0], &lift[1], &lift[2]),
        sampler_gap: tallies
            .iter()
            .filter_map(|tally| tally.gap)
            .reduce(f64::max),
        entropy: (batch.sampled_tokens > 0).then(|| {
            let sum: f64 = tallies.iter().map(|tally| tally.entropy).sum();
            sum / batch.sampled_tokens as f64
        }),
        trace_tokens: (!traced.is_empty())
            .then(|| traced.iter().sum::<f64>() / traced.len() as f64),
        tree_tokens: samples().map(|sample| sample.tree.len()).sum(),
        unshared_tokens: samples().map(|sample| sample.unshared_tokens).sum(),
        grad_norm: f64::from(stats.grad_norm),
        applied: stats.applied,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use chat::Chat;
    use env::{Suite, world};
    use episode::{Author, Group, Score};
    use model::{Preset, init};

    use super::*;
    use crate::batch::Example;

    fn model(chat: &Chat) -> Model {
        let mut architecture = Preset::Tiny.architecture(chat.vocab_size());
        architecture.hidden_size = 32;
        architecture.intermediate_size = 48;
        architecture.layers = 2;
        architecture.heads = 1;
        architecture.kv_heads = 1;
        let parameters = init(&architecture, 7);
        Model::new(architecture, parameters)
    }

    /// Traces as if they were rollouts, the `i`-th of a group with reward `i`.
    fn groups(chat: &Chat, world: &world::World) -> Vec<Group> {
        let tasks = world.suite.tasks();
        let of = |(task, trace): (&episode::Task, &episode::Trace)| {
            let expert = chat.expert(task, trace).expect("a trace in tokens");
            let prompt_tokens = expert.prompt_tokens();
            let segments = expert.into_segments();
            let episode = |sample: usize| {
                let mut segments = segments.clone();
                // Rollouts of one task agree at first and then differ.
                let tokens = &mut segments[0].tokens;
                let last = tokens.len() - 1;
                tokens[last - 3] = sample as u32;
                episode::Episode {
                    task: task.id.clone(),
                    scenario: task.scenario.clone(),
                    sample,
                    seed: episode::Seed(0),
                    stop: episode::StopReason::Answered,
                    score: Score {
                        reward: sample as f64,
                        ..Score::default()
                    },
                    prompt_tokens,
                    hint_turns: 0,
                    turns: Vec::new(),
                    segments,
                }
            };
            Group {
                task: task.id.clone(),
                episodes: (0..3).map(episode).collect(),
            }
        };
        tasks.iter().zip(&world.traces).map(of).collect()
    }

    /// Four tasks: two under the trace, two anchored.
    fn batch(chat: &Chat) -> (Batch, Vec<Group>) {
        let world = world::generate(&world::Config {
            tasks: 4,
            ..world::Config::default()
        });
        let groups = groups(chat, &world);
        let examples: Vec<_> = (world.suite.tasks().iter().zip(&world.traces).zip(&groups))
            .enumerate()
            .map(|(i, ((task, trace), group))| Example {
                task,
                trace: Some(trace),
                group: Some(group),
                anchored: i % 2 == 0,
                repeated: false,
            })
            .collect();
        let config = objective::Config::default();
        let batch = Batch::build(chat, &examples, "Again.", 0.5, &config).expect("a batch");
        (batch, groups)
    }

    fn chat() -> Chat {
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../base");
        Chat::load(&base, chat::Config::default()).expect("the base's tokenizer loads")
    }

    fn learner(model: &Model) -> Learner {
        let (optimizer, objective) = (OptimizerConfig::default(), objective::Config::default());
        Learner::new(model, optimizer, objective, Keep::All)
    }

    fn gradient(model: &Model, batch: &Batch, old: Option<&[Vec<f32>]>) -> Vec<f32> {
        let mut learner = learner(model);
        learner.gradient(model, batch, old);
        learner.gradient
    }

    #[test]
    fn a_batch_cut_differently_gives_the_same_gradient() {
        let chat = chat();
        let model = model(&chat);
        let (whole, _) = batch(&chat);
        let expected = gradient(&model, &whole, None);
        let largest = expected.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
        assert!(largest > 0.0);
        for cut in 1..4 {
            let mut sum = vec![0.0; expected.len()];
            let (mut left, _) = batch(&chat);
            let right = left.samples.split_off(cut);
            for samples in [left.samples, right] {
                let part = Batch {
                    samples,
                    ..whole_counts(&whole)
                };
                let part = gradient(&model, &part, None);
                sum.iter_mut().zip(part).for_each(|(s, g)| *s += g);
            }
            for (got, expected) in sum.iter().zip(&expected) {
                assert!((got - expected).abs() <= 1e-5 * largest, "cut at {cut}");
            }
        }
    }

    /// The counts that a loss is divided by, without the samples.
    fn whole_counts(batch: &Batch) -> Batch {
        Batch {
            samples: Vec::new(),
            ..*batch
        }
    }

    #[test]
    fn a_scoring_pass_repeats_the_training_pass_to_the_last_bit() {
        let chat = chat();
        let model = model(&chat);
        let (batch, _) = batch(&chat);
        let old = learner(&model).score(&model, &batch);
        // Were any ratio not exactly 1, its coefficient would differ.
        assert!(gradient(&model, &batch, Some(&old)) == gradient(&model, &batch, None));
        // Nor does it matter what a sample is scored beside.
        for (sample, old) in batch.samples.into_iter().zip(old) {
            let alone = Batch {
                samples: vec![sample],
                ..Batch::default()
            };
            assert!(learner(&model).score(&model, &alone) == [old]);
        }
    }

    #[test]
    fn observations_carry_no_loss_and_are_attended_to() {
        let chat = chat();
        let mut model = model(&chat);
        let (batch, groups) = batch(&chat);
        for (sample, group) in batch.samples.iter().zip(&groups) {
            let sampled: usize = (group.episodes.iter())
                .flat_map(|e| &e.segments[0].authors)
                .filter(|author| **author == Author::Policy)
                .count();
            assert_eq!(sample.rollouts.places.len(), sampled);
        }
        // Another observation, the same policy tokens: what follows is predicted otherwise.
        // A random model hardly attends.
        (model.weights).change(|weights| weights.iter_mut().for_each(|x| *x *= 3.0));
        let last_logprob = |tokens: &[u32]| {
            let (tree, _) = model::TokenTree::from_sequences(&[tokens]);
            let buffers = &mut Buffers::default();
            let targets = [tree.len() - 1];
            let pass = model.forward(&tree, &targets, Keep::Nothing, buffers);
            pass.logprobs[0]
        };
        let segment = &groups[0].episodes[0].segments[0];
        let observed = (segment.authors.iter()).position(|author| *author == Author::Tool);
        let mut tokens = segment.tokens.clone();
        let before = last_logprob(&tokens);
        tokens[observed.expect("a tool answered")] += 1;
        assert_ne!(last_logprob(&tokens), before);
    }
}
