//! What `pact bench` prints. Its numbers are the machine's; that they are there is tested.

use serde_json::{Value, json};

use super::{Place, pact};

const SMALLEST: &str = "--preset tiny --vocabulary 64 --threads 1 --repetitions 2 --json";

/// Runs a benchmark and checks what every one of them prints.
fn measured(arguments: &str) -> Value {
    let json = Place::new()
        .pact(&format!("bench {arguments} {SMALLEST}"))
        .json();
    for key in [
        "tokens-per-second",
        "tokens",
        "gflops",
        "gemm-gflops",
        "gemm-share",
    ] {
        assert!(
            json[key].as_f64().is_some_and(|number| number > 0.0),
            "{key}: {json}"
        );
    }
    assert_eq!(json["seconds"].as_array().map(Vec::len), Some(2), "{json}");
    assert_eq!(json["threads"], 1);
    assert!(json["instructions"].is_string(), "{json}");
    // Embedding 64 x 128; a layer's norms, attention and feed-forward of hidden 128.
    let layer = 2 * 128 + 2 * 32 + 128 * (2 * 128 + 2 * 64) + 3 * 128 * 384;
    assert_eq!(json["parameters"], 64 * 128 + 4 * layer + 128);
    let known = cfg!(target_os = "linux");
    assert_eq!(json["peak-bytes"].is_u64(), known, "{json}");
    json
}

#[test]
fn a_training_step_is_measured_in_all_its_tokens() {
    let json = measured("train --batch 2 --tokens 8");
    assert_eq!(json["tokens"], 16);
    measured("train --batch 2 --tokens 8 --checkpointing");
}

#[test]
fn decoding_is_measured_in_sampled_tokens() {
    assert_eq!(
        measured("decode --batch 3 --prompt 4 --new 5")["tokens"],
        15
    );
    let groups = "decode --groups 2 --group-size 3 --prompt 4 --new 5";
    assert_eq!(measured(groups)["tokens"], 30);
}

#[test]
fn a_tree_is_measured_against_its_sequences_and_the_bound_is_counted() {
    let json = measured("tree --context 24 --rollouts 4 --rollout-tokens 6");
    assert_eq!(json["tokens"], 24 + 4 * 6);
    assert_eq!(json["unshared-seconds"].as_array().map(Vec::len), Some(2));
    let number = |key: &str| json[key].as_f64().expect("a number");
    // 4 (24 + 6) tokens against 24 + 4 x 6, less what attention and the head share less of.
    assert!((2.0..2.5).contains(&number("bound")), "{json}");
    let share = number("ratio") / number("bound");
    assert!((number("share-of-bound") - share).abs() < 1e-12);
}

#[test]
fn weights_in_bfloat16_and_adapters_are_measured_too() {
    measured("train --batch 2 --tokens 8 --weights bf16 --lora-rank 2");
    measured("decode --batch 2 --prompt 4 --new 3 --weights bf16");
    let message = Place::new()
        .pact("bench train --lora-rank 9999 --preset tiny")
        .refused(2);
    assert!(message.contains("error: `--lora-rank`: "), "{message}");
}

