//! tau-bench's form, over a small shop of our own: what passes, and what does not.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use env::tau::{StaticUsers, TauSuite, User, Users};
use env::{EnvError, Environment, Suite, UnreadCalls, replay};
use episode::{Role, Score, StopReason, ToolCall, Turn};
use sandbox::{Pool, PythonConfig, SandboxConfig};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// The shop as FTRL would package it.
fn shop() -> TempDir {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tau");
    let folder = tempfile::tempdir().unwrap();
    let domain = folder.path().join("shop");
    fs::create_dir(&domain).unwrap();
    let rows = "tau-bench.jsonl";
    fs::copy(source.join(rows), folder.path().join(rows)).unwrap();
    let files = |folder: PathBuf| {
        let entries = fs::read_dir(folder).unwrap();
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
    };
    for file in files(source.join("shop")) {
        fs::copy(&file, domain.join(file.file_name().unwrap())).unwrap();
    }
    let name = |path: &PathBuf| path.file_stem().and_then(OsStr::to_str).unwrap().to_owned();
    let codes: Map<String, Value> = files(source.join("shop/codes"))
        .map(|path| (name(&path), json!(fs::read_to_string(&path).unwrap())))
        .collect();
    fs::write(domain.join("codes.json"), json!(codes).to_string()).unwrap();
    folder
}

/// `None` without Python.
fn pool() -> Option<Pool> {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: no python3");
        return None;
    }
    Some(Pool::new(PythonConfig::default(), SandboxConfig::default()).unwrap())
}

fn suite(users: Arc<dyn Users>) -> Option<TauSuite> {
    let path = shop();
    let file = path.path().join("tau-bench.jsonl");
    Some(TauSuite::load(&file, pool()?, users).unwrap())
}

fn call(name: &str, arguments: Value) -> ToolCall {
    ToolCall {
        name: name.to_owned(),
        arguments: arguments.as_object().unwrap().clone(),
    }
}

fn said(text: &str) -> Turn {
    Turn {
        content: text.to_owned(),
        ..Turn::default()
    }
}

/// Makes the calls, says the text, and ends for this reason.
fn play(suite: &TauSuite, task: usize, calls: &[ToolCall], text: &str, stop: StopReason) -> Score {
    let mut environment = suite.open(&suite.tasks()[task]);
    for call in calls {
        environment.call(call);
    }
    environment.answer(&said(text));
    environment.close(stop, &[said(text)]);
    environment.score()
}

fn metrics(score: &Score) -> [f64; 3] {
    ["pass", "state", "outputs"].map(|name| score.metrics[name])
}

#[test]
fn every_tasks_own_actions_pass() {
    let Some(suite) = suite(Arc::new(StaticUsers)) else {
        return;
    };
    let traces = suite.gold_traces();
    assert_eq!(traces.len(), suite.tasks().len());
    for trace in &traces {
        let report = replay(&suite, trace);
        assert_eq!(
            report.problems(trace),
            [] as [&str; 0],
            "task {}",
            trace.task
        );
        assert_eq!(report.score.reward, 1.0, "task {}", trace.task);
    }
    // One of them is refused, and says so; it is no failure of the executor's.
    let refused = traces.iter().flat_map(|trace| &trace.turns);
    let refused = refused.filter(|turn| turn.results[0].starts_with("Error: "));
    assert_eq!(refused.count(), 1);
}

#[test]
fn doing_nothing_passes_only_where_nothing_is_to_be_done_or_told() {
    let Some(suite) = suite(Arc::new(StaticUsers)) else {
        return;
    };
    let passes: Vec<bool> = (0..suite.tasks().len())
        .map(|task| play(&suite, task, &[], "Hello.", StopReason::Answered).reward == 1.0)
        .collect();
    // The mug that is not to be had, and the talk with a human, which changes nothing.
    let expected = [false, false, false, false, true, false, true, false];
    assert_eq!(passes, expected);
}

