//! Every formula against `fixtures/objectives`, which PyTorch's autograd wrote: each loss and
//! derivative alone, and each algorithm's whole loss after its aggregation.

use objective::{
    Clip, Correction, Estimator, KlEstimator, Level, Likelihood, Mu, Outcome, PolicyLoss,
    Surrogate, TokenWeight, advantages, distillation_advantages, hint_chunks, importance_weights,
    kl_penalty, off_policy_advantage, overlong_penalty, policy_loss, reweighted_nll,
};
use serde_json::Value;

/// `[groups][rollouts][tokens]`.
type Nested<T> = Vec<Vec<Vec<T>>>;

#[derive(serde::Deserialize)]
struct Rollout {
    reward: f64,
    turn_rewards: Vec<f64>,
    turn_tokens: Vec<usize>,
    logprobs: Vec<f32>,
    old: Vec<f32>,
    reference: Vec<f32>,
    sampler: Vec<f32>,
    teacher: Vec<f32>,
}

/// An expert's tokens: 0 is context, 1 reasoning, 2 a call.
#[derive(serde::Deserialize)]
struct Expert {
    reward: f64,
    labels: Vec<u8>,
    logprobs: Vec<f32>,
}

#[derive(serde::Deserialize)]
struct Group {
    rollouts: Vec<Rollout>,
    trace: Option<Expert>,
}

struct Batch {
    name: String,
    groups: Vec<Group>,
    golden: Value,
}

impl Batch {
    fn outcomes(&self) -> Vec<Vec<Outcome>> {
        self.map(|r| Outcome {
            reward: r.reward,
            turn_rewards: r.turn_rewards.clone(),
            turn_tokens: r.turn_tokens.clone(),
        })
    }

    /// `[groups][rollouts]`, from each rollout.
    fn map<T>(&self, of: impl Fn(&Rollout) -> T) -> Vec<Vec<T>> {
        let of_group = |g: &Group| g.rollouts.iter().map(&of).collect();
        self.groups.iter().map(of_group).collect()
    }

    fn traces(&self) -> impl Iterator<Item = (usize, &Expert)> {
        let groups = self.groups.iter().enumerate();
        groups.filter_map(|(g, group)| Some((g, group.trace.as_ref()?)))
    }

    fn rollouts(&self) -> usize {
        self.groups.iter().map(|g| g.rollouts.len()).sum()
    }

    fn sampled_tokens(&self) -> usize {
        self.map(|r| r.logprobs.len()).iter().flatten().sum()
    }

    fn targets(&self, is_target: impl Fn(u8) -> bool) -> usize {
        let labels = self.traces().flat_map(|(_, trace)| &trace.labels);
        labels.filter(|l| is_target(**l)).count()
    }
}

fn golden() -> Value {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fixtures/objectives/golden.json"
    );
    let text = std::fs::read_to_string(path).expect("the fixture is committed");
    serde_json::from_str(&text).expect("the fixture is JSON")
}

fn batches() -> Vec<Batch> {
    let of = |golden: &Value| Batch {
        name: parse(&golden["name"]),
        groups: parse(&golden["groups"]),
        golden: golden.clone(),
    };
    let batches: Vec<Batch> = list(&golden()["batches"], 3).iter().map(of).collect();
    batches
}

/// A list of as many cases as the fixture has, so that none is lost unseen.
fn list(value: &Value, length: usize) -> &[Value] {
    let list = value.as_array().expect("a list");
    assert_eq!(list.len(), length);
    list
}

fn parse<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).expect("a value of the fixture's form")
}

fn number(value: &Value) -> f64 {
    parse(value)
}

/// A relative 1e-5, and for what all but cancels an absolute 1e-9.
fn assert_close(found: f64, expected: f64, case: &str) {
    let tolerance = 1e-5 * expected.abs() + 1e-9;
    assert!(
        (found - expected).abs() <= tolerance,
        "{case}: found {found}, expected {expected}"
    );
}

fn assert_row_close(found: &[f32], expected: &[f64], case: &str) {
    assert_eq!(found.len(), expected.len(), "{case}: tokens");
    for (t, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_close(f64::from(*found), *expected, &format!("{case}, token {t}"));
    }
}

fn assert_all_close(found: &[Vec<Vec<f32>>], expected: &Value, case: &str) {
    let expected: Nested<f64> = parse(expected);
    assert_eq!(found.len(), expected.len(), "{case}: groups");
    for (g, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found.len(), expected.len(), "{case}, group {g}: rollouts");
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert_row_close(found, expected, &format!("{case}, group {g}, rollout {i}"));
        }
    }
}

