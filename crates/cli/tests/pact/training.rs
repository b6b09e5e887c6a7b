//! Whole training runs of a random model: what they print and leave behind, and that one
//! which was stopped ends as one that was not.

use std::fs;

use episode::{Phase, Status};
use serde_json::json;

use super::{Place, QUICK, pact};

fn a_place_with_a_config() -> Place {
    let place = Place::new();
    place.write("run.toml", QUICK);
    place
}

/// What the run in `out` said last.
fn last_status(place: &Place) -> Status {
    serde_json::from_str(&place.read("out/status.json")).expect("a status")
}

/// The folder of a run's model after `step` steps.
fn weights(place: &Place, run: &str, step: u64) -> Vec<u8> {
    let file = format!("{run}/checkpoints/step-{step:06}/model.safetensors");
    fs::read(place.path(&file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn a_run_prints_its_outcome_as_json_and_leaves_a_whole_folder_behind() {
    let place = a_place_with_a_config();
    let outcome = place.pact("train run.toml --run out --json").json();
    assert_eq!(outcome["run"], json!("out"));
    assert_eq!(outcome["steps"], json!(2));
    assert!(
        outcome["seconds"]
            .as_f64()
            .is_some_and(|seconds| seconds > 0.0)
    );
    for time in ["before", "after"] {
        for metric in ["solve-p", "solve-r", "solve-f1"] {
            assert!(outcome[time][metric].is_number(), "{outcome}");
            assert!(outcome[time]["sampled"][metric].is_number(), "{outcome}");
        }
    }
    assert_eq!(place.read("out/metrics.jsonl").lines().count(), 2);
    assert_eq!(place.read("out/episodes.jsonl").lines().count(), 8);
    assert_eq!(place.read("out/evaluations.jsonl").lines().count(), 4);
    assert!(!place.read("out/log.jsonl").is_empty());
    let last = last_status(&place);
    assert_eq!((last.phase, last.step, last.steps), (Phase::Done, 2, 2));
    let second = place.read("out/metrics.jsonl");
    let second: serde_json::Value =
        serde_json::from_str(second.lines().last().expect("a step")).expect("an object");
    for name in [
        "memory-peak",
        "seconds-checkpoint",
        "tokens-per-second-rollout",
    ] {
        assert!(
            second[name].as_f64().is_some_and(|it| it > 0.0),
            "{name}: {second}"
        );
    }
    place.pact("config check out/config.toml").done();
    place.pact("model info out/checkpoints/step-000002").done();
    assert!(place.pact("show out").done().contains("2"));
    assert!(place.pact("show out --task 7 --step 0").code == Some(1));
    assert!(
        place
            .pact("show out --task 0 --step 1")
            .done()
            .contains('⟦')
    );
}

#[test]
fn a_run_ends_in_a_table_its_folder_and_the_command_that_resumes_it() {
    let place = a_place_with_a_config();
    let outcome = place.pact("train run.toml");
    assert_eq!(
        outcome
            .stderr
            .lines()
            .filter(|line| line.starts_with("step "))
            .count(),
        2
    );
    let text = outcome.done();
    assert!(text.contains("95% interval"), "{text}");
    assert!(text.contains("\nrun      runs/out/run\n"), "{text}");
    let (_, resume) = text.split_once("/pact train ").expect("how to resume");
    let again = place.pact(&format!("train {resume}")).done();
    assert!(again.contains("\nsteps    2\n"), "{again}");

    place.pact("train run.toml").done();
    assert!(
        place.path("runs/out/run-2").is_dir(),
        "a second run has a folder of its own"
    );
    let message = place.pact("train run.toml --run runs/out/run").refused(1);
    assert!(
        message.contains("there is a run in this folder already"),
        "{message}"
    );
}

#[test]
fn a_run_that_is_stopped_and_resumed_ends_as_an_unbroken_one() {
    let place = a_place_with_a_config();
    place.pact("train run.toml --run unbroken").done();
    place
        .pact("train run.toml --run broken --set train.steps=2")
        .done();
    // As if it had been killed after its first step's checkpoint, halfway through the second.
    fs::remove_dir_all(place.path("broken/checkpoints/step-000002")).expect("the last checkpoint");
    let resumed = place.pact("train run.toml --run broken --resume");
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    assert!(
        !resumed.stderr.contains("step    1/2"),
        "{}",
        resumed.stderr
    );
    assert!(resumed.stderr.contains("step    2/2"), "{}", resumed.stderr);

    assert!(weights(&place, "unbroken", 2) == weights(&place, "broken", 2));
    for file in ["episodes.jsonl", "evaluations.jsonl", "config.toml"] {
        let [unbroken, broken] =
            ["unbroken", "broken"].map(|run| place.read(&format!("{run}/{file}")));
        assert!(unbroken == broken, "{file} differs");
    }
}

#[test]
fn an_interrupted_run_writes_a_checkpoint_and_can_be_resumed() {
    let place = a_place_with_a_config();
    let mut child = pact()
        .args([
            "train",
            "run.toml",
            "--run",
            "out",
            "--set",
            "train.steps=100000",
        ])
        .current_dir(place.folder.path())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(
        child.stderr.take().expect("it is piped"),
    ));
    let is_step = |line: &String| line.starts_with("step ");
    lines
        .by_ref()
        .map(|line| line.expect("UTF-8"))
        .find(is_step)
        .expect("a first step");
    let interrupted = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .expect("`kill` starts");
    assert!(interrupted.success());
    let rest: Vec<String> = lines.map(|line| line.expect("UTF-8")).collect();
    let status = child.wait().expect("it ends");
    assert_eq!(status.code(), Some(130), "{rest:?}");
    let last = rest.last().expect("how to resume");
    assert!(last.starts_with("resume: "), "{last}");
    assert!(last.ends_with("/pact train --run out --resume"), "{last}");
    assert_eq!(last_status(&place).phase, Phase::Interrupted);

    let done = place.read("out/metrics.jsonl").lines().count();
    let change = format!("--set train.steps={} --allow-changed", done + 1);
    let resume = format!("train --run out --resume {change}");
    let resumed = place.pact(&resume);
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    assert!(
        (resumed.stderr).contains("note: `train.steps` was 100000, and is "),
        "{}",
        resumed.stderr
    );
    assert_eq!(place.read("out/metrics.jsonl").lines().count(), done + 1);
}

#[test]
fn a_run_that_cannot_learn_stops_says_why_and_shows_what_it_skipped() {
    let place = a_place_with_a_config();
    let endless = "--set objective.sft.weight=1e308 --set train.max-skipped=2";
    let message = place
        .pact(&format!(
            "train run.toml --run out --set train.steps=9 {endless}"
        ))
        .refused(1);
    let expected =
        "2 steps in a row were skipped, the last of them step 1: the loss was not finite";
    assert!(message.contains(expected), "{message}");
    let last = last_status(&place);
    assert_eq!(last.phase, Phase::Failed);
    assert!(last.message.is_some_and(|it| it.contains(expected)));
    let shown = place.pact("show out --skipped 1").done();
    assert!(shown.contains("the loss was not finite"), "{shown}");
    let episode = place.pact("show out --skipped 1 --task 0").done();
    assert!(episode.contains('⟦'), "{episode}");
    let refused = place.pact("show out --skipped 7").refused(1);
    assert!(refused.contains("this step was not skipped"), "{refused}");
}

#[test]
fn a_run_whose_weights_explode_ends_in_an_error_and_keeps_no_such_checkpoint() {
    let place = a_place_with_a_config();
    let steps = "--set train.steps=9 --set optimizer.learning-rate=1e38";
    let message = place
        .pact(&format!("train run.toml --run out {steps}"))
        .refused(1);
    let told = ["the model has diverged", "the weights are not finite"];
    assert!(told.iter().any(|it| message.contains(it)), "{message}");
    assert!(message.contains("`optimizer.learning-rate`"), "{message}");
    assert_eq!(last_status(&place).phase, Phase::Failed);
}

/// A place with a base, and a config that trains an adapter on it.
fn a_place_with_an_adapter_to_train() -> Place {
    let place = Place::new();
    place
        .pact("model init --preset tiny --seed 2 --out base")
        .done();
    let lora = "[model]\npath = \"base\"\nlora = { rank = 4, alpha = 8.0 }\n";
    place.write("run.toml", &format!("{lora}{QUICK}"));
    place
}

/// Trains two steps unbroken, and again with a stop between; everything that `files` name in
/// the last checkpoint is then the same.
fn check_resumed(place: &Place, files: &[&str]) {
    place.pact("train run.toml --run unbroken").done();
    place.pact("train run.toml --run broken").done();
    fs::remove_dir_all(place.path("broken/checkpoints/step-000002")).expect("the last checkpoint");
    place.pact("train --run broken --resume").done();
    for file in files {
        let of = |run: &str| fs::read(place.path(&format!("{run}/checkpoints/step-000002/{file}")));
        let [unbroken, broken] = ["unbroken", "broken"].map(|run| of(run).expect(file));
        assert!(unbroken == broken, "{file} differs");
    }
    for file in ["episodes.jsonl", "evaluations.jsonl", "config.toml"] {
        let [unbroken, broken] =
            ["unbroken", "broken"].map(|run| place.read(&format!("{run}/{file}")));
        assert!(unbroken == broken, "{file} differs");
    }
}

#[test]
fn a_run_that_trains_an_adapter_leaves_adapters_and_resumes_to_the_last_bit() {
    let place = a_place_with_an_adapter_to_train();
    let files = [
        "adapter_config.json",
        "adapter_model.safetensors",
        "optimizer.safetensors",
        "tokenizer.json",
    ];
    check_resumed(&place, &files);
    let checkpoint = |step: u64| place.path(&format!("unbroken/checkpoints/step-00000{step}"));
    assert!(!checkpoint(2).join("model.safetensors").exists());
    let weights = |step| fs::read(checkpoint(step).join("adapter_model.safetensors"));
    assert!(weights(1).expect("a first") != weights(2).expect("a second"));

    let info = "model info unbroken/checkpoints/step-000002 --json";
    let facts = place.pact(info).json();
    assert_eq!(facts["rank"], json!(4));
    // 4 layers: q 4 (128 + 128), k and v 4 (128 + 64), o 4 (128 + 128), gate, up, down 4 (128 + 384).
    assert_eq!(
        facts["parameters"],
        json!(4 * 4 * (256 + 2 * 192 + 256 + 3 * 512))
    );
}

#[test]
fn a_run_whose_checkpoint_does_not_fit_is_refused_before_anything_is_replaced() {
    let place = a_place_with_an_adapter_to_train();
    let trained = |run: &str, more: &str| {
        let command = format!("train run.toml --run {run} --set train.steps=1 {more}");
        place.pact(&command).done();
    };
    trained("lora", "");
    trained("whole", "--set model.lora.rank=0");
    let files = ["config.toml", "run.json", "metrics.jsonl", "episodes.jsonl"];
    let refused = |run: &str, change: &str, expected: &str| {
        let texts = || files.map(|file| place.read(&format!("{run}/{file}")));
        let before = texts();
        let go_on = format!("train --run {run} --resume --allow-changed --set {change}");
        let message = place.pact(&go_on).refused(1);
        let said = format!("error: `{run}/checkpoints/step-000001` holds {expected}\nhint: ");
        assert!(message.contains(&said), "{message}");
        assert!(texts() == before, "{run} was changed by {change}");
    };
    let all = "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj";
    let found = format!("an adapter of rank 4 and alpha 8 on {all}");
    let but = "but with these settings the run trains";
    let expected = format!("{found}, {but} an adapter of rank 2 and alpha 8 on {all}");
    refused("lora", "model.lora.rank=2", &expected);
    let expected = format!("{found}, {but} an adapter of rank 4 and alpha 8 on q_proj");
    refused("lora", "model.lora.targets=[\"q_proj\"]", &expected);
    let expected = format!("an adapter, {but} all weights");
    refused("lora", "model.lora.rank=0", &expected);
    let expected = format!("whole weights, {but} an adapter");
    refused("whole", "model.lora.rank=4", &expected);

    place
        .pact("model init --preset small --seed 2 --out other")
        .done();
    let table = "`model.embed_tokens.weight` of shape";
    let expected = format!("{table} [560, 128], {but} {table} [560, 256]");
    refused("whole", "model.path=other", &expected);

    // As it was, it goes on.
    place
        .pact("train --run lora --resume --allow-changed --set train.steps=2")
        .done();
}

#[test]
fn an_optimizer_whose_state_does_not_fit_is_refused_before_anything_is_replaced() {
    let place = Place::new();
    place.write("run.toml", QUICK);
    place
        .pact("train run.toml --run out --set train.steps=1 --set optimizer.kind=adamw")
        .done();
    let texts = || ["config.toml", "run.json"].map(|file| place.read(&format!("out/{file}")));
    let before = texts();
    let go_on = "train --run out --resume --allow-changed --set optimizer.kind=muon";
    let message = place.pact(go_on).refused(1);
    let expected = "the optimiser state does not fit: `second-moment` has ";
    assert!(message.contains(expected), "{message}");
    assert!(texts() == before, "the run was changed");
}

#[test]
fn a_run_in_bfloat16_saves_its_f32_masters_and_resumes_to_the_last_bit() {
    let place = Place::new();
    place.write("run.toml", &format!("model.weights = \"bf16\"\n{QUICK}"));
    check_resumed(&place, &["model.safetensors", "optimizer.safetensors"]);
    let config = place.read("unbroken/checkpoints/step-000002/config.json");
    assert!(config.contains("float32"), "{config}");
    // Rounded to bfloat16, the last two bytes of every number would be 0.
    let bytes = weights(&place, "unbroken", 2);
    let exact = bytes.as_chunks::<4>().0.iter().filter(|x| x[0] != 0);
    assert!(exact.count() > bytes.len() / 8);
    place
        .pact("train run.toml --run f32 --set model.weights=f32")
        .done();
    assert!(
        weights(&place, "f32", 2) != bytes,
        "rounding moves something"
    );
}

#[test]
fn an_adapter_plays_and_trains_on_its_base_and_merges_into_it() {
    let place = a_place_with_an_adapter_to_train();
    place.make_world(3);
    place
        .pact("train run.toml --run out --set optimizer.learning-rate=0.01")
        .done();
    let adapter = "out/checkpoints/step-000002";
    let rollout = |model: &str| {
        let command = format!(
            "rollout --suite world --data tasks.jsonl --model {model} --sampled \
             --set rollout.max-turn-tokens=8"
        );
        place.pact(&command).done()
    };
    let adapted = rollout(adapter);
    assert!(adapted != rollout("base"), "the adapter does something");
    assert_eq!(
        adapted,
        rollout(&format!("{adapter} --set model.path=base"))
    );

    place
        .pact(&format!("model merge --adapter {adapter} --out merged"))
        .done();
    let tokens = |episodes: &str| {
        let lines = episodes.lines();
        let of = |line| {
            let episode: serde_json::Value = serde_json::from_str(line).expect("JSON");
            episode["segments"][0]["tokens"].clone()
        };
        lines.map(of).collect::<Vec<_>>()
    };
    assert_eq!(tokens(&rollout("merged")), tokens(&adapted));
    let merge = format!("model merge --model base --adapter {adapter} --out bf16 --precision bf16");
    place.pact(&merge).done();
    let size = |folder: &str| {
        let file = place.path(folder).join("model.safetensors");
        fs::metadata(file).expect("weights").len()
    };
    assert!(size("bf16") * 2 < size("merged") + 20_000);

    // Goes on from an adapter, whichever way it is named.
    let go_on = "--set model.lora.rank=0 --set train.steps=1";
    place
        .pact(&format!(
            "train run.toml --run a --set model.path={adapter} {go_on}"
        ))
        .done();
    place
        .pact(&format!(
            "train run.toml --run b --set model.adapter={adapter} {go_on}"
        ))
        .done();
    let of = |run: &str| {
        let file = format!("{run}/checkpoints/step-000001/adapter_model.safetensors");
        fs::read(place.path(&file)).expect("an adapter")
    };
    assert!(of("a") == of("b"));
    assert!(of("a") != of("out"));
    place.pact("show a --task 0 --step 0").done();
}

#[test]
fn a_plan_counts_what_a_run_takes_and_begins_none() {
    let place = a_place_with_a_config();
    let plan = place.pact("train run.toml --plan --json").json();
    let parts = plan["parts"].as_array().expect("a list");
    let sum = |key: &str| {
        parts
            .iter()
            .map(|part| part[key].as_u64().expect("bytes"))
            .sum::<u64>()
    };
    assert_eq!(plan["at-least-bytes"], json!(sum("at-least-bytes")));
    assert_eq!(plan["at-most-bytes"], json!(sum("at-most-bytes")));
    assert!(sum("at-least-bytes") < sum("at-most-bytes"));
    assert_eq!(plan["settings-that-fit"], json!([]), "{plan}");
    assert!(!place.path("runs").exists(), "a plan is no run");

    let text = place
        .pact("train run.toml --plan --set engine.memory-gib=0.04 --set rollout.max-tokens=20000")
        .done();
    assert!(text.contains("does not fit"), "{text}");
    let (_, command) = text.split_once("hint: it fits with `").expect("a hint");
    let sets = command.trim_end().trim_end_matches('`');
    let fitting = format!("train run.toml --plan --set engine.memory-gib=0.04 {sets}");
    let text = place.pact(&fitting).done();
    assert!(!text.contains("does not fit"), "{text}");
}

#[test]
fn a_model_that_cannot_fit_is_refused_with_the_plan_before_the_run_begins() {
    let place = a_place_with_a_config();
    for way in ["", "--plan"] {
        let command = format!("train run.toml {way} --set engine.memory-gib=0.01");
        let message = place.pact(&command).refused(2);
        let start = "error: this run takes at least 0.0";
        assert!(message.starts_with(start), "{message}");
        assert!(message.contains("\nweights "), "{message}");
        assert!(
            message.contains("\nhint: no setting makes this fit"),
            "{message}"
        );
    }
    assert!(
        !place.path("runs").exists(),
        "a run that never began left a folder"
    );
}
