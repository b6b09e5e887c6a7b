//! Dialogues with a user who goes on, and what they score.

use std::sync::Arc;

use bfcl::BfclSuite;
use bfcl::result_file::{Outcome, Response};
use bfcl::search::{Hit, Query, SearchEngine};
use bfcl::suite::{Format, Outside, Selection};
use env::{Suite, UnreadCalls};
use episode::{CallFormat, Episode, Role, StopReason, ToolCall};
use serde_json::json;

use crate::mini::Mini;
use crate::play::{Player, call, replay};

const ID: &str = "multi_turn_base_0";

fn base(mini: &Mini) -> BfclSuite {
    BfclSuite::load(&mini.options(Selection::MultiTurnBase)).unwrap()
}

fn post() -> ToolCall {
    call("post_tweet", json!({"content": "hello", "tags": ["#a"]}))
}

fn comment() -> ToolCall {
    call("comment", json!({"tweet_id": 0, "comment_content": "hi"}))
}

#[test]
fn the_user_goes_on_after_every_answer_and_the_end_is_checked() {
    let mini = Mini::new();
    let suite = base(&mini);
    let task = &suite.tasks()[0];
    assert_eq!(task.id, ID);
    assert_eq!(task.scenario, "multi_turn_base");
    assert_eq!(task.messages.len(), 1, "no system message");
    assert_eq!(task.messages[0].content, "Post hello.");

    let mut player = Player::new(&suite, ID);
    let posted = player.call(&[post()]);
    assert_eq!(
        posted,
        [r##"{"id": 0, "username": "ann", "content": "hello", "tags": ["#a"], "mentions": []}"##]
    );
    assert_eq!(
        player.answer("Posted.").as_deref(),
        Some("Comment on it: hi.")
    );
    player.call(&[comment()]);
    assert_eq!(player.answer("Done."), None);
    let episode = player.finish(StopReason::Answered);
    assert_eq!(episode.score.reward, 1.0);
    let expected = [
        ("accuracy", 1.0),
        ("calls", 2.0),
        ("empty-turn", 0.0),
        ("errors", 0.0),
        ("force-quit", 0.0),
        ("response-mismatch", 0.0),
        ("state-mismatch", 0.0),
    ];
    let metrics = episode.score.metrics.iter();
    let metrics: Vec<_> = metrics
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    assert_eq!(metrics, expected);
}

/// Plays turns of the user, each a list of calls; the last is cut short where `stop` says so.
fn play(turns: &[&[ToolCall]], stop: StopReason) -> Episode {
    let mini = Mini::new();
    let suite = base(&mini);
    let mut player = Player::new(&suite, ID);
    for (at, calls) in turns.iter().enumerate() {
        if !calls.is_empty() {
            player.call(calls);
        }
        if at + 1 < turns.len() || stop == StopReason::Answered {
            player.answer("Done.");
        }
    }
    player.finish(stop)
}

#[test]
fn an_episode_that_fails_names_the_rule_that_it_broke() {
    let check = |turns: &[&[ToolCall]], stop: StopReason, rule: &str| {
        let score = play(turns, stop).score;
        assert_eq!(score.reward, 0.0, "{rule}");
        assert_eq!(score.metrics["accuracy"], 0.0, "{rule}");
        assert_eq!(score.metrics[rule], 1.0, "{rule}: {:?}", score.metrics);
        let rules = [
            "state-mismatch",
            "response-mismatch",
            "force-quit",
            "empty-turn",
        ];
        let broken: f64 = rules.iter().map(|rule| score.metrics[*rule]).sum();
        assert_eq!(broken, 1.0, "one reason");
    };
    let other = call("post_tweet", json!({"content": "bye", "tags": ["#a"]}));
    let answered = StopReason::Answered;
    check(&[&[other], &[comment()]], answered, "state-mismatch");
    check(&[&[post()], &[]], answered, "empty-turn");
    check(&[&[post()]], StopReason::TurnLimit, "force-quit");
    check(&[&[post()]], StopReason::TokenLimit, "force-quit");
    check(&[], StopReason::PromptTooLong, "force-quit");
}

#[test]
fn a_limit_in_the_last_turn_leaves_the_verdict_to_the_state() {
    let score = play(&[&[post()], &[comment()]], StopReason::TurnLimit).score;
    assert_eq!(score.reward, 1.0);
}

#[test]
fn a_call_that_python_would_refuse_is_an_observation() {
    let mini = Mini::new();
    let suite = base(&mini);
    let mut player = Player::new(&suite, ID);
    let results = player.call(&[
        call("no_such_tool", json!({})),
        call("comment", json!({"tweet_id": 7, "comment_content": "hi"})),
        call("comment", json!({"wrong": 1})),
        call("__import__('os').system", json!({"command": "id"})),
    ]);
    assert_eq!(
        results[0],
        "Error during execution: name 'no_such_tool' is not defined"
    );
    let failed: Vec<bool> = player.turns[0]
        .observations
        .iter()
        .map(|it| it.failed)
        .collect();
    assert_eq!(failed, [true, false, true, true], "{results:?}");
    let episode = player.finish(StopReason::TurnLimit);
    assert_eq!(episode.score.metrics["errors"], 3.0);
    assert_eq!(episode.score.metrics["calls"], 4.0);
}

#[test]
fn no_call_takes_an_episode_down() {
    let mini = Mini::new();
    let suite = base(&mini);
    let mut player = Player::new(&suite, ID);
    let deep = format!("{}1{}", "(".repeat(5000), ")".repeat(5000));
    for name in [
        "10**10**10+len",
        "len('a'*10**12)+len",
        "[0]*10**12+len",
        "__import__('os').system",
        "(lambda: 0)",
        "post_tweet('a').__class__",
        "",
        "(",
        "exit",
        "f\0",
        &deep,
    ] {
        let results = player.call(&[call(name, json!({"content": "x"}))]);
        let text = &results[0];
        assert!(
            text.starts_with("Error during execution: "),
            "{name}: {text}"
        );
    }
    let content = "post_tweet(content='x')\n\\'\"".repeat(1000);
    let post = call("post_tweet", json!({"content": content}));
    let posted: serde_json::Value = serde_json::from_str(&player.call(&[post])[0]).unwrap();
    assert_eq!(posted["content"], content, "text is text");
}

#[test]
fn functions_that_were_held_out_come_with_the_users_words() {
    let mini = Mini::new();
    let suite = BfclSuite::load(&mini.options(Selection::MultiTurnMissFunc)).unwrap();
    let names: Vec<_> = suite.tasks()[0]
        .tools
        .iter()
        .map(|it| &it["name"])
        .collect();
    assert_eq!(names, ["post_tweet"]);
    assert_eq!(
        suite.tasks()[0].tools[0]["description"],
        "post_tweet. Note that the provided function is in Python 3 syntax."
    );
    let mut player = Player::new(&suite, "multi_turn_miss_func_0");
    player.call(&[post()]);
    player.answer("Posted.");
    let reveal = "[{'name': 'comment', 'description': 'comment.', 'parameters': {'type': 'dict', \
        'properties': {}, 'required': []}}]\nMore functions.";
    assert_eq!(player.answer("I cannot.").as_deref(), Some(reveal));
    player.call(&[comment()]);
    player.answer("Done.");
    assert_eq!(player.finish(StopReason::Answered).score.reward, 1.0);
}

#[test]
fn a_format_says_how_functions_are_shown_and_calls_written() {
    let mini = Mini::new();
    let load = |format: Format| {
        let mut options = mini.options(Selection::MultiTurnBase);
        options.format = format;
        BfclSuite::load(&options).unwrap()
    };
    let fc = load(Format::Fc);
    assert_eq!(fc.tasks()[0].calls, CallFormat::Tagged);
    assert_eq!(
        fc.tasks()[0].tools[1]["parameters"]["type"],
        "dict",
        "as its authors wrote it"
    );

    let api = load(Format::Api);
    let tool = &api.tasks()[0].tools[1];
    assert_eq!(tool["type"], "function");
    assert_eq!(tool["function"]["parameters"]["type"], "object");

    let prompt = load(Format::Prompt);
    let task = &prompt.tasks()[0];
    assert_eq!(task.calls, CallFormat::Python);
    assert_eq!(task.tools, [] as [serde_json::Value; 0]);
    assert_eq!(task.messages[0].role, Role::System);
    let system = &task.messages[0].content;
    assert!(system.starts_with("Call. As [f()]. [\n    {\n        \"name\": \"post_tweet\""));

    for suite in [fc, api, prompt] {
        assert_eq!(suite.protocol().max_turns, 21);
        assert_eq!(suite.protocol().unread_calls, UnreadCalls::Drop);
        assert!(suite.is_instant());
    }
}

#[test]
fn accepted_calls_are_a_trace_that_solves_the_task() {
    let mini = Mini::new();
    let suite = base(&mini);
    let [trace] = &suite.traces().unwrap()[..] else {
        panic!("one task, one trace");
    };
    assert_eq!(trace.turns.len(), 3);
    assert_eq!(
        trace.turns[0].calls,
        [post()],
        "positional arguments have names"
    );
    assert_eq!(trace.turns[1].content, "Done.");
    assert_eq!(trace.turns[1].reply.as_deref(), Some("Comment on it: hi."));
    assert_eq!(replay(&suite, trace).score.reward, 1.0);
}

#[test]
fn an_episode_is_an_official_result() {
    let mini = Mini::new();
    let suite = base(&mini);
    let [trace] = &suite.traces().unwrap()[..] else {
        panic!("one task, one trace");
    };
    let record = suite.result_record(&replay(&suite, trace));
    assert_eq!(record.id, ID);
    let text = |text: &str| Response::Text(text.to_owned());
    let block = |body: &str| text(&format!("<tool_call>\n{body}\n</tool_call>"));
    assert_eq!(
        record.outcome,
        Outcome::Turns(vec![
            vec![
                block(r##"{"name":"post_tweet","arguments":{"content":"hello","tags":["#a"]}}"##),
                text("Done."),
            ],
            vec![
                block(r#"{"name":"comment","arguments":{"tweet_id":0,"comment_content":"hi"}}"#),
                text("Done."),
            ],
        ])
    );
}

/// Knows one thing.
struct Tea;

impl SearchEngine for Tea {
    fn search(&self, _: &Query) -> Result<Vec<Hit>, String> {
        Ok(vec![Hit {
            title: Some("Tea".to_owned()),
            href: Some("https://tea.example".to_owned()),
            body: Some("Da Hong Pao".to_owned()),
        }])
    }

    fn fetch(&self, _: &str) -> Result<String, String> {
        Err("no such page".to_owned())
    }
}

#[test]
fn a_web_question_is_answered_in_the_words_that_are_accepted() {
    let mini = Mini::new();
    let outside = Outside {
        engine: Some(Arc::new(Tea)),
        ..Outside::default()
    };
    let options = mini.options(Selection::WebSearch);
    let suite = BfclSuite::load_with(&options, outside).unwrap();
    assert!(!suite.is_instant());
    let ids: Vec<_> = suite.tasks().iter().map(|task| task.id.as_str()).collect();
    assert_eq!(ids, ["web_search_base_0", "web_search_no_snippet_0"]);
    let system = &suite.tasks()[0].messages[0];
    assert_eq!(
        (system.role, system.content.as_str()),
        (Role::System, "Answer so.\n")
    );

    let ask = |id: &str| {
        let mut player = Player::new(&suite, id);
        let results = player.call(&[call("search_engine_query", json!({"keywords": "tea"}))]);
        (player, results)
    };
    let (mut player, results) = ask("web_search_base_0");
    let hit = "[{'title': 'Tea', 'href': 'https://tea.example', 'body': 'Da Hong Pao'}]";
    assert_eq!(results, [hit]);
    player.answer("<think>\nDa Hong Pao?\n</think>\n\n{'answer': 'da hong pao'}");
    let score = player.finish(StopReason::Answered).score;
    assert_eq!((score.reward, score.metrics["wrong-answer"]), (1.0, 0.0));

    let (mut player, results) = ask("web_search_no_snippet_0");
    assert_eq!(
        results,
        ["[{'title': 'Tea', 'href': 'https://tea.example'}]"]
    );
    player.answer("<think>\nDa Hong Pao?\n</think>\n\nOolong.");
    let score = player.finish(StopReason::Answered).score;
    assert_eq!((score.reward, score.metrics["wrong-answer"]), (0.0, 1.0));

    let (player, _) = ask("web_search_base_0");
    let score = player.finish(StopReason::TurnLimit).score;
    assert_eq!((score.reward, score.metrics["no-answer"]), (0.0, 1.0));
}
