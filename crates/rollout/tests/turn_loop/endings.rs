//! Every way in which an episode can end, and what the agent is told when a call fails.

use std::cell::Cell;
use std::time::Duration;

use chat::fixture;
use episode::{ParseFailure, StopReason};
use rollout::{Config, RolloutError, ScriptedPolicy, Setting, Start};

use crate::policies::{Broken, Dice};
use crate::suite::{TestSuite, task};
use crate::{SEED, call, roll, roll_one, said, say};

fn script(turns: &[&str]) -> ScriptedPolicy {
    let chat = fixture::chat();
    let turns = turns.iter().map(|turn| said(&chat, turn)).collect();
    ScriptedPolicy::new().script("a", None, turns)
}

/// Tokens of the prompt of task `a`.
fn prompt_tokens() -> usize {
    roll_one(&mut script(&[""]), Config::default()).prompt_tokens
}

#[test]
fn every_episode_ends_for_a_named_reason() {
    let prompt = prompt_tokens();
    let (hello, calling) = (say("hello"), say("hello") + &say("again"));
    let length = fixture::chat().encode(&hello).expect("known bytes").len() + 1;
    let check = |turns: &[&str], config: Config, stop: StopReason, said: usize, executed: f64| {
        let episode = roll_one(&mut script(turns), config);
        let case = format!("{turns:?} under {config:?}");
        assert_eq!(episode.stop, stop, "{case}");
        assert_eq!(episode.turns.len(), said, "{case}");
        assert_eq!(episode.score.reward, executed, "{case}");
    };
    let base = Config::default();
    check(&["Done."], base, StopReason::Answered, 1, 0.0);
    check(&[""], base, StopReason::Answered, 1, 0.0);
    check(&[&calling, "Done."], base, StopReason::Answered, 2, 2.0);
    check(&[&calling], base, StopReason::ScriptEnded, 1, 2.0);
    check(&[], base, StopReason::ScriptEnded, 0, 0.0);

    let two_turns = Config {
        max_turns: Some(2),
        ..base
    };
    check(
        &[&hello, &hello, "Done."],
        two_turns,
        StopReason::TurnLimit,
        2,
        2.0,
    );

    let short_turns = Config {
        max_turn_tokens: length,
        ..base
    };
    check(
        &[&hello, &calling],
        short_turns,
        StopReason::TurnTokenLimit,
        2,
        1.0,
    );

    let short_prompt = Config {
        max_prompt_tokens: prompt - 1,
        ..base
    };
    check(&["Done."], short_prompt, StopReason::PromptTooLong, 0, 0.0);
    let no_room = Config {
        max_tokens: prompt,
        ..base
    };
    check(&["Done."], no_room, StopReason::PromptTooLong, 0, 0.0);
    let exact = Config {
        max_prompt_tokens: prompt,
        ..base
    };
    check(&["Done."], exact, StopReason::Answered, 1, 0.0);

    let cut_in_the_turn = Config {
        max_tokens: prompt + length - 1,
        ..base
    };
    check(&[&hello], cut_in_the_turn, StopReason::TokenLimit, 1, 0.0);
    let full_after_the_observation = Config {
        max_tokens: prompt + length,
        ..base
    };
    check(
        &[&hello, "Done."],
        full_after_the_observation,
        StopReason::TokenLimit,
        1,
        1.0,
    );
}

#[test]
fn a_call_in_a_turn_that_was_cut_off_is_never_executed() {
    let whole = say("hello");
    let config = Config {
        max_turn_tokens: fixture::chat().encode(&whole).expect("known bytes").len(),
        ..Config::default()
    };
    let episode = roll_one(&mut script(&[&(whole + " and then")]), config);
    assert_eq!(episode.stop, StopReason::TurnTokenLimit);
    assert_eq!(episode.turns[0].observations, []);
    assert_eq!(episode.score.reward, 0.0);
}

