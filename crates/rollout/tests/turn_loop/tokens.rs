//! What an episode records: exactly what the policy saw and said.

use chat::fixture;
use episode::{Author, Episode};
use proptest::prelude::*;
use rollout::{Config, ScriptedPolicy};

use crate::policies::{Dice, Recorder};
use crate::suite::{TestSuite, task};
use crate::{roll, said, say};

/// The tokens that an author wrote, over all segments.
fn by(author: Author, episode: &Episode) -> Vec<u32> {
    let segments = episode.segments.iter();
    let tokens = segments.flat_map(|s| s.tokens.iter().zip(&s.authors));
    tokens
        .filter(|(_, a)| **a == author)
        .map(|(token, _)| *token)
        .collect()
}

#[test]
fn a_tool_result_is_never_the_policys() {
    let chat = fixture::chat();
    let turns = vec![
        said(&chat, &say("seventeen")),
        said(&chat, "It is seventeen."),
    ];
    let mut policy = ScriptedPolicy::new().script("a", None, turns.clone());
    let groups = roll(
        &mut policy,
        &TestSuite::default(),
        Config::default(),
        &[task("a")],
        1,
    )
    .expect("nothing broke");
    let episode = &groups[0].episodes[0];
    assert_eq!(by(Author::Policy, episode), turns.concat());
    assert!(
        chat.decode(&by(Author::Tool, episode))
            .contains("seventeen")
    );
    assert_eq!(episode.sampled_tokens(), turns.concat().len());
}

#[test]
fn log_probabilities_are_those_of_the_sampler() {
    let chat = fixture::chat();
    let mut policy = Dice::new(vec![said(&chat, &say("x")), said(&chat, "Done.")]);
    let groups = roll(
        &mut policy,
        &TestSuite::default(),
        Config::default(),
        &[task("a")],
        8,
    )
    .expect("nothing broke");
    for episode in &groups[0].episodes {
        for segment in &episode.segments {
            for (author, logprob) in segment.authors.iter().zip(&segment.logprobs) {
                let expected = if *author == Author::Policy { -1.5 } else { 0.0 };
                assert_eq!(*logprob, expected);
            }
        }
    }
}

/// What a turn may be: a call, prose, or any bytes at all.
fn turn() -> impl Strategy<Value = Vec<u32>> {
    let chat = fixture::chat();
    let stop = chat.stop_tokens()[0];
    let called = "[a-z<>\"]{0,6}".prop_map(move |text| said(&chat, &say(&text)));
    let bytes = prop::collection::vec(0u32..256, 0..12).prop_map(move |mut tokens| {
        tokens.retain(|token| *token != stop);
        tokens.push(stop);
        tokens
    });
    prop_oneof![3 => called, 1 => bytes]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn tokens_of_an_episode_are_exactly_what_the_policy_saw_and_said(
        turns in prop::collection::vec(turn(), 1..5),
    ) {
        let script = ScriptedPolicy::new().script("a", None, turns.clone());
        let mut policy = Recorder::new(script);
        let suite = TestSuite { instant: true, ..TestSuite::default() };
        let groups = roll(&mut policy, &suite, Config::default(), &[task("a")], 1)
            .expect("nothing broke");
        let episode = &groups[0].episodes[0];
        prop_assert!(policy.asked.len() >= episode.turns.len());
        for ((turn, asked), sampled) in episode.turns.iter().zip(&policy.asked).zip(&turns) {
            let tokens = &episode.segments[turn.segment].tokens;
            prop_assert_eq!(&tokens[..turn.start], &asked.context[..]);
            prop_assert_eq!(&tokens[turn.start..turn.end], &sampled[..]);
        }
        let heard = &turns[..episode.turns.len()];
        prop_assert_eq!(by(Author::Policy, episode), heard.concat());
    }
}
