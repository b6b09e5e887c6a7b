//! Rollouts that begin with the first turns of an expert's trace.

use chat::{Chat, Thinking, fixture};
use episode::{Author, Episode, Part, StopReason, Task, ToolCall, Trace, TraceTurn};
use rollout::{Config, ScriptedPolicy, Start};

use crate::policies::{Dice, Recorder};
use crate::suite::{TestSuite, task};
use crate::{call, roll_from, said, say};

fn calls_say(text: &str) -> ToolCall {
    let arguments = serde_json::json!({ "text": text });
    ToolCall {
        name: "say".to_owned(),
        arguments: arguments.as_object().expect("an object").clone(),
    }
}

fn turn(reasoning: &str, says: &[&str]) -> TraceTurn {
    TraceTurn {
        reasoning: reasoning.to_owned(),
        calls: says.iter().copied().map(calls_say).collect(),
        results: says.iter().map(|&text| text.to_owned()).collect(),
        ..TraceTurn::default()
    }
}

/// Three turns and an answer.
fn trace() -> Trace {
    Trace {
        task: "a".to_owned(),
        turns: vec![
            turn("First I say one.", &["one"]),
            turn("", &["two", "three"]),
            turn("Once more.", &["four"]),
        ],
        answer_reasoning: String::new(),
        answer: Some("Four.".to_owned()),
        ..Trace::default()
    }
}

/// The one episode of task `a` that begins with `hint`.
fn roll_hinted(chat: &Chat, hint: &[TraceTurn], turns: Vec<Vec<u32>>, config: Config) -> Episode {
    let mut policy = ScriptedPolicy::new().script("a", None, turns);
    let start = Start {
        task: &task("a"),
        hint,
    };
    let suite = TestSuite::default();
    let groups = roll_from(&mut policy, chat, &suite, config, &[start], 1);
    groups.expect("nothing broke").remove(0).episodes.remove(0)
}

fn chat_with(thinking: Thinking) -> Chat {
    fixture::chat_with(chat::Config {
        thinking,
        ..chat::Config::default()
    })
}

#[test]
fn a_hint_lies_in_tokens_as_in_the_experts_own_transcript() {
    for thinking in [Thinking::Keep, Thinking::Strip] {
        let (chat, trace) = (chat_with(thinking), trace());
        let told = vec![said(&chat, "Done.")];
        for hint_turns in 0..=trace.turns.len() {
            let hint = &trace.turns[..hint_turns];
            let episode = roll_hinted(&chat, hint, told.clone(), Config::default());
            let begun = Trace {
                turns: hint.to_vec(),
                answer: None,
                ..trace.clone()
            };
            let expert = chat.expert(&task("a"), &begun).expect("it renders");
            let tokens = |segments: &[episode::Segment]| -> Vec<Vec<u32>> {
                segments.iter().map(|s| s.tokens.clone()).collect()
            };
            let mut expected = tokens(expert.segments());
            expected.last_mut().expect("a prompt").extend(&told[0]);
            assert_eq!(tokens(&episode.segments), expected, "{hint_turns} turns");
            assert_eq!(episode.hint_turns, hint_turns);
            assert_eq!(episode.prompt_tokens, expert.prompt_tokens());
            assert_eq!(
                (episode.stop, episode.turns.len()),
                (StopReason::Answered, 1)
            );
        }
    }
}

#[test]
fn a_policy_that_goes_on_as_the_expert_did_ends_with_its_very_transcript() {
    let (chat, trace) = (fixture::chat(), trace());
    let expert = chat.expert(&task("a"), &trace).expect("it renders");
    let expert = &expert.segments()[0];
    let replay = ScriptedPolicy::replay(&chat, &[task("a")], std::slice::from_ref(&trace));
    let mut replay = replay.expect("it renders");
    let whole = roll_from(
        &mut replay,
        &chat,
        &TestSuite::default(),
        Config::default(),
        &[Start::of(&task("a"))],
        1,
    );
    let whole = whole.expect("nothing broke").remove(0).episodes.remove(0);
    let rest: Vec<Vec<u32>> = whole.turns[2..]
        .iter()
        .map(|turn| whole.segments[0].tokens[turn.start..turn.end].to_vec())
        .collect();
    let episode = roll_hinted(&chat, &trace.turns[..2], rest, Config::default());
    assert_eq!(episode.segments[0].tokens, expert.tokens);
    assert_eq!(episode.turns, whole.turns[2..]);
    assert_eq!(episode.score.reward, whole.score.reward);
}

