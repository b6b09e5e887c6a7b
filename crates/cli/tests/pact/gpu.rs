//! Runs on a GPU: an emulated one, where this is built with the feature `cuda`, and none.

#[path = "../../../model/tests/emulated/libraries.rs"]
mod libraries;

use std::fs;

use super::{Outcome, Place, QUICK, pact};

/// As small as a run can be that samples, learns, evaluates and writes checkpoints.
const SMALL: &str = "
rollout.group-size=2
rollout.max-turns=1
rollout.max-turn-tokens=4
train.prompts-per-step=1
train.checkpoint-every=1
eval.tasks=1
eval.sampled=false
engine.device=cuda
";

impl Place {
    /// Runs `pact` where it finds the emulated GPU, if there is one.
    fn pact_with_a_card(&self, arguments: &str) -> Option<Outcome> {
        let folder = libraries::folder().filter(|_| cfg!(feature = "cuda"));
        let Some(folder) = folder else {
            println!("skipped: built without the feature `cuda`, or there is no `g++`");
            return None;
        };
        let small = SMALL.split_whitespace().flat_map(|it| ["--set", it]);
        let command = &mut pact();
        command.args(arguments.split_whitespace()).args(small);
        command.env("LD_LIBRARY_PATH", folder);
        command.env("XDG_CACHE_HOME", self.path("cache"));
        Some(self.run(command))
    }
}

#[test]
fn a_card_that_is_not_there_is_an_error_with_a_way_out_before_anything_is_written() {
    let place = Place::new();
    place.write("run.toml", QUICK);
    let message = place
        .pact("train run.toml --run out --set engine.device=cuda")
        .refused(1);
    assert!(
        message.starts_with("error: ") && message.contains("hint: "),
        "{message}"
    );
    assert!(!place.path("out").exists());
    let message = (place.pact("train run.toml --set engine.device=gpu")).refused(2);
    let expected = "`gpu` is no device, expected `cpu`, `cuda` or `cuda:N`";
    assert!(message.contains(expected), "{message}");
}

#[test]
fn a_run_on_a_card_repeats_to_the_last_bit_also_when_it_was_stopped() {
    let place = Place::new();
    place.write("run.toml", QUICK);
    let Some(outcome) = place.pact_with_a_card("train run.toml --run out --json") else {
        return;
    };
    assert!(
        outcome.stderr.contains("engine: Emulated"),
        "{}",
        outcome.stderr
    );
    assert_eq!(outcome.json()["steps"], 2);
    let first = [
        "episodes.jsonl",
        "checkpoints/step-000002/model.safetensors",
    ]
    .map(|file| fs::read(place.path("out").join(file)).expect("a run has it"));
    // As if it had been stopped within the second step.
    fs::remove_dir_all(place.path("out/checkpoints/step-000002")).expect("it was there");
    let resumed = place.pact_with_a_card("train run.toml --run out --json --resume");
    resumed.expect("it was there before").done();
    let second = [
        "episodes.jsonl",
        "checkpoints/step-000002/model.safetensors",
    ]
    .map(|file| fs::read(place.path("out").join(file)).expect("a run has it"));
    assert!(first == second);
}
