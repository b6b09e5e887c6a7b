//! Served models from the command line, played by a server of our own that knows the answers.

use remote::endpoint::fixture::{Act, Request, Server, http, replying};
use serde_json::{Value, json};

use super::{Outcome, Place, pact};

const COLLECT: &str = "trace collect --suite world --data tasks.jsonl --model teacher --samples 2 \
                       --out mine.jsonl --json";

/// The message that the expert would send next in the conversation of a request: of the
/// expert's trace for the task, the turn after those that were taken.
fn expert(traces: &[Value], tasks: &[Value], request: &Request) -> Value {
    let messages = request.body["messages"].as_array().expect("messages");
    let user = messages.iter().find(|it| it["role"] == "user");
    let asked = user.expect("a user's message")["content"].as_str();
    let asked = asked.expect("text");
    let task = tasks.iter().position(|task| {
        task["messages"]
            .to_string()
            .contains(&json!(asked).to_string())
    });
    let trace = &traces[task.unwrap_or_else(|| panic!("no task asks {asked}"))];
    let taken = messages
        .iter()
        .filter(|it| it["role"] == "assistant")
        .count();
    let Some(turn) = trace["turns"].get(taken) else {
        let answer = &trace["answer"];
        return json!({"content": answer, "reasoning_content": "Now I know."});
    };
    let calls = turn["calls"].as_array().expect("calls").iter().map(|call| {
        let arguments = call["arguments"].to_string();
        json!({"id": "x", "type": "function", "function": {"name": call["name"], "arguments": arguments}})
    });
    json!({
        "content": null,
        "reasoning_content": format!("Step {taken}."),
        "tool_calls": calls.collect::<Vec<_>>(),
    })
}

fn lines(place: &Place, file: &str) -> Vec<Value> {
    let text = place.read(file);
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().expect("JSON lines")
}

/// A server that plays the expert's traces of a place's world, but for what `otherwise` says.
fn teacher(
    place: &Place,
    otherwise: impl Fn(usize, &Request) -> Option<Vec<Act>> + Send + Sync + 'static,
) -> Server {
    let (traces, tasks) = (lines(place, "traces.jsonl"), lines(place, "tasks.jsonl"));
    Server::start(move |number, request| {
        otherwise(number, request).unwrap_or_else(|| replying(&expert(&traces, &tasks, request)))
    })
}

fn collect(place: &Place, server: &Server, more: &str) -> Outcome {
    place.pact(&format!("{COLLECT} --endpoint {} {more}", server.url()))
}

#[test]
fn a_teachers_verified_episodes_become_traces_with_its_reasoning() {
    let place = Place::new();
    place.make_world(3);
    let server = teacher(&place, |_, _| None);
    let collected = collect(&place, &server, "").json();
    assert_eq!(collected["traces"], 3);
    assert_eq!(collected["verified"], 3);
    assert_eq!(collected["tasks-without-trace"], 0);
    assert_eq!(collected["completion-tokens"], 2 * server.requests().len());

    let (mine, experts) = (lines(&place, "mine.jsonl"), lines(&place, "traces.jsonl"));
    for (mine, expert) in mine.iter().zip(&experts) {
        assert_eq!(mine["task"], expert["task"]);
        assert_eq!(mine["source"], "endpoint teacher");
        assert_eq!(mine["verified"], true);
        assert_eq!(mine["answer"], expert["answer"]);
        assert_eq!(mine["answer_reasoning"], "Now I know.");
        assert_eq!(mine["turns"][0]["reasoning"], "Step 0.");
        assert_eq!(mine["turns"][0]["calls"], expert["turns"][0]["calls"]);
        assert_eq!(mine["turns"][0]["results"], expert["turns"][0]["results"]);
    }
    let check = "trace check --suite world --data tasks.jsonl --traces mine.jsonl";
    assert!(place.pact(check).done().starts_with("3 of 3 traces verify"));
}

