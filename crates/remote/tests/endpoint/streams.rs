//! Replies that come in pieces.

use episode::StopReason;
use remote::endpoint::Endpoint;
use remote::endpoint::fixture::{Act, Server, calling, completion, http_json, saying, streamed};
use rollout::Config;
use serde_json::{Value, json};

use super::{calls, endpoint, limits, play};

/// A message with all that a stream may bring, and the deltas that it comes in.
fn message() -> (Value, Vec<Value>) {
    let mut whole = calling("say", "{\"text\": \"ä\u{1f980}\"}");
    whole["reasoning_content"] = json!("Größe?");
    whole["content"] = json!("Moment…");
    let call = |piece: Value| json!({"tool_calls": [piece]});
    let deltas = vec![
        json!({"role": "assistant", "content": ""}),
        json!({"reasoning_content": "Grö"}),
        json!({"reasoning_content": "ße?"}),
        json!({"content": "Moment"}),
        json!({"content": "…"}),
        call(
            json!({"index": 0, "id": "x", "type": "function", "function": {"name": "say", "arguments": ""}}),
        ),
        call(json!({"index": 0, "function": {"arguments": "{\"text\": \"ä"}})),
        call(json!({"index": 0, "function": {"arguments": "\u{1f980}\"}"}})),
    ];
    (whole, deltas)
}

fn streaming(server: &Server) -> Endpoint {
    Endpoint {
        stream: true,
        ..endpoint(server)
    }
}

#[test]
fn a_streamed_reply_is_the_reply() {
    let (whole, deltas) = message();
    let plain = Server::start(move |number, _| {
        let message = if number == 0 {
            whole.clone()
        } else {
            saying("ja")
        };
        vec![Act::Send(http_json(200, &completion(&message, "stop")))]
    });
    let in_pieces = Server::start(move |number, request| {
        assert_eq!(request.body["stream"], true);
        let answer = [json!({"content": "j"}), json!({"content": "a"})];
        vec![Act::Drip(match number {
            0 => streamed(&deltas, "tool_calls"),
            _ => streamed(&answer, "stop"),
        })]
    });
    let expected = play(endpoint(&plain), limits()).episode();
    let episode = play(streaming(&in_pieces), limits()).episode();
    assert_eq!(episode, expected);
    assert_eq!(
        calls(&episode)[0],
        [("say".to_owned(), json!({"text": "ä\u{1f980}"}))]
    );
    let text = &episode.turns[0].text;
    assert!(
        text.starts_with("<think>\nGröße?\n</think>\n\nMoment…\n<tool_call>"),
        "{text}"
    );
}

#[test]
fn a_server_that_does_not_stream_is_understood_all_the_same() {
    let server = Server::start(|_, _| {
        vec![Act::Send(http_json(
            200,
            &completion(&saying("all at once"), "stop"),
        ))]
    });
    let episode = play(streaming(&server), limits()).episode();
    assert_eq!(episode.turns[0].content, "all at once");
}

#[test]
fn a_stream_cut_anywhere_is_asked_for_again() {
    let (_, deltas) = message();
    let whole = streamed(&deltas, "tool_calls");
    let (_, finished) = split(&whole, b"\"finish_reason\":\"tool_calls\"}]}");
    let config = Config {
        max_turns: Some(1),
        ..limits()
    };
    for cut in (0..whole.len()).step_by(7).chain([finished - 1, finished]) {
        let bytes = whole.clone();
        let server = Server::start(move |number, _| {
            let end = if number == 0 { cut } else { bytes.len() };
            vec![Act::Send(bytes[..end].to_vec())]
        });
        let episode = play(streaming(&server), config).episode();
        assert_eq!(
            calls(&episode),
            [[("say".to_owned(), json!({"text": "ä\u{1f980}"}))]]
        );
        let tries = if cut < finished { 2 } else { 1 };
        assert_eq!(
            server.requests().len(),
            tries,
            "cut after {cut} of {}",
            whole.len()
        );
    }
}

/// Where a text begins and ends in bytes.
fn split(bytes: &[u8], text: &[u8]) -> (usize, usize) {
    let at = bytes.windows(text.len()).position(|window| window == text);
    let at = at.expect("the text is there");
    (at, at + text.len())
}

#[test]
fn a_stream_that_outgrows_its_tokens_is_stopped() {
    let server = Server::start(|_, _| {
        let head = streamed(&[json!({"content": "x"})], "stop");
        let (end, _) = split(&head, b"data: {\"choices\":[{\"index\":0,\"delta\":{}");
        let (start, _) = split(&head, b"data: ");
        vec![
            Act::Send(head[..end].to_vec()),
            Act::Flood(head[start..end].to_vec()),
        ]
    });
    let config = Config {
        max_turn_tokens: 40,
        ..limits()
    };
    let episode = play(streaming(&server), config).episode();
    assert_eq!(episode.stop, StopReason::TurnTokenLimit);
    assert_eq!(episode.turns[0].text, "x".repeat(40));
}

#[test]
fn an_error_within_a_stream_is_asked_about_again() {
    let server = Server::start(|number, _| {
        let mut bytes = streamed(&[json!({"content": "half"})], "stop");
        if number == 0 {
            let (end, _) = split(&bytes, b"data: {\"choices\":[{\"index\":0,\"delta\":{}");
            bytes.truncate(end);
            bytes.extend(b"data: {\"error\": {\"message\": \"worker died\"}}\n\n");
        }
        vec![Act::Send(bytes)]
    });
    let played = play(streaming(&server), limits());
    let notices = played.notices.join("\n");
    assert!(notices.contains("worker died"), "{notices}");
    assert_eq!(played.episode().turns[0].content, "half");
}

#[test]
fn a_truncated_call_in_a_stream_is_not_run() {
    let server = Server::start(|_, _| {
        let piece = json!({"tool_calls": [{"index": 0, "id": "x", "function": {"name": "say", "arguments": "{\"text\": \"ha"}}]});
        vec![Act::Send(streamed(&[piece], "length"))]
    });
    let episode = play(streaming(&server), limits()).episode();
    assert_eq!(episode.stop, StopReason::TurnTokenLimit);
    assert_eq!(episode.turns[0].observations, []);
}
