//! Evaluations that are kept in a folder, stopped, cut into parts, and made of several samples.

use std::fs::{self, OpenOptions};
use std::io::Write;

use serde_json::json;

use crate::{Place, base};

fn place_with_a_model() -> Place {
    let place = Place::new();
    place.make_world(6);
    let tokenizer = base().display();
    place
        .pact(&format!(
            "model init --preset tiny --tokenizer {tokenizer} --out model"
        ))
        .done();
    place
}

const EVAL: &str = "eval --suite world --data tasks.jsonl --model model --sampled --samples 2 \
                    --set rollout.max-turn-tokens=8 --set rollout.max-turns=2";

#[test]
fn an_evaluation_that_was_stopped_goes_on_to_the_same_bytes() {
    let place = place_with_a_model();
    let whole = place.pact(&format!("{EVAL} --out whole --json")).done();
    let episodes = place.read("whole/episodes.jsonl");
    assert_eq!(episodes.lines().count(), 12);

    // What a killed one leaves: some tasks, one of them half, and a line that was cut off.
    let lines: Vec<&str> = episodes.lines().collect();
    let kept = [lines[3], lines[8], lines[2]].join("\n");
    place.write(
        "part/episodes.jsonl",
        &format!("{kept}\n{}", &lines[4][..40]),
    );
    fs::copy(
        place.path("whole/evaluation.json"),
        place.path("part/evaluation.json"),
    )
    .expect("a copy");
    let resumed = place
        .pact(&format!("{EVAL} --out part --concurrency 1 --json"))
        .done();
    assert_eq!(resumed, whole);
    assert_eq!(place.read("part/episodes.jsonl"), episodes);
    assert_eq!(
        place.read("part/summary.json"),
        place.read("whole/summary.json")
    );

    // One that is done has nothing left to play.
    let again = place.pact(&format!("{EVAL} --out part --json")).done();
    assert_eq!(again, whole);
    assert_eq!(place.read("part/episodes.jsonl"), episodes);
}

#[test]
fn a_folder_of_another_evaluation_is_not_written_to() {
    let place = place_with_a_model();
    place.pact(&format!("{EVAL} --limit 1 --out out")).done();
    let before = place.read("out/episodes.jsonl");
    let refused = place
        .pact(&format!("{EVAL} --limit 2 --set seed=7 --out out"))
        .refused(2);
    insta::assert_snapshot!(refused, @"
    error: `out` holds another evaluation:
      limit: it had 1, and is to have 2
      seed: it had 0, and is to have 7
    hint: give `--out` a new folder, or ask for the same
    ");
    assert_eq!(place.read("out/episodes.jsonl"), before);
    place.write("strange/file", "");
    let refused = place.pact(&format!("{EVAL} --out strange")).refused(2);
    insta::assert_snapshot!(refused, @"
    error: `strange` is not empty and holds no evaluation
    hint: give a new folder, or one that `pact eval --out` made
    ");
}

#[test]
fn a_line_that_is_no_episode_is_named() {
    let place = place_with_a_model();
    place.pact(&format!("{EVAL} --limit 1 --out out")).done();
    let file = OpenOptions::new()
        .append(true)
        .open(place.path("out/episodes.jsonl"));
    writeln!(file.expect("the file"), "{{}}").expect("a line more");
    let refused = place
        .pact(&format!("{EVAL} --limit 1 --out out"))
        .refused(1);
    assert!(
        refused.contains("`out/episodes.jsonl`, line 3: not an episode"),
        "{refused}"
    );
}

#[test]
fn the_parts_of_an_evaluation_are_the_whole() {
    let place = place_with_a_model();
    let whole = "rollout --suite world --data tasks.jsonl --model model --sampled \
                 --set rollout.max-turn-tokens=8 --set rollout.max-turns=2";
    let all = place.pact(whole).done();
    let mut parts: Vec<String> = Vec::new();
    for part in 1..=4 {
        let part = place.pact(&format!("{whole} --shard {part}/4")).done();
        parts.extend(part.lines().map(str::to_owned));
    }
    let mut all: Vec<&str> = all.lines().collect();
    all.sort_unstable();
    parts.sort_unstable();
    assert_eq!(parts, all);
}

#[test]
fn several_samples_of_experts_pass_always() {
    let place = Place::new();
    place
        .pact(
            "data make world --tasks 4 --set error-rate=0 --out tasks.jsonl --traces traces.jsonl",
        )
        .done();
    let replay = "eval --suite world --data tasks.jsonl --policy replay:traces.jsonl --samples 3";
    let scores = place.pact(&format!("{replay} --json")).json();
    assert_eq!(scores["pass"], json!({"1": 100.0, "2": 100.0, "3": 100.0}));
    assert_eq!(scores["stops"], json!({"answered": 12}));
}

#[test]
fn a_part_that_cannot_be_is_refused() {
    let place = Place::new();
    place.make_world(2);
    let replay = "eval --suite world --data tasks.jsonl --policy replay:traces.jsonl";
    let refused = place.pact(&format!("{replay} --shard 3/3")).refused(2);
    insta::assert_snapshot!(refused, @"
    error: no task is left of the 2 in `tasks.jsonl`
    hint: `--limit` and `--shard` choose among them
    ");
    for wrong in ["--shard 0/2", "--shard 3/2", "--shard 2", "--samples 0"] {
        let refused = place.pact(&format!("{replay} {wrong}")).refused(2);
        assert!(refused.contains("expected"), "{refused}");
    }
}