/// The name and the fields of an externally tagged value.
fn tagged(value: &Value) -> (&str, &Value) {
    let map = value.as_object().expect("a tagged value");
    let (name, fields) = map.iter().next().expect("a tag");
    (name, fields)
}

fn estimator(value: &Value) -> Estimator {
    let (name, fields) = tagged(value);
    match name {
        "group" => Estimator::Group {
            normalise: parse(&fields["normalise"]),
        },
        "leave-one-out" => Estimator::LeaveOneOut,
        "batch" => Estimator::Batch {
            baseline: parse(&fields["baseline"]),
            discount: parse(&fields["discount"]),
        },
        "turns" => Estimator::Turns {
            discount: parse(&fields["discount"]),
        },
        "kept" => Estimator::Kept {
            threshold: parse(&fields["threshold"]),
        },
        other => panic!("an estimator of the fixture that this test does not know: {other}"),
    }
}

fn loss(value: &Value) -> PolicyLoss {
    let (name, fields) = tagged(value);
    let clip = || Clip {
        low: parse(&fields["low"]),
        high: parse(&fields["high"]),
    };
    match name {
        "clipped" => PolicyLoss::Clipped {
            clip: clip(),
            dual: parse(&fields["dual"]),
        },
        "sequence" => PolicyLoss::Sequence { clip: clip() },
        "cispo" => PolicyLoss::Cispo { clip: clip() },
        "ratio" => PolicyLoss::Ratio,
        "likelihood" => PolicyLoss::Likelihood,
        "shaped" => PolicyLoss::Shaped {
            gamma: parse(&fields["gamma"]),
        },
        other => panic!("a loss of the fixture that this test does not know: {other}"),
    }
}

fn weights(rollout: &Rollout, case: &Value) -> Vec<f32> {
    let correction: Correction = parse(&case["correction"]);
    let level: Level = parse(&case["level"]);
    let (low, high) = (number(&case["low"]), number(&case["high"]));
    importance_weights(&rollout.old, &rollout.sampler, correction, level, low, high)
}

#[test]
fn every_estimator_gives_the_references_advantages() {
    for batch in batches() {
        for case in list(&batch.golden["advantages"], 8) {
            let found = advantages(&batch.outcomes(), estimator(&case["estimator"]));
            let name = format!("{}, {}", batch.name, case["estimator"]);
            assert_all_close(&found, &case["expected"], &name);
        }
    }
}

#[test]
fn every_policy_loss_gives_the_references_loss_and_gradient() {
    for batch in batches() {
        let golden = &batch.golden["policy"];
        let advantages: Nested<f32> = parse(&golden["advantages"]);
        for case in list(&golden["cases"], 8) {
            let name = format!("{}, {}", batch.name, case["loss"]);
            let of_group = |(group, advantages): (&Group, &Vec<Vec<f32>>)| -> Vec<Surrogate> {
                let of_rollout = |(r, a): (&Rollout, &Vec<f32>)| {
                    policy_loss(loss(&case["loss"]), &r.logprobs, &r.old, a)
                };
                let rollouts = group.rollouts.iter().zip(advantages);
                rollouts.map(of_rollout).collect()
            };
            let groups = batch.groups.iter().zip(&advantages);
            let found: Vec<Vec<Surrogate>> = groups.map(of_group).collect();
            let sums: Vec<Vec<f64>> = parse(&case["sums"]);
            for (found, expected) in found.iter().flatten().zip(sums.iter().flatten()) {
                assert_close(found.loss, *expected, &name);
            }
            let coefficients: Nested<f32> = found
                .into_iter()
                .map(|group| group.into_iter().map(|s| s.coefficients).collect())
                .collect();
            assert_all_close(&coefficients, &case["gradient"], &name);
        }
    }
}

fn check_sum(batch: &Batch, case: &Value, of: impl Fn(&Rollout) -> Likelihood, name: &str) {
    let found = batch.map(of);
    let total: f64 = found.iter().flatten().map(|l| l.loss).sum();
    assert_close(total, number(&case["sum"]), name);
    let coefficients: Nested<f32> = found
        .into_iter()
        .map(|group| group.into_iter().map(|l| l.coefficients).collect())
        .collect();
    assert_all_close(&coefficients, &case["gradient"], name);
}

