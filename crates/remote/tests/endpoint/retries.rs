//! When the endpoint is asked again, and when no longer.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chat::fixture as chats;
use episode::StopReason;
use remote::endpoint::fixture::{Act, Server, completion, http, http_json, replying, saying};
use remote::endpoint::{Address, Endpoint};
use rollout::Config;

use super::{clock, endpoint, limits, play, play_with, task};

#[test]
fn a_busy_endpoint_is_asked_again() {
    for status in [429, 500, 502, 503, 504] {
        let server = Server::start(move |number, _| match number {
            0 | 1 => vec![Act::Send(http(status, "", "busy: sk-secret"))],
            _ => replying(&saying("now")),
        });
        let played = play(endpoint(&server), limits());
        let url = server.url();
        assert_eq!(
            played.notices,
            [
                format!("endpoint `{url}`: HTTP {status}: busy: [key]; asks again (try 2 of 9)"),
                format!("endpoint `{url}`: HTTP {status}: busy: [key]; asks again (try 3 of 9)"),
            ]
        );
        assert_eq!(played.episode().turns[0].content, "now");
        let requests = server.requests();
        assert_eq!(requests.len(), 3);
        assert_eq!(requests[0].body, requests[2].body);
    }
}

#[test]
fn an_endpoint_is_left_alone_for_as_long_as_it_asks() {
    for header in [
        "Retry-After: 0.3\r\n",
        "Retry-After: 9\r\nRetry-After-Ms: 300\r\n",
    ] {
        let server = Server::start(move |number, _| match number {
            0 => vec![Act::Send(http(429, header, ""))],
            _ => replying(&saying("now")),
        });
        let elapsed = clock();
        assert_eq!(
            play(endpoint(&server), limits()).episode().turns[0].content,
            "now"
        );
        let elapsed = elapsed();
        assert!(elapsed >= Duration::from_millis(300), "{elapsed:?}");
        assert!(elapsed < Duration::from_secs(8), "{elapsed:?}");
    }
}

