//! Episodes retold as traces, and which of a group's is kept.

use chat::fixture;
use episode::{Group, Trace, TraceTurn};
use rollout::{Config, ScriptedPolicy, best_trace};

use crate::suite::{TestSuite, task};
use crate::{call, roll, said, say};

/// Samples of task `a`, each a list of turns. A call of `say` that works is worth 1.
fn group(samples: &[&[&str]]) -> Group {
    let chat = fixture::chat();
    let mut policy = ScriptedPolicy::new();
    for (sample, turns) in samples.iter().enumerate() {
        let turns = turns.iter().map(|turn| said(&chat, turn)).collect();
        policy = policy.script("a", Some(sample), turns);
    }
    let suite = TestSuite::default();
    let groups = roll(
        &mut policy,
        &suite,
        Config::default(),
        &[task("a")],
        samples.len(),
    );
    groups.expect("nothing broke").remove(0)
}

#[test]
fn the_best_of_a_group_has_the_highest_reward_then_the_fewest_calls_then_the_lowest_sample() {
    let chat = fixture::chat();
    let check = |samples: &[&[&str]], min_reward: f64, expected: Option<&str>| {
        let trace = best_trace(&chat, &group(samples), min_reward);
        let answer = trace.and_then(|trace| trace.answer);
        assert_eq!(answer.as_deref(), expected, "{samples:?}");
    };
    let (one, two) = (say("x"), say("x") + &say("y"));
    let one_wasted = say("x") + &call("fly", &serde_json::json!({}));
    let unread = say("x") + &say("y") + "<tool_call>{</tool_call>";
    check(&[&[&one, "A"], &[&two, "B"]], 0.0, Some("B"));
    check(&[&[&one_wasted, "A"], &[&one, "B"]], 0.0, Some("B"));
    check(&[&[&one, "A"], &[&one, "B"]], 0.0, Some("A"));
    check(&[&["A"], &[&one, "B"]], 2.0, None);
    check(&[&["A"], &[&one, "B"]], 1.0, Some("B"));
    // Worth two, but without an answer, with an empty one, or not to be told as a trace.
    check(&[&[&two], &[&one, "B"]], 0.0, Some("B"));
    check(&[&[&two, ""], &[&one, "B"]], 0.0, Some("B"));
    check(&[&[&unread, "A"], &[&one, "B"]], 0.0, Some("B"));
}

#[test]
fn an_episode_is_retold_with_its_reasoning_its_calls_and_what_they_returned() {
    let chat = fixture::chat();
    let first =
        "<think>\nTwo words.\n\nBoth.\n</think>\n\nI ask.\n".to_owned() + &say("x") + &say("y");
    let turns = [&*first, "<think>\nSo.\n</think>\n\nx and y"];
    let trace = chat.retell(&group(&[&turns]).episodes[0]);
    let trace = trace.expect("it ended with an answer");
    let calls = ["x", "y"].map(|text| serde_json::json!({ "text": text }));
    assert_eq!(trace.turns[0].reasoning, "Two words.\n\nBoth.\n\nI ask.");
    assert_eq!(
        trace.turns[0]
            .calls
            .iter()
            .map(|call| call.arguments.clone().into())
            .collect::<Vec<serde_json::Value>>(),
        calls
    );
    assert_eq!(trace.turns[0].results, ["x", "y"]);
    assert_eq!(trace.answer_reasoning, "So.");
    assert_eq!(trace.answer.as_deref(), Some("x and y"));
}

#[test]
fn an_experts_trace_played_and_retold_is_that_trace() {
    let chat = fixture::chat();
    let say = |reasoning: &str, text: &str| TraceTurn {
        reasoning: reasoning.to_owned(),
        calls: vec![episode::ToolCall {
            name: "say".to_owned(),
            arguments: serde_json::json!({ "text": text })
                .as_object()
                .expect("an object")
                .clone(),
        }],
        results: vec![text.to_owned()],
        ..TraceTurn::default()
    };
    let trace = Trace {
        task: "a".to_owned(),
        turns: vec![say("First. Then.", "é"), say("", "two")],
        answer_reasoning: "Done.".to_owned(),
        answer: Some("Two: <answer>2</answer>".to_owned()),
        ..Trace::default()
    };
    let tasks = [task("a")];
    let mut policy = ScriptedPolicy::replay(&chat, &tasks, std::slice::from_ref(&trace))
        .expect("the trace renders");
    let groups = roll(
        &mut policy,
        &TestSuite::default(),
        Config::default(),
        &tasks,
        1,
    );
    let episode = &groups.expect("nothing broke")[0].episodes[0];
    assert_eq!(chat.retell(episode), Some(trace));
}