#[test]
fn state_and_outputs_count_each_for_itself_and_both_for_the_reward() {
    let Some(suite) = suite(Arc::new(StaticUsers)) else {
        return;
    };
    let cancel = call(
        "cancel_order",
        json!({"order_id": "W1", "reason": "no longer needed"}),
    );
    let look = call("get_order", json!({"order_id": "W1"}));
    let wrong = call(
        "cancel_order",
        json!({"order_id": "W1", "reason": "ordered by mistake"}),
    );
    let check = |calls: &[&ToolCall], text: &str, stop: StopReason, expected: [f64; 3]| {
        let calls: Vec<ToolCall> = calls.iter().map(|call| (*call).clone()).collect();
        let score = play(&suite, 0, &calls, text, stop);
        assert_eq!(metrics(&score), expected, "{text}");
        assert_eq!(score.reward, expected[0]);
    };
    let answered = StopReason::Answered;
    check(&[&cancel], "You have $1,212.50.", answered, [1.0, 1.0, 1.0]);
    // What is only looked at does not change the state, nor does what is refused.
    check(
        &[&look, &cancel, &cancel],
        "1212.5",
        answered,
        [1.0, 1.0, 1.0],
    );
    check(&[&cancel], "It is cancelled.", answered, [0.0, 1.0, 0.0]);
    check(&[&wrong], "You have 1212.5.", answered, [0.0, 0.0, 1.0]);
    check(&[&cancel], "1212.5", StopReason::TurnLimit, [0.0, 1.0, 1.0]);
}

#[test]
fn the_order_of_calls_does_not_matter_where_they_leave_the_same_behind() {
    let Some(suite) = suite(Arc::new(StaticUsers)) else {
        return;
    };
    let to = |city: &str| {
        call(
            "change_address",
            json!({"order_id": "W3", "street": "Ash 3", "city": city}),
        )
    };
    let score = play(
        &suite,
        1,
        &[to("Rome"), to("Kiel")],
        "Done.",
        StopReason::Answered,
    );
    assert_eq!(metrics(&score), [1.0, 1.0, 1.0]);
    let score = play(
        &suite,
        1,
        &[to("Kiel"), to("Rome")],
        "Done.",
        StopReason::Answered,
    );
    assert_eq!(metrics(&score), [0.0, 0.0, 1.0]);
}

#[test]
fn episodes_do_not_see_each_others_databases() {
    let Some(suite) = suite(Arc::new(StaticUsers)) else {
        return;
    };
    let task = &suite.tasks()[0];
    let mut one = suite.open(task);
    let mut other = suite.open(task);
    let cancel = call(
        "cancel_order",
        json!({"order_id": "W1", "reason": "no longer needed"}),
    );
    one.call(&cancel);
    let status = |environment: &mut dyn Environment| {
        let order = environment.call(&call("get_order", json!({"order_id": "W1"})));
        serde_json::from_str::<Value>(&order.text).unwrap()["status"].clone()
    };
    assert_eq!(status(one.as_mut()), "cancelled");
    assert_eq!(status(other.as_mut()), "pending");
}

#[test]
fn what_goes_wrong_in_a_call_is_told_in_the_executors_words() {
    let Some(suite) = suite(Arc::new(StaticUsers)) else {
        return;
    };
    let mut environment = suite.open(&suite.tasks()[4]);
    let mut check = |name: &str, arguments: Value, expected: &str| {
        let observation = environment.call(&call(name, arguments));
        assert!(observation.failed);
        assert_eq!(
            observation.text,
            format!("an error occured when call {name}: {expected}")
        );
    };
    check("fly", json!({}), "'fly'");
    check("list_products", json!({"product": "sofa"}), "'sofa'");
    check("_digest_of_database", json!({}), "'_digest_of_database'");
    check(
        "get_order",
        json!({}),
        "get_order() missing 1 required positional argument: 'order_id'",
    );
    environment.close(StopReason::Answered, &[]);
    let score = environment.score();
    assert_eq!(
        (score.metrics["calls"], score.metrics["errors"]),
        (4.0, 4.0)
    );
    assert_eq!(score.reward, 1.0, "an agent that mends its ways can pass");
}

