//! `pact compare` on run folders written by hand.

use insta::assert_snapshot;
use serde_json::json;

use super::Place;

/// A run's folder: its config, and its values of Solve-F1, a task each, after steps 0 and 2.
/// Before training, all are 0.
fn run(place: &Place, folder: &str, seed: u64, algorithm: &str, values: &[f64]) {
    let config = format!(
        "seed = {seed}\n[engine]\nthreads = {seed}\n[data.eval.world]\ntasks = 4\n\
         [objective]\nalgorithm = \"{algorithm}\"\n"
    );
    let line = |step: u64, mode: &str, values: &[f64]| {
        let tasks = values.iter().enumerate().map(|(i, value)| {
            let metrics = json!({"solve-f1": value});
            json!({"task": format!("t{i}"), "scenario": "single-hop", "metrics": metrics})
        });
        let tasks: Vec<_> = tasks.collect();
        let line = json!({"step": step, "mode": mode, "metrics": {}, "tasks": tasks});
        format!("{line}\n")
    };
    let first = vec![0.0; values.len()];
    let lines = [
        line(0, "greedy", &first),
        line(2, "greedy", values),
        line(2, "sampled", values),
    ];
    place.write(&format!("{folder}/config.toml"), &config);
    place.write(&format!("{folder}/evaluations.jsonl"), &lines.concat());
}

/// SFT scores 50 with both seeds. PACT scores 75: of its eight pairs with SFT it wins 3, loses 1
/// and ties 4, so it is better in (3 + 4/2) / 8 = 62.5%. GRPO is 25 better in every pair.
fn a_place_with_runs() -> Place {
    let place = Place::new();
    for seed in [1, 2] {
        let folder = |name: &str| format!("{name}-{seed}");
        run(&place, &folder("sft"), seed, "sft", &[0.0, 0.0, 1.0, 1.0]);
        let grpo = [0.25, 0.25, 1.25, 1.25];
        run(&place, &folder("grpo"), seed, "grpo", &grpo);
    }
    run(&place, "pact-1", 1, "pact", &[1.0, 0.0, 1.0, 1.0]);
    run(&place, "pact-2", 2, "pact", &[1.0, 1.0, 1.0, 0.0]);
    place
}

const ALL: &str = "compare sft-1 sft-2 pact-2 pact-1 grpo-1 grpo-2";

#[test]
fn runs_are_compared_by_method_in_a_table() {
    let place = a_place_with_runs();
    assert_snapshot!("compare-text", place.pact(ALL).done());
    let markdown = "compare base=sft-1 base=sft-2 pact=pact-1 --markdown --mode greedy";
    assert_snapshot!("compare-markdown", place.pact(markdown).done());
}

#[test]
fn the_same_as_json_to_two_decimals_of_percent() {
    let place = a_place_with_runs();
    let outcome = place.pact(&format!("{ALL} --json --mode sampled")).json();
    assert_eq!(outcome["baseline"], json!("objective.algorithm=sft"));
    assert!(outcome.get("greedy").is_none());
    assert_eq!(outcome["sampled"]["tasks"], json!(4));
    let methods = &outcome["sampled"]["methods"];
    assert_eq!(methods[0]["score"], json!(50.0));
    assert!(methods[0].get("difference").is_none());
    assert_eq!(methods[1]["method"], json!("objective.algorithm=pact"));
    assert_eq!(methods[1]["seeds"], json!([1, 2]));
    assert_eq!(methods[1]["difference"], json!(25.0));
    assert_eq!(methods[1]["win-rate"], json!(62.5));
    assert_eq!(methods[2]["difference-interval"], json!([25.0, 25.0]));
    let again = place.pact(&format!("{ALL} --json --mode sampled")).json();
    assert_eq!(outcome, again);

    let before = place.pact(&format!("{ALL} --json --mode greedy --step 0"));
    assert_eq!(before.json()["greedy"]["methods"][2]["score"], json!(0.0));
}

