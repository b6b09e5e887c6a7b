//! Where a reply ends, however long the server makes it.

use chat::fixture as chats;
use episode::{ParseFailure, StopReason};
use remote::endpoint::fixture::{
    Act, Server, calling, completion, http, http_json, replying, saying,
};
use rollout::Config;
use serde_json::json;

use super::{endpoint, limits, play, play_with, task};

#[test]
fn a_reply_is_cut_at_the_tokens_that_were_asked_for() {
    let server = Server::start(|_, _| replying(&saying(&"word ".repeat(100))));
    let config = Config {
        max_turn_tokens: 12,
        ..limits()
    };
    let episode = play(endpoint(&server), config).episode();
    assert_eq!(server.requests()[0].body["max_tokens"], 12);
    assert_eq!(episode.stop, StopReason::TurnTokenLimit);
    assert_eq!(episode.turns[0].text, "word word wo");
}

#[test]
fn the_token_that_ends_a_turn_counts() {
    let check = |tokens: usize, stop: StopReason, text: &str| {
        let server = Server::start(|_, _| replying(&saying("four")));
        let config = Config {
            max_turn_tokens: tokens,
            ..limits()
        };
        let episode = play(endpoint(&server), config).episode();
        assert_eq!((episode.stop, episode.turns[0].text.as_str()), (stop, text));
    };
    check(5, StopReason::Answered, "four<|im_end|>");
    check(4, StopReason::TurnTokenLimit, "four");
    check(3, StopReason::TurnTokenLimit, "fou");
}

#[test]
fn a_reply_that_the_server_cut_has_used_up_its_tokens() {
    let server = Server::start(|_, _| {
        let body = completion(&saying("and so"), "length");
        vec![Act::Send(http_json(200, &body))]
    });
    let episode = play(endpoint(&server), limits()).episode();
    assert_eq!(episode.stop, StopReason::TurnTokenLimit);
    assert_eq!(episode.turns[0].text, "and so");
}

#[test]
fn a_call_that_a_limit_cut_is_never_run() {
    let check = |arguments: &'static str, failures: &[ParseFailure]| {
        let server = Server::start(move |_, _| {
            let body = completion(&calling("say", arguments), "length");
            vec![Act::Send(http_json(200, &body))]
        });
        let episode = play(endpoint(&server), limits()).episode();
        assert_eq!(episode.stop, StopReason::TurnTokenLimit);
        assert_eq!(episode.turns[0].failures, failures);
        assert_eq!(episode.turns[0].observations, []);
    };
    check("{\"text\": \"a", &[ParseFailure::Unclosed]);
    check("", &[ParseFailure::Unclosed]);
    // Whole as it looks, more of it may have been to come.
    check("{\"text\": \"a\"}", &[]);
}

#[test]
fn a_conversation_too_long_for_the_server_ends_its_episode_alone() {
    let server = Server::start(|_, request| {
        let asked = request.body["messages"][0]["content"]
            .as_str()
            .unwrap_or_default();
        if asked == "Do b." {
            let error = json!({"error": {"code": 400, "message": "This model's maximum context length is 9 tokens."}});
            return vec![Act::Send(http_json(400, &error))];
        }
        replying(&saying("fine"))
    });
    let tasks = ["a", "b", "c"].map(task);
    let played = play_with(&chats::chat(), endpoint(&server), limits(), &tasks, 1);
    assert!(
        played.notices[0].contains("maximum context length"),
        "{:?}",
        played.notices
    );
    let stops: Vec<StopReason> = (played.result.expect("groups").iter())
        .map(|group| group.episodes[0].stop)
        .collect();
    let (fine, long) = (StopReason::Answered, StopReason::Unanswered);
    assert_eq!(stops, [fine, long, fine]);
    assert_eq!(server.requests().len(), 3, "it is not asked again");
}

#[test]
fn a_body_without_end_is_not_read_to_its_end() {
    let server = Server::start(|_, _| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"a\": \"";
        vec![Act::Send(head.into()), Act::Flood(vec![b'x'; 1 << 16])]
    });
    let error = play(endpoint(&server), limits()).error();
    assert!(error.contains("the reply is larger than 16 MiB"), "{error}");
}

#[test]
fn an_error_without_end_is_still_its_status() {
    let server = Server::start(|_, _| {
        let head = "HTTP/1.1 401 No\r\nContent-Type: text/plain\r\n\r\n";
        vec![Act::Send(head.into()), Act::Flood(vec![b'x'; 1 << 16])]
    });
    let error = play(endpoint(&server), limits()).error();
    assert!(error.contains("HTTP 401\n"), "{error}");
}

#[test]
fn a_header_without_end_is_an_error() {
    let server = Server::start(|_, _| {
        vec![
            Act::Send("HTTP/1.1 200 OK\r\nX: ".into()),
            Act::Flood(vec![b'x'; 1 << 16]),
        ]
    });
    let error = play(endpoint(&server), limits()).error();
    assert!(error.contains("endpoint `http://127.0.0.1:"), "{error}");
    assert!(error.contains("header"), "{error}");
}

#[test]
fn a_reply_of_nothing_is_an_empty_answer() {
    let server = Server::start(|_, _| {
        let body =
            r#"{"choices": [{"message": {"content": null}, "finish_reason": "content_filter"}]}"#;
        vec![Act::Send(http(200, "", body))]
    });
    let episode = play(endpoint(&server), limits()).episode();
    assert_eq!(episode.stop, StopReason::Answered);
    assert_eq!(episode.turns[0].content, "");
}
