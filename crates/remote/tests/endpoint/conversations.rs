//! What is asked, and what a reply becomes.

use std::sync::{Arc, Barrier};

use chat::fixture as chats;
use episode::{Author, CallFormat, ParseFailure, StopReason, Task};
use remote::endpoint::fixture::{Act, Server, calling, completion, http_json, replying, saying};
use remote::endpoint::{Endpoint, History};
use rollout::Config;
use serde_json::{Value, json};

use super::{calls, endpoint, limits, play, play_with, strip, task, tools};

#[test]
fn a_conversation_is_played_to_its_answer() {
    let server = Server::start(|number, _| {
        replying(&match number {
            0 => calling("say", r#"{"text": "<tag> & ä"}"#),
            _ => saying("It said so."),
        })
    });
    let played = play(endpoint(&server), limits());
    assert_eq!(played.notices, [""; 0]);
    let episode = played.episode();
    assert_eq!(episode.stop, StopReason::Answered);
    assert_eq!(
        calls(&episode),
        [
            vec![("say".to_owned(), json!({"text": "<tag> & ä"}))],
            vec![]
        ]
    );
    assert_eq!(episode.turns[0].observations[0].text, "<tag> & ä");
    assert_eq!(episode.turns[1].content, "It said so.");

    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].line, "POST /v1/chat/completions");
    assert_eq!(
        requests[0].header("authorization"),
        Some("Bearer sk-secret")
    );
    let mut first = requests[0].body.clone();
    assert!(
        first["seed"]
            .as_i64()
            .is_some_and(|seed| seed <= i64::from(i32::MAX))
    );
    first["seed"] = json!(0);
    assert_eq!(
        first,
        json!({
            "model": "parrot",
            "messages": [{"role": "user", "content": "Do a."}],
            "tools": tools(),
            "max_tokens": 500, "temperature": 0.0, "top_p": 1.0, "seed": 0,
        })
    );
    assert_eq!(
        requests[1].body["messages"],
        json!([
            {"role": "user", "content": "Do a."},
            {"role": "assistant", "content": "", "tool_calls": [{
                "id": "call00001", "type": "function",
                "function": {"name": "say", "arguments": "{\"text\": \"<tag> & ä\"}"},
            }]},
            {"role": "tool", "tool_call_id": "call00001", "content": "<tag> & ä"},
        ])
    );
}

#[test]
fn a_replys_tokens_are_the_policys_and_were_not_sampled_here() {
    let server = Server::start(|_, _| replying(&saying("yes")));
    let episode = play(endpoint(&server), limits()).episode();
    let segment = &episode.segments[0];
    let turn = segment.runs_of(Author::Policy).remove(0);
    let chat = chats::chat();
    assert_eq!(chat.decode(&segment.tokens[turn.clone()]), "yes<|im_end|>");
    assert!(segment.logprobs[turn].iter().all(|&logprob| logprob == 0.0));
}

/// The episode in which the first reply has this message and the second is an answer, and the
/// messages that were sent with the second request after the first.
fn after(chat: &chat::Chat, first: Value) -> (episode::Episode, Vec<Value>) {
    let server = Server::start(move |number, _| {
        replying(&match number {
            0 => first.clone(),
            _ => saying("done"),
        })
    });
    let played = play_with(chat, endpoint(&server), limits(), &[task("a")], 1);
    let episode = played.episode();
    let sent = server
        .requests()
        .last()
        .map(|it| it.body["messages"].clone());
    let sent = sent
        .and_then(|it| it.as_array().cloned())
        .unwrap_or_default();
    (episode, sent[1..].to_vec())
}

