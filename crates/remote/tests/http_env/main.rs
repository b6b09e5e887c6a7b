//! An environment behind HTTP as a toolbox: the protocol of `docs/http-environment.yaml`, and
//! servers that do something else.

mod example;
mod server;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use env::Suite;
use env::own::{Accept, OwnSuite, Session, TaskRow, Toolbox};
use episode::{Message, Observation, Role, StopReason, ToolCall, Turn};
use remote::http_env::{HttpConfig, HttpTools};
use serde_json::{Value, json};
use server::{Reply, Server};

fn no_variables(_: &str) -> Option<String> {
    None
}

fn config(url: String) -> HttpConfig {
    HttpConfig {
        url,
        call_seconds: 5.0,
        ..HttpConfig::default()
    }
}

fn connect(server: &Server) -> HttpTools {
    let connected = HttpTools::connect("shop", &config(server.url()), &no_variables);
    connected.unwrap_or_else(|error| panic!("{error}"))
}

fn tools(more: Value) -> Reply {
    let tool =
        json!({"type": "function", "function": {"name": "buy", "parameters": {"type": "object"}}});
    let mut offer = json!({"tools": [tool]});
    offer
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    Reply::Json(200, offer)
}

/// A server that answers `/tools` and `/reset`, and everything else as it is told.
fn shop(step: impl Fn(&Value) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |path, body| match path {
        "/tools" => tools(json!({})),
        "/reset" => Reply::Json(200, json!({"session": "s1"})),
        "/close" => Reply::Json(200, json!({})),
        _ => step(body),
    })
}

fn open(tools: &HttpTools) -> Box<dyn Session> {
    let opened = tools.open(&TaskRow::default());
    opened.unwrap_or_else(|problem| panic!("{problem}"))
}

fn call(what: &str) -> ToolCall {
    ToolCall {
        name: "buy".to_owned(),
        arguments: json!({"what": what}).as_object().unwrap().clone(),
    }
}

fn failed(text: &str) -> Observation {
    Observation {
        text: text.to_owned(),
        failed: true,
    }
}

