//! One batch in, one (or a few) optimiser steps out. The trees of several samples go through
//! the model together, as one forest, so that short ones keep all threads busy.

use std::ops::Range;

use episode::NotFinite;
use model::{
    Buffers, Coefficient, Gradient, Keep, Model, ModelError, Optimizer, OptimizerConfig, TokenTree,
};
use objective::{
    Context, Correction, Imitation, PolicyLoss, Push, RatioOld, Stream, Target, TokenWeight,
    TraceLift, component_weights, distillation_advantages, importance_weights, kl_penalty,
    policy_loss, reweighted_nll, trace_lift,
};
use rollout::Activity;

use crate::batch::{Batch, Sample};

/// Samples go through the model together up to so many tokens: enough to fill the caches and the
/// threads, few enough to keep activations small.
pub(crate) const FOREST: usize = 2048;

/// Holds the optimiser, and what is reused from step to step.
pub struct Learner {
    /// With its moments.
    pub optimizer: Optimizer,
    /// Told of each forest whose gradient is computed.
    pub activity: Activity,
    keep: Keep,
    buffers: Buffers,
    gradient: Gradient,
}

/// Log-probabilities that an update is held against, `[samples][targets]`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fixed<'a> {
    /// Those that ratios are taken against; without them, the ones scored now: every ratio is
    /// then exactly 1.
    pub old: Option<&'a [Vec<f32>]>,
    /// The reference policy's, where the recipe has a divergence from it.
    pub reference: Option<&'a [Vec<f32>]>,
}

/// Sampled tokens of one context, and how many of them the clip holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clipped {
    /// Rollout tokens.
    pub tokens: usize,
    /// Those that the clip keeps from being pushed further.
    pub clipped: usize,
}

impl Clipped {
    fn absorb(&mut self, other: Self) {
        self.tokens += other.tokens;
        self.clipped += other.clipped;
    }

    /// The clipped share; `None` of no token.
    pub fn share(self) -> Option<f64> {
        (self.tokens > 0).then(|| self.clipped as f64 / self.tokens as f64)
    }
}

/// What the trace in the context makes of one rollout.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rescored {
    /// The place of its example among those of the batch.
    pub example: usize,
    /// Its place in its group.
    pub episode: usize,
    /// Log-probability of each sampled token under the trace.
    pub logprobs: Vec<f32>,
}

/// Why an update was not made: something of it was not finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The earliest, in the order in which they are computed.
    pub what: NotFinite,
    /// Norm of the gradient.
    pub grad_norm: f64,
    /// Whose loss was not finite: the place of an example among those of the batch, and of an
    /// episode in its group, or `None` for the trace.
    pub losses: Vec<(usize, Option<usize>)>,
}

/// What an update did, summed or meant over its batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Update {
    /// Loss of the rollouts.
    pub loss_rollouts: f64,
    /// Loss of the trace.
    pub loss_trace: f64,
    /// Rollout tokens under the prompt alone.
    pub under_prompt: Clipped,
    /// Rollout tokens under the trace.
    pub under_trace: Clipped,
    /// The same for each time that the step's batch was gone through: prompt, trace.
    pub epochs: Vec<[Clipped; 2]>,
    /// Trace tokens that are supervised.
    pub target_tokens: usize,
    /// Mean log-probability of the trace's reasoning, supervised or not.
    pub reasoning_logprob: Option<f64>,
    /// Mean log-probability of its calls.
    pub calls_logprob: Option<f64>,
    /// Mean log-probability of its answers.
    pub answer_logprob: Option<f64>,
    /// How much the trace in the context raises the rollouts' log-probabilities.
    pub lift: TraceLift,
    /// The rollouts that were scored under a trace.
    pub rescored: Vec<Rescored>,
    /// Largest distance between a log-probability when sampled and when scored again.
    pub sampler_gap: Option<f64>,
    /// Mean divergence from the reference, in nats a token, as estimated.
    pub kl: Option<f64>,
    /// Mean weight of the correction for another sampler.
    pub importance: Option<f64>,
    /// Mean entropy of the rollouts' distributions, in nats.
    pub entropy: Option<f64>,
    /// Mean tokens of a trace.
    pub trace_tokens: Option<f64>,
    /// Traces that lost their end for their length.
    pub traces_cut: usize,
    /// Tokens that were computed.
    pub tree_tokens: usize,
    /// Tokens that would have been computed without sharing.
    pub unshared_tokens: usize,
    /// Norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Why it left the weights as they were; of several updates, all that did.
    pub refused: Vec<Refusal>,
}

