//! Files of tasks from one form into another through the real binary.

use super::Place;

#[test]
fn a_world_that_went_through_every_form_is_the_same_world() {
    let place = Place::new();
    place.make_world(3);
    let mut from = ("ftrl", "tasks.jsonl".to_owned());
    for to in ["own", "verl", "trl", "ftrl"] {
        let out = format!("{to}.jsonl");
        let (form, file) = from;
        let done = place.pact(&format!(
            "data convert {file} --from {form} --to {to} --out {out}"
        ));
        assert_eq!(done.stderr, format!("3 tasks in `{out}`\n"));
        done.done();
        from = (to, out);
    }
    let evaluate = |file: &str| {
        place
            .pact(&format!(
                "eval --suite world --data {file} --policy replay:traces.jsonl --json"
            ))
            .json()
    };
    assert_eq!(evaluate("ftrl.jsonl"), evaluate("tasks.jsonl"));
}

#[test]
fn what_a_form_does_not_hold_is_said_and_what_cannot_be_written_is_an_error() {
    let place = Place::new();
    let tool = r#"{"type":"function","function":{"name":"f"}}"#;
    place.write(
        "own.jsonl",
        &format!(r#"{{"id":"a","messages":[],"tools":[{tool}],"codes":{{}},"rank":1}}"#),
    );
    let done = place.pact("data convert own.jsonl --from own --to ftrl --out ftrl.jsonl");
    assert_eq!(
        done.stderr,
        "left out of 1 row: `rank`, for which FTRL has no place\n1 tasks in `ftrl.jsonl`\n"
    );
    let refused = place.pact("data convert own.jsonl --from own --to toolhop --out t.json");
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("ToolHop's form can only be read"));
    assert!(
        refused.stderr.contains("hint: write `ftrl`"),
        "{}",
        refused.stderr
    );
    let refused = place.pact("data convert own.jsonl --from own --to own --out o --prefixes t");
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("hint: add `--from ftrl`"));
    let refused = place.pact("data convert own.jsonl --from jsonl --to own --out o");
    assert_eq!(refused.code, Some(2));
    assert!(
        refused
            .stderr
            .contains("possible values: own, ftrl, toolhop, verl, trl")
    );
}

#[test]
fn an_episode_becomes_a_row_for_every_turn_that_calls() {
    let place = Place::new();
    place.make_world(2);
    place
        .pact("data convert tasks.jsonl --from ftrl --to ftrl --prefixes traces.jsonl --out steps.jsonl")
        .done();
    let rows = place.read("steps.jsonl");
    let turns = place.read("traces.jsonl").matches("\"results\"").count();
    assert_eq!(rows.lines().count(), 2 + turns);
    let last = rows.lines().last().expect("rows");
    assert!(last.contains("\"solve_rate\": 1.0") && last.contains("\"tool_calls\""));
    place.pact("data check steps.jsonl").done();
}

#[test]
fn parquet_is_read_and_written_where_pact_was_built_with_it() {
    let place = Place::new();
    place.make_world(2);
    let done = place.pact("data convert tasks.jsonl --from ftrl --to verl --out t.parquet");
    if cfg!(feature = "parquet") {
        done.done();
        place
            .pact("data convert t.parquet --from verl --to ftrl --out back.parquet")
            .done();
        let report = place.pact("data check back.parquet --json").json();
        assert_eq!(report["tasks"], 2);
    } else {
        assert_eq!(done.code, Some(1));
        assert!(
            done.stderr.contains("built without Parquet\nhint: "),
            "{}",
            done.stderr
        );
    }
}
