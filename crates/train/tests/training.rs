//! Whole runs of a tiny model on a few tasks of the tool world.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chat::Chat;
use env::{Suite, world};
use episode::{Author, Credit, Episode, EvaluationMode, RunRecord, Seed, Task};
use model::{Architecture, Model, init};
use objective::Algorithm;
use store::RealDisk;
use train::{Checkpoint, Parts, RunFolder, Settings, Source, TrainError, Trainer};

fn chat() -> Chat {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../base");
    Chat::load(&base, chat::Config::default()).expect("the base's tokenizer loads")
}

fn world(tasks: usize) -> world::World {
    world::generate(&world::Config {
        tasks,
        distractors: [1, 1],
        error_rate: 0.0,
        scenarios: [1.0, 0.0, 0.0, 0.0],
        ..world::Config::default()
    })
}

fn settings(algorithm: Algorithm, steps: u64) -> Settings {
    Settings {
        seed: Seed(3),
        train: train::Config {
            steps,
            prompts_per_step: 2,
            ..train::Config::default()
        },
        rollout: rollout::Config {
            group_size: 4,
            max_turns: Some(4),
            max_turn_tokens: 64,
            max_tokens: 512,
            ..rollout::Config::default()
        },
        reward: env::reward::Config::default(),
        trace: train::Trace::default(),
        objective: objective::Config {
            algorithm,
            ..objective::Config::default()
        },
        optimizer: model::OptimizerConfig {
            learning_rate: 1e-2,
            ..model::OptimizerConfig::default()
        },
        schedule: model::Schedule::default(),
        cache_bytes: None,
    }
}

fn parts(settings: Settings, tasks: usize) -> Parts {
    let chat = chat();
    let config = format!(
        r#"{{"model_type": "qwen3", "vocab_size": {}, "hidden_size": 64, "intermediate_size": 96,
            "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
            "head_dim": 32, "rms_norm_eps": 1e-6, "rope_theta": 1000.0,
            "tie_word_embeddings": true, "max_position_embeddings": 1024}}"#,
        chat.vocab_size()
    );
    let architecture =
        Architecture::from_json(&config, Path::new("config.json")).expect("a small decoder");
    let parameters = init(&architecture, 7);
    let world = world(tasks);
    Parts {
        settings,
        model: Model::new(architecture, parameters),
        reference: None,
        chat,
        source: Source::fixed(Arc::new(world.suite), world.traces, false),
        companions: Vec::new(),
        clock: Arc::new(|| Duration::ZERO),
        memory: Arc::new(|| None),
    }
}

fn new_folder(path: &Path) -> RunFolder {
    let record = RunRecord::default();
    RunFolder::create(Arc::new(RealDisk), path, "", &record).expect("a new folder")
}

/// The run in a folder as its last checkpoint left it, which was written after `step` steps.
fn resume(path: &Path, step: u64, parts: Parts) -> Result<Trainer, TrainError> {
    let latest = Checkpoint::latest(path)?.checkpoint.expect("a checkpoint");
    assert_eq!(latest.state.step, step);
    let folder = RunFolder::open(Arc::new(RealDisk), path)?;
    let (trainer, missing) =
        Trainer::resume(parts, folder, Some(&latest), "", &RunRecord::default())?;
    assert_eq!(missing, [""; 0]);
    Ok(trainer)
}

fn begin(folder: &Path, settings: Settings, tasks: usize) -> Trainer {
    let folder = new_folder(folder);
    Trainer::new(parts(settings, tasks), folder).expect("parts that fit")
}

fn train_to(trainer: &mut Trainer, step: u64) {
    while trainer.step < step {
        trainer.step().expect("a step");
    }
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).expect(name)
}

const STEPS: u64 = 150;

