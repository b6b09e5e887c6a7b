//! The tool world from the command line, and what can be looked at.

use serde_json::json;

use super::{Place, base, pact};

#[test]
fn experts_solve_every_task_of_a_world_that_was_made_and_checked() {
    let place = Place::new();
    place.make_world(12);
    let check = "data check tasks.jsonl --traces traces.jsonl";
    let report = place.pact(&format!("{check} --json")).json();
    assert_eq!(report["tasks"], json!(12));
    assert_eq!(report["solving-traces"], json!(12));
    assert_eq!(report["problems"], json!([]));
    assert!(place.pact(check).done().ends_with("no problems\n"));

    for suite in ["world", "ftrl"] {
        let replay =
            format!("eval --suite {suite} --data tasks.jsonl --policy replay:traces.jsonl --json");
        let scores = place.pact(&replay).json();
        assert_eq!(scores["suite"], json!(suite));
        assert_eq!(scores["tasks"], json!(12));
        assert_eq!(scores["solve-r"], json!(100.0));
        assert_eq!(scores["stops"], json!({"answered": 12}));
    }
}

#[test]
fn where_no_tool_answers_with_an_error_no_call_of_an_expert_is_wasted() {
    let place = Place::new();
    place
        .pact(
            "data make world --tasks 8 --set error-rate=0 --out tasks.jsonl --traces traces.jsonl",
        )
        .done();
    let replay = "eval --suite world --data tasks.jsonl --policy replay:traces.jsonl --json";
    let scores = place.pact(replay).json();
    for metric in ["solve-p", "solve-r", "solve-f1"] {
        assert_eq!(scores[metric], json!(100.0), "{scores}");
    }
}

#[test]
fn the_text_of_an_evaluation_holds_what_its_json_holds() {
    let place = Place::new();
    place.make_world(5);
    let replay = "eval --suite world --data tasks.jsonl --policy replay:traces.jsonl --limit 3";
    insta::assert_snapshot!(place.pact(replay).done());
}

#[test]
fn the_same_seed_makes_the_same_file_and_another_one_another() {
    let place = Place::new();
    for (seed, out) in [(1, "a"), (1, "b"), (2, "c")] {
        place
            .pact(&format!(
                "data make world --tasks 3 --seed {seed} --out {out}.jsonl"
            ))
            .done();
    }
    assert_eq!(place.read("a.jsonl"), place.read("b.jsonl"));
    assert_ne!(place.read("a.jsonl"), place.read("c.jsonl"));
}

#[test]
fn a_trace_that_does_not_return_what_it_recorded_is_a_problem() {
    let place = Place::new();
    place.make_world(1);
    let traces = place.read("traces.jsonl");
    let at = traces.find("\"results\":[\"").expect("a result") + "\"results\":[\"".len();
    place.write(
        "traces.jsonl",
        &format!("{}X{}", &traces[..at], &traces[at..]),
    );
    let outcome = place.pact("data check tasks.jsonl --traces traces.jsonl");
    assert_eq!(outcome.code, Some(1));
    assert!(
        outcome.stdout.contains("problem: trace of task"),
        "{}",
        outcome.stdout
    );
    assert!(
        outcome.stdout.ends_with("1 problem\n"),
        "{}",
        outcome.stdout
    );
}

#[test]
fn a_models_episodes_are_written_shown_and_the_same_every_time() {
    let place = Place::new();
    place.make_world(3);
    let tokenizer = base().display();
    place
        .pact(&format!(
            "model init --preset tiny --tokenizer {tokenizer} --out model"
        ))
        .done();
    let rollout = "rollout --suite world --data tasks.jsonl --model model --sampled --samples 2 \
                   --set rollout.max-turn-tokens=5 --set seed=4";
    let episodes = place.pact(rollout).done();
    assert_eq!(episodes.lines().count(), 6);
    assert_eq!(episodes, place.pact(rollout).done());
    place.write("episodes.jsonl", &episodes);

    let text = place.pact("show episodes.jsonl --task 5").done();
    assert!(text.contains('⟦'), "{text}");
    assert!(
        !text.contains('\u{1b}'),
        "colour without a terminal: {text}"
    );
    let message = place.pact("show episodes.jsonl --task nobody's").refused(1);
    assert!(message.contains("none of its 6 episodes"), "{message}");
}

#[test]
fn a_fresh_model_depends_on_its_seed_and_is_described() {
    let place = Place::new();
    for (seed, out) in [(0, "a"), (0, "b"), (1, "c")] {
        place
            .pact(&format!(
                "model init --preset tiny --seed {seed} --out {out}"
            ))
            .done();
    }
    let weights = |folder: &str| {
        std::fs::read(place.path(folder).join("model.safetensors")).expect("its weights")
    };
    assert!(weights("a") == weights("b"));
    assert!(weights("a") != weights("c"));
    let facts = place.pact("model info a --json").json();
    assert_eq!(facts["family"], json!("qwen3"));
    assert_eq!(facts["vocabulary"], facts["tokenizer"]);
}

#[test]
fn the_default_config_can_be_checked_shown_and_explained() {
    let place = Place::new();
    let text = place.pact("config default").done();
    place.write("run.toml", &text);
    let checked = place.pact("config check run.toml").done();
    assert_eq!(checked, "`run.toml` can be run\n");
    let shown = place.pact("config show run.toml --set seed=9").done();
    assert!(shown.starts_with("seed = 9\n"), "{shown}");
    insta::assert_snapshot!(place.pact("config explain rollout.group-size").done());
    insta::assert_snapshot!(place.pact("config explain data.train").done());
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let place = Place::new();
    let binary = pact().get_program().to_owned();
    let mut shell = std::process::Command::new("sh");
    shell
        .args(["-c", "\"$0\" config default | head -n 1"])
        .arg(binary);
    let outcome = place.run(&mut shell);
    assert_eq!(outcome.stderr, "");
    assert_eq!(outcome.stdout.lines().count(), 1);
}