#[test]
fn a_gate_that_is_not_met_ends_in_exit_code_3() {
    let place = a_place_with_runs();
    let named = "compare sft=sft-1 sft=sft-2 pact=pact-1 pact=pact-2 g=1=grpo-1 g=1=grpo-2";
    let gate = |gate: &str| place.pact(&format!("{named} --require-better {gate}"));
    gate("g=1").done();
    gate("g=1=24.9").done();
    let outcome = gate("g=1=25");
    assert_eq!(outcome.code, Some(3));
    assert_snapshot!(outcome.stderr, @r"
    gate not met: greedy: the interval of g=1 less sft begins at +25.00, asked for was more than +25.00
    gate not met: sampled: the interval of g=1 less sft begins at +25.00, asked for was more than +25.00
    ");
    // Of four tasks, one interval or the other reaches below 0.
    assert_eq!(gate("pact").code, Some(3));
    assert!(gate("sft").refused(2).contains("`sft` is the baseline"));
    assert_snapshot!(gate("pct").refused(2), @r"
    error: `--require-better pct`: there is no such method
    hint: did you mean `pact`?
    ");
}

fn check_refused(place: &Place, arguments: &str, code: i32, expected: &str) {
    let message = place.pact(&format!("compare {arguments}")).refused(code);
    assert_eq!(message, format!("error: {expected}\n"));
}

#[test]
fn runs_that_cannot_be_compared_are_refused() {
    let place = a_place_with_runs();
    check_refused(
        &place,
        "sft-1 sft-2",
        2,
        "all runs are of one method, `objective.algorithm=sft`, expected two methods or more\n\
         hint: runs whose configs differ in the seed alone are of one method; `NAME=RUN` says \
         otherwise",
    );
    check_refused(
        &place,
        "a=sft-1 b=sft-2",
        1,
        "`b` and `a` have no seed in common, and pairs are of one task and one seed\n\
         hint: train both with the same seeds",
    );
    check_refused(
        &place,
        "sft-1 pact-1 pact-1",
        1,
        "`pact-1` and `pact-1` are both of `objective.algorithm=pact` with seed 1\n\
         hint: leave one out, or name their methods by `NAME=RUN`",
    );
    check_refused(
        &place,
        "sft-1 pact-1 --metric solve-f2",
        1,
        "no task of the greedy evaluations has the metric `solve-f2`\n\
         hint: there are solve-f1",
    );
    check_refused(
        &place,
        "sft-1 pact-1 --step 1 --mode sampled",
        1,
        "`sft-1` has no evaluation in mode sampled after step 1\n\
         hint: `pact show sft-1` says what it has",
    );
    place.write("new/config.toml", "seed = 1\ndata.eval.world.tasks = 4");
    check_refused(
        &place,
        "sft-1 new",
        1,
        "`new` has no evaluation that the other runs have too\n\
         hint: `pact show new` says what it has",
    );
    place.write("other/config.toml", "seed = 1\ndata.eval.world.tasks = 5");
    check_refused(
        &place,
        "sft-1 other",
        1,
        "`sft-1` and `other` are evaluated on other data: their `data.eval` differs\n\
         hint: compare runs with the same `data.eval`",
    );
    let tasks = place.read("pact-1/evaluations.jsonl");
    let tasks = tasks.replace(r#""task":"t"#, r#""task":"u"#);
    place.write("pact-1/evaluations.jsonl", &tasks);
    check_refused(
        &place,
        "sft-1 pact-1",
        1,
        "no task is in the greedy evaluations of all runs\n\
         hint: evaluate them on the same tasks, `eval.tasks` of the same `data.eval`",
    );
    check_refused(
        &place,
        "sft-1 nowhere",
        1,
        "`nowhere` is not a run folder: it has no `config.toml`\n\
         hint: give the folder that `pact train` printed at its end",
    );
}

#[test]
fn only_tasks_that_all_runs_have_are_compared() {
    let place = a_place_with_runs();
    run(&place, "short", 1, "grpo", &[1.0, 0.0]);
    let text = place.pact("compare sft-1 short --mode greedy").done();
    let left_out = "greedy: 2 tasks that not every run was evaluated on are left out";
    assert!(text.contains(left_out), "{text}");
    assert!(text.contains("+50.00"), "{text}");
}
