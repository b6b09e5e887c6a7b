//! Expert traces played as if they were a policy's.

use chat::fixture;
use episode::{StopReason, ToolCall, Trace, TraceTurn};
use rollout::{Config, ScriptedPolicy};

use crate::roll;
use crate::suite::{TestSuite, task};

fn trace(task: &str, answer: Option<&str>) -> Trace {
    let say = |text: &str| {
        let arguments = serde_json::json!({ "text": text });
        TraceTurn {
            reasoning: String::new(),
            calls: vec![ToolCall {
                name: "say".to_owned(),
                arguments: arguments.as_object().expect("an object").clone(),
            }],
            results: vec![text.to_owned()],
            ..TraceTurn::default()
        }
    };
    Trace {
        task: task.to_owned(),
        turns: vec![say("one"), say("two")],
        answer: answer.map(str::to_owned),
        ..Trace::default()
    }
}

#[test]
fn a_trace_is_replayed_to_the_results_that_it_recorded() {
    let chat = fixture::chat();
    let tasks = ["a", "b", "c"].map(task);
    let traces = [
        trace("a", Some("Two.")),
        trace("b", None),
        trace("elsewhere", None),
    ];
    let mut policy = ScriptedPolicy::replay(&chat, &tasks, &traces).expect("traces render");
    let groups = roll(
        &mut policy,
        &TestSuite::default(),
        Config::default(),
        &tasks,
        1,
    )
    .expect("nothing broke");
    let check = |group: usize, stop: StopReason, turns: usize, reward: f64| {
        let episode = &groups[group].episodes[0];
        assert_eq!(
            (episode.stop, episode.turns.len()),
            (stop, turns),
            "{episode:?}"
        );
        assert_eq!(episode.score.reward, reward);
    };
    check(0, StopReason::Answered, 3, 2.0);
    check(1, StopReason::ScriptEnded, 2, 2.0);
    check(2, StopReason::Answered, 1, 0.0);
    for (turn, expected) in groups[0].episodes[0].turns.iter().zip(&traces[0].turns) {
        assert_eq!(turn.calls, expected.calls);
        assert_eq!(turn.observations[0].text, expected.results[0]);
    }
}

#[test]
fn a_replayed_episode_lies_in_tokens_as_the_experts_own_transcript() {
    let chat = fixture::chat();
    let (task, trace) = (task("a"), trace("a", Some("Two.")));
    let tasks = [task.clone()];
    let mut policy =
        ScriptedPolicy::replay(&chat, &tasks, std::slice::from_ref(&trace)).expect("it renders");
    let groups = roll(
        &mut policy,
        &TestSuite::default(),
        Config::default(),
        &tasks,
        1,
    )
    .expect("nothing broke");
    let expert = chat
        .expert(&task, &trace)
        .expect("it renders")
        .into_segments();
    assert_eq!(groups[0].episodes[0].segments, expert);
}
