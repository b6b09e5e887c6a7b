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

fn advantages(group: &Group) -> Vec<Option<Vec<f32>>> {
    let authored = |episode: &episode::Episode| {
        let authors = episode.segments.iter().flat_map(|segment| &segment.authors);
        authors.filter(|author| **author == Author::Policy).count()
    };
    (group.episodes.iter())
        .map(|episode| Some(vec![episode.score.reward as f32 - 1.0; authored(episode)]))
        .collect()
}

/// Four tasks: two under the trace, two anchored.
fn batch(chat: &Chat) -> (Batch, Vec<Group>) {
    batch_of(
        chat,
        &objective::Config::default(),
        &crate::Trace::default(),
    )
}

fn batch_of(chat: &Chat, config: &objective::Config, trace: &crate::Trace) -> (Batch, Vec<Group>) {
    let world = world::generate(&world::Config {
        tasks: 4,
        ..world::Config::default()
    });
    let groups = groups(chat, &world);
    let examples: Vec<_> = (world.suite.tasks().iter().zip(&world.traces).zip(&groups))
        .enumerate()
        .map(|(i, ((task, trace), group))| Example {
            group: Some(group),
            advantages: advantages(group),
            trace_advantage: 0.5,
            anchored: i % 2 == 0,
            hint_turns: 1,
            ..Example::of_trace(task, trace)
        })
        .collect();
    let recipe = config.recipe(1, 2, 600);
    let batch = Batch::build(chat, &examples, trace, &recipe).expect("a batch");
    (batch, groups)
}

fn chat() -> Chat {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../base");
    Chat::load(&base, chat::Config::default()).expect("the base's tokenizer loads")
}

fn learner(model: &Model) -> Learner {
    Learner::new(model, OptimizerConfig::default(), Keep::All).expect("there is room")
}

/// The gradient of a batch.
fn numbers(learner: &mut Learner, model: &Model, batch: &Batch, fixed: Fixed<'_>) -> Vec<f32> {
    (learner.gradient(model, batch, fixed)).expect("there is room");
    let numbers = learner.gradient.numbers().expect("they are here");
    numbers.into_owned()
}

fn gradient(model: &Model, batch: &Batch, old: Option<&[Vec<f32>]>) -> Vec<f32> {
    let mut learner = learner(model);
    let fixed = Fixed {
        old,
        reference: None,
    };
    numbers(&mut learner, model, batch, fixed)
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
    let old = (learner(&model).score(&model, &batch)).expect("there is room");
    // Were any ratio not exactly 1, its coefficient would differ.
    assert!(gradient(&model, &batch, Some(&old)) == gradient(&model, &batch, None));
    // Nor does it matter what a sample is scored beside.
    for (sample, old) in batch.samples.into_iter().zip(old) {
        let alone = Batch {
            samples: vec![sample],
            ..Batch::default()
        };
        let again = (learner(&model).score(&model, &alone)).expect("there is room");
        assert!(again == [old]);
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
        let buffers = &Buffers::default();
        let targets = [tree.len() - 1];
        let pass = (model.forward(&tree, &targets, Keep::Nothing, buffers)).expect("there is room");
        pass.logprobs[0]
    };
    let segment = &groups[0].episodes[0].segments[0];
    let observed = (segment.authors.iter()).position(|author| *author == Author::Tool);
    let mut tokens = segment.tokens.clone();
    let before = last_logprob(&tokens);
    tokens[observed.expect("a tool answered")] += 1;
    assert_ne!(last_logprob(&tokens), before);
}

/// The gradient of a batch by a config's first step, and the losses.
fn learned(config: &objective::Config, trace: &crate::Trace) -> (Vec<f32>, Update) {
    let chat = chat();
    let mut model = model(&chat);
    let (batch, _) = batch_of(&chat, config, trace);
    let mut learner = learner(&model);
    let gradient = numbers(&mut learner, &model, &batch, Fixed::default());
    let update = learner.update(&mut model, &batch, Fixed::default(), 1.0);
    (gradient, update.expect("there is room"))
}

fn config(text: &str) -> objective::Config {
    let config: objective::Config = toml::from_str(text).expect("known keys");
    assert_eq!(config.check(), Ok(()), "{text}");
    config
}

fn same(a: &[f32], b: &[f32]) -> bool {
    let largest = a.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    assert!(largest > 0.0, "something is learned");
    a.iter()
        .zip(b)
        .all(|(a, b)| (a - b).abs() <= 1e-5 * largest)
}

#[test]
fn pact_always_anchored_and_without_imitation_is_grpo() {
    let trace = crate::Trace::default();
    for aggregate in ["token", "sequence", "length"] {
        let of = |text: &str| {
            let text = format!("{text}\naggregate = \"{aggregate}\"");
            learned(&config(&text), &trace).0
        };
        // The batch's own marks are overruled: with q = 1 every prompt is anchored.
        let pact = {
            let chat = chat();
            let model = model(&chat);
            let text = format!("anchor = 1.0\nsft.weight = 0.0\naggregate = \"{aggregate}\"");
            let (mut batch, _) = batch_of(&chat, &config(&text), &trace);
            let (grpo, _) = batch_of(&chat, &config("algorithm = \"grpo\""), &trace);
            batch.samples = grpo.samples;
            batch.rollout_counts = grpo.rollout_counts;
            gradient(&model, &batch, None)
        };
        assert!(same(&pact, &of("algorithm = \"grpo\"")), "{aggregate}");
    }
}

