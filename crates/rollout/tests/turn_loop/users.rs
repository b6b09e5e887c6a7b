//! Users who go on after an answer, environments that end, and the rules of a suite's authors.

use chat::{Thinking, fixture};
use env::{Protocol, UnreadCalls};
use episode::{Author, Episode, Role, StopReason};
use rollout::{Config, Policy, PolicyError, SampledTurn, ScriptedPolicy, Start, TurnRequest};

use crate::suite::{TestSuite, task};
use crate::{call, roll, roll_from, said, say};

fn play(suite: &TestSuite, config: Config, turns: &[&str]) -> Episode {
    let chat = fixture::chat();
    let turns = turns.iter().map(|text| said(&chat, text)).collect();
    let mut policy = ScriptedPolicy::new().script("a", None, turns);
    let groups = roll(&mut policy, suite, config, &[task("a")], 1).expect("nothing broke");
    groups[0].episodes[0].clone()
}

fn with_replies(replies: &[&'static str]) -> TestSuite {
    TestSuite {
        replies: replies.to_vec(),
        ..TestSuite::default()
    }
}

#[test]
fn a_user_who_goes_on_is_answered_again() {
    let suite = with_replies(&["And b?", "And c?"]);
    let episode = play(
        &suite,
        Config::default(),
        &[&say("x"), "A.", "B.", &say("y"), "C."],
    );
    assert_eq!(episode.stop, StopReason::Answered);
    let replies: Vec<_> = episode.turns.iter().map(|t| t.reply.as_deref()).collect();
    assert_eq!(replies, [None, Some("And b?"), Some("And c?"), None, None]);
    assert_eq!(episode.score.metrics["Answered after 5"], 1.0);
    assert_eq!(episode.score.reward, 2.0);
}

#[test]
fn what_the_user_says_lies_in_tokens_as_the_template_prints_it_and_is_nobodys_to_learn() {
    let suite = with_replies(&["And b?"]);
    let episode = play(&suite, Config::default(), &["A.", "B."]);
    let chat = fixture::chat();
    let [segment] = &episode.segments[..] else {
        panic!("an episode that only grows is one segment");
    };
    let text = chat.decode(&segment.tokens);
    let messages = [
        (Role::User, "Do a."),
        (Role::Assistant, "A."),
        (Role::User, "And b?"),
    ]
    .map(|(role, text)| episode::Message::new(role, text));
    let printed = chat.render(&messages, &[], true, None).expect("it prints");
    assert!(text.starts_with(&printed), "{text}");
    let turns = segment.runs_of(Author::Policy);
    assert_eq!(turns.len(), 2, "the reply is not the policy's");
}

#[test]
fn the_turn_limit_counts_from_the_users_last_message() {
    let config = Config {
        max_turns: Some(2),
        ..Config::default()
    };
    let suite = with_replies(&["And b?"]);
    let turns = [&say("x"), "A.", &say("y"), &say("z"), "B."];
    let episode = play(&suite, config, &turns);
    assert_eq!(
        (episode.stop, episode.turns.len()),
        (StopReason::TurnLimit, 4)
    );
    assert_eq!(
        episode.score.reward, 3.0,
        "the last turn's calls are executed"
    );
}

#[test]
fn an_environment_can_end_the_episode() {
    let ending = call("end", &serde_json::json!({}));
    let episode = play(&TestSuite::default(), Config::default(), &[&ending, "A."]);
    assert_eq!((episode.stop, episode.turns.len()), (StopReason::Ended, 1));
    assert_eq!(episode.turns[0].observations[0].text, "ended");
}

#[test]
fn a_suite_has_rules_and_a_config_overrules_them() {
    let suite = TestSuite {
        protocol: Protocol {
            max_turns: 1,
            unread_calls: UnreadCalls::Drop,
        },
        ..TestSuite::default()
    };
    let check = |config: Config, turns: &[&str], stop, count: usize| {
        let episode = play(&suite, config, turns);
        assert_eq!(
            (episode.stop, episode.turns.len()),
            (stop, count),
            "{turns:?}"
        );
        episode
    };
    let unread = "<tool_call>{</tool_call>";
    let own = Config::default();
    check(own, &[&say("x"), "A."], StopReason::TurnLimit, 1);
    check(own, &[unread], StopReason::Answered, 1);
    let both = check(
        own,
        &[&format!("{unread}{}", say("x"))],
        StopReason::TurnLimit,
        1,
    );
    assert_eq!(
        both.turns[0].observations.len(),
        1,
        "nobody speaks of the other"
    );
    let overruled = Config {
        max_turns: Some(2),
        unread_calls: Some(UnreadCalls::Tell),
        ..own
    };
    let told = check(overruled, &[unread, "A."], StopReason::Answered, 2);
    assert!(
        told.turns[0].observations[0]
            .text
            .contains("not valid JSON")
    );
}

/// Says what a script says, and keeps the conversations that it was asked to go on with.
struct Listening {
    script: ScriptedPolicy,
    heard: Vec<Vec<episode::Message>>,
}

impl Policy for Listening {
    fn begin(&mut self, request: &TurnRequest<'_>) -> Result<(), PolicyError> {
        self.heard.push(request.messages.to_vec());
        self.script.begin(request)
    }

    fn step(&mut self) -> Result<Vec<SampledTurn>, PolicyError> {
        self.script.step()
    }

    fn release(&mut self, episode: usize) {
        self.script.release(episode);
    }
}

#[test]
fn a_policy_that_reads_no_tokens_reads_the_same_conversation() {
    for thinking in [Thinking::Keep, Thinking::Strip] {
        let chat = fixture::chat_with(chat::Config {
            thinking,
            ..chat::Config::default()
        });
        let suite = with_replies(&["And b?"]);
        let turns = [say("x"), "A.".to_owned(), "B.".to_owned()];
        let turns = turns.iter().map(|text| said(&chat, text)).collect();
        let mut policy = Listening {
            script: ScriptedPolicy::new().script("a", None, turns),
            heard: Vec::new(),
        };
        let task = task("a");
        let starts = [Start::of(&task)];
        let config = Config::default();
        roll_from(&mut policy, &chat, &suite, config, &starts, 1).expect("nothing broke");
        let last = policy.heard.last().expect("three turns");
        let said: Vec<_> = last
            .iter()
            .map(|message| {
                (
                    message.role,
                    message.content.as_str(),
                    message.tool_calls.len(),
                )
            })
            .collect();
        let expected = [
            (Role::User, "Do a.", 0),
            (Role::Assistant, "", 1),
            (Role::Tool, "x", 0),
            (Role::Assistant, "A.", 0),
            (Role::User, "And b?", 0),
        ];
        assert_eq!(said, expected);
    }
}