#[test]
fn a_task_that_is_not_solved_has_no_trace() {
    let place = Place::new();
    place.make_world(2);
    let first = lines(&place, "tasks.jsonl")[0]["messages"].to_string();
    let server = teacher(&place, move |_, request| {
        let asked = request.body["messages"]
            .as_array()?
            .iter()
            .find(|it| it["role"] == "user")?;
        let is_first = first.contains(&asked["content"].to_string());
        is_first.then(|| replying(&json!({"content": "I do not know."})))
    });
    let collected = collect(&place, &server, "").json();
    assert_eq!(collected["traces"], 1);
    assert_eq!(collected["tasks-without-trace"], 1);
    let left_out =
        json!([{"task": "plain-train-3-0", "problems": ["solve-r is 0.00, expected 1"]}]);
    assert_eq!(collected["left-out"], left_out);
}

#[test]
fn a_collection_that_broke_off_goes_on_where_it_stopped() {
    let place = Place::new();
    place.make_world(4);
    let is_up = |up: usize| {
        move |number: usize, _: &Request| {
            (number >= up).then(|| vec![Act::Send(http(401, "", "who are you?"))])
        }
    };
    let turns: usize = (lines(&place, "traces.jsonl").iter().take(2))
        .map(|trace| 2 * (trace["turns"].as_array().expect("turns").len() + 1))
        .sum();
    let server = teacher(&place, is_up(turns));
    let alone = "--set rollout.concurrency=2";
    let message = collect(&place, &server, alone).refused(1);
    assert!(message.contains("HTTP 401: who are you?"), "{message}");
    assert!(
        message.contains("`--resume` goes on with what `mine.jsonl` has by now"),
        "{message}"
    );
    assert_eq!(lines(&place, "mine.jsonl").len(), 2);

    let server = teacher(&place, is_up(usize::MAX));
    let message = collect(&place, &server, alone).refused(2);
    assert!(
        message.contains("`mine.jsonl` is there already\nhint: `--resume`"),
        "{message}"
    );
    let collected = collect(&place, &server, "--resume").json();
    assert_eq!(collected["traces"], 4);
    let ids = |file: &str| {
        lines(&place, file)
            .iter()
            .map(|it| it["task"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids("mine.jsonl"), ids("traces.jsonl"));
    let asked = server.requests().len();
    let again = collect(&place, &server, "--resume").json();
    assert_eq!(
        (again["traces"].clone(), server.requests().len()),
        (json!(4), asked)
    );
}

#[test]
fn the_key_comes_from_the_environment_and_is_never_shown() {
    let place = Place::new();
    place.make_world(1);
    let server = teacher(&place, |_, request| {
        let key = request
            .header("authorization")
            .unwrap_or("no key")
            .to_owned();
        Some(vec![Act::Send(http(401, "", &format!("not this: {key}")))])
    });
    let command = |key_env: &str| {
        let line = format!("{COLLECT} --endpoint {} {key_env}", server.url());
        let mut command = pact();
        command
            .env_remove("OPENAI_API_KEY")
            .env("MY_KEY", "sk-secret");
        command.args(line.split_whitespace());
        command
    };
    let message = place.run(&mut command("--key-env MY_KEY")).refused(1);
    assert!(
        message.contains("HTTP 401: not this: Bearer [key]"),
        "{message}"
    );
    assert!(!message.contains("sk-secret"), "{message}");
    let message = place.run(&mut command("")).refused(1);
    assert!(message.contains("not this: no key"), "{message}");
    let message = place.run(&mut command("--key-env NO_SUCH_KEY")).refused(2);
    assert!(
        message.contains("`--key-env NO_SUCH_KEY`: environment variable not found"),
        "{message}"
    );
    assert_eq!(
        server.requests()[0].header("authorization"),
        Some("Bearer sk-secret")
    );
}

#[test]
fn what_cannot_be_an_endpoint_is_refused() {
    let place = Place::new();
    place.make_world(1);
    let check = |arguments: &str, expected: &str| {
        let message = place.pact(&format!("{COLLECT} {arguments}")).refused(2);
        assert!(message.contains(expected), "{message}");
    };
    check(
        "--endpoint localhost:8000",
        "`--endpoint`: the endpoint's URL",
    );
    check(
        "--endpoint http://u:p@h/v1",
        "has a name or a password in it",
    );
    check("--endpoint http://h/v1 --field x", "expected NAME=JSON");
    check(
        "--endpoint http://h/v1 --field x=y",
        "a text stands in double quotes",
    );
    check(
        "--endpoint http://h/v1 --requests-per-minute 0",
        "0 is not in 1..",
    );
}