#[test]
fn a_tiny_model_learns_two_tasks_to_full_reward() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut settings = settings(Algorithm::Pact, STEPS);
    settings.optimizer.kind = model::OptimizerKind::Muon;
    settings.optimizer.learning_rate = 4e-3;
    settings.schedule.kind = model::ScheduleKind::Linear;
    // A random model cannot use a trace in its context: at the default it loses what it learns (LOG.md).
    settings.objective.anchor = 0.9;
    let mut trainer = begin(folder.path(), settings, 2);
    let world = world(2);
    let tasks: Vec<&Task> = world.suite.tasks().iter().collect();
    let f1 = |trainer: &Trainer| {
        let found = trainer.evaluate(&world.suite, &tasks, EvaluationMode::Greedy);
        found.expect("an evaluation").metrics["solve-f1"]
    };
    assert_eq!(f1(&trainer), 0.0, "a random model solves nothing");
    train_to(&mut trainer, STEPS);
    assert_eq!(f1(&trainer), 1.0);
}

#[test]
fn the_same_seed_gives_the_same_episodes_byte_for_byte() {
    let run = || {
        let folder = tempfile::tempdir().expect("a folder");
        let mut trainer = begin(folder.path(), settings(Algorithm::Pact, 4), 5);
        train_to(&mut trainer, 4);
        (
            read(folder.path(), "episodes.jsonl"),
            read(folder.path(), "metrics.jsonl"),
            trainer.model.weights.clone(),
        )
    };
    let (one, two) = (run(), run());
    assert!(one.0.lines().count() == 4 * 2 * 4);
    assert!(one == two);
}

#[test]
fn a_resumed_run_equals_an_unbroken_one() {
    let unbroken = tempfile::tempdir().expect("a folder");
    let mut whole = begin(unbroken.path(), settings(Algorithm::Pact, 6), 5);
    train_to(&mut whole, 6);

    let broken = tempfile::tempdir().expect("a folder");
    let mut first = begin(broken.path(), settings(Algorithm::Pact, 6), 5);
    train_to(&mut first, 3);
    first.checkpoint(false).expect("a checkpoint");
    train_to(&mut first, 5); // lost with the crash
    drop(first);

    let parts = parts(settings(Algorithm::Pact, 6), 5);
    let mut second = resume(broken.path(), 3, parts).expect("a run that goes on");
    train_to(&mut second, 6);

    assert!(whole.model.weights == second.model.weights);
    for name in ["episodes.jsonl", "metrics.jsonl", "traces.jsonl"] {
        assert_eq!(
            read(unbroken.path(), name),
            read(broken.path(), name),
            "{name}"
        );
    }
}

/// The parts of a run that trains an adapter.
fn parts_with_adapter(settings: Settings) -> Parts {
    let mut parts = parts(settings, 5);
    let config = model::LoraConfig {
        rank: 8,
        ..model::LoraConfig::default()
    };
    let adapter = model::Adapter::new(&config, &parts.model.architecture, "base", 1);
    let adapter = adapter.expect("a rank that fits");
    parts.model.attach(adapter).expect("its own base");
    parts
}

#[test]
fn an_adapter_learns_while_the_weights_stand_still_and_resumes_to_the_last_bit() {
    let run = |steps| {
        let mut settings = settings(Algorithm::ComponentSft, steps);
        settings.optimizer.learning_rate = 2e-2;
        settings
    };
    let unbroken = tempfile::tempdir().expect("a folder");
    let folder = new_folder(unbroken.path());
    let mut whole = Trainer::new(parts_with_adapter(run(20)), folder).expect("parts that fit");
    let before = whole.model.weights.clone();
    let first = whole.step().expect("a step").update.loss_trace;
    train_to(&mut whole, 10);
    whole.checkpoint(false).expect("a checkpoint");
    train_to(&mut whole, 19);
    let last = whole.step().expect("a step").update.loss_trace;
    assert!(last < 0.7 * first, "the loss went from {first} to {last}");
    assert!(whole.model.weights == before);

    let adapter = whole.model.adapter.take();
    drop(whole);
    let mut second =
        resume(unbroken.path(), 10, parts_with_adapter(run(20))).expect("a run that goes on");
    train_to(&mut second, 20);
    assert!(adapter == second.model.adapter);
    assert!(adapter.is_some());
    drop(second);

    let error = resume(unbroken.path(), 10, parts(run(20), 5)).err();
    let error = error.expect("all weights are trained now").to_string();
    assert!(
        error.contains("holds an adapter, but with these settings the run trains all weights"),
        "{error}"
    );
}