#[test]
fn chord_with_a_share_of_one_is_imitation() {
    let trace = crate::Trace::default();
    let chord = config("algorithm = \"chord-mu\"\nchord = { peak = 1.0, valley = 1.0 }");
    let sft = config("algorithm = \"sft\"");
    assert!(same(&learned(&chord, &trace).0, &learned(&sft, &trace).0));
}

#[test]
fn without_advantage_a_reference_or_imitation_nothing_moves() {
    let chat = chat();
    let model = model(&chat);
    let (mut batch, _) = batch_of(
        &chat,
        &config("algorithm = \"grpo\""),
        &crate::Trace::default(),
    );
    for sample in &mut batch.samples {
        sample.rollouts.advantages.fill(0.0);
    }
    assert!(gradient(&model, &batch, None).iter().all(|g| *g == 0.0));
}

#[test]
fn where_the_trace_stands_changes_the_context_and_not_what_is_imitated() {
    let pact = objective::Config::default();
    let of = |place: &str| {
        let trace: crate::Trace = toml::from_str(place).expect("known keys");
        learned(&pact, &trace)
    };
    let (turns, whole) = of("");
    for place in [
        "place = \"system\"",
        "place = \"user\"",
        "observations = false",
        "reasoning = false",
        "place = \"user\"\ntemplate = \"{{ answer }}\"",
    ] {
        let (gradient, update) = of(place);
        assert!(!same(&turns, &gradient), "{place}");
        let calls = [&update, &whole].map(|it| it.calls_logprob.expect("traces call"));
        assert!((calls[0] - calls[1]).abs() < 1e-5, "{place}");
        assert_eq!(update.target_tokens, whole.target_tokens, "{place}");
    }
    // Only in turns does the trace lie on the rollouts' path: elsewhere it is computed again.
    let (_, system) = of("place = \"system\"");
    assert!(whole.tree_tokens < system.tree_tokens);
}

#[test]
fn reasoning_beyond_the_annealing_is_masked_or_gone() {
    let of = |beyond: &str| {
        let text = format!(
            "algorithm = \"component-sft\"\nsft.reasoning = {{ beyond = \"{beyond}\", from = 0.4, \
             to = 0.4 }}"
        );
        learned(&config(&text), &crate::Trace::default()).1
    };
    let (mask, drop) = (of("mask"), of("drop"));
    assert!(drop.trace_tokens <= mask.trace_tokens);
    let none = "algorithm = \"component-sft\"\nsft.reasoning = { beyond = \"drop\", from = 0.0, to = 0.0 }";
    let none = learned(&config(none), &crate::Trace::default()).1;
    assert!(none.trace_tokens < mask.trace_tokens);
}

#[test]
fn a_trace_that_is_too_long_loses_its_end_and_is_counted() {
    let trace = crate::Trace {
        max_tokens: 60,
        ..crate::Trace::default()
    };
    let (_, update) = learned(&config("algorithm = \"sft\""), &trace);
    assert!(update.traces_cut > 0);
    assert!(update.trace_tokens.expect("traces") <= 60.0);
}

#[test]
fn a_teachers_word_counts_for_every_token() {
    let distillation = config("algorithm = \"self-distillation\"");
    let (gradient, update) = learned(&distillation, &crate::Trace::default());
    assert!(gradient.iter().any(|g| *g != 0.0));
    // Scored twice, pushed once, under the prompt.
    assert!(update.lift.privilege_gap.is_some());
    assert_eq!(update.under_trace.tokens, 0);
}

#[test]
fn entropy_and_a_reference_have_their_own_gradient() {
    let chat = chat();
    let model = model(&chat);
    let text = "algorithm = \"grpo\"\nentropy = 0.5\nkl = { weight = 0.5, estimator = \"k2\" }";
    let (mut batch, _) = batch_of(&chat, &config(text), &crate::Trace::default());
    for sample in &mut batch.samples {
        sample.rollouts.advantages.fill(0.0);
    }
    let with = |shift: f32| {
        let mut learner = learner(&model);
        let mut reference = learner.score(&model, &batch).expect("there is room");
        reference
            .iter_mut()
            .flatten()
            .for_each(|logprob| *logprob += shift);
        let fixed = Fixed {
            old: None,
            reference: Some(&reference),
        };
        numbers(&mut learner, &model, &batch, fixed)
    };
    // The reference is the policy: only entropy pushes. Then both do.
    let (entropy, both) = (with(0.0), with(1.0));
    assert!(entropy.iter().any(|g| *g != 0.0));
    assert!(!same(&entropy, &both));
}