#[test]
fn losses_are_the_mean_of_what_tokens_lack_and_fall() {
    let place = Place::new();
    place.pact("model init --preset tiny --out model").done();
    place.write("tokens.json", "[[5, 2, 9, 4], [7, 7, 1, 3, 8]]");
    let losses = "bench losses --model model --tokens tokens.json --steps 8 --threads 1";
    let json = place
        .pact(&format!("{losses} --learning-rate 1e-3 --json"))
        .json();
    let numbers = |value: &Value| -> Vec<f64> {
        let list = value.as_array().expect("a list").iter();
        list.map(|it| it.as_f64().expect("a number")).collect()
    };
    let each = json["logprobs"].as_array().expect("a list for each");
    let each: Vec<f64> = each.iter().flat_map(numbers).collect();
    assert_eq!(each.len(), 3 + 4);
    let (first, falling) = (-each.iter().sum::<f64>() / 7.0, numbers(&json["losses"]));
    assert!((falling[0] - first).abs() < 1e-6, "{json}");
    assert!(falling.windows(2).all(|pair| pair[1] < pair[0]), "{json}");
    assert_eq!(numbers(&json["grad-norms"]).len(), 8);
    let message = place
        .pact(&format!("{losses} --learning-rate nan"))
        .refused(2);
    assert!(message.contains("`--learning-rate`: "), "{message}");
    for (tokens, said) in [
        ("[[5]]", "sequence 0 has 1 tokens, expected at least 2"),
        ("[[5, 999999]]", "sequence 0 has the token 999999, and"),
        ("[]", "there is no sequence"),
        ("{}", "invalid type: map"),
    ] {
        place.write("tokens.json", tokens);
        let message = place.pact(losses).refused(2);
        assert!(
            message.contains(said) && message.contains("hint: "),
            "{message}"
        );
    }
}

#[test]
fn whole_steps_of_a_run_are_measured_and_leave_nothing_behind() {
    let place = Place::new();
    let small = "--set rollout.group-size=2 --set rollout.max-turn-tokens=4 --repetitions 2";
    let json = place.pact(&format!("bench rollout {small} --json")).json();
    assert_eq!(json["episodes"], 4 * 2);
    // A random model neither calls nor stops: each episode is one turn cut at its limit.
    assert_eq!(json["tokens"], json!([4 * 2 * 4, 4 * 2 * 4]), "{json}");
    for key in ["seconds", "seconds-rollout", "seconds-update"] {
        let seconds = json[key].as_array().expect("one for each step");
        assert!(
            seconds.len() == 2 && seconds.iter().all(|s| s.as_f64() > Some(0.0)),
            "{json}"
        );
    }
    for key in ["tokens-per-second", "episodes-per-second"] {
        assert!(json[key].as_f64() > Some(0.0), "{json}");
    }
    assert_eq!(
        std::fs::read_dir(place.path("."))
            .expect("its folder")
            .count(),
        0
    );

    place.write("run.toml", super::QUICK);
    let table = place.pact("bench rollout run.toml --repetitions 1").done();
    assert!(table.starts_with("tokens/s"), "{table}");
}

#[test]
fn a_scale_lists_every_point_and_says_why_it_left_some_out() {
    let place = Place::new();
    let scale = "bench scale --preset tiny --vocabulary 64 --threads 1 --budget 1 --out scale";
    let json = place.pact(&format!("{scale} --json")).json();
    let points = json["points"].as_array().expect("a list");
    // 1 of threads, 7 of batch, 7 of context, 6 of models, in training and in decoding.
    assert_eq!(points.len(), 2 * (1 + 7 + 7 + 6));
    let measured = |point: &&Value| point["tokens-per-second"].as_f64() > Some(0.0);
    let count = points.iter().filter(measured).count();
    assert!(
        count > 0 && count < points.len(),
        "{count} points in a second"
    );
    for point in points.iter().filter(|point| !measured(point)) {
        let reason = point["skipped"].as_str().expect("a reason");
        assert!(
            reason.contains(" s, of ") || reason.contains("GiB"),
            "{reason}"
        );
    }
    assert!(
        !json["curves"].as_array().expect("a list").is_empty(),
        "{json}"
    );
    let written: Value = serde_json::from_str(&place.read("scale/scale.json")).expect("JSON");
    assert_eq!(written["points"], json["points"]);
    assert!(place.read("scale/scale.svg").starts_with("<svg "));
    let table = place.read("scale/scale.md");
    let rows = table
        .lines()
        .filter(|line| line.starts_with("| train "))
        .count();
    assert!(rows > 1 + 7 + 7 + 6, "{table}");
    assert!(
        place
            .pact("bench scale --budget 0")
            .refused(2)
            .contains("above 0")
    );
}

