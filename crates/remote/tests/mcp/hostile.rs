//! Servers that die, hang or flood in the middle of an episode: the agent is told, the next
//! episode has a fresh server, and nothing is left behind.

use std::thread;
use std::time::Duration;

use remote::mcp::{McpConfig, McpTools, Sharing};
use serde_json::json;

use super::{call, connect, failed, has_python, open, process_lives, python, said};

fn impatient() -> McpConfig {
    McpConfig {
        call_seconds: 1.0,
        ..python(&[])
    }
}

/// What comes of a call, of the next one, and of another episode's.
fn check(config: &McpConfig, tool: &str, text: &str, expected: &str) {
    let tools = connect(config);
    let mut session = open(&tools);
    assert_eq!(call(&mut *session, "count", json!({})), said("1"));
    let lost = call(&mut *session, tool, json!({"text": text}));
    assert_eq!(
        lost,
        failed(&format!("error: the server is lost: {expected}")),
        "{tool} {text}"
    );
    let next = call(&mut *session, "count", json!({}));
    let gone = format!("error: there is no server any more: {expected}");
    assert_eq!(next, failed(&gone), "{tool} {text}");
    assert_eq!(call(&mut *open(&tools), "count", json!({})), said("1"));
}

#[test]
fn a_server_that_dies_is_told_and_the_next_episode_has_another() {
    if !has_python() {
        return;
    }
    check(&python(&[]), "die", "", "it has ended");
    let shared = McpConfig {
        session: Sharing::Shared,
        ..python(&[])
    };
    check(&shared, "die", "", "it has ended");
}

#[test]
fn a_server_that_hangs_is_given_up_after_its_time() {
    if !has_python() {
        return;
    }
    let expected = "it did not answer within 1 seconds";
    check(&impatient(), "hang", "", expected);
    let shared = McpConfig {
        session: Sharing::Shared,
        ..impatient()
    };
    check(&shared, "hang", "", expected);
}

#[test]
fn a_server_that_floods_is_given_up_after_its_time() {
    if !has_python() {
        return;
    }
    for kind in ["garbage", "endless line", "messages", "shapes"] {
        check(
            &impatient(),
            "flood",
            kind,
            "it did not answer within 1 seconds",
        );
    }
}

#[test]
fn a_long_result_is_cut_and_what_it_says_of_itself_is_not_kept() {
    if !has_python() {
        return;
    }
    let tools = connect(&McpConfig {
        longest_result: 10,
        ..python(&[])
    });
    let mut session = open(&tools);
    let flood = |session: &mut dyn env::own::Session, kind: &str| {
        call(session, "flood", json!({"text": kind}))
    };
    assert_eq!(
        flood(&mut *session, "result"),
        said("xxxxxxxxxx\n[cut off here: it has 3000000 bytes]")
    );
    assert_eq!(flood(&mut *session, "stderr"), said("all said"));
    assert_eq!(call(&mut *session, "count", json!({})), said("1"));
}

#[test]
fn a_result_that_is_none_is_a_failed_call() {
    if !has_python() {
        return;
    }
    let tools = connect(&python(&[]));
    let mut session = open(&tools);
    let odd = call(&mut *session, "odd", json!({}));
    assert!(odd.failed, "{}", odd.text);
    assert_eq!(call(&mut *session, "count", json!({})), said("1"));
}

/// Whether a process ends within a few seconds.
fn ends(process: &str) -> bool {
    (0..100).any(|_| {
        thread::sleep(Duration::from_millis(100));
        !process_lives(process)
    })
}

#[test]
fn nothing_that_a_server_has_started_outlives_its_episode() {
    if !has_python() {
        return;
    }
    let start = |tools: &McpTools| {
        let mut session = open(tools);
        let process = call(&mut *session, "daemon", json!({})).text;
        assert!(process_lives(&process));
        (session, process)
    };
    let tools = connect(&python(&[]));
    let (session, process) = start(&tools);
    drop(session);
    assert!(ends(&process), "after its episode");
    let (session, process) = start(&tools);
    drop(tools);
    drop(session);
    assert!(ends(&process), "after its toolbox");
}