#[test]
fn nothing_of_a_hint_is_the_policys() {
    for thinking in [Thinking::Keep, Thinking::Strip] {
        let (chat, trace) = (chat_with(thinking), trace());
        let told = vec![said(&chat, &say("mine")), said(&chat, "Done.")];
        let episode = roll_hinted(&chat, &trace.turns[..2], told.clone(), Config::default());
        let mut policys = Vec::new();
        for segment in &episode.segments {
            for (index, token) in segment.tokens.iter().enumerate() {
                if segment.authors[index] == Author::Policy {
                    policys.push(*token);
                } else {
                    assert_eq!(segment.parts[index], Part::Context);
                    assert_eq!(segment.logprobs[index], 0.0);
                }
            }
        }
        assert_eq!(policys, told.concat());
    }
    let chat = fixture::chat();
    let episode = roll_hinted(&chat, &trace().turns, vec![], Config::default());
    let segment = &episode.segments[0];
    let by_tools: Vec<u32> = (segment.tokens.iter().zip(&segment.authors))
        .filter(|(_, author)| **author == Author::Tool)
        .map(|(token, _)| *token)
        .collect();
    assert_eq!(chat.decode(&by_tools), "onetwothreefour");
}

#[test]
fn a_hints_calls_are_executed_and_what_they_return_is_read() {
    let chat = fixture::chat();
    let mut trace = trace();
    trace.turns[1].results[0] = "what it once was".to_owned();
    let told = vec![said(&chat, &say("mine")), said(&chat, "Done.")];
    let episode = roll_hinted(&chat, &trace.turns[..2], told, Config::default());
    // Three calls of the hint and one of the policy.
    assert_eq!(episode.score.reward, 4.0);
    let first = &episode.turns[0];
    let context = chat.decode(&episode.segments[0].tokens[..first.start]);
    assert!(
        context.contains("two") && !context.contains("once was"),
        "{context}"
    );
    assert_eq!(first.observations[0].text, "mine");
    assert_eq!(episode.turns.len(), 2);
}

#[test]
fn a_hint_takes_tokens_and_no_turns() {
    let chat = fixture::chat();
    let trace = trace();
    let one_turn = Config {
        max_turns: Some(1),
        ..Config::default()
    };
    let told = vec![said(&chat, &say("mine"))];
    let episode = roll_hinted(&chat, &trace.turns, told, one_turn);
    assert_eq!(
        (episode.stop, episode.turns.len()),
        (StopReason::TurnLimit, 1)
    );

    let whole = roll_hinted(&chat, &trace.turns, vec![], Config::default());
    let no_room = Config {
        max_tokens: whole.segments[0].tokens.len(),
        ..Config::default()
    };
    let episode = roll_hinted(&chat, &trace.turns, vec![said(&chat, "Done.")], no_room);
    assert_eq!(
        (episode.stop, episode.turns.len()),
        (StopReason::PromptTooLong, 0)
    );
    assert_eq!(episode.hint_turns, 3);
    assert_eq!(episode.score.reward, 4.0);
}

#[test]
fn hinted_episodes_depend_on_nothing_that_runs_beside_them_and_begin_together() {
    let chat = fixture::chat();
    let tasks: Vec<Task> = ["a", "b", "c"].map(task).to_vec();
    let trace = trace();
    let slow = TraceTurn {
        calls: vec![ToolCall {
            arguments: serde_json::json!({"text": "slow", "ms": 3})
                .as_object()
                .expect("an object")
                .clone(),
            ..calls_say("")
        }],
        ..turn("", &["slow"])
    };
    let slow = [slow];
    // Without a hint, with a fast one and with a slow one.
    let starts = [
        Start::of(&tasks[0]),
        Start {
            task: &tasks[1],
            hint: &trace.turns[..2],
        },
        Start {
            task: &tasks[2],
            hint: &slow,
        },
    ];
    let roll = |instant: bool, concurrency: usize| {
        let suite = TestSuite {
            instant,
            ..TestSuite::default()
        };
        let config = Config {
            concurrency,
            tool_threads: 3,
            ..Config::default()
        };
        let turns = [
            call("say", &serde_json::json!({"ms": 1})),
            "Done.".to_owned(),
        ];
        let dice = Dice::new(turns.iter().map(|turn| said(&chat, turn)).collect());
        let mut policy = Recorder::new(dice);
        let groups = roll_from(&mut policy, &chat, &suite, config, &starts, 4);
        let mut first_turns: Vec<(String, usize)> = (policy.asked.iter())
            .filter(|asked| asked.turn == 0)
            .map(|asked| (asked.task.clone(), asked.step))
            .collect();
        first_turns.dedup();
        let begun_together = first_turns.len() == 3;
        (groups.expect("nothing broke"), begun_together)
    };
    let (expected, _) = roll(true, 1);
    for concurrency in [4, 5, 64] {
        for instant in [true, false] {
            let (found, begun_together) = roll(instant, concurrency);
            assert_eq!(found, expected, "{concurrency} at once, instant {instant}");
            assert!(begun_together, "{concurrency} at once, instant {instant}");
        }
    }
}