#[test]
fn the_first_inner_step_clips_nothing_and_the_sampler_agrees_with_the_trainer() {
    for algorithm in [Algorithm::Grpo, Algorithm::Pact] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut trainer = begin(folder.path(), settings(algorithm, 2), 5);
        let report = trainer.step().expect("a step");
        assert_eq!(report.metrics.get("clipped"), Some(0.0));
        if let Some(gap) = report.update.sampler_gap {
            assert!(gap < 1e-4, "sampler and trainer differ by {gap}");
        }
        assert!(report.update.tree_tokens < report.update.unshared_tokens);
    }
}

#[test]
fn several_updates_on_a_batch_take_the_old_logprobs_from_before_the_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut several = settings(Algorithm::Grpo, 2);
    several.train.inner_epochs = 3;
    several.train.mini_batches = 2;
    several.optimizer.learning_rate = 0.0;
    let mut trainer = begin(folder.path(), several, 5);
    let report = trainer.step().expect("a step");
    // Weights stand still, so every ratio stays exactly 1 in all six updates.
    assert_eq!(report.metrics.get("clipped"), Some(0.0));
    let once = tempfile::tempdir().expect("a folder");
    let mut one = settings(Algorithm::Grpo, 2);
    one.optimizer.learning_rate = 0.0;
    let single = begin(once.path(), one, 5).step().expect("a step").update;
    assert_eq!(report.update.sampled_tokens(), 3 * single.sampled_tokens());
    assert_eq!(report.update.epochs.len(), 3);
}

/// A line of `episodes.jsonl`.
#[derive(serde::Deserialize)]
struct Line {
    #[serde(flatten)]
    credit: Credit,
    #[serde(flatten)]
    episode: Episode,
}

