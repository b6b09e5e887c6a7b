//! A small run on a disk that fails: at every operation, in every way. Whatever is left is gone
//! on with, and ends as the run that nothing happened to.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chat::Chat;
use env::{Suite, world};
use episode::{EvaluationMode, RunRecord, Seed, Task};
use model::{Architecture, Model, init};
use objective::Algorithm;
use store::{Disk, Fault, FaultyDisk, RealDisk};
use train::{Checkpoint, Parts, RunFolder, Settings, Source, TrainError, Trainer};

const STEPS: u64 = 3;

fn chat() -> Chat {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../base");
    Chat::load(&base, chat::Config::default()).expect("the base's tokenizer loads")
}

fn world() -> world::World {
    world::generate(&world::Config {
        tasks: 3,
        distractors: [0, 0],
        error_rate: 0.0,
        scenarios: [1.0, 0.0, 0.0, 0.0],
        ..world::Config::default()
    })
}

fn parts() -> Parts {
    let chat = chat();
    let settings = Settings {
        seed: Seed(3),
        train: train::Config {
            steps: STEPS,
            prompts_per_step: 1,
            keep_checkpoints: 1,
            ..train::Config::default()
        },
        rollout: rollout::Config {
            group_size: 2,
            max_turns: Some(1),
            max_turn_tokens: 2,
            max_tokens: 512,
            ..rollout::Config::default()
        },
        reward: env::reward::Config::default(),
        trace: train::Trace::default(),
        objective: objective::Config {
            algorithm: Algorithm::Pact,
            ..objective::Config::default()
        },
        optimizer: model::OptimizerConfig {
            learning_rate: 1e-2,
            ..model::OptimizerConfig::default()
        },
        schedule: model::Schedule::default(),
        cache_bytes: None,
    };
    let config = format!(
        r#"{{"model_type": "qwen3", "vocab_size": {}, "hidden_size": 8, "intermediate_size": 8,
            "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1,
            "head_dim": 8, "rms_norm_eps": 1e-6, "rope_theta": 1000.0,
            "tie_word_embeddings": true, "max_position_embeddings": 1024}}"#,
        chat.vocab_size()
    );
    let architecture =
        Architecture::from_json(&config, Path::new("config.json")).expect("a small decoder");
    let parameters = init(&architecture, 7);
    let world = world();
    Parts {
        settings,
        model: Model::new(architecture, parameters),
        reference: None,
        chat,
        source: Source::fixed(Arc::new(world.suite), world.traces, false),
        companions: vec![("tokenizer.json".to_owned(), "{}".to_owned())],
        clock: Arc::new(|| Duration::ZERO),
    }
}

/// Begins a run, or goes on with it where there is one, until its end: an evaluation before and
/// after, a checkpoint after each step, as the binary does it. `saved` is the last checkpoint
/// that was said to be written, with its steps and whether they were evaluated: a run that goes
/// on has it.
fn run(
    disk: Arc<dyn Disk>,
    path: &Path,
    saved: &mut Option<(u64, bool)>,
) -> Result<(), TrainError> {
    let record = RunRecord::default();
    let mut evaluated = false;
    let mut trainer = match path.join("config.toml").exists() {
        false => Trainer::new(parts(), RunFolder::create(disk, path, "", &record)?)?,
        true => {
            let mut folder = RunFolder::open(disk, path)?;
            let latest = Checkpoint::latest(path)?;
            assert!(latest.damaged.is_empty(), "{:?}", latest.damaged);
            let checkpoint = latest.checkpoint;
            let found = checkpoint
                .as_ref()
                .map(|it| (it.state.step, it.state.evaluated));
            assert!(
                found >= *saved,
                "{saved:?} was saved, and {found:?} is there"
            );
            let missing = folder.go_on("", &record, checkpoint.as_ref())?;
            assert!(missing.is_empty(), "{missing:?}");
            match checkpoint {
                None => Trainer::new(parts(), folder)?,
                Some(checkpoint) => {
                    evaluated = checkpoint.state.evaluated;
                    Trainer::resume(parts(), folder, &checkpoint)?
                }
            }
        }
    };
    let world = world();
    let tasks: Vec<&Task> = world.suite.tasks().iter().take(1).collect();
    loop {
        if (trainer.step == 0 || trainer.is_done()) && !evaluated {
            // As somebody who stops a run: a checkpoint of the same step before and after.
            trainer.checkpoint(false)?;
            *saved = Some((trainer.step, false));
            trainer.evaluate(&world.suite, &tasks, EvaluationMode::Greedy)?;
            evaluated = true;
        }
        trainer.checkpoint(evaluated)?;
        *saved = Some((trainer.step, evaluated));
        if trainer.is_done() {
            return Ok(());
        }
        trainer.step()?;
        evaluated = false;
    }
}