impl Update {
    /// Rollout tokens that were pushed on.
    pub fn sampled_tokens(&self) -> usize {
        self.under_prompt.tokens + self.under_trace.tokens
    }

    /// The update of a batch whose first example is the step's number `first`, with places
    /// counted in the step.
    pub fn of_step(mut self, first: usize) -> Self {
        for rescored in &mut self.rescored {
            rescored.example += first;
        }
        for (example, _) in self.refused.iter_mut().flat_map(|it| &mut it.losses) {
            *example += first;
        }
        self
    }

    /// Adds a later update of the same step: losses and counts add up, all else is the
    /// earlier update's unless it had none.
    pub fn absorb(&mut self, later: &Self) {
        let first = self.tree_tokens == 0;
        self.loss_rollouts += later.loss_rollouts;
        self.loss_trace += later.loss_trace;
        self.under_prompt.absorb(later.under_prompt);
        self.under_trace.absorb(later.under_trace);
        self.target_tokens += later.target_tokens;
        self.traces_cut += later.traces_cut;
        self.tree_tokens += later.tree_tokens;
        self.unshared_tokens += later.unshared_tokens;
        self.grad_norm = self.grad_norm.max(later.grad_norm);
        self.refused.extend(later.refused.iter().cloned());
        self.reasoning_logprob = self.reasoning_logprob.or(later.reasoning_logprob);
        self.calls_logprob = self.calls_logprob.or(later.calls_logprob);
        self.answer_logprob = self.answer_logprob.or(later.answer_logprob);
        self.sampler_gap = self.sampler_gap.or(later.sampler_gap);
        self.kl = self.kl.or(later.kl);
        self.importance = self.importance.or(later.importance);
        self.entropy = self.entropy.or(later.entropy);
        self.trace_tokens = self.trace_tokens.or(later.trace_tokens);
        if first {
            self.lift = later.lift;
        }
    }
}

/// A sum and the count of what was summed.
#[derive(Clone, Copy, Default)]
struct Sum(f64, usize);

impl Sum {
    fn add(&mut self, value: f64) {
        *self = Self(self.0 + value, self.1 + 1);
    }

    fn mean(sums: impl Iterator<Item = Self>) -> Option<f64> {
        let Self(sum, count) =
            sums.fold(Self::default(), |all, it| Self(all.0 + it.0, all.1 + it.1));
        (count > 0).then(|| sum / count as f64)
    }
}

/// What one sample adds to an [`Update`].
#[derive(Default)]
struct Tally {
    loss_rollouts: f64,
    loss_trace: f64,
    clipped: Clipped,
    conditioned: bool,
    reasoning: Sum,
    calls: Sum,
    answers: Sum,
    entropy: Sum,
    kl: Sum,
    importance: Sum,
    gap: Option<f64>,
    /// Whether some log-probability is not finite.
    unscored: bool,
    /// Episodes, by their places in the group, or the trace, whose loss is not finite.
    lossless: Vec<Option<usize>>,
    /// Under the trace, under the prompt, advantage: of rollouts that have both.
    lift: [Vec<f32>; 3],
    rescored: Vec<Rescored>,
}

impl Tally {
    fn add_loss_of_trace(&mut self, loss: f64) {
        self.loss_trace += loss;
        if !loss.is_finite() {
            self.lossless.push(None);
        }
    }
}

impl Learner {
    /// A learner of what is trained of `model`.
    pub fn new(model: &Model, optimizer: OptimizerConfig, keep: Keep) -> Result<Self, ModelError> {
        Ok(Self {
            optimizer: model.optimizer(optimizer)?,
            activity: Activity::default(),
            keep,
            buffers: Buffers::default(),
            gradient: model.gradient()?,
        })
    }