#[test]
fn an_endpoint_that_wants_hours_is_not_waited_for() {
    let server = Server::start(|_, _| {
        vec![Act::Send(http(
            429,
            "Retry-After: 7200\r\n",
            "come tomorrow",
        ))]
    });
    let error = play(endpoint(&server), limits()).error();
    assert!(error.contains("HTTP 429: come tomorrow\n"), "{error}");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn after_the_last_try_the_error_says_how_to_go_on() {
    let server = Server::start(|_, _| {
        vec![Act::Send(http(
            503,
            "",
            "{\"error\": {\"message\": \"overloaded\"}}",
        ))]
    });
    let endpoint = Endpoint {
        max_retries: 2,
        ..endpoint(&server)
    };
    let error = play(endpoint, limits()).error();
    let expected = format!(
        "the policy cannot go on: endpoint `{}`, model `parrot`: HTTP 503: overloaded (after 3 tries)\n\
         hint: what was finished is kept: resume when the endpoint is well again",
        server.url()
    );
    assert_eq!(error, expected);
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_reply_cut_anywhere_is_asked_for_again() {
    let whole = http_json(200, &completion(&saying("größer"), "stop"));
    for cut in 0..whole.len() {
        let bytes = whole.clone();
        let server = Server::start(move |number, _| {
            let end = if number == 0 { cut } else { bytes.len() };
            vec![Act::Send(bytes[..end].to_vec())]
        });
        // A line that is no status line is as good as a wrong address, if nothing else was
        // ever heard: but a cut one is only cut.
        let played = play(endpoint(&server), limits());
        assert_eq!(
            played.episode().turns[0].content,
            "größer",
            "cut after {cut}"
        );
        assert_eq!(
            server.requests().len(),
            2,
            "cut after {cut} of {}",
            whole.len()
        );
    }
}

#[test]
fn a_body_that_ends_early_without_a_length_is_asked_for_again() {
    let server = Server::start(|number, _| {
        let body = completion(&saying("whole"), "stop").to_string();
        let end = if number == 0 {
            body.len() / 2
        } else {
            body.len()
        };
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n";
        vec![Act::Send(
            [head.as_bytes(), &body.as_bytes()[..end]].concat(),
        )]
    });
    assert_eq!(
        play(endpoint(&server), limits()).episode().turns[0].content,
        "whole"
    );
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn an_endpoint_that_is_slow_is_asked_again_and_given_up() {
    let server = Server::start(|_, _| vec![Act::Wait(Duration::from_secs(3))]);
    let endpoint = Endpoint {
        timeout: Duration::from_millis(100),
        max_retries: 1,
        ..endpoint(&server)
    };
    let error = play(endpoint, limits()).error();
    assert!(
        error.contains("no reply in time") && error.contains("(after 2 tries)"),
        "{error}"
    );
}

#[test]
fn a_reply_that_drips_is_no_reply_in_time() {
    let server = Server::start(|_, _| {
        let bytes = http_json(200, &completion(&saying("slow"), "stop"));
        let drops = bytes.chunks(10).flat_map(|drop| {
            [
                Act::Send(drop.to_vec()),
                Act::Wait(Duration::from_millis(40)),
            ]
        });
        drops.collect()
    });
    for stream in [false, true] {
        let endpoint = Endpoint {
            timeout: Duration::from_millis(200),
            max_retries: 0,
            stream,
            ..endpoint(&server)
        };
        let error = play(endpoint, limits()).error();
        assert!(error.contains("no reply in time"), "{error}");
    }
}

/// A port of the loopback on which nobody listens.
fn closed() -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound port");
    Address::new(&format!("http://{address}/v1")).expect("an address")
}

#[test]
fn an_address_where_nobody_listens_is_an_error_at_once() {
    let endpoint = Endpoint::new(closed(), "parrot");
    let error = play(endpoint, limits()).error();
    assert!(error.contains("the connection was refused\n"), "{error}");
    assert!(
        error.ends_with("hint: is the server running, and is this its address?"),
        "{error}"
    );
}

#[test]
fn what_is_no_reply_of_a_chat_is_an_error_at_once_and_passes_later() {
    let page = "<html><head><title>Welcome to nginx!</title></head></html>";
    let server =
        Server::start(move |_, _| vec![Act::Send(http(200, "Content-Type: text/html\r\n", page))]);
    let error = play(endpoint(&server), limits()).error();
    assert!(
        error.contains("found an HTML page, `Welcome to nginx!`"),
        "{error}"
    );
    assert!(
        error.contains("hint: is this the base URL of an OpenAI-compatible server?"),
        "{error}"
    );
    assert_eq!(server.requests().len(), 1);

    // Of two tasks, one after the other, the second meets a page first.
    let server = Server::start(move |number, _| match number {
        1 => vec![Act::Send(http(200, "", page))],
        2 => vec![Act::Send(http(200, "", "{]"))],
        _ => replying(&saying("fine")),
    });
    let config = Config {
        concurrency: 1,
        ..limits()
    };
    let tasks = ["a", "b"].map(task);
    let played = play_with(&chats::chat(), endpoint(&server), config, &tasks, 1);
    let groups = played.result.expect("both tasks");
    assert_eq!(groups[1].episodes[0].stop, StopReason::Answered);
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn requests_keep_to_their_pace() {
    let server = Server::start(|_, _| replying(&saying("tick")));
    let endpoint = Endpoint {
        requests_per_minute: Some(600),
        ..endpoint(&server)
    };
    let elapsed = clock();
    let tasks = ["a", "b", "c", "d"].map(task);
    let played = play_with(&chats::chat(), endpoint, limits(), &tasks, 1);
    assert_eq!(played.result.expect("groups").len(), 4);
    let elapsed = elapsed();
    assert!(elapsed >= Duration::from_millis(300), "{elapsed:?}");
}

#[test]
fn an_episode_out_of_time_wants_no_reply() {
    let was_left = Arc::new(AtomicBool::new(false));
    let left = Arc::clone(&was_left);
    let server = Server::start(move |number, _| {
        if number == 0 {
            return vec![
                Act::Wait(Duration::from_millis(400)),
                Act::Send(http_json(200, &completion(&saying("late"), "stop"))),
            ];
        }
        left.store(true, Ordering::SeqCst);
        replying(&saying("in time"))
    });
    let config = Config {
        concurrency: 1,
        max_seconds: Some(0.1),
        ..limits()
    };
    let tasks = ["a", "b"].map(task);
    let played = play_with(&chats::chat(), endpoint(&server), config, &tasks, 1);
    let groups = played.result.expect("both tasks");
    assert_eq!(groups[0].episodes[0].stop, StopReason::TimeLimit);
    assert_eq!(groups[1].episodes[0].turns[0].content, "in time");
    assert!(was_left.load(Ordering::SeqCst));
}