#[test]
fn an_episode_ends_when_its_time_is_over() {
    let chat = fixture::chat();
    let elapsed = Cell::new(0.0);
    // Every look at the clock costs a second.
    let clock = || {
        elapsed.set(elapsed.get() + 1.0);
        Duration::from_secs_f64(elapsed.get())
    };
    let suite = TestSuite::default();
    let stop_after = |limit: f64, policy: &mut dyn rollout::Policy| {
        let setting = Setting {
            chat: &chat,
            suite: &suite,
            config: &Config {
                max_seconds: Some(limit),
                ..Config::default()
            },
            clock: &clock,
            activity: &rollout::Activity::default(),
        };
        let groups = rollout::run(
            policy,
            &setting,
            &[Start::of(&task("a"))],
            1,
            SEED,
            &mut |_| {},
        );
        groups.expect("nothing broke").remove(0).episodes.remove(0)
    };
    let short = stop_after(1e6, &mut script(&[&say("x"), "Done."]));
    assert_eq!(short.stop, StopReason::Answered);
    let before_the_first = stop_after(0.5, &mut script(&["Done."]));
    assert_eq!(
        (before_the_first.stop, before_the_first.turns.len()),
        (StopReason::TimeLimit, 0)
    );
    let between = stop_after(2.5, &mut script(&[&say("x"), "Done."]));
    assert_eq!(
        (between.stop, between.turns.len()),
        (StopReason::TimeLimit, 1)
    );
    let mut slow = Dice::new(vec![said(&chat, "a turn of many steps")]);
    let within = stop_after(4.5, &mut slow);
    assert_eq!(
        (within.stop, within.turns.len()),
        (StopReason::TimeLimit, 0)
    );
    assert!(
        slow.under_way.is_empty(),
        "the policy is told to drop the turn"
    );
}

#[test]
fn an_agent_is_told_what_was_wrong_and_goes_on() {
    let not_json = "<tool_call>\n{\"name\": say}\n</tool_call>";
    let not_a_call = "<tool_call>\n[1]\n</tool_call>";
    let unclosed = "<tool_call>\n{\"name\": \"say\"";
    let unknown = call("sing", &serde_json::json!({}));
    let turns = [not_json, not_a_call, unclosed, &unknown, "Done."];
    let episode = roll_one(&mut script(&turns), Config::default());
    assert_eq!(episode.stop, StopReason::Answered);
    assert_eq!(episode.turns.len(), 5);
    let check = |turn: usize, expected: &str| {
        let turn = &episode.turns[turn];
        assert_eq!(turn.observations.len(), 1, "{turn:?}");
        assert!(turn.observations[0].failed, "{turn:?}");
        assert!(turn.observations[0].text.starts_with(expected), "{turn:?}");
    };
    check(0, "error: the tool call is not valid JSON: ");
    check(
        1,
        "error: a tool call is a JSON object with \"name\" and \"arguments\": ",
    );
    check(2, "error: the tool call was not closed");
    check(3, "no tool is called sing");
    assert!(matches!(
        episode.turns[0].failures[..],
        [ParseFailure::NotJson(_)]
    ));
    assert!(episode.turns[3].failures.is_empty());
}

#[test]
fn a_turn_that_cannot_be_read_counts_as_a_turn() {
    let config = Config {
        max_turns: Some(2),
        ..Config::default()
    };
    let broken = "<tool_call>\nno\n</tool_call>";
    let episode = roll_one(&mut script(&[broken, broken, "Done."]), config);
    assert_eq!(
        (episode.stop, episode.turns.len()),
        (StopReason::TurnLimit, 2)
    );
}

#[test]
fn calls_that_can_be_read_are_executed_in_order_beside_one_that_cannot() {
    let turn = say("first") + "<tool_call>\nno\n</tool_call>" + &say("second");
    let episode = roll_one(&mut script(&[&turn, "Done."]), Config::default());
    let texts: Vec<&str> = episode.turns[0]
        .observations
        .iter()
        .map(|o| o.text.as_str())
        .collect();
    assert_eq!(texts[..2], ["first", "second"]);
    assert!(
        texts[2].starts_with("error: the tool call is not valid JSON"),
        "{texts:?}"
    );
    assert_eq!(episode.score.reward, 2.0);
}

#[test]
fn a_tool_that_panics_is_an_error_and_not_a_hang() {
    for instant in [true, false] {
        let suite = TestSuite {
            instant,
            ..TestSuite::default()
        };
        let breaking = say("x") + &call("break", &serde_json::json!({}));
        let error = roll(
            &mut script(&[&breaking]),
            &suite,
            Config::default(),
            &[task("a")],
            4,
        )
        .expect_err("the tool panics");
        let RolloutError::EnvironmentPanicked { task, act, message } = error else {
            panic!("{error}");
        };
        assert_eq!((task.as_str(), act.as_str()), ("a", "tool `break`"));
        assert_eq!(message, "the tool broke");
    }
}

#[test]
fn a_policy_that_breaks_ends_the_rollout() {
    let suite = TestSuite::default();
    let error =
        roll(&mut Broken, &suite, Config::default(), &[task("a")], 1).expect_err("it broke");
    assert_eq!(
        error.to_string(),
        "the policy cannot go on: the server is gone"
    );
}