    /// Scores, evaluates the objective, differentiates and steps.
    pub fn update(
        &mut self,
        model: &mut Model,
        batch: &Batch,
        fixed: Fixed<'_>,
        rate: f32,
    ) -> Result<Update, ModelError> {
        let tallies = self.gradient(model, batch, fixed)?;
        let losses = losses_not_finite(batch, &tallies);
        let (grad_norm, applied) = match losses.is_empty() {
            true => {
                let stats = model.step(&mut self.optimizer, &self.gradient, rate)?;
                (f64::from(stats.grad_norm), stats.applied)
            }
            false => (model.gradient_norm(&self.gradient)?, false),
        };
        let refusal = (!applied).then(|| Refusal {
            what: match losses.is_empty() {
                _ if tallies.iter().any(|tally| tally.unscored) => NotFinite::LogProbabilities,
                false => NotFinite::Loss,
                true => NotFinite::Gradient,
            },
            grad_norm,
            losses,
        });
        Ok(summary(batch, tallies, grad_norm, refusal))
    }

    /// Log-probabilities of every sample's targets under the weights as they are.
    pub fn score(&mut self, model: &Model, batch: &Batch) -> Result<Vec<Vec<f32>>, ModelError> {
        let mut all = Vec::with_capacity(batch.samples.len());
        for range in forests(&batch.samples) {
            let forest = Forest::new(&batch.samples[range]);
            let (tree, targets) = (&forest.tree, &forest.targets);
            let pass = model.forward(tree, targets, Keep::Nothing, &self.buffers)?;
            all.extend((forest.places.iter()).map(|place| pass.logprobs[place.clone()].to_vec()));
        }
        Ok(all)
    }