#[test]
fn the_lift_of_every_recorded_token_is_the_lift_of_the_step() {
    let recorded = |mini_batches| {
        let folder = tempfile::tempdir().expect("a folder");
        let mut settings = settings(Algorithm::Pact, 2);
        settings.objective.anchor = 0.0;
        settings.optimizer.learning_rate = 0.0;
        settings.train.mini_batches = mini_batches;
        let mut trainer = begin(folder.path(), settings, 5);
        let report = trainer.step().expect("a step");
        trainer.step().expect("a step");
        let episodes = read(folder.path(), "episodes.jsonl");
        let traces = read(folder.path(), "traces.jsonl");
        (report.metrics.get("privilege-gap"), episodes, traces)
    };
    let (gap, episodes, traces) = recorded(1);
    let lines: Vec<Line> = (episodes.lines().take(2 * 4))
        .map(|line| serde_json::from_str(line).expect("an episode with its credit"))
        .collect();
    let mut lifts = Vec::new();
    for Line { credit, episode } in &lines {
        assert_eq!(credit.anchored, Some(false));
        assert_eq!(credit.advantages.len(), episode.turns.len());
        let segments = episode.segments.iter();
        let sampled: Vec<f32> = segments
            .flat_map(|of| {
                of.runs_of(Author::Policy)
                    .into_iter()
                    .map(|run| &of.logprobs[run])
            })
            .flatten()
            .copied()
            .collect();
        assert_eq!(credit.under_trace.len(), sampled.len());
        lifts.extend(
            credit
                .under_trace
                .iter()
                .zip(sampled)
                .map(|(z, x)| f64::from(z - x)),
        );
    }
    let mean = lifts.iter().sum::<f64>() / lifts.len() as f64;
    let gap = gap.expect("rollouts were scored under traces");
    assert!((mean - gap).abs() < 1e-6, "{mean}, not {gap}");
    // Five tasks, of which the second step may draw those of the first again.
    let tasks: Vec<&str> = (traces.lines().map(|line| line.split(r#""task":""#).nth(1)))
        .map(|rest| rest.expect("a task").split('"').next().expect("an id"))
        .collect();
    assert!((2..=4).contains(&tasks.len()));
    assert_eq!(
        BTreeSet::from_iter(&tasks).len(),
        tasks.len(),
        "each is written once"
    );
    assert_eq!(recorded(2).1, episodes, "however the batch is cut");
}

/// Every algorithm takes two steps on a few tasks, and everything that it writes down is
/// explained.
#[test]
fn every_algorithm_takes_its_steps_and_explains_its_numbers() {
    for algorithm in Algorithm::ALL {
        let folder = tempfile::tempdir().expect("a folder");
        let mut settings = settings(algorithm, 2);
        settings.train.inner_epochs = 2;
        settings.objective.resample.rounds = 2;
        settings.objective.kl.weight = algorithm.samples().then_some(0.01);
        let mut trainer = begin(folder.path(), settings, 5);
        for _ in 0..2 {
            let report = trainer.step().expect("a step");
            assert!(report.update.refused.is_empty(), "{}", algorithm.name());
        }
        for line in read(folder.path(), "metrics.jsonl").lines() {
            let line: std::collections::BTreeMap<String, f64> =
                serde_json::from_str(line).expect("a flat object of numbers");
            for name in line.keys() {
                assert!(train::describe(name).is_some(), "`{name}` has no text");
            }
            // Where no rollout is kept, none is measured.
            let is_pushed = line
                .get("sampled-tokens")
                .is_some_and(|tokens| *tokens > 0.0);
            assert_eq!(line.contains_key("kl"), is_pushed, "{}", algorithm.name());
        }
    }
}

#[test]
fn an_algorithm_that_imitates_begins_where_another_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut settings = settings(Algorithm::MatchTir, 3);
    settings.objective.sft_first_steps = 2;
    let mut trainer = begin(folder.path(), settings, 5);
    let rewards: Vec<_> = (0..3)
        .map(|_| trainer.step().expect("a step").metrics.get("reward"))
        .collect();
    assert_eq!((rewards[0], rewards[1]), (None, None));
    assert!(rewards[2].is_some());
}

#[test]
fn a_task_without_a_trace_stops_the_run_or_is_anchored() {
    use train::Missing;
    let parts_of = |algorithm, missing| {
        let mut settings = settings(algorithm, 1);
        settings.trace.missing = missing;
        let mut parts = parts(settings, 5);
        let mut world = world(5);
        world.traces.truncate(3);
        parts.source = Source::fixed(
            Arc::new(world.suite),
            world.traces,
            missing == Missing::Drop,
        );
        parts
    };
    let error = |algorithm, missing| match parts_of(algorithm, missing).check() {
        Ok(()) => String::new(),
        Err(error) => error.to_string(),
    };
    assert_eq!(
        error(Algorithm::Pact, Missing::Error),
        "2 of 5 tasks have no finished expert trace, which `pact` needs\n\
         hint: `--set trace.missing=anchor` scores their rollouts under the prompt alone, \
         `--set trace.missing=drop` leaves these tasks out"
    );
    assert_eq!(error(Algorithm::Pact, Missing::Anchor), "");
    assert_eq!(error(Algorithm::Pact, Missing::Drop), "");
    assert_eq!(error(Algorithm::Grpo, Missing::Error), "");
    for algorithm in [Algorithm::Sft, Algorithm::ToolRl, Algorithm::MatchTir] {
        let problem = error(algorithm, Missing::Anchor);
        assert!(problem.contains("trace.missing=drop"), "{problem}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let folder = new_folder(folder.path());
    let mut parts = parts_of(Algorithm::Pact, Missing::Anchor);
    parts.settings.train.prompts_per_step = 5;
    parts.settings.objective.anchor = 0.0;
    let mut trainer = Trainer::new(parts, folder).expect("parts that fit");
    let report = trainer.step().expect("a step");
    assert_eq!(report.metrics.get("anchored"), Some(0.4));
}

/// What was skipped, as the file's first line says, and how many episodes follow.
fn skipped(folder: &Path, step: u64) -> (episode::Skipped, usize) {
    let text = read(folder, &format!("skipped/step-{step:06}.jsonl"));
    let mut lines = text.lines();
    let first = lines.next().expect("why it was skipped");
    (
        serde_json::from_str(first).expect("a skipped step"),
        lines.count(),
    )
}

#[test]
fn a_step_whose_loss_is_not_finite_leaves_the_weights_and_is_kept_to_be_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut trainer = begin(folder.path(), settings(Algorithm::Pact, 9), 5);
    train_to(&mut trainer, 1);
    let before = trainer.model.weights.clone();
    let healthy = trainer.settings.objective;
    trainer.settings.objective.sft.weight = f64::INFINITY;
    let report = trainer.step().expect("one skipped step ends no run");
    assert_eq!(report.metrics.get("skipped"), Some(1.0));
    assert!(report.warnings.iter().any(|it| it.contains("was skipped")));
    assert!(trainer.model.weights == before);
    let (skipped, episodes) = skipped(folder.path(), 1);
    assert_eq!((skipped.step, skipped.tasks.len(), episodes), (1, 2, 2 * 4));
    let refused = &skipped.refused[0];
    assert_eq!(refused.what, episode::NotFinite::Loss);
    // Only the traces carry the weight that is infinite.
    let of_traces = refused.losses.iter().map(|it| (&it.task, it.sample));
    assert_eq!(
        of_traces.collect::<Vec<_>>(),
        skipped
            .tasks
            .iter()
            .map(|it| (it, None))
            .collect::<Vec<_>>()
    );
    trainer.settings.objective = healthy;
    let report = trainer.step().expect("a step");
    assert_eq!(report.metrics.get("skipped"), Some(0.0));
    assert!(trainer.model.weights != before);
}

/// A run of imitation whose first weight is no number.
fn begin_poisoned(folder: &Path, algorithm: Algorithm, max_skipped: u64) -> Trainer {
    let mut settings = settings(algorithm, 9);
    settings.train.max_skipped = max_skipped;
    let mut parts = parts(settings, 5);
    let masters = parts.model.weights.masters().expect("f32 weights").clone();
    let mut poisoned = masters;
    poisoned.data.fill(f32::NAN);
    parts.model.weights = poisoned.into();
    Trainer::new(parts, new_folder(folder)).expect("parts that fit")
}

/// Bits, since no NaN equals another.
fn bits(trainer: &Trainer) -> Vec<u32> {
    let masters = trainer.model.weights.masters().expect("f32 weights");
    masters.data.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn a_run_that_skips_too_many_steps_in_a_row_stops_and_counts_on_when_it_is_resumed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut trainer = begin(folder.path(), settings(Algorithm::ComponentSft, 9), 5);
    train_to(&mut trainer, 1);
    trainer.settings.train.max_skipped = 3;
    trainer.settings.objective.sft.weight = f64::NAN;
    train_to(&mut trainer, 3);
    trainer
        .checkpoint(false)
        .expect("the weights are as they were");
    let weights = bits(&trainer);
    drop(trainer);

    let mut again = settings(Algorithm::ComponentSft, 9);
    again.train.max_skipped = 3;
    again.objective.sft.weight = f64::NAN;
    let mut second = resume(folder.path(), 3, parts(again, 5)).expect("a run that goes on");
    let error = second.step().expect_err("the third in a row").to_string();
    assert!(
        error.starts_with(
            "3 steps in a row were skipped, the last of them step 3: the loss was not finite"
        ),
        "{error}"
    );
    assert!(error.contains("`optimizer.learning-rate`") && error.contains("--skipped 3"));
    assert_eq!(bits(&second), weights);
    assert_eq!(
        skipped(folder.path(), 3).1,
        0,
        "imitation rolls nothing out"
    );
}

#[test]
fn a_model_that_has_diverged_trains_nothing_samples_nothing_and_is_not_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut imitates = begin_poisoned(folder.path(), Algorithm::Sft, 0);
    let before = bits(&imitates);
    imitates.step().expect("a skipped step");
    assert_eq!(bits(&imitates), before);
    let refused = skipped(folder.path(), 0).0.refused.remove(0);
    assert_eq!(refused.what, episode::NotFinite::LogProbabilities);
    assert_eq!(refused.grad_norm, None);
    let error = imitates
        .checkpoint(false)
        .expect_err("no numbers")
        .to_string();
    assert!(error.contains("the weights are not finite"), "{error}");

    let folder = tempfile::tempdir().expect("a folder");
    let mut samples = begin_poisoned(folder.path(), Algorithm::Grpo, 0);
    let error = samples.step().expect_err("nothing to sample").to_string();
    assert!(error.contains("the model has diverged"), "{error}");
}

#[test]
fn a_run_whose_sampler_is_not_what_it_trains_stops() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut narrowed = settings(Algorithm::Grpo, 3);
    narrowed.rollout.top_k = 2;
    let mut trainer = begin(folder.path(), narrowed.clone(), 5);
    let error = trainer.step().expect_err("two of many tokens").to_string();
    assert!(
        error.contains("more than `train.sampler-gap-limit` = 1:"),
        "{error}"
    );
    let folder = tempfile::tempdir().expect("a folder");
    narrowed.train.sampler_gap_limit = 0.0;
    let report = begin(folder.path(), narrowed, 5).step().expect("no limit");
    assert!(report.metrics.get("sampler-gap").expect("a gap") > 1.0);
    assert!(
        report
            .warnings
            .iter()
            .any(|it| it.contains("sampler-gap-warning"))
    );
}

/// A suite whose tools the machine fails.
struct Unserved {
    world: world::WorldSuite,
    asked: std::sync::atomic::AtomicUsize,
    unserved: usize,
}

impl Suite for Unserved {
    fn name(&self) -> &'static str {
        "unserved"
    }

    fn tasks(&self) -> &[Task] {
        self.world.tasks()
    }

    fn open(&self, task: &Task) -> Box<dyn env::Environment> {
        self.asked
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.world.open(task)
    }

    fn health(&self) -> env::Health {
        let asked = self.asked.load(std::sync::atomic::Ordering::Relaxed);
        env::Health {
            asked,
            unserved: asked * self.unserved / 4,
            cause: Some("no more processes".into()),
            ..env::Health::default()
        }
    }

    fn is_instant(&self) -> bool {
        true
    }
}

