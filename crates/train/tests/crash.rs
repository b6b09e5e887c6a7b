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

/// Of a run that keeps so many checkpoints.
fn parts(keep_checkpoints: usize) -> Parts {
    let chat = chat();
    let settings = Settings {
        seed: Seed(3),
        train: train::Config {
            steps: STEPS,
            prompts_per_step: 1,
            keep_checkpoints,
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
        memory: Arc::new(|| None),
    }
}

/// Begins a run, or goes on with it where there is one, until its end: an evaluation before and
/// after, a checkpoint after each step, as the binary does it. `saved` is the last checkpoint
/// that was said to be written, with its steps and whether they were evaluated: a run that goes
/// on has it.
fn run(
    disk: Arc<dyn Disk>,
    path: &Path,
    keep: usize,
    saved: &mut Option<(u64, bool)>,
) -> Result<(), TrainError> {
    let record = RunRecord::default();
    let mut evaluated = false;
    let mut is_saved = false;
    let mut trainer = match path.join("config.toml").exists() {
        false => Trainer::new(parts(keep), RunFolder::create(disk, path, "", &record)?)?,
        true => {
            let folder = RunFolder::open(disk, path)?;
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
            if let Some(checkpoint) = &checkpoint {
                (evaluated, is_saved) = (checkpoint.state.evaluated, true);
            }
            let parts = parts(keep);
            let (trainer, missing) =
                Trainer::resume(parts, folder, checkpoint.as_ref(), "", &record)?;
            assert!(missing.is_empty(), "{missing:?}");
            trainer
        }
    };
    let world = world();
    let tasks: Vec<&Task> = world.suite.tasks().iter().take(1).collect();
    loop {
        if (trainer.step == 0 || trainer.is_done()) && !evaluated {
            // As somebody who stops a run: a checkpoint of the same step before and after.
            if !is_saved {
                trainer.checkpoint(false)?;
                *saved = Some((trainer.step, false));
            }
            trainer.evaluate(&world.suite, &tasks, EvaluationMode::Greedy)?;
            (evaluated, is_saved) = (true, false);
        }
        if !is_saved {
            trainer.checkpoint(evaluated)?;
        }
        *saved = Some((trainer.step, evaluated));
        if trainer.is_done() {
            return Ok(());
        }
        trainer.step()?;
        (evaluated, is_saved) = (false, false);
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
    for keep in [1, 2] {
        fail_everywhere(keep);
    }
}

fn fail_everywhere(keep: usize) {
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
    run(disk.clone(), &unbroken.join("run"), keep, &mut None).expect("nothing happens to it");
    let operations = disk.operations();
    let expected = files(&unbroken.join("run"));
    assert!(expected[Path::new("episodes.jsonl")].len() > 1000);
    assert!(expected.contains_key(Path::new("checkpoints/step-000003/model.safetensors")));
    let kept: Vec<_> = fs::read_dir(unbroken.join("run/checkpoints"))
        .expect("a folder")
        .collect();
    assert_eq!(kept.len(), keep, "{kept:?}");

    println!("checkpoints kept: {keep}; {operations} operations, each failing:");
    for fault in Fault::ALL {
        let seeds = if fault == Fault::PowerCut { 2 } else { 1 };
        let (mut resumed, mut begun, mut twice) = (0, 0, 0);
        for (at, seed) in (0..operations).flat_map(|at| (0..seeds).map(move |seed| (at, seed))) {
            let place = tempfile::tempdir_in(place.path()).expect("a folder");
            let grave = place.path().join("grave");
            fs::create_dir(&grave).expect("a folder");
            let path = place.path().join("run");
            let disk = Arc::new(FaultyDisk::new(fault, at, seed * operations + at, &grave));
            let mut saved = None;
            let outcome = run(disk.clone(), &path, keep, &mut saved);
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
            if seed > 0 {
                // Once more, while it goes on.
                let at = (7 * at + seed) % operations;
                let disk = Arc::new(FaultyDisk::new(fault, at, seed, &grave));
                twice += usize::from(run(disk, &path, keep, &mut saved).is_err());
            }
            let again = run(Arc::new(RealDisk), &path, keep, &mut saved);
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
        println!(
            "{name:10} {resumed:4} resumed  {begun:4} begun again  {twice:4} of them struck twice  \
             all equal"
        );
    }
}

/// A run that is done, with all of its checkpoints.
fn whole_run(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    run(Arc::new(RealDisk), path, 1, &mut None).expect("nothing happens to it");
    files(path)
}

fn checkpoint(run: &Path, step: u64) -> PathBuf {
    run.join(format!("checkpoints/step-{step:06}"))
}

#[test]
fn the_newest_whole_checkpoint_is_taken_and_newer_ones_are_named_with_their_damage() {
    let place = tempfile::tempdir().expect("a folder");
    let path = place.path().join("run");
    let folder = RunFolder::create(Arc::new(RealDisk), &path, "", &RunRecord::default());
    let mut trainer =
        Trainer::new(parts(0), folder.expect("a new folder")).expect("parts that fit");
    for _ in 0..STEPS {
        trainer.checkpoint(false).expect("a checkpoint");
        trainer.step().expect("a step");
    }
    let weights = checkpoint(&path, 2).join("model.safetensors");
    let mut bytes = fs::read(&weights).expect("weights");
    *bytes.last_mut().expect("some") ^= 1;
    fs::write(&weights, bytes).expect("a file");
    let latest = Checkpoint::latest(&path).expect("one is whole");
    assert_eq!(latest.checkpoint.expect("one is whole").state.step, 1);
    let damaged: Vec<_> = latest
        .damaged
        .iter()
        .map(|it| (&it.path, &*it.damage))
        .collect();
    let problem = "`model.safetensors` has other bytes than were written";
    assert_eq!(damaged, [(&checkpoint(&path, 2), problem)]);

    // What is damaged does not count among those that are kept, and is left for a person.
    fs::write(checkpoint(&path, 1).join("state.json"), "{").expect("a file");
    Checkpoint::prune(&RealDisk, &path, 1, &checkpoint(&path, 0)).expect("a prune");
    assert!(checkpoint(&path, 0).exists() && checkpoint(&path, 1).exists());
    let latest = Checkpoint::latest(&path).expect("one is whole");
    assert_eq!(latest.checkpoint.expect("one is whole").state.step, 0);

    fs::remove_file(checkpoint(&path, 0).join("manifest.json")).expect("it was there");
    let error = Checkpoint::latest(&path)
        .expect_err("none is whole")
        .to_string();
    assert!(
        error.contains("none of its checkpoints is whole"),
        "{error}"
    );
    assert!(
        error.contains("its manifest cannot be read: No such file"),
        "{error}"
    );
}

#[test]
fn a_damaged_checkpoint_steps_aside_when_its_step_is_done_again() {
    let place = tempfile::tempdir().expect("a folder");
    let path = place.path().join("run");
    let before = whole_run(&path);
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    // The run's second checkpoint is brought back, its last one hit.
    let trainer = {
        fs::remove_dir_all(&path).expect("the run");
        let folder = RunFolder::create(disk.clone(), &path, "", &RunRecord::default());
        Trainer::new(parts(1), folder.expect("a new folder")).expect("parts that fit")
    };
    trainer.checkpoint(false).expect("a checkpoint");
    drop(trainer);
    fs::create_dir(checkpoint(&path, 3)).expect("a folder");
    fs::write(checkpoint(&path, 3).join("state.json"), "half of a").expect("a file");
    let latest = Checkpoint::latest(&path).expect("one is whole");
    assert_eq!(latest.damaged[0].path, checkpoint(&path, 3));
    let folder = RunFolder::open(disk, &path).expect("a run");
    let start = latest.checkpoint.expect("one is whole");
    let resumed = Trainer::resume(parts(1), folder, Some(&start), "", &RunRecord::default());
    let (mut trainer, _) = resumed.expect("a run that goes on");
    while !trainer.is_done() {
        trainer.step().expect("a step");
    }
    trainer.checkpoint(false).expect("a checkpoint");
    let aside = checkpoint(&path, 3).with_extension("damaged");
    assert_eq!(
        fs::read_to_string(aside.join("state.json")).expect("it is kept"),
        "half of a"
    );
    let weights = Path::new("checkpoints/step-000003/model.safetensors");
    assert!(files(&path)[weights] == before[weights]);
}

#[test]
fn a_checkpoint_of_before_manifests_is_gone_on_from_by_the_steps_of_its_lines() {
    let place = tempfile::tempdir().expect("a folder");
    let [whole, old] = ["whole", "old"].map(|name| place.path().join(name));
    let expected = whole_run(&whole);
    let folder = RunFolder::create(Arc::new(RealDisk), &old, "", &RunRecord::default());
    let mut trainer =
        Trainer::new(parts(0), folder.expect("a new folder")).expect("parts that fit");
    let world = world();
    let tasks: Vec<&Task> = world.suite.tasks().iter().take(1).collect();
    let evaluated = trainer.evaluate(&world.suite, &tasks, EvaluationMode::Greedy);
    evaluated.expect("an evaluation");
    trainer.step().expect("a step");
    trainer.checkpoint(false).expect("a checkpoint");
    trainer.step().expect("a step");
    drop(trainer);
    fs::remove_file(checkpoint(&old, 1).join("manifest.json")).expect("it was there");
    let state = r#"{"step": 1, "evaluated": false, "tasks": "0123456789abcdef"}"#;
    fs::write(checkpoint(&old, 1).join("state.json"), state).expect("a file");
    fs::remove_file(old.join("run.json")).expect("it was there");
    let mut metrics = fs::read(old.join("metrics.jsonl")).expect("a file");
    metrics.extend_from_slice(b"{\"step\":");
    fs::write(old.join("metrics.jsonl"), metrics).expect("a file");

    run(Arc::new(RealDisk), &old, 1, &mut None).expect("a run that goes on");
    assert!(files(&old) == expected);
}

#[test]
fn what_of_a_run_was_not_copied_is_said_and_one_of_a_later_form_is_refused() {
    let place = tempfile::tempdir().expect("a folder");
    let path = place.path().join("run");
    whole_run(&path);
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    fs::remove_file(path.join("metrics.jsonl")).expect("it was there");
    let mut folder = RunFolder::open(disk.clone(), &path).expect("a run");
    let latest = Checkpoint::latest(&path).expect("one is whole").checkpoint;
    let missing = folder.go_on("", &RunRecord::default(), latest.as_ref());
    let missing = missing.expect("a run that goes on");
    assert_eq!(missing.len(), 1);
    assert!(
        missing[0].contains("metrics.jsonl` has 0 bytes of the "),
        "{missing:?}"
    );
    drop(folder);

    let refused = |expected: &str| {
        let error = RunFolder::open(disk.clone(), &path)
            .err()
            .expect(expected)
            .to_string();
        assert!(error.contains(expected), "{error}");
    };
    fs::write(path.join("run.json"), r#"{"format": 2}"#).expect("a file");
    refused("this run folder is of format 2, and this pact knows formats up to 1\nhint: ");
    fs::write(path.join("run.json"), "{").expect("a file");
    refused("EOF while parsing");
    fs::remove_dir_all(path.join("checkpoints")).expect("it was there");
    refused("it has no folder `checkpoints`");
    fs::remove_file(path.join("config.toml")).expect("it was there");
    refused("it has no `config.toml`");
}

#[test]
fn a_run_that_is_being_written_is_refused_with_its_process() {
    let place = tempfile::tempdir().expect("a folder");
    let path = place.path().join("run");
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let _folder = RunFolder::create(disk.clone(), &path, "", &RunRecord::default());
    let error = RunFolder::open(disk, &path)
        .err()
        .expect("it is held")
        .to_string();
    let process = format!("is held by process {}\nhint: ", std::process::id());
    assert!(error.contains(&process), "{error}");
}
