//! What asking again does not mend: each error says what to do, and none shows the key.

use chat::fixture as chats;
use episode::StopReason;
use remote::endpoint::fixture::{Act, Server, http, http_json, replying, saying};
use remote::endpoint::{Endpoint, Key};
use rollout::Config;
use serde_json::json;

use super::{endpoint, limits, play, play_with, task};

/// The one request's error, without its beginning.
fn error_of(reply: Vec<u8>) -> String {
    let server = Server::start(move |_, _| vec![Act::Send(reply.clone())]);
    let error = play(endpoint(&server), limits()).error();
    assert_eq!(server.requests().len(), 1, "{error}");
    let head = format!(
        "the policy cannot go on: endpoint `{}`, model `parrot`: ",
        server.url()
    );
    (error.strip_prefix(&head))
        .unwrap_or_else(|| panic!("{error}"))
        .to_owned()
}

#[test]
fn an_error_that_stays_says_what_the_server_says_and_a_way_out() {
    let openai =
        |message: &str| json!({"error": {"message": message, "type": "invalid_request_error"}});
    assert_eq!(
        error_of(http_json(
            401,
            &openai("Incorrect API key provided: sk-secret.")
        )),
        "HTTP 401: Incorrect API key provided: [key].\n\
         hint: is the API key set, and is it this server's?"
    );
    let error = error_of(http_json(404, &openai("The model `parrot` does not exist")));
    assert!(
        error
            .starts_with("HTTP 404: The model `parrot` does not exist\nhint: does the server have"),
        "{error}"
    );
    let error = error_of(http_json(400, &openai("Unknown parameter: 'seed'")));
    assert!(
        error.starts_with("HTTP 400: Unknown parameter: 'seed'\nhint: "),
        "{error}"
    );
    let error = error_of(http_json(
        422,
        &json!({"detail": [{"loc": ["body"], "msg": "extra"}]}),
    ));
    assert!(
        error.starts_with("HTTP 422: {\"detail\":[{\"loc\":[\"body\"],\"msg\":\"extra\"}]}"),
        "{error}"
    );
    let error = error_of(http_json(
        429,
        &json!({"error": {"message": "pay", "code": "insufficient_quota"}}),
    ));
    assert_eq!(error, "HTTP 429: pay\nhint: the account has no credit left");
}

#[test]
fn a_redirection_is_not_followed() {
    let elsewhere = Server::start(|_, _| replying(&saying("caught")));
    let url = elsewhere.url();
    let location = format!("Location: {url}/x\r\n");
    let error = error_of(http(307, &location, ""));
    assert!(
        error.starts_with(&format!("HTTP 307: {url}/x\nhint: the server redirects")),
        "{error}"
    );
    assert_eq!(elsewhere.requests().len(), 0, "the key goes nowhere else");
}

#[test]
fn json_of_another_kind_is_named() {
    let error = error_of(http_json(200, &json!({"object": "list", "data": []})));
    assert!(error.starts_with("the reply is not one of a chat: it has no `choices`; found `{\"object\":\"list\",\"data\":[]}`"), "{error}");
    let error = error_of(http(200, "", "not JSON"));
    assert!(
        error.starts_with("the reply is not one of a chat: it is not JSON (expected"),
        "{error}"
    );
    let error = error_of(http(200, "", ""));
    assert!(
        error.starts_with("the reply is not one of a chat: it is not JSON (EOF"),
        "{error}"
    );
}

#[test]
fn what_is_no_http_is_an_error() {
    let error = error_of(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec());
    assert!(error.starts_with("the reply is not HTTP"), "{error}");
}

#[test]
fn without_a_key_none_is_sent() {
    let server = Server::start(|_, _| replying(&saying("ok")));
    let endpoint = Endpoint {
        key: None,
        ..endpoint(&server)
    };
    play(endpoint, limits()).episode();
    assert_eq!(server.requests()[0].header("authorization"), None);
}

#[test]
fn an_endpoint_in_a_debug_print_keeps_its_key() {
    let server = Server::start(|_, _| Vec::new());
    let endpoint = Endpoint {
        key: Some(Key::new("sk-secret").expect("a key")),
        ..endpoint(&server)
    };
    let shown = format!("{endpoint:?}");
    assert!(
        shown.contains("[key]") && !shown.contains("secret"),
        "{shown}"
    );
}

/// Plays three tasks in turn with a server that answers the second with this status.
fn skipping(status: u16) -> super::Played {
    let server =
        Server::start(
            move |_, request| match request.body["messages"][0]["content"] == "Do b." {
                true => vec![Act::Send(http(status, "", "broke"))],
                false => replying(&saying("fine")),
            },
        );
    let endpoint = Endpoint {
        skip_unanswered: true,
        max_retries: 2,
        ..endpoint(&server)
    };
    let config = Config {
        concurrency: 1,
        ..limits()
    };
    let tasks = ["a", "b", "c"].map(task);
    play_with(&chats::chat(), endpoint, config, &tasks, 1)
}

#[test]
fn an_endpoint_that_breaks_over_one_conversation_can_be_gone_on_with() {
    let played = skipping(500);
    let last = played
        .notices
        .last()
        .map(String::as_str)
        .unwrap_or_default();
    assert!(
        last.ends_with("HTTP 500: broke; this ends the episode"),
        "{last}"
    );
    let groups = played.result.expect("all tasks");
    let stops: Vec<StopReason> = groups.iter().map(|it| it.episodes[0].stop).collect();
    let fine = StopReason::Answered;
    assert_eq!(stops, [fine, StopReason::Unanswered, fine]);
    assert_eq!(groups[1].episodes[0].turns, []);
}

#[test]
fn an_endpoint_that_is_away_is_not_gone_on_with() {
    for status in [401, 429, 503] {
        assert!(
            skipping(status)
                .error()
                .contains(&format!("HTTP {status}: broke"))
        );
    }
}