#[test]
fn every_penalty_and_likelihood_gives_the_references_sum_and_gradient() {
    for batch in batches() {
        for case in list(&batch.golden["kl"], 3) {
            let kind: KlEstimator = parse(&case["estimator"]);
            let of = |r: &Rollout| kl_penalty(kind, &r.logprobs, &r.reference);
            check_sum(&batch, case, of, &format!("{}, {kind:?}", batch.name));
        }
        for case in list(&batch.golden["nll"], 3) {
            let by: TokenWeight = parse(&case["by"]);
            let of = |r: &Rollout| reweighted_nll(&r.logprobs, &vec![1.0; r.logprobs.len()], by);
            check_sum(&batch, case, of, &format!("{}, {by:?}", batch.name));
        }
    }
}

#[test]
fn corrections_and_distillation_give_the_references_numbers() {
    for batch in batches() {
        for case in list(&batch.golden["importance"], 4) {
            let found = batch.map(|r| weights(r, case));
            let name = format!("{}, {} {}", batch.name, case["correction"], case["level"]);
            assert_all_close(&found, &case["expected"], &name);
        }
        let case = &batch.golden["distillation"];
        let limit = number(&case["limit"]);
        let found = batch.map(|r| distillation_advantages(&r.teacher, &r.logprobs, limit));
        assert_all_close(&found, &case["expected"], &batch.name);
    }
}

/// An algorithm's loss over a batch, and its derivative.
struct Whole {
    loss: f64,
    rollouts: Nested<f32>,
    /// `[groups][tokens of the trace]`
    traces: Vec<Vec<f32>>,
}

impl Whole {
    fn of(batch: &Batch, case: &Value) -> Self {
        let tokens = |g: &Group| vec![0.0; g.trace.as_ref().map_or(0, |t| t.labels.len())];
        let mut whole = Self {
            loss: 0.0,
            rollouts: batch.map(|r| vec![0.0; r.logprobs.len()]),
            traces: batch.groups.iter().map(tokens).collect(),
        };
        let mu = case.get("mu").map(number);
        if case.get("loss").is_some() {
            whole.add_policy(batch, case, 1.0 - mu.unwrap_or(0.0));
        }
        if let Some(expert) = case.get("expert") {
            whole.add_expert(batch, expert, mu.unwrap_or(1.0));
        }
        if case.get("off-policy").is_some() {
            whole.add_off_policy(batch, case);
        }
        whole
    }

    fn add_policy(&mut self, batch: &Batch, case: &Value, share: f64) {
        let advantages = rollout_advantages(batch, case);
        for (g, group) in batch.groups.iter().enumerate() {
            for (i, r) in group.rollouts.iter().enumerate() {
                let scale = share * aggregation(batch, case, r.logprobs.len());
                let advantages = &advantages[g][i];
                let pushed = policy_loss(loss(&case["loss"]), &r.logprobs, &r.old, advantages);
                self.loss += scale * pushed.loss;
                add(&mut self.rollouts[g][i], &pushed.coefficients, scale);
                if let Some(kl) = case.get("kl") {
                    let penalty = kl_penalty(parse(&kl["estimator"]), &r.logprobs, &r.reference);
                    let scale = scale * number(&kl["beta"]);
                    self.loss += scale * penalty.loss;
                    add(&mut self.rollouts[g][i], &penalty.coefficients, scale);
                }
            }
        }
    }

    fn add_expert(&mut self, batch: &Batch, expert: &Value, share: f64) {
        let weight = |label: u8| -> f64 {
            if expert.get("joint").is_some() {
                let targets = batch.targets(|l| l > 0).max(1) as f64;
                return if label > 0 { share / targets } else { 0.0 };
            }
            let scale = expert["scales"].get(label.to_string()).map_or(0.0, number);
            share * scale / batch.targets(|l| l == label).max(1) as f64
        };
        for (g, trace) in batch.traces() {
            let weights: Vec<f32> = trace.labels.iter().map(|l| weight(*l) as f32).collect();
            let found = reweighted_nll(&trace.logprobs, &weights, parse(&expert["by"]));
            self.loss += found.loss;
            add(&mut self.traces[g], &found.coefficients, 1.0);
        }
    }