/// Every file of a run by its path, but those of the processes that wrote it.
fn files(run: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![run.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("lock") {
                let name = path.strip_prefix(run).expect("below the run");
                files.insert(name.to_owned(), fs::read(&path).expect("a file"));
            }
        }
    }
    files
}

#[test]
fn a_run_whose_disk_fails_at_any_operation_in_any_way_resumes_to_the_last_bit() {
    // In memory where that can be: the disk's own syncs would take ten times the run's time.
    let memory = Path::new("/dev/shm");
    let place = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    let place = place.expect("a folder");
    let folder = |name: &str| {
        let path = place.path().join(name);
        fs::create_dir(&path).expect("a folder");
        path
    };
    let (unbroken, grave) = (folder("unbroken"), folder("grave"));
    let disk = Arc::new(FaultyDisk::new(Fault::Broken, u64::MAX, 0, &grave));
    run(disk.clone(), &unbroken.join("run"), &mut None).expect("nothing happens to it");
    let operations = disk.operations();
    let expected = files(&unbroken.join("run"));
    assert!(expected[Path::new("episodes.jsonl")].len() > 1000);
    assert!(expected.contains_key(Path::new("checkpoints/step-000003/model.safetensors")));
    assert!(expected.len() < 20, "{:?}", expected.keys());

    println!("{operations} operations, each failing:");
    for fault in Fault::ALL {
        let seeds = if fault == Fault::PowerCut { 3 } else { 1 };
        let (mut resumed, mut begun) = (0, 0);
        for (at, seed) in (0..operations).flat_map(|at| (0..seeds).map(move |seed| (at, seed))) {
            let place = tempfile::tempdir_in(place.path()).expect("a folder");
            let grave = place.path().join("grave");
            fs::create_dir(&grave).expect("a folder");
            let path = place.path().join("run");
            let disk = Arc::new(FaultyDisk::new(fault, at, seed * operations + at, &grave));
            let mut saved = None;
            let outcome = run(disk.clone(), &path, &mut saved);
            assert!(disk.has_struck(), "{fault:?} at {at}");
            let error = outcome.err();
            let error = error.map_or("done all the same".to_owned(), |it| it.to_string());
            match path.join("config.toml").exists() {
                true => resumed += 1,
                false => {
                    assert_eq!(saved, None, "{fault:?} at {at}: the run is gone");
                    begun += 1;
                }
            }
            let again = run(Arc::new(RealDisk), &path, &mut saved);
            if let Err(problem) = again {
                panic!("{fault:?} at {at}, seed {seed}, {error}: {problem}");
            }
            let found = files(&path);
            let names: Vec<_> = found.keys().collect();
            assert_eq!(
                names,
                expected.keys().collect::<Vec<_>>(),
                "{fault:?} at {at}: {error}"
            );
            for (name, bytes) in &expected {
                let same = found[name] == *bytes;
                assert!(
                    same,
                    "{fault:?} at {at}, seed {seed}: {name:?} differs: {error}"
                );
            }
        }
        let name = format!("{fault:?}");
        println!("{name:10} {resumed:4} resumed  {begun:4} begun again  all equal");
    }
}
