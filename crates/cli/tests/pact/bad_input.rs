//! Bad input: each with a clear error and a non-zero exit, nothing lost.

use std::fs;

use insta::assert_snapshot;

use super::{Place, QUICK, base, pact};

fn a_place_with_a_model() -> Place {
    let place = Place::new();
    place.pact("model init --preset tiny --out model").done();
    place
}

#[test]
fn a_config_with_an_unknown_key() {
    let place = Place::new();
    place.write("run.toml", "[rollout]\ngroup-sise = 4\n");
    let message = place.pact("config check run.toml").refused(2);
    assert_snapshot!(message, @r"
    error: `run.toml`, line 2: unknown field `group-sise`, expected one of `group-size`, `max-turns`, `unread-calls`, `max-turn-tokens`, `max-prompt-tokens`, `max-tokens`, `max-seconds`, `concurrency`, `tool-threads`, `temperature`, `top-p`, `top-k`, `min-p`
    hint: did you mean `group-size`?
    ");
    assert_eq!(message, place.pact("train run.toml").refused(2));
}

#[test]
fn switches_that_contradict_each_other_are_all_named() {
    let place = Place::new();
    place.write(
        "run.toml",
        "[objective]\nalgorithm = \"sft\"\nkl.weight = 0.1\nchord.peak = 2.0\n[trace]\nplace = \"user\"\n",
    );
    let message = place.pact("config check run.toml").refused(2);
    assert_snapshot!(message, @r#"
    error: `run.toml`, line 4: `objective.chord.peak` is 2, expected a share from 0 to 1
    `run.toml`, line 4: `objective.chord` is set, but `objective.algorithm = "sft"` does not read it, expected `chord-mu` or `chord-phi`
    `run.toml`, line 3: `objective.kl.weight` is about rollouts, and `sft` samples none
    `run.toml`, line 6: `trace.place` is set, but `objective.algorithm = "sft"` scores nothing under a trace
    "#);
}

#[test]
fn a_metric_that_is_not_there() {
    let place = Place::new();
    let message = place
        .pact("config explain metrics.privilege-gop")
        .refused(2);
    assert_snapshot!(message, @r"
    error: no metric is called `privilege-gop`
    hint: did you mean `privilege-gap`?
    ");
    let text = place.pact("config explain metrics.privilege-gap").done();
    assert!(text.contains("internalised"), "{text}");
}

#[test]
fn a_misspelt_override() {
    let place = Place::new();
    place.write("run.toml", QUICK);
    let message = place
        .pact("train run.toml --set schedule.kind=cosin")
        .refused(2);
    assert_snapshot!(message, @r"
    error: `--set schedule.kind=cosin`: unknown variant `cosin`, expected one of `constant`, `linear`, `cosine`
    hint: did you mean `cosine`?
    ");
}

#[test]
fn a_config_that_is_not_there() {
    let message = Place::new().pact("train none.toml").refused(2);
    assert_snapshot!(message, @r"
    error: `none.toml`: No such file or directory (os error 2)
    hint: `pact config default > none.toml` writes a config to begin with
    ");
}

#[test]
fn a_config_that_names_a_variable_which_is_not_set() {
    let place = Place::new();
    place.write("run.toml", "[model]\npath = \"$NO_SUCH_FOLDER/model\"\n");
    let message = place.run(pact().args(["train", "run.toml"])).refused(2);
    assert_snapshot!(message, @r"
    error: `$NO_SUCH_FOLDER/model`: the environment variable `NO_SUCH_FOLDER` is not set
    hint: set it, or give the path in full
    ");
}

#[test]
fn a_resumed_run_that_never_began() {
    let message = Place::new().pact("train --run none --resume").refused(2);
    assert_snapshot!(message, @r"
    error: `none`: there is no run in this folder to resume
    hint: begin one without `--resume`
    ");
}

#[test]
fn a_model_of_an_unsupported_architecture() {
    let place = a_place_with_a_model();
    let config = place.read("model/config.json");
    place.write("model/config.json", &config.replace("qwen3", "mamba"));
    assert_snapshot!(place.pact("model info model").refused(1));
}

#[test]
fn a_truncated_weight_file() {
    let place = a_place_with_a_model();
    let path = place.path("model/model.safetensors");
    let bytes = fs::read(&path).expect("the weights");
    fs::write(&path, &bytes[..bytes.len() / 2]).expect("half of the weights");
    assert_snapshot!(place.pact("model info model").refused(1));
}

#[test]
fn a_missing_weight_file() {
    let place = a_place_with_a_model();
    fs::remove_file(place.path("model/model.safetensors")).expect("the weights were there");
    assert_snapshot!(place.pact("model info model").refused(1));
}

#[test]
fn a_vocabulary_smaller_than_a_token_id() {
    let place = a_place_with_a_model();
    place.make_world(1);
    let tokenizer = fs::read_to_string(base().join("tokenizer.json")).expect("our tokenizer");
    let mut tokenizer: serde_json::Value = serde_json::from_str(&tokenizer).expect("JSON");
    let added = tokenizer["added_tokens"].as_array_mut().expect("a list");
    let mut one_more = added[0].clone();
    one_more["id"] = 5000.into();
    one_more["content"] = "<|one_more|>".into();
    added.push(one_more);
    place.write("model/tokenizer.json", &tokenizer.to_string());
    let message = place
        .pact("eval --suite world --data tasks.jsonl --model model")
        .refused(1);
    assert!(
        message.contains("but the model's vocabulary only"),
        "{message}"
    );
    assert!(
        message.contains("hint: use the tokenizer that"),
        "{message}"
    );
}

#[test]
fn a_model_folder_that_is_taken_is_left_alone() {
    let place = a_place_with_a_model();
    let message = place
        .pact("model init --preset tiny --out model")
        .refused(1);
    assert_snapshot!(message, @r"
    error: `model`: there is a model in this folder already
    hint: name another with `--out`
    ");
}

#[test]
fn a_line_that_is_not_json() {
    let place = Place::new();
    place.make_world(2);
    let rows = place.read("tasks.jsonl");
    place.write("tasks.jsonl", &format!("{rows}{{not json\n"));
    let replay = "eval --suite world --data tasks.jsonl --policy replay:traces.jsonl";
    assert_snapshot!(place.pact(replay).refused(1), @"error: `tasks.jsonl`, line 3: not a JSON object: key must be a string at line 1 column 2");
}

#[test]
fn a_row_that_lacks_a_field() {
    let place = Place::new();
    place.write("tasks.jsonl", "{\"messages\": []}\n");
    place.write("traces.jsonl", "");
    let replay = "eval --suite ftrl --data tasks.jsonl --policy replay:traces.jsonl";
    assert_snapshot!(place.pact(replay).refused(1), @"error: `tasks.jsonl`, line 1, field `tools`: missing");
}

#[test]
fn a_trace_of_an_unknown_task() {
    let place = Place::new();
    place.make_world(1);
    place.write("traces.jsonl", "{\"task\": \"nobody's\", \"turns\": []}\n");
    let replay = "eval --suite world --data tasks.jsonl --policy replay:traces.jsonl";
    assert_snapshot!(place.pact(replay).refused(1), @"error: `traces.jsonl`, line 1, field `task`: no task has the id `nobody's`");
}

#[test]
fn a_trace_that_calls_an_unknown_tool() {
    let place = Place::new();
    place.make_world(1);
    let trace = "{\"row\": 0, \"calls\": [{\"name\": \"fly\", \"parameters\": {}, \
                 \"output\": \"\"}], \"answer\": \"\"}\n";
    place.write("traces.jsonl", trace);
    let replay = "eval --suite world --data tasks.jsonl --policy replay:traces.jsonl";
    let message = place.pact(replay).refused(1);
    assert!(message.contains("has no tool `fly`"), "{message}");
    assert!(
        message.starts_with("error: `traces.jsonl`, line 1, field `calls`"),
        "{message}"
    );
}

#[test]
fn a_suite_of_python_tools_without_python() {
    let place = Place::new();
    place.make_world(1);
    let replay = "eval --suite ftrl --data tasks.jsonl --policy replay:traces.jsonl";
    let mut command = pact();
    command.args(replay.split(' ')).env("PATH", "");
    let message = place.run(&mut command).refused(1);
    assert!(
        message.starts_with("error: cannot run `python3`: "),
        "{message}"
    );
    assert!(message.contains("\nhint: "), "{message}");
}

#[test]
fn a_gate_that_is_not_met_and_one_that_nobody_knows() {
    let place = Place::new();
    place.make_world(2);
    let replay = "eval --suite world --data tasks.jsonl --policy replay:traces.jsonl";
    let outcome = place.pact(&format!("{replay} --gate solve-r=100.5"));
    assert_eq!(outcome.code, Some(3));
    assert_eq!(
        outcome.stderr,
        "gate not met: solve-r is 100, asked for was 100.5\n"
    );
    let outcome = place.pact(&format!("{replay} --gate solve-f=1"));
    assert_eq!(outcome.code, Some(2));
    assert_eq!(
        outcome.stderr,
        "error: `--gate solve-f`: the suite has no such metric\n\
         hint: did you mean `solve-f1`?\n"
    );
}

#[test]
fn a_world_that_cannot_be_made() {
    let place = Place::new();
    let message = place
        .pact("data make world --tasks 1 --out x.jsonl --set hops=[3,2]")
        .refused(2);
    assert_snapshot!(message, @r"
    error: tool world: `hops` is [3, 2], expected [fewest, most] within 1..=6
    hint: the default is [2, 3]
    ");
    let message = place
        .pact("data make world --tasks 1 --out x.jsonl --family keyd")
        .refused(2);
    assert!(message.contains("hint: did you mean `keyed`?"), "{message}");
    assert!(!place.path("x.jsonl").exists());
}

#[test]
fn prompts_of_which_none_fits() {
    let place = a_place_with_a_model();
    place.make_world(2);
    let limit = "--set rollout.max-prompt-tokens=10";
    let message = place
        .pact(&format!(
            "eval --suite world --data tasks.jsonl --model model {limit}"
        ))
        .refused(1);
    assert!(
        message.starts_with("error: 2 of 2 prompts are longer than `rollout.max-prompt-tokens`"),
        "{message}"
    );
    place.write("run.toml", QUICK);
    let message = place.pact(&format!("train run.toml {limit}")).refused(1);
    assert!(
        message.starts_with("error: 4 of 4 prompts are longer"),
        "{message}"
    );
    assert!(
        !place.path("runs").exists(),
        "a run that never began left a folder"
    );
}

/// A model called `model`, and a run called `lora` that trained an adapter on it.
fn a_place_with_an_adapter() -> Place {
    let place = a_place_with_a_model();
    place.make_world(1);
    let lora = "[model]\npath = \"model\"\nlora = { rank = 4 }\n";
    place.write("run.toml", &format!("{lora}{QUICK}"));
    place
        .pact("train run.toml --run lora --set train.steps=1")
        .done();
    place
}

const ADAPTER: &str = "lora/checkpoints/step-000001";

/// What `pact eval` says of the adapter, the folder of the test cut out.
fn refused_adapter(place: &Place, more: &str) -> String {
    let command = format!("eval --suite world --data tasks.jsonl --model {ADAPTER} {more}");
    let folder = fs::canonicalize(place.path("")).expect("the test's folder");
    let folder = format!("{}/", folder.display());
    place.pact(&command).refused(1).replace(&folder, "")
}

#[test]
fn an_adapter_of_another_base() {
    let place = a_place_with_an_adapter();
    place
        .pact("model init --preset tiny --seed 1 --out seed")
        .done();
    assert_snapshot!(refused_adapter(&place, "--set model.path=seed"));
    place.pact("model init --preset small --out small").done();
    assert_snapshot!(refused_adapter(&place, "--set model.path=small"));
    let merge = format!("model merge --model small --adapter {ADAPTER} --out merged");
    assert!(place.pact(&merge).refused(1).contains("has shape"));
    assert!(!place.path("merged").exists());
    fs::remove_dir_all(place.path("model")).expect("the base was there");
    assert_snapshot!(refused_adapter(&place, ""));
}

#[test]
fn an_adapter_with_a_missing_or_truncated_file() {
    let place = a_place_with_an_adapter();
    let file = place.path(ADAPTER).join("adapter_model.safetensors");
    let bytes = fs::read(&file).expect("the matrices");
    fs::write(&file, &bytes[..bytes.len() / 2]).expect("half of them");
    assert_snapshot!(refused_adapter(&place, ""));
    fs::remove_file(&file).expect("it was there");
    assert_snapshot!(refused_adapter(&place, ""));
}

#[test]
fn an_adapter_that_asks_for_what_is_not_implemented() {
    let place = a_place_with_an_adapter();
    let file = format!("{ADAPTER}/adapter_config.json");
    let config = place.read(&file);
    place.write(
        &file,
        &config.replace("\"bias\": \"none\"", "\"bias\": \"all\""),
    );
    assert_snapshot!(refused_adapter(&place, ""));
    place.write(&file, &config.replace("\"q_proj\"", "\"query\""));
    assert_snapshot!(refused_adapter(&place, ""));
}

#[test]
fn lora_settings_that_mean_nothing() {
    let place = a_place_with_a_model();
    place.write("run.toml", &format!("model.path = \"model\"\n{QUICK}"));
    let refused = |sets: &str, code| place.pact(&format!("train run.toml {sets}")).refused(code);
    assert_snapshot!(refused("--set model.lora.rank=200", 2));
    assert_snapshot!(refused(
        "--set model.lora.rank=4 --set model.lora.dropout=0.1",
        2
    ));
    assert_snapshot!(refused("--set model.lora.targets=[\"q_prj\"]", 2));
    assert_snapshot!(refused(
        "--set model.lora.rank=4 --set optimizer.kind=muon",
        1
    ));
    assert_snapshot!(refused("--set model.weights=fp16", 2));
    assert!(
        !place.path("runs").exists(),
        "a run that never began left a folder"
    );
}

#[test]
fn a_merge_of_what_is_no_adapter() {
    let place = a_place_with_a_model();
    assert_snapshot!(
        place
            .pact("model merge --adapter model --out merged")
            .refused(2)
    );
    assert_snapshot!(
        place
            .pact("model merge --adapter nowhere --out merged")
            .refused(1)
    );
}