#[test]
fn a_bad_call_is_what_a_local_models_would_be_and_goes_back_as_text() {
    let check = |message: Value, expected: &dyn Fn(&ParseFailure) -> bool, text: &str| {
        let (episode, sent) = after(&chats::chat(), message);
        assert_eq!(episode.stop, StopReason::Answered);
        let turn = &episode.turns[0];
        assert_eq!(turn.calls, []);
        assert!(
            matches!(&turn.failures[..], [failure] if expected(failure)),
            "{:?}",
            turn.failures
        );
        assert_eq!(sent[0], json!({"role": "assistant", "content": text}));
        assert_eq!(
            sent[1],
            json!({"role": "user", "content": turn.observations[0].text})
        );
        assert!(turn.observations[0].failed);
        assert_eq!(sent.len(), 2);
    };
    let not_json = |failure: &ParseFailure| matches!(failure, ParseFailure::NotJson(_));
    let not_a_call = |failure: &ParseFailure| matches!(failure, ParseFailure::NotACall(_));
    check(
        calling("say", r#"{"text": "#),
        &not_json,
        "<tool_call>\n{\"name\": \"say\", \"arguments\": {\"text\": }\n</tool_call>",
    );
    check(
        calling("say", ""),
        &not_json,
        "<tool_call>\n{\"name\": \"say\", \"arguments\": }\n</tool_call>",
    );
    check(
        calling("say", "[1]"),
        &not_a_call,
        "<tool_call>\n{\"name\": \"say\", \"arguments\": [1]}\n</tool_call>",
    );
    check(
        calling("", "{}"),
        &not_a_call,
        "<tool_call>\n{\"arguments\": {}}\n</tool_call>",
    );
    check(
        json!({"content": "So:", "tool_calls": [{"function": null}]}),
        &not_json,
        "So:\n<tool_call>\n{\"arguments\": }\n</tool_call>",
    );
}

#[test]
fn good_calls_beside_a_bad_one_are_executed() {
    let call = |arguments: &str| json!({"function": {"name": "say", "arguments": arguments}});
    let message = json!({"content": "", "tool_calls": [call("{\"text\": \"a\"}"), call("{"), call("{\"text\": \"b\"}")]});
    let (episode, sent) = after(&chats::chat(), message);
    let seen: Vec<&str> = (episode.turns[0].observations.iter())
        .map(|it| it.text.split(':').next().unwrap_or_default())
        .collect();
    assert_eq!(seen, ["a", "b", "error"]);
    // Their results cannot be tied to calls that are sent as text.
    assert_eq!(sent.len(), 2);
    let told = sent[1]["content"].as_str().expect("text");
    assert!(told.starts_with("a\nb\nerror: "), "{told}");
}

#[test]
fn arguments_that_look_like_tags_stay_arguments() {
    let text = "a</tool_call>b<tool_call>{}</tool_call><think>";
    let (episode, sent) = after(
        &chats::chat(),
        calling("say", &json!({"text": text}).to_string()),
    );
    assert_eq!(
        calls(&episode)[0],
        [("say".to_owned(), json!({"text": text}))]
    );
    assert_eq!(episode.turns[0].observations[0].text, text);
    let arguments = sent[0]["tool_calls"][0]["function"]["arguments"]
        .as_str()
        .expect("a text");
    assert_eq!(
        serde_json::from_str::<Value>(arguments).expect("JSON"),
        json!({"text": text})
    );
}

#[test]
fn calls_and_reasoning_within_the_text_are_read_like_a_local_models() {
    let text = "<think>\nhm\n</think>\n\n<tool_call>\n{\"name\": \"say\", \"arguments\": {\"text\": \"x\"}}\n</tool_call>";
    let (episode, sent) = after(&chats::chat(), saying(text));
    assert_eq!(
        calls(&episode)[0],
        [("say".to_owned(), json!({"text": "x"}))]
    );
    assert_eq!(episode.turns[0].text, format!("{text}<|im_end|>"));
    assert_eq!(sent[0]["content"], "<think>\nhm\n</think>\n\n");
    assert_eq!(sent[0]["tool_calls"][0]["function"]["name"], "say");
    assert_eq!(sent[1]["tool_call_id"], sent[0]["tool_calls"][0]["id"]);
}

#[test]
fn reasoning_apart_is_the_turns_reasoning_and_goes_back_as_it_came() {
    for field in ["reasoning_content", "reasoning"] {
        let mut message = calling("say", "{\"text\": \"x\"}");
        message[field] = json!("Let me see.");
        for chat in [chats::chat(), strip()] {
            let (episode, sent) = after(&chat, message.clone());
            let text = &episode.turns[0].text;
            assert!(
                text.starts_with("<think>\nLet me see.\n</think>\n\n<tool_call>"),
                "{text}"
            );
            assert_eq!(sent[0][field], "Let me see.");
        }
    }
}

#[test]
fn reasoning_that_the_servers_prompt_opened_is_reasoning() {
    let server = Server::start(|_, _| replying(&saying("hm\n</think>\n\nyes")));
    let episode = play(endpoint(&server), limits()).episode();
    let turn = &episode.turns[0];
    assert_eq!(turn.text, "<think>\nhm\n</think>\n\nyes<|im_end|>");
    assert_eq!(turn.content, "yes");
}

#[test]
fn reasoning_is_kept_back_where_asked() {
    let server = Server::start(|number, _| {
        let mut message = calling("say", "{\"text\": \"x\"}");
        message["reasoning_content"] = json!("secret thought");
        replying(&if number == 0 { message } else { saying("done") })
    });
    let endpoint = Endpoint {
        history: History::WithoutReasoning,
        ..endpoint(&server)
    };
    let episode = play(endpoint, limits()).episode();
    assert!(episode.turns[0].text.contains("secret thought"));
    let sent = server.requests()[1].body.to_string();
    assert!(!sent.contains("secret thought"), "{sent}");
}

#[test]
fn a_turn_goes_back_as_its_text_where_asked() {
    let good = json!({"name": "say", "arguments": {"text": "x"}});
    let calls = format!("<tool_call>\n{good}\n</tool_call>\n<tool_call>\n{{\n</tool_call>");
    let first = format!("<think>\nhm\n</think>\n\n{calls}");
    let sent = first.clone();
    let server = Server::start(move |number, _| {
        replying(&saying(if number == 0 { &first } else { "done" }))
    });
    let endpoint = Endpoint {
        history: History::Text,
        ..endpoint(&server)
    };
    let episode = play(endpoint, limits()).episode();
    let told: Vec<&String> = (episode.turns[0].observations.iter())
        .map(|it| &it.text)
        .collect();
    assert_eq!(
        server.requests()[1].body["messages"],
        json!([
            {"role": "user", "content": "Do a."},
            {"role": "assistant", "content": sent},
            {"role": "tool", "tool_call_id": "call00001", "content": told[0]},
            {"role": "tool", "tool_call_id": "call00002", "content": told[1]},
        ])
    );
}

#[test]
fn calls_of_several_turns_keep_their_results() {
    let server = Server::start(|number, _| {
        let two = json!({"content": "", "tool_calls": [
            {"id": "x", "function": {"name": "say", "arguments": "{\"text\": \"1\"}"}},
            {"id": "x", "function": {"name": "say", "arguments": "{\"text\": \"2\"}"}},
        ]});
        replying(&if number < 2 { two } else { saying("done") })
    });
    play(endpoint(&server), limits()).episode();
    let sent = server.requests()[2].body["messages"].clone();
    let ids: Vec<&Value> = (sent.as_array().expect("messages").iter())
        .flat_map(|it| it["tool_calls"].as_array().into_iter().flatten())
        .map(|it| &it["id"])
        .collect();
    let results: Vec<(&Value, &Value)> = (sent.as_array().expect("messages").iter())
        .filter(|it| it["role"] == "tool")
        .map(|it| (&it["tool_call_id"], &it["content"]))
        .collect();
    assert_eq!(ids, ["call00001", "call00002", "call00003", "call00004"]);
    let texts = ["1", "2", "1", "2"].map(Value::from);
    let expected: Vec<(&Value, &Value)> = ids.into_iter().zip(&texts).collect();
    assert_eq!(results, expected);
}

#[test]
fn calls_written_as_a_list_are_text_and_no_tools_are_sent() {
    let server = Server::start(|_, _| replying(&saying("Nothing to do.")));
    let task = Task {
        calls: CallFormat::Python,
        ..task("a")
    };
    let played = play_with(&chats::chat(), endpoint(&server), limits(), &[task], 1);
    assert_eq!(played.episode().turns[0].content, "Nothing to do.");
    assert_eq!(server.requests()[0].body.get("tools"), None);
}

#[test]
fn a_requests_fields_can_be_added_and_left_out() {
    let server = Server::start(|_, _| replying(&saying("ok")));
    let fields = json!({"seed": null, "reasoning_effort": "low", "top_p": 0.5});
    let endpoint = Endpoint {
        max_completion_tokens: true,
        fields: fields.as_object().cloned().expect("an object"),
        ..endpoint(&server)
    };
    let config = Config {
        top_k: 20,
        min_p: 0.1,
        ..limits()
    };
    play(endpoint, config).episode();
    let mut body = server.requests()[0].body.clone();
    body.as_object_mut()
        .expect("an object")
        .retain(|field, _| field != "messages" && field != "tools");
    assert_eq!(
        body,
        json!({
            "model": "parrot", "max_completion_tokens": 500, "temperature": 0.0, "top_p": 0.5,
            "top_k": 20, "min_p": 0.1, "reasoning_effort": "low",
        })
    );
}

#[test]
fn live_episodes_wait_for_their_replies_together() {
    // No reply before four requests are there.
    let all = Arc::new(Barrier::new(4));
    let server = Server::start(move |_, request| {
        all.wait();
        let asked = request.body["messages"][0]["content"]
            .as_str()
            .unwrap_or_default();
        vec![Act::Send(http_json(
            200,
            &completion(&saying(asked), "stop"),
        ))]
    });
    let config = Config {
        concurrency: 4,
        ..limits()
    };
    let tasks = ["a", "b", "c", "d"].map(task);
    let played = play_with(&chats::chat(), endpoint(&server), config, &tasks, 1);
    let said: Vec<String> = (played.result.expect("groups").iter())
        .map(|group| group.episodes[0].turns[0].content.clone())
        .collect();
    assert_eq!(said, ["Do a.", "Do b.", "Do c.", "Do d."]);
}

#[test]
fn connections_are_used_again() {
    let server = Server::start(|_, _| {
        let mut acts = replying(&calling("say", "{\"text\": \"x\"}"));
        acts.push(Act::KeepAlive);
        acts
    });
    let episode = play(endpoint(&server), limits()).episode();
    assert_eq!(episode.stop, StopReason::TurnLimit);
    assert_eq!(server.requests().len(), 10);
    assert_eq!(server.connections(), 1);
}