fn load(tools: HttpTools, row: &Value) -> OwnSuite {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tasks.jsonl");
    std::fs::write(&path, row.to_string()).unwrap();
    let suite = OwnSuite::load(&path, vec![Arc::new(tools)], Accept::Contains);
    suite.unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn an_episode_goes_from_reset_to_close() {
    let server = Server::start(|path, body| match path {
        "/tools" => tools(json!({"scores": true, "replies": true})),
        "/reset" => Reply::Json(200, json!({"session": body["task"]["id"]})),
        "/step" if body["call"]["arguments"]["what"] == "tea" => {
            Reply::Json(200, json!({"text": "You have tea."}))
        }
        "/step" => Reply::Json(
            200,
            json!({"text": "Sold out.", "failed": true, "done": true}),
        ),
        "/answer" => Reply::Json(200, json!({"reply": "And coffee?"})),
        "/score" => Reply::Json(200, json!({"reward": 0.5, "metrics": {"tea": true}})),
        _ => Reply::Json(200, json!({})),
    });
    let row = json!({"id": "a", "messages": [{"role": "user", "content": "Buy."}], "budget": 3});
    let suite = load(connect(&server), &row);
    let mut episode = suite.open(&suite.tasks()[0]);
    assert_eq!(episode.call(&call("tea")).text, "You have tea.");
    let turn = Turn {
        content: "Done.".to_owned(),
        ..Turn::default()
    };
    assert_eq!(episode.answer(&turn).as_deref(), Some("And coffee?"));
    assert!(!episode.is_over());
    assert_eq!(episode.call(&call("coffee")), failed("Sold out."));
    assert!(episode.is_over());
    episode.close(StopReason::Ended, &[]);
    let score = episode.score();
    assert_eq!((score.reward, score.metrics["tea"]), (0.5, 1.0));

    let log = server.log();
    assert_eq!(
        server.paths(),
        [
            "/tools", "/reset", "/step", "/answer", "/step", "/score", "/close"
        ]
    );
    assert_eq!(log[1].2, json!({"task": row}));
    assert_eq!(
        log[2].2,
        json!({"session": "a", "call": {"name": "buy", "arguments": {"what": "tea"}}})
    );
    assert_eq!(log[3].2, json!({"session": "a", "text": "Done."}));
    assert_eq!(
        log[5].2,
        json!({"session": "a", "episode": {
            "calls": [
                {"name": "buy", "arguments": {"what": "tea"}, "text": "You have tea.", "failed": false},
                {"name": "buy", "arguments": {"what": "coffee"}, "text": "Sold out.", "failed": true},
            ],
            "answer": "Done.",
            "stop": "ended",
        }})
    );
    assert_eq!(log[6].2, json!({"session": "a"}));
}

#[test]
fn a_task_without_messages_begins_as_the_server_says() {
    let server = Server::start(|path, body| match path {
        "/tools" => tools(json!({})),
        "/reset" => {
            let text = format!("You have {} coins.", body["task"]["budget"]);
            let message = json!({"role": "user", "content": text});
            Reply::Json(200, json!({"session": "s1", "messages": [message]}))
        }
        _ => Reply::Json(200, json!({})),
    });
    let suite = load(
        connect(&server),
        &json!({"id": "a", "messages": [], "budget": 3}),
    );
    assert_eq!(
        suite.tasks()[0].messages,
        [Message::new(Role::User, "You have 3 coins.")]
    );
    assert_eq!(server.paths(), ["/tools", "/reset", "/close"]);
}

#[test]
fn a_refusal_is_read_and_the_session_goes_on() {
    let check = |status: u16, body: &'static str, expected: &str| {
        let server = shop(
            move |request| match request["call"]["arguments"]["what"] == "tea" {
                true => Reply::Raw(status, body.into()),
                false => Reply::Json(200, json!({"text": "fine"})),
            },
        );
        let tools = connect(&server);
        let mut session = open(&tools);
        let refused = session.call(&call("tea"));
        assert_eq!(refused, failed(&format!("error: /step: {expected}")));
        assert_eq!(session.call(&call("coffee")).text, "fine");
    };
    check(
        422,
        r#"{"error": "no such thing"}"#,
        "status 422: no such thing",
    );
    check(500, "<h1>Oops</h1>", "status 500: <h1>Oops</h1>");
    check(204, "", "status 204: ");
    let broken = "the reply is not what it should be:";
    check(
        200,
        "tea",
        &format!("{broken} expected ident at line 1 column 2"),
    );
    check(
        200,
        r#"{"result": 1}"#,
        &format!("{broken} missing field `text` at line 1 column 13"),
    );
    check(
        200,
        r#"{"text": 1}"#,
        &format!("{broken} invalid type: integer `1`, expected a string at line 1 column 10"),
    );
}

#[test]
fn what_nobody_knows_the_end_of_ends_the_session() {
    let check = |reply: fn() -> Reply, expected: &str| {
        let server = shop(move |_| reply());
        let config = HttpConfig {
            call_seconds: 1.0,
            ..config(server.url())
        };
        let tools = HttpTools::connect("shop", &config, &no_variables).unwrap();
        let mut session = open(&tools);
        let lost = session.call(&call("tea")).text;
        let prefix = "error: the environment is lost: /step: ";
        assert!(
            lost.starts_with(prefix) && lost.contains(expected),
            "{lost}"
        );
        let next = session.call(&call("tea"));
        let why = lost
            .strip_prefix("error: the environment is lost: ")
            .unwrap();
        assert_eq!(
            next,
            failed(&format!("error: there is no environment any more: {why}"))
        );
        drop(session);
        assert_eq!(server.paths(), ["/tools", "/reset", "/step"], "{expected}");
    };
    check(|| Reply::Cut, "");
    check(|| Reply::CutBody, "");
    check(|| Reply::Hang, "timeout");
}

#[test]
fn a_flood_is_not_read_to_its_end() {
    let server = shop(|_| Reply::Flood);
    let tools = connect(&server);
    let refused = open(&tools).call(&call("tea"));
    assert_eq!(
        refused,
        failed("error: /step: the reply has more than 16777216 bytes")
    );
}

#[test]
fn a_redirect_is_a_refusal_and_is_not_followed() {
    let elsewhere = Server::start(|_, _| Reply::Json(200, json!({"text": "got it"})));
    let to = elsewhere.url();
    let server = shop(move |_| Reply::Moved(to.clone()));
    let tools = connect(&server);
    assert_eq!(
        open(&tools).call(&call("tea")),
        failed("error: /step: status 307: ")
    );
    assert_eq!(elsewhere.paths(), [""; 0]);
}