#[test]
fn a_profile_shares_out_all_the_time_that_the_threads_had() {
    let json = measured("train --batch 2 --tokens 8 --profile");
    let shares = json["profile"].as_object().expect("phases by name");
    let sum: f64 = shares
        .values()
        .map(|share| share.as_f64().expect("a share"))
        .sum();
    assert!((sum - 1.0).abs() < 1e-9, "{json}");
    for phase in [
        "attention",
        "weight gradients",
        "optimizer",
        "waiting, and the rest",
    ] {
        assert!(shares.contains_key(phase), "{phase}: {json}");
    }
    let json = measured("tree --context 24 --rollouts 4 --rollout-tokens 6 --profile");
    assert!(json["profile"]["attention, backward"].is_f64(), "{json}");
    assert!(
        measured("train --batch 2 --tokens 8")
            .get("profile")
            .is_none()
    );
}

#[test]
#[cfg(target_os = "linux")]
fn a_plan_is_near_what_a_step_really_takes() {
    for kind in [
        "",
        "--checkpointing",
        "--weights bf16",
        "--lora-rank 4 --weights bf16",
    ] {
        let bench = "bench train --preset tiny --batch 4 --tokens 512 --repetitions 1 --json";
        let json = Place::new().pact(&format!("{bench} {kind}")).json();
        let bytes = |key: &str| {
            json[key]
                .as_f64()
                .expect("Linux says how much memory it was")
        };
        let ratio = bytes("planned-bytes") / bytes("peak-bytes");
        assert!((0.75..1.25).contains(&ratio), "{kind}: {json}");
    }
}

#[test]
fn a_model_is_measured_as_its_config_describes_it() {
    let place = Place::new();
    place.pact("model init --preset tiny --out model").done();
    let parameters = place.pact("model info model --json").json()["parameters"].clone();
    let bench = "bench train --batch 1 --tokens 4 --repetitions 1 --config model/config.json";
    let json = place.pact(&format!("{bench} --json")).json();
    assert_eq!(json["parameters"], parameters);
    let table = place.pact(bench).done();
    assert!(table.starts_with("tokens/s"), "{table}");
    let message = place.pact("bench train --config none.json").refused(2);
    assert!(
        message.starts_with("error: `none.json`: No such file"),
        "{message}"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn a_batch_that_cannot_fit_is_refused_before_it_is_learned_from() {
    let bench = "bench train --preset small --vocabulary 64 --batch 1 --tokens 4000000";
    let message = Place::new().pact(bench).refused(2);
    let (_, error) = message
        .split_once("error: this takes ")
        .expect("what it takes");
    assert!(
        error.contains(" GiB of memory, of ") && error.contains("\nhint: "),
        "{error}"
    );
}

#[test]
fn more_threads_than_the_machine_runs_are_refused() {
    let message = Place::new().pact("bench train --threads 9999").refused(2);
    assert!(message.starts_with("error: 9999 threads are asked for, but this machine runs"));
    assert!(message.contains("\nhint: "), "{message}");
    let place = Place::new();
    place.write("run.toml", super::QUICK);
    let train = "train run.toml --set engine.threads=9999";
    assert_eq!(place.pact(train).refused(2), message);
    assert!(
        !place.path("runs").exists(),
        "a run that never began left a folder"
    );
}

#[test]
fn a_set_of_instructions_that_the_machine_lacks_is_refused_wherever_it_is_named() {
    let place = Place::new();
    place.write("run.toml", super::QUICK);
    let message = place
        .pact("train run.toml --set engine.instructions=sse9")
        .refused(2);
    let start = "error: `engine.instructions`: `sse9` is no set of instructions of this machine";
    assert!(message.starts_with(start), "{message}");
    let mut bench = pact();
    bench
        .args(["bench", "train"])
        .env("PACT_INSTRUCTIONS", "sse9");
    let message = place.run(&mut bench).refused(2);
    assert!(
        message.starts_with("error: `PACT_INSTRUCTIONS`: `sse9` is no"),
        "{message}"
    );
}
