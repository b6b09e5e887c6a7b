//! Expert traces from the command line: made from every source, replayed, shown.

use serde_json::{Value, json};

use super::{Place, QUICK, base, data, pact};

const WORLD: &str = "--suite world --data tasks.jsonl";

/// Replaces the first result of the first trace.
fn tamper(place: &Place, file: &str) {
    let text = place.read(file);
    let at = text.find("\"results\":[\"").expect("a result") + "\"results\":[\"".len();
    place.write(file, &format!("{}X{}", &text[..at], &text[at..]));
}

#[test]
fn a_worlds_rows_are_enough_to_plan_the_traces_that_were_made_with_them() {
    let place = Place::new();
    place.make_world(12);
    let built = place
        .pact(&format!(
            "trace build {WORLD} --from planner --out planned.jsonl --json"
        ))
        .json();
    let expected = json!({"traces": 12, "verified": 12, "tasks": 12, "tasks-without-trace": 0, "left-out": []});
    assert_eq!(built, expected);
    let planned = place.read("planned.jsonl");
    let without = planned.replace(",\"verified\":true", "");
    assert_ne!(without, planned);
    assert_eq!(without, place.read("traces.jsonl"));
    let replay = "eval --suite ftrl --data tasks.jsonl --policy replay:planned.jsonl --json";
    assert_eq!(place.pact(replay).json()["solve-r"], json!(100.0));
}

#[test]
fn a_run_trains_on_the_traces_that_it_is_given() {
    let place = Place::new();
    place.make_world(4);
    place.write("run.toml", QUICK);
    let traces = place.read("traces.jsonl");
    let three: Vec<&str> = traces.lines().take(3).collect();
    place.write("three.jsonl", &(three.join("\n") + "\n"));
    let train = "train run.toml --set data.train.world.seed=3 --set data.traces=three.jsonl \
                 --set eval.greedy=false --set eval.sampled=false";
    let message = place.pact(train).refused(1);
    assert!(
        message.contains("1 of 4 tasks have no finished expert trace, which `pact` needs"),
        "{message}"
    );
    assert!(message.contains("trace.missing=anchor"), "{message}");
    let run = place.pact(&format!("{train} --set trace.missing=anchor --json"));
    assert_eq!(run.json()["steps"], json!(2));
    // Of a world with another seed, they are traces of tasks that are not there.
    let other = train.replace("seed=3", "seed=4");
    let message = place.pact(&other).refused(1);
    assert!(message.contains("three.jsonl"), "{message}");
}

#[test]
fn what_does_not_verify_is_named_and_left_out_unless_it_shall_be_kept() {
    let place = Place::new();
    place.make_world(2);
    place.write(
        "mine.jsonl",
        &place.read("traces.jsonl").replace("planner", ""),
    );
    tamper(&place, "mine.jsonl");

    let check = format!("trace check {WORLD} --traces mine.jsonl");
    let outcome = place.pact(&check);
    assert_eq!(outcome.code, Some(1));
    let mut lines = outcome.stdout.lines();
    assert_eq!(
        lines.next(),
        Some("1 of 2 traces verify; 0 of 2 tasks have none")
    );
    let named = lines
        .next()
        .expect("a line for the trace that does not verify");
    assert!(
        named.starts_with("does not verify: task `plain-train-3-0`: turn 0: tool `"),
        "{named}"
    );
    let outcome = place.pact(&format!("{check} --json"));
    assert_eq!(outcome.code, Some(1));
    let checked: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(checked["verified"], json!(1));
    assert_eq!(checked["unverified"][0]["task"], json!("plain-train-3-0"));

    let build = format!("trace build {WORLD} --from recorded=mine.jsonl --out out.jsonl");
    let outcome = place.pact(&build);
    assert!(outcome.stderr.contains("hint: `--keep-unverified`"));
    let text = outcome.done();
    assert!(
        text.starts_with(
            "1 of 1 traces in `out.jsonl` are verified; 1 of 2 tasks have none\n\
             left out: task `plain-train-3-0`: turn 0"
        ),
        "{text}"
    );
    place.pact(&format!("{build} --keep-unverified")).done();
    let kept = place.read("out.jsonl");
    let marks: Vec<(Value, Value)> = kept
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .map(|trace: Value| (trace["source"].clone(), trace["verified"].clone()))
        .collect();
    let recorded = json!("recorded");
    assert_eq!(
        marks,
        [(recorded.clone(), json!(false)), (recorded, json!(true))]
    );
}