#[test]
fn a_user_who_is_handed_on_ends_the_episode() {
    let Some(suite) = suite(Arc::new(StaticUsers)) else {
        return;
    };
    let mut environment = suite.open(&suite.tasks()[6]);
    assert!(!environment.is_over());
    environment.call(&call(
        "transfer_to_human_agents",
        json!({"summary": "human"}),
    ));
    assert!(environment.is_over());
    environment.close(StopReason::Ended, &[said("")]);
    assert_eq!(environment.score().reward, 1.0);
}

/// Users who say their goal in their own words, then yes, then that they are done.
struct Chatty;

impl Users for Chatty {
    fn opening(&self, instruction: &str) -> String {
        format!("Hi! {}", &instruction[..8])
    }

    fn open(&self, _instruction: &str) -> Box<dyn User> {
        Box::new(Yes(0))
    }
}

struct Yes(usize);

impl User for Yes {
    fn reply(&mut self, said: &str) -> Option<String> {
        self.0 += 1;
        match self.0 {
            1 => Some(format!("Yes to {said:?}")),
            _ => Some("Thanks. ###STOP###".to_owned()),
        }
    }
}

#[test]
fn users_begin_and_go_on_as_they_like() {
    let Some(suite) = suite(Arc::new(Chatty)) else {
        return;
    };
    let task = &suite.tasks()[0];
    let prompt = suite.prompt(task);
    assert_eq!(prompt[0].role, Role::System);
    assert!(prompt[0].content.starts_with("# Rules of the shop"));
    assert_eq!(prompt[1].content, "Hi! You are ");
    let mut environment = suite.open(task);
    assert_eq!(
        environment.answer(&said("Shall I?")).as_deref(),
        Some("Yes to \"Shall I?\"")
    );
    assert_eq!(environment.answer(&said("Done.")), None);
}

#[test]
fn the_static_user_says_the_whole_goal_at_once_under_the_authors_rules() {
    let Some(suite) = suite(Arc::new(StaticUsers)) else {
        return;
    };
    let task = &suite.tasks()[1];
    assert!(
        suite.prompt(task)[1]
            .content
            .starts_with("Your email is bo@example.org")
    );
    assert_eq!(task.tools.len(), 9);
    assert_eq!(task.scenario, "shop");
    assert_eq!(suite.open(task).answer(&said("Which order?")), None);
    assert_eq!(suite.protocol().max_turns, 30);
    assert_eq!(suite.protocol().unread_calls, UnreadCalls::Drop);
}

#[test]
fn half_a_data_set_is_an_error_that_says_what_is_missing() {
    let Some(pool) = pool() else { return };
    let load = |folder: &TempDir| -> EnvError {
        let file = folder.path().join("tau-bench.jsonl");
        TauSuite::load(&file, pool.clone(), Arc::new(StaticUsers))
            .err()
            .unwrap()
    };
    let shown = |folder: &TempDir, error: EnvError| {
        error
            .to_string()
            .replace(&format!("{}/", folder.path().display()), "")
    };
    let check = |spoil: &dyn Fn(&Path), expected: &str| {
        let folder = shop();
        spoil(folder.path());
        let message = shown(&folder, load(&folder));
        assert!(message.starts_with(expected), "{message}");
    };
    check(
        &|shop| fs::remove_dir_all(shop.join("shop")).unwrap(),
        "`tau-bench.jsonl`, line 1, field `data_source`: no folder `shop` beside the tasks",
    );
    check(
        &|shop| fs::remove_file(shop.join("shop/wiki.md")).unwrap(),
        "`shop/wiki.md`: ",
    );
    check(
        &|shop| fs::write(shop.join("shop/orders.json"), "{").unwrap(),
        "`shop/orders.json`: EOF",
    );
    let row = json!({"instruction": "", "actions": [{"name": "fly", "arguments": "{}"}],
                     "outputs": [], "data_source": "shop"});
    check(
        &|shop| fs::write(shop.join("tau-bench.jsonl"), row.to_string()).unwrap(),
        "`tau-bench.jsonl`, line 1, field `actions`: `fly` is no tool of the domain",
    );
    check(
        &|shop| fs::write(shop.join("tau-bench.jsonl"), "{\"instruction\": \"\"}").unwrap(),
        "`tau-bench.jsonl`, line 1, field `actions`: missing",
    );
}