#[test]
fn episodes_whose_tools_the_machine_failed_are_not_trained_on() {
    // Of four sessions of each step so many are not had.
    let begin = |folder: &Path, unserved| {
        let mut parts = parts(settings(Algorithm::Grpo, 3), 5);
        let world = world(5);
        let suite = Unserved {
            world: world.suite,
            asked: Default::default(),
            unserved,
        };
        parts.source = Source::fixed(Arc::new(suite), world.traces, false);
        Trainer::new(parts, new_folder(folder)).expect("parts that fit")
    };
    let folder = tempfile::tempdir().expect("a folder");
    let mut trainer = begin(folder.path(), 3);
    let before = trainer.model.weights.clone();
    let error = trainer.step().expect_err("three of four").to_string();
    assert!(
        error.starts_with("6 of 8 tool calls and sessions got no process or server"),
        "{error}"
    );
    assert!(error.contains(": no more processes\n"), "{error}");
    assert!(trainer.model.weights == before);
    assert!(!folder.path().join("metrics.jsonl").exists());

    let folder = tempfile::tempdir().expect("a folder");
    let report = begin(folder.path(), 1).step().expect("one of four");
    assert_eq!(report.metrics.get("tools-unserved"), Some(0.25));
    assert!(
        report
            .warnings
            .iter()
            .any(|it| it.contains("got no process"))
    );
}
