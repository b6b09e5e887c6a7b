//! Suites beside the tool world, from the command line: whose tasks, with whose tools, scored by
//! whose rules.

use std::path::PathBuf;

use serde_json::json;

use crate::Place;

const TOOLS: &str = r#"
"""A till."""

total = 0


def add(price: int, count: int = 1) -> dict:
    """Adds goods to the bill.

    Args:
        price: Of one, in cents.
        count: How many.
    """
    global total
    total += price * count
    return {"total": total}


def reward(task, episode):
    return 1.0 if total == task["total"] else 0.0
"#;

fn till() -> Place {
    let place = Place::new();
    place.write("tools.py", TOOLS);
    let call = |price: u32, count: u32| json!({"name": "add", "arguments": {"price": price, "count": count}});
    let task = json!({
        "id": "two",
        "messages": [{"role": "user", "content": "Two at 30 and one at 5."}],
        "total": 65,
        "trace": {
            "task": "two",
            "turns": [
                {"calls": [call(30, 2)], "results": ["{\"total\": 60}"]},
                {"calls": [call(5, 1)], "results": ["{\"total\": 65}"]},
            ],
            "answer": "65",
        },
    });
    place.write("tasks.jsonl", &format!("{task}\n"));
    place
}

#[test]
fn a_python_file_and_a_file_of_tasks_are_a_suite() {
    let place = till();
    let own = "eval --suite own --data tasks.jsonl --tools tools.py --policy gold --json";
    let scores = place.pact(own).json();
    assert_eq!(scores["calls"], json!(2), "{scores}");
    assert_eq!(scores["errors"], json!(0), "{scores}");
    let episodes = place
        .pact("rollout --suite own --data tasks.jsonl --tools tools.py --policy gold")
        .done();
    let episode: serde_json::Value = serde_json::from_str(&episodes).expect("one episode");
    assert_eq!(
        episode["score"]["reward"],
        json!(1.0),
        "state lives for an episode"
    );
    let results: Vec<_> = (0..2)
        .map(|turn| episode["turns"][turn]["observations"][0]["text"].clone())
        .collect();
    assert_eq!(results, ["{\"total\": 60}", "{\"total\": 65}"]);
}

#[test]
fn a_python_file_that_does_not_import_is_refused_with_its_line() {
    let place = till();
    place.write("tools.py", "import nothing_of_this_name\n");
    let refused = place
        .pact("eval --suite own --data tasks.jsonl --tools tools.py --policy gold")
        .refused(1);
    assert!(refused.contains("nothing_of_this_name"), "{refused}");
    assert!(refused.contains("tools.py"), "{refused}");
}

#[test]
fn everything_that_is_wrong_with_tasks_of_ones_own_is_listed() {
    let place = till();
    let check = "data check tasks.jsonl --tools tools.py";
    let fine = place.pact(check).done();
    assert!(fine.ends_with("no problems\n"), "{fine}");
    let task = place.read("tasks.jsonl");
    let other = task.replace("\"id\":\"two\"", "\"id\":\"three\"");
    place.write("tasks.jsonl", &format!("{task}{task}{other}"));
    let outcome = place.pact(check);
    assert_eq!(outcome.code, Some(1), "{}", outcome.stdout);
    let listed = outcome
        .stdout
        .lines()
        .filter(|line| line.starts_with("problem: "));
    let listed: Vec<&str> = listed.collect();
    assert_eq!(listed.len(), 2, "{}", outcome.stdout);
    assert!(listed[0].contains("line 2, field `id`"), "{}", listed[0]);
    assert!(listed[1].contains("line 3, field `trace`"), "{}", listed[1]);
}

#[test]
fn arguments_that_a_suite_does_not_read_are_refused() {
    let place = till();
    let check = |arguments: &str, expected: &str| {
        let refused = place
            .pact(&format!(
                "eval --data tasks.jsonl --policy gold {arguments}"
            ))
            .refused(2);
        assert!(refused.contains(expected), "{refused}");
    };
    check(
        "--suite own --category base",
        "`--category` is read with `--suite bfcl` and `--suite toolhop` alone",
    );
    check(
        "--suite ftrl --format fc",
        "`--format` is read with `--suite bfcl` alone",
    );
    check(
        "--suite ftrl --tools a.py",
        "`--tools` is read with `--suite own` alone",
    );
    check("--suite toolhop --category fre", "did you mean `free`?");
    check("--suite bfcl --category miss-fun", "did you mean");
    check("--suite bfc", "bfcl");
    let folder =
        "eval --suite own --data tasks.jsonl --tools tools.py --model model --tokenizer model";
    let refused = place.pact(folder).refused(2);
    assert!(refused.contains("`--tokenizer` is for"), "{refused}");
}