    fn add_off_policy(&mut self, batch: &Batch, case: &Value) {
        let gamma = number(&case["off-policy"]["gamma"]);
        for (g, trace) in batch.traces() {
            let rollouts = &batch.groups[g].rollouts;
            let own: Vec<f64> = rollouts.iter().map(|r| r.reward).collect();
            let advantage = off_policy_advantage(trace.reward, &own) as f32;
            let of = |l: &u8| if *l > 0 { advantage } else { 0.0 };
            let advantages: Vec<f32> = trace.labels.iter().map(of).collect();
            let shaped = PolicyLoss::Shaped { gamma };
            let found = policy_loss(shaped, &trace.logprobs, &[], &advantages);
            let scale = aggregation(batch, case, trace.labels.len());
            self.loss += scale * found.loss;
            add(&mut self.traces[g], &found.coefficients, scale);
        }
    }
}

fn add(sums: &mut [f32], coefficients: &[f32], scale: f64) {
    assert_eq!(sums.len(), coefficients.len());
    for (sum, c) in sums.iter_mut().zip(coefficients) {
        *sum += (scale * f64::from(*c)) as f32;
    }
}

/// What the sum over a row of `tokens` tokens is multiplied with.
fn aggregation(batch: &Batch, case: &Value, tokens: usize) -> f64 {
    let rows = match case.get("off-policy") {
        Some(_) => batch.rollouts() + batch.traces().count(),
        None => batch.rollouts(),
    };
    match case["aggregation"].as_str() {
        Some("token-mean") => 1.0 / batch.sampled_tokens().max(1) as f64,
        Some("sequence-mean") => 1.0 / (rows * tokens.max(1)) as f64,
        Some("longest") => 1.0 / (number(&batch.golden["longest"]) * rows as f64),
        other => panic!("an aggregation of the fixture that this test does not know: {other:?}"),
    }
}

fn rollout_advantages(batch: &Batch, case: &Value) -> Nested<f32> {
    let mut found = match case.get("distillation") {
        Some(d) => {
            let limit = number(&d["limit"]);
            batch.map(|r| distillation_advantages(&r.teacher, &r.logprobs, limit))
        }
        None => advantages(&batch.outcomes(), estimator(&case["estimator"])),
    };
    if let Some(correction) = case.get("importance") {
        let weights = batch.map(|r| weights(r, correction));
        let weighted = found.iter_mut().flatten().flatten();
        for (advantage, weight) in weighted.zip(weights.iter().flatten().flatten()) {
            *advantage *= weight;
        }
    }
    found
}

#[test]
fn every_algorithms_whole_loss_and_gradient_are_the_references() {
    for batch in batches() {
        for case in list(&batch.golden["algorithms"], 17) {
            let found = Whole::of(&batch, case);
            let name = format!("{}, {}", batch.name, case["name"]);
            assert_close(found.loss, number(&case["total"]), &name);
            assert_all_close(&found.rollouts, &case["gradient"], &name);
            let expected: Vec<Vec<f64>> = parse(&case["expert-gradient"]);
            assert_eq!(found.traces.len(), expected.len(), "{name}: traces");
            for (g, (found, expected)) in found.traces.iter().zip(&expected).enumerate() {
                assert_row_close(found, expected, &format!("{name}, trace {g}"));
            }
        }
    }
}

#[test]
fn schedules_and_penalties_give_the_references_numbers() {
    let golden = golden();
    for case in list(&golden["mu"], 4) {
        let (warmup_steps, decay_steps, peak, valley) = parse(&case["schedule"]);
        let mu = Mu {
            warmup_steps,
            decay_steps,
            peak,
            valley,
        };
        let expected: Vec<f64> = parse(&case["expected"]);
        for (step, expected) in list(&case["steps"], expected.len()).iter().zip(expected) {
            assert_close(mu.at(parse(step)), expected, &format!("{mu:?} at {step}"));
        }
    }
    for case in list(&golden["hints"], 6) {
        let uniforms: Vec<f64> = parse(&case["uniforms"]);
        let found = hint_chunks(
            parse(&case["step"]),
            parse(&case["hint-steps"]),
            uniforms.len(),
            number(&case["low"]),
            number(&case["high"]),
            &uniforms,
        );
        assert_eq!(found, parse::<usize>(&case["expected"]), "{case}");
    }
    for case in list(&golden["overlong"], 8) {
        let size = |name: &str| parse::<usize>(&case[name]);
        let found = overlong_penalty(size("tokens"), size("longest"), size("cache"));
        assert_close(found, number(&case["expected"]), &case.to_string());
    }
}