#[test]
fn a_long_result_is_cut() {
    let server = shop(|_| Reply::Json(200, json!({"text": "é".repeat(50_000)})));
    let tools = connect(&server);
    let text = open(&tools).call(&call("tea")).text;
    assert!(text.ends_with("é\n[cut off here: it has 100000 bytes]"));
    assert!(text.len() < 66_000);
}

#[test]
fn a_server_that_is_not_there_yet_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let later = thread::spawn(move || {
        thread::sleep(Duration::from_millis(500));
        let listener = TcpListener::bind(address).unwrap();
        Server::on(listener, |_, _| tools(json!({})))
    });
    let config = config(format!("http://{address}"));
    let tools = HttpTools::connect("shop", &config, &no_variables).unwrap();
    assert_eq!(tools.tools().len(), 1);
    assert_eq!(later.join().unwrap().paths(), ["/tools"]);
}

#[test]
fn a_server_that_is_none_is_an_error_that_says_why() {
    let check = |server: &Server, expected: &str| {
        let error = HttpTools::connect("shop", &config(server.url()), &no_variables).err();
        let error = error.unwrap().to_string();
        let prefix = "the server of the tools of `shop`: /tools: ";
        assert!(
            error.starts_with(prefix) && error.contains(expected),
            "{error}"
        );
    };
    check(
        &Server::start(|_, _| Reply::Json(404, json!({"error": "what?"}))),
        "status 404: what?",
    );
    check(
        &Server::start(|_, _| Reply::Json(200, json!([]))),
        "not what it should be",
    );
    check(&Server::start(|_, _| Reply::Cut), "");
    let nobody = HttpConfig {
        retries: 0,
        ..config("http://127.0.0.1:9".to_owned())
    };
    let error = HttpTools::connect("shop", &nobody, &no_variables).err();
    assert!(error.unwrap().to_string().contains("Connection refused"));
}

#[test]
fn headers_come_from_the_environment_and_are_never_repeated() {
    let server = shop(|_| Reply::Json(200, json!({"text": "fine"})));
    let config = HttpConfig {
        headers: BTreeMap::from([("Authorization".to_owned(), "TOKEN".to_owned())]),
        ..config(server.url())
    };
    let secret = |name: &str| (name == "TOKEN").then(|| "Bearer secret".to_owned());
    let tools = HttpTools::connect("shop", &config, &secret).unwrap();
    let mut session = open(&tools);
    session.call(&call("tea"));
    drop(session);
    for (path, authorization, _) in server.log() {
        assert_eq!(authorization.as_deref(), Some("Bearer secret"), "{path}");
    }
    assert_eq!(server.paths().len(), 4);

    let missing = HttpTools::connect("shop", &config, &no_variables).err();
    let missing = missing.unwrap().to_string();
    assert!(
        missing.contains("the environment variable `TOKEN` is not set"),
        "{missing}"
    );
    let split = |_: &str| Some("two\nlines of a secret".to_owned());
    let refused = HttpTools::connect("shop", &config, &split).err();
    assert!(!refused.unwrap().to_string().contains("secret"));
}

#[test]
fn what_is_no_score_leaves_the_episode_unscored() {
    let server = Server::start(|path, _| match path {
        "/tools" => tools(json!({"scores": true})),
        "/reset" => Reply::Json(200, json!({"session": "s1"})),
        _ => Reply::Json(200, json!({"reward": "high"})),
    });
    let row = json!({"id": "a", "messages": [{"role": "user", "content": "Buy."}]});
    let suite = load(connect(&server), &row);
    let mut episode = suite.open(&suite.tasks()[0]);
    episode.close(StopReason::TurnLimit, &[]);
    let score = episode.score();
    assert_eq!((score.reward, score.metrics["unscored"]), (0.0, 1.0));
}

#[test]
fn the_document_names_every_path_that_is_asked_for() {
    let document = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/http-environment.yaml"
    );
    let document = std::fs::read_to_string(document).unwrap();
    let paths = document.lines().filter_map(|line| line.strip_prefix("  /"));
    let documented: Vec<String> = paths
        .map(|path| format!("/{}", path.trim_end_matches(':')))
        .collect();
    assert_eq!(
        documented,
        ["/tools", "/reset", "/step", "/answer", "/score", "/close"]
    );
}
