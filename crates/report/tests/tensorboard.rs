//! Event files, read by TensorBoard's own reader.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use report::Tensorboard;
use serde_json::{Value, json};

/// A Python with TensorBoard: `PACT_TENSORBOARD`, else whichever `python3` there is.
#[expect(
    clippy::disallowed_methods,
    reason = "a test reads where its reference program is"
)]
fn python() -> Option<PathBuf> {
    let python = std::env::var("PACT_TENSORBOARD").unwrap_or_else(|_| "python3".to_owned());
    let has_it = Command::new(&python)
        .args(["-c", "import tensorboard"])
        .output();
    has_it
        .is_ok_and(|it| it.status.success())
        .then(|| python.into())
}

/// What the reader finds in a folder: `[step, value, wall time]` by tag.
fn read(python: &Path, folder: &Path) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tensorboard/read.py");
    let output = Command::new(python)
        .arg(script)
        .arg(folder)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A run of so many steps, evaluated before the first and after every second.
fn write_run(run: &Path, steps: u32, reward: f64) {
    let line = |step| json!({"step": step, "reward": reward, "kl": 0.5}).to_string() + "\n";
    fs::write(
        run.join("metrics.jsonl"),
        (0..steps).map(line).collect::<String>(),
    )
    .unwrap();
    let line = |step: u32| {
        let metrics = json!({"solve-f1": f64::from(step)});
        let evaluation = json!({"step": step, "mode": "greedy", "metrics": metrics, "tasks": []});
        evaluation.to_string() + "\n"
    };
    let evaluated = (0..=steps).step_by(2).map(line);
    fs::write(run.join("evaluations.jsonl"), evaluated.collect::<String>()).unwrap();
}

#[test]
fn the_real_tensorboard_reads_every_number_once_also_of_a_resumed_run() {
    let Some(python) = python() else {
        println!("skipped: no Python with TensorBoard (`PACT_TENSORBOARD=…/bin/python`)");
        return;
    };
    let run = tempfile::tempdir().unwrap();
    let run = run.path();
    let board = run.join("tensorboard");

    let mut first = Tensorboard::begin(&board, run, 0, 100.0).unwrap();
    write_run(run, 2, 0.25);
    first.follow(101.0).unwrap();
    write_run(run, 4, 0.25);
    first.follow(102.0).unwrap();
    drop(first);
    // Killed while it wrote: the last event is cut off.
    let file = fs::read_dir(&board)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 5]).unwrap();

    // Resumed by its checkpoint after two steps; the clock was set back meanwhile.
    write_run(run, 3, 0.75);
    let mut second = Tensorboard::begin(&board, run, 2, 50.0).unwrap();
    second.follow(201.0).unwrap();
    write_run(run, 5, 0.75);
    second.follow(202.0).unwrap();
    // Nothing is new.
    second.follow(203.0).unwrap();

    assert_eq!(
        read(&python, &board),
        json!({
            "evaluation/greedy/solve-f1": [[0, 0.0, 101.0], [2, 2.0, 201.0], [4, 4.0, 202.0]],
            "loss/kl": [
                [0, 0.5, 101.0], [1, 0.5, 101.0], [2, 0.5, 201.0], [3, 0.5, 202.0], [4, 0.5, 202.0]
            ],
            "rollout/reward": [
                [0, 0.25, 101.0], [1, 0.25, 101.0], [2, 0.75, 201.0], [3, 0.75, 202.0],
                [4, 0.75, 202.0]
            ],
        })
    );
}

#[test]
fn a_run_that_began_without_event_files_is_told_from_its_beginning() {
    let run = tempfile::tempdir().unwrap();
    write_run(run.path(), 3, 0.25);
    let length = |step| {
        let board = run.path().join(format!("from-{step}"));
        let mut all = Tensorboard::begin(&board, run.path(), step, 100.0).unwrap();
        all.follow(100.0).unwrap();
        let file = fs::read_dir(&board).unwrap().next().unwrap().unwrap();
        assert_eq!(
            file.file_name(),
            "events.out.tfevents.0000000100.pact.000000"
        );
        file.metadata().unwrap().len()
    };
    assert_eq!(length(2), length(0));
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_that_names_it() {
    let run = tempfile::tempdir().unwrap();
    let file = run.path().join("tensorboard");
    fs::write(&file, "").unwrap();
    let error = Tensorboard::begin(&file, run.path(), 0, 100.0).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("tensorboard` could not be written: "),
        "{error}"
    );
}