/// A trace as the messages of a chat.
fn as_messages(trace: &Value) -> Value {
    let mut messages = vec![json!({"role": "user", "content": "anything"})];
    for turn in trace["turns"].as_array().expect("turns") {
        let calls: Vec<Value> = (turn["calls"].as_array().expect("calls").iter())
            .map(|call| {
                let arguments = call["arguments"].to_string();
                json!({"type": "function", "function": {"name": call["name"], "arguments": arguments}})
            })
            .collect();
        messages.push(json!({"role": "assistant", "content": null,
            "reasoning_content": turn["reasoning"], "tool_calls": calls}));
        for result in turn["results"].as_array().expect("results") {
            messages.push(json!({"role": "tool", "content": result}));
        }
    }
    messages.push(json!({"role": "assistant", "content": trace["answer"],
        "reasoning_content": trace["answer_reasoning"]}));
    json!({"task": trace["task"], "source": trace["source"], "messages": messages})
}

#[test]
fn a_chats_messages_become_the_same_traces() {
    let place = Place::new();
    place.make_world(4);
    let chats: String = place
        .read("traces.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .map(|trace| as_messages(&trace).to_string() + "\n")
        .collect();
    place.write("chats.jsonl", &chats);
    for source in ["recorded=chats.jsonl", "planner"] {
        place
            .pact(&format!(
                "trace build {WORLD} --from {source} --out {source}.out"
            ))
            .done();
    }
    assert_eq!(
        place.read("recorded=chats.jsonl.out"),
        place.read("planner.out")
    );
}

#[test]
fn a_model_that_answers_nothing_leaves_every_task_without_a_trace() {
    let place = Place::new();
    place.make_world(2);
    place.pact("model init --preset tiny --out model").done();
    let build = format!(
        "trace build {WORLD} --from rollouts=model --samples 2 --min-reward 0 --out own.jsonl \
         --set rollout.max-turn-tokens=3"
    );
    assert_eq!(
        place.pact(&build).done(),
        "0 of 0 traces in `own.jsonl` are verified; 2 of 2 tasks have none\n"
    );
    assert_eq!(place.read("own.jsonl"), "");
}

/// The base solves tasks of the family that it was trained on.
#[test]
fn the_best_of_a_models_rollouts_are_traces_that_say_whose_they_are() {
    let place = Place::new();
    place
        .pact("data make world --tasks 3 --seed 5 --set error-rate=0 --out tasks.jsonl")
        .done();
    let model = base().display();
    let build = format!(
        "trace build {WORLD} --from rollouts={model} --samples 4 --out own.jsonl --set seed=1"
    );
    let built = place.pact(&format!("{build} --json")).json();
    assert_eq!(built["left-out"], json!([]));
    assert_ne!(built["traces"], json!(0));
    assert_eq!(built["traces"], built["verified"]);
    let own = place.read("own.jsonl");
    for line in own.lines() {
        let trace: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(trace["source"], json!(format!("rollouts of {model}")));
        assert_eq!(trace["verified"], json!(true));
        assert_ne!(trace["turns"][0]["reasoning"], json!(""));
    }
    place.pact(&build).done();
    assert_eq!(
        place.read("own.jsonl"),
        own,
        "the same seed, the same traces"
    );
    place
        .pact(&format!("trace check {WORLD} --traces own.jsonl"))
        .done();
}

#[test]
fn a_trace_is_shown_with_its_reasoning_in_segments() {
    let place = Place::new();
    place.make_world(3);
    let show = format!("trace show {WORLD} --traces traces.jsonl");
    let first = place.pact(&show).done();
    insta::assert_snapshot!(first);
    assert_eq!(place.pact(&format!("{show} plain-train-3-0")).done(), first);
    assert_ne!(place.pact(&format!("{show} 2")).done(), first);
    let message = place.pact(&format!("{show} 3")).refused(1);
    insta::assert_snapshot!(message, @r"
    error: `traces.jsonl`: none of its 3 traces is of task `3`, or has this number
    hint: numbers begin at 0
    ");
}

#[test]
fn sources_that_the_suite_does_not_have_and_options_that_mean_nothing() {
    let place = Place::new();
    place.make_world(1);
    let refused = |arguments: &str, code: i32| {
        let message = place
            .pact(&format!(
                "trace build --data tasks.jsonl --out out.jsonl {arguments}"
            ))
            .refused(code);
        assert!(!place.path("out.jsonl").exists());
        message
    };
    insta::assert_snapshot!(refused("--suite ftrl --from planner", 2), @r"
    error: `--from planner`: only tasks of the tool world can be planned
    hint: `--suite world`, or `--from gold` for tasks with gold calls
    ");
    insta::assert_snapshot!(refused("--suite world --from gold", 2), @r"
    error: `--from gold`: rows of the tool world have no gold calls
    hint: `--from planner`, or `--suite ftrl`
    ");
    insta::assert_snapshot!(refused("--suite ftrl --from gold", 1), @r"
    error: `tasks.jsonl`: no task comes with gold calls (of FTRL's rows, the field `ground_truth`)
    hint: `--from recorded=FILE` reads calls from a file of their own
    ");
    insta::assert_snapshot!(refused("--suite world --from planner --samples 2", 2), @r"
    error: `--samples` says which rollouts are kept, but `--from` names none
    hint: `--from rollouts=MODEL`
    ");
    let message = refused("--suite world --from expert", 2);
    assert!(
        message.contains("expected `planner`, `gold`, `recorded=FILE`"),
        "{message}"
    );
    insta::assert_snapshot!(refused("--suite world --from recorded=none.jsonl", 1), @"error: `none.jsonl`: No such file or directory (os error 2)");
}

#[test]
fn a_chat_that_breaks_off_is_refused_with_line_and_message() {
    let place = Place::new();
    place.make_world(1);
    let chat = json!({"row": 0, "messages": [{"role": "assistant", "content": ""}]});
    place.write("chats.jsonl", &chat.to_string());
    let check = format!("trace check {WORLD} --traces chats.jsonl");
    insta::assert_snapshot!(place.pact(&check).refused(1), @"error: `chats.jsonl`, line 1, field `messages`: message 0: it neither answers nor calls a tool");
}

#[test]
fn data_recorded_and_gold_calls_become_traces() {
    let Some(folder) = data::data_folder() else {
        return;
    };
    let place = Place::new();
    for (file, traces) in data::files_with_traces(&folder) {
        let build = format!(
            "trace build --suite ftrl --data {} --from recorded={} --out out.jsonl --json",
            file.display(),
            traces.display()
        );
        let built = place.pact(&build).json();
        println!("{}: {built}", traces.display());
        assert_eq!(built["traces"], built["verified"]);
        // No name tells FTRL's development rows, but their 415 sub-answers do.
        if built["tasks"] == 100 && data::sub_answers(&file) == 415 {
            assert_eq!(built["verified"], json!(85));
        }
        let check = format!(
            "trace check --suite ftrl --data {} --traces out.jsonl",
            file.display()
        );
        place.pact(&check).done();
    }
    for file in data::files_with_gold_calls(&folder) {
        let build = format!(
            "trace build --suite ftrl --data {} --from gold --out out.jsonl --json",
            file.display()
        );
        let built = place.pact(&build).json();
        println!("{}: {built}", file.display());
        assert_eq!(built["left-out"], json!([]));
        assert_eq!(built["verified"], built["tasks"]);
    }
}

#[test]
fn a_suite_of_python_tools_is_checked_on_the_day_that_the_config_says() {
    let place = Place::new();
    let row = json!({
        "messages": [{"role": "user", "content": "Which day is it?"}],
        "tools": json!([{"type": "function", "function": {"name": "today"}}]).to_string(),
        "codes": json!({"today": "def today():\n    import datetime\n    return datetime.date.today().strftime('%d %B')"}).to_string(),
        "unsolved_set": json!({"today": ["March"]}).to_string(),
        "data_source": "self/single_hop",
        "answer": "March",
        "ground_truth": json!([{"name": "today", "parameters": {}}]).to_string(),
    });
    place.write("rows.jsonl", &row.to_string());
    let mut probe = std::process::Command::new("python3");
    if probe.arg("--version").output().is_err() {
        println!("skipped: no python3");
        return;
    }
    let build = "trace build --suite ftrl --data rows.jsonl --from gold --out out.jsonl --json";
    let on = |day: &str| {
        let mut command = pact();
        command
            .args(build.split(' '))
            .args(["--set", &format!("python.date=\"{day}\"")]);
        place.run(&mut command).json()["verified"].clone()
    };
    assert_eq!(on("2026-03-02"), json!(1));
    assert_eq!(on("2026-04-02"), json!(0));
}