    /// Leaves the batch's gradient in `self.gradient`.
    fn gradient(
        &mut self,
        model: &Model,
        batch: &Batch,
        fixed: Fixed<'_>,
    ) -> Result<Vec<Tally>, ModelError> {
        self.gradient.clear()?;
        let mut tallies = Vec::with_capacity(batch.samples.len());
        for range in forests(&batch.samples) {
            let samples = &batch.samples[range.clone()];
            let forest = Forest::new(samples);
            let (tree, targets) = (&forest.tree, &forest.targets);
            let pass = model.forward(tree, targets, self.keep, &self.buffers)?;
            let mut coefficients = Vec::with_capacity(targets.len());
            for ((i, sample), place) in range.zip(samples).zip(&forest.places) {
                let scored = Scored {
                    logprobs: &pass.logprobs[place.clone()],
                    entropies: &pass.entropies[place.clone()],
                    old: fixed.old.map(|old| &old[i][..]),
                    reference: fixed.reference.map(|reference| &reference[i][..]),
                };
                let (stream, tally) = evaluate(batch, sample, scored);
                let logprobs = stream.coefficients().into_iter();
                let entropies = stream.entropy_coefficients().into_iter();
                let pairs = logprobs.zip(entropies);
                coefficients
                    .extend(pairs.map(|(logprob, entropy)| Coefficient { logprob, entropy }));
                tallies.push(tally);
            }
            pass.backward(&coefficients, &mut self.gradient)?;
            self.activity.advance();
        }
        Ok(tallies)
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

/// What the model says of one sample's targets, what it said before the first update if that
/// was scored, and what the reference says.
#[derive(Clone, Copy)]
struct Scored<'a> {
    logprobs: &'a [f32],
    entropies: &'a [f32],
    old: Option<&'a [f32]>,
    reference: Option<&'a [f32]>,
}

fn gather(from: &[f32], places: &[usize]) -> Vec<f32> {
    places.iter().map(|&place| from[place]).collect()
}

/// The objectives of one sample, summed into one stream over its targets.
fn evaluate(batch: &Batch, sample: &Sample, scored: Scored<'_>) -> (Stream, Tally) {
    let mut stream = Stream::new(sample.targets.len());
    let mut tally = Tally {
        conditioned: sample.rollouts.conditioned,
        unscored: !scored.logprobs.iter().all(|logprob| logprob.is_finite()),
        ..Tally::default()
    };
    if let Some(push) = &batch.recipe.rollouts {
        for number in 0..sample.rollouts.episodes.len() {
            push_episode(batch, push, sample, number, scored, &mut stream, &mut tally);
        }
    }
    match batch.recipe.imitation {
        Some(Imitation::Likelihood { sft, by }) => {
            let (tokens, counts) = (&sample.imitation.tokens, batch.target_counts);
            let weights = component_weights(tokens, counts, &sft, batch.recipe.progress);
            imitate(sample, &weights, by, scored, &mut stream, &mut tally);
        }
        Some(Imitation::Hint { weight }) => {
            let share = weight / batch.target_counts.total().max(1) as f64;
            let weights = vec![share as f32; sample.imitation.tokens.len()];
            imitate(
                sample,
                &weights,
                TokenWeight::None,
                scored,
                &mut stream,
                &mut tally,
            );
        }
        Some(Imitation::OffPolicy { gamma }) => {
            push_trace(batch, sample, gamma, scored, &mut stream, &mut tally);
        }
        None => {}
    }
    (stream, tally)
}

/// One rollout, the `number`-th that has tokens: its surrogate, its divergence from the
/// reference, its entropy.
fn push_episode(
    batch: &Batch,
    push: &Push,
    sample: &Sample,
    number: usize,
    scored: Scored<'_>,
    stream: &mut Stream,
    tally: &mut Tally,
) {
    let rollouts = &sample.rollouts;
    let episode = &rollouts.episodes[number];
    let places = &rollouts.places[episode.clone()];
    let sampled = &rollouts.sampled[episode.clone()];
    let now = gather(scored.logprobs, places);
    let before = scored.old.unwrap_or(scored.logprobs);
    let old = match push.context {
        Context::Trace {
            ratio_old: RatioOld::Prompt,
            ..
        } if rollouts.conditioned => sampled.to_vec(),
        _ => gather(before, places),
    };
    let mut advantages = rollouts.advantages[episode.clone()].to_vec();
    let taught = rollouts.taught.get(episode.clone());
    if let (Context::Teacher { limit }, Some(taught)) = (push.context, taught) {
        advantages = distillation_advantages(&gather(before, taught), &old, limit);
    }
    if push.importance.correction != Correction::None && !rollouts.conditioned {
        let it = push.importance;
        let low = match it.correction {
            Correction::Mask => it.low,
            Correction::None | Correction::Truncate => 0.0,
        };
        let weights = importance_weights(&old, sampled, it.correction, it.level, low, it.high);
        for (advantage, weight) in advantages.iter_mut().zip(weights) {
            *advantage *= weight;
            tally.importance.add(f64::from(weight));
        }
    }

    let surrogate = policy_loss(push.loss, &now, &old, &advantages);
    let counts = batch.rollout_counts;
    let share = push.weight * (push.aggregate).share(places.len(), counts, push.longest);
    stream.add(places, surrogate.loss, &surrogate.coefficients, share);
    tally.loss_rollouts += share * surrogate.loss;
    tally.clipped.absorb(Clipped {
        tokens: places.len(),
        clipped: surrogate.clipped,
    });
    let mut loss = share * surrogate.loss;
    if let Some(reference) = scored.reference {
        let kl = kl_penalty(push.kl_estimator, &now, &gather(reference, places));
        stream.add(places, kl.loss, &kl.coefficients, share * push.kl);
        tally.kl = Sum(tally.kl.0 + kl.loss, tally.kl.1 + places.len());
        loss += share * push.kl * kl.loss;
    }
    if !loss.is_finite() {
        tally.lossless.push(Some(rollouts.numbers[number]));
    }
    let entropies = gather(scored.entropies, places);
    if push.entropy > 0.0 {
        stream.reward_entropy(places, &entropies, share * push.entropy);
    }
    (entropies.iter()).for_each(|&entropy| tally.entropy.add(f64::from(entropy)));

    let rescored = |logprobs| Rescored {
        example: sample.example,
        episode: rollouts.numbers[number],
        logprobs,
    };
    if let Some(taught) = taught {
        let taught = gather(scored.logprobs, taught);
        extend_lift(&mut tally.lift, &taught, &now, &advantages);
        tally.rescored.push(rescored(taught));
    } else if rollouts.conditioned {
        let credited = &rollouts.advantages[episode.clone()];
        extend_lift(&mut tally.lift, &now, sampled, credited);
        tally.rescored.push(rescored(now));
        return;
    }
    let gaps = (now.iter().zip(sampled)).map(|(now, sampled)| f64::from((now - sampled).abs()));
    tally.gap = tally.gap.into_iter().chain(gaps).reduce(f64::max);
}

fn extend_lift(lift: &mut [Vec<f32>; 3], trace: &[f32], prompt: &[f32], advantages: &[f32]) {
    for (all, more) in lift.iter_mut().zip([trace, prompt, advantages]) {
        all.extend_from_slice(more);
    }
}

/// The trace's weighted likelihood, and how likely it is by component.
fn imitate(
    sample: &Sample,
    weights: &[f32],
    by: TokenWeight,
    scored: Scored<'_>,
    stream: &mut Stream,
    tally: &mut Tally,
) {
    let imitation = &sample.imitation;
    let logprobs = gather(scored.logprobs, &imitation.places);
    let likelihood = reweighted_nll(&logprobs, weights, by);
    let (loss, coefficients) = (likelihood.loss, &likelihood.coefficients);
    stream.add(&imitation.places, loss, coefficients, 1.0);
    tally.add_loss_of_trace(loss);
    for (&logprob, token) in logprobs.iter().zip(&imitation.tokens) {
        let sum = match token.component {
            Target::Reasoning => &mut tally.reasoning,
            Target::Call => &mut tally.calls,
            Target::Answer => &mut tally.answers,
        };
        sum.add(f64::from(logprob));
    }
}

/// The trace as a member of its group.
fn push_trace(
    batch: &Batch,
    sample: &Sample,
    gamma: f64,
    scored: Scored<'_>,
    stream: &mut Stream,
    tally: &mut Tally,
) {
    let (places, advantage) = (&sample.off_policy.places, sample.off_policy.advantage);
    let Some(push) = batch.recipe.rollouts.filter(|_| !places.is_empty()) else {
        return;
    };
    let now = gather(scored.logprobs, places);
    let advantages = vec![advantage; now.len()];
    let surrogate = policy_loss(PolicyLoss::Shaped { gamma }, &now, &now, &advantages);
    let counts = batch.rollout_counts;
    let share = push.weight * (push.aggregate).share(places.len(), counts, push.longest);
    stream.add(places, surrogate.loss, &surrogate.coefficients, share);
    tally.add_loss_of_trace(share * surrogate.loss);
}

/// Whose losses are not finite.
fn losses_not_finite(batch: &Batch, tallies: &[Tally]) -> Vec<(usize, Option<usize>)> {
    let pairs = batch.samples.iter().zip(tallies);
    let of_sample = |(sample, tally): (&Sample, &Tally)| -> Vec<_> {
        let parts = tally.lossless.iter();
        parts.map(|part| (sample.example, *part)).collect()
    };
    pairs.flat_map(of_sample).collect()
}

fn summary(
    batch: &Batch,
    mut tallies: Vec<Tally>,
    grad_norm: f64,
    refusal: Option<Refusal>,
) -> Update {
    let rescored = tallies
        .iter_mut()
        .flat_map(|it| std::mem::take(&mut it.rescored));
    let rescored = rescored.collect();
    let mean = |of: fn(&Tally) -> Sum| Sum::mean(tallies.iter().map(of));
    let clipped = |conditioned: bool| {
        let mut sum = Clipped::default();
        let of_context = tallies
            .iter()
            .filter(|tally| tally.conditioned == conditioned);
        of_context.for_each(|tally| sum.absorb(tally.clipped));
        sum
    };
    let lift = [0, 1, 2].map(|i| -> Vec<f32> {
        let all = tallies.iter().flat_map(|tally| &tally.lift[i]);
        all.copied().collect()
    });
    let samples = || batch.samples.iter();
    let traced = samples().filter(|sample| sample.trace_tokens > 0);
    Update {
        loss_rollouts: tallies.iter().map(|tally| tally.loss_rollouts).sum(),
        loss_trace: tallies.iter().map(|tally| tally.loss_trace).sum(),
        under_prompt: clipped(false),
        under_trace: clipped(true),
        epochs: Vec::new(),
        target_tokens: batch.target_counts.total(),
        reasoning_logprob: mean(|tally| tally.reasoning),
        calls_logprob: mean(|tally| tally.calls),
        answer_logprob: mean(|tally| tally.answers),
        lift: trace_lift(&lift[0], &lift[1], &lift[2]),
        rescored,
        sampler_gap: tallies
            .iter()
            .filter_map(|tally| tally.gap)
            .reduce(f64::max),
        kl: mean(|tally| tally.kl),
        importance: mean(|tally| tally.importance),
        entropy: mean(|tally| tally.entropy),
        trace_tokens: Sum::mean(traced.map(|sample| Sum(sample.trace_tokens as f64, 1))),
        traces_cut: samples().filter(|sample| sample.trace_cut).count(),
        tree_tokens: samples().map(|sample| sample.tree.len()).sum(),
        unshared_tokens: samples().map(|sample| sample.unshared_tokens).sum(),
        grad_norm,
        refused: refusal.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests;