#[test]
fn half_a_data_set_names_what_is_missing() {
    let place = Place::new();
    place.write("bfcl/BFCL_v4_multi_turn_base.json", "");
    let refused = place
        .pact("eval --suite bfcl --data bfcl --category base --policy gold")
        .refused(1);
    assert!(refused.contains("bfcl/"), "{refused}");
    assert!(refused.contains("hint:"), "{refused}");
}

#[test]
fn the_doctor_says_what_holds() {
    let place = Place::new();
    let text = place.pact("doctor").done();
    for line in ["threads", "instructions", "python", "limits", "seccomp"] {
        assert!(
            text.lines().any(|it| it.starts_with(line)),
            "{line}: {text}"
        );
    }
    let told = place.pact("doctor --json").json();
    assert_eq!(told["parts"]["vector"], json!(cfg!(feature = "vector")));
    assert!(
        told["sandbox"]["layers"]
            .as_array()
            .is_some_and(|it| !it.is_empty())
    );
    let missing = place.pact("doctor --set sandbox.require=[\"moat\"]");
    assert_eq!(missing.code, Some(1), "{}", missing.stdout);
    assert!(missing.stdout.contains("moat"), "{}", missing.stdout);

    let without = place.pact("doctor --set python.interpreter=nowhere");
    assert_eq!(without.code, Some(1), "{}", without.stdout);
    let told = "\npython        MISSING: cannot run `nowhere`: No such file or directory";
    assert!(without.stdout.starts_with("threads "), "{}", without.stdout);
    assert!(without.stdout.contains(told), "{}", without.stdout);
}

/// The folder of data sets, if it is there.
fn data() -> Option<PathBuf> {
    let named = std::env::var_os("PACT_DATA").map(PathBuf::from);
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data"));
    let folder = named.unwrap_or_else(beside);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: `{}` is not there", folder.display());
    None
}

#[test]
fn accepted_calls_played_as_a_models_pass_everything_and_their_result_files_too() {
    let Some(data) = data() else { return };
    let data = data.display();
    let place = Place::new();
    for (format, part) in [("fc", "1/40"), ("prompt", "2/40"), ("api", "3/40")] {
        let scores = place
            .pact(&format!(
                "eval --suite bfcl --data {data}/bfcl --policy gold --tokenizer {data}/qwen3 \
                 --format {format} --shard {part} --out {format} --json"
            ))
            .json();
        assert_eq!(scores["tasks"], json!(20), "{scores}");
        assert_eq!(scores["accuracy"], json!(100.0), "{format}: {scores}");
        assert_eq!(scores["columns"]["Multi-Turn"], json!(100.0), "{scores}");
        let model = if format == "prompt" {
            "replay"
        } else {
            "replay-FC"
        };
        let score = format!("score {format}/result/{model} --data {data}/bfcl --json");
        let report = place.pact(&score).json();
        for category in report["categories"].as_array().expect("categories") {
            assert_eq!(category["accuracy"], json!(1.0), "{format}: {category}");
            assert_eq!(category["correct"], json!(5), "{format}: {category}");
        }
    }
}

#[test]
fn recorded_traces_of_toolhop_are_played_by_its_protocol() {
    let Some(data) = data() else { return };
    let rows = data.join("toolhop");
    let rows = rows.display();
    let place = Place::new();
    let scores = place
        .pact(&format!(
            "eval --suite toolhop --data {rows}/dev.jsonl --policy replay:{rows}/dev.traces.jsonl \
             --limit 6 --json"
        ))
        .json();
    assert_eq!(scores["tasks"], json!(6), "{scores}");
    assert_eq!(scores["errors"], json!(0), "{scores}");
    assert!(scores["columns"]["Mandatory"].is_number(), "{scores}");
}
