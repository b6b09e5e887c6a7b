//! The rewards against cases worked out by hand, and what holds for all of them.

use std::collections::BTreeMap;

use episode::{
    CallFormat, Message, Observation, ParseFailure, Role, Score, Task, ToolCall, Trace, TraceTurn,
    Turn,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{Suite, world};

fn call(name: &str, arguments: Value) -> ToolCall {
    ToolCall {
        name: name.to_owned(),
        arguments: arguments.as_object().expect("an object").clone(),
    }
}

/// A turn that makes these calls and reads these results.
fn calling(calls: &[ToolCall], results: &[&str]) -> Turn {
    let body = |call| serde_json::to_string(call).expect("a call is JSON");
    let block = |call| format!("<tool_call>\n{}\n</tool_call>", body(call));
    let observation = |text: &&str| Observation {
        text: (*text).to_owned(),
        failed: false,
    };
    Turn {
        calls: calls.to_vec(),
        observations: results.iter().map(observation).collect(),
        ..saying(&calls.iter().map(block).collect::<Vec<_>>().join("\n"), "")
    }
}

/// A turn without a call: all its text, and what of it is no reasoning.
fn saying(text: &str, content: &str) -> Turn {
    Turn {
        segment: 0,
        start: 0,
        end: 0,
        text: format!("{text}<|im_end|>"),
        content: content.to_owned(),
        calls: vec![],
        failures: vec![],
        observations: vec![],
        reply: None,
    }
}

fn said(text: &str) -> Turn {
    saying(text, text)
}

fn task(prompt: &str, answer: &str) -> Task {
    Task {
        id: "t".to_owned(),
        scenario: "test".to_owned(),
        messages: vec![Message::new(Role::User, prompt)],
        tools: vec![],
        answer: Some(answer.to_owned()),
        calls: CallFormat::Tagged,
    }
}

fn trace(turns: &[&[ToolCall]]) -> Trace {
    let turn = |calls: &&[ToolCall]| TraceTurn {
        reasoning: String::new(),
        calls: calls.to_vec(),
        results: vec!["found".to_owned(); calls.len()],
        ..TraceTurn::default()
    };
    Trace {
        task: "t".to_owned(),
        turns: turns.iter().map(turn).collect(),
        answer_reasoning: String::new(),
        answer: None,
        ..Trace::default()
    }
}

fn unsolved(goldens: &[(&str, &[&str])]) -> UnsolvedSet {
    let list = |list: &[&str]| list.iter().map(|&golden| golden.to_owned()).collect();
    let entry = |(tool, goldens): &(&str, &[&str])| ((*tool).to_owned(), list(goldens));
    UnsolvedSet::new(goldens.iter().map(entry).collect())
}

/// An episode of a task that was asked for tags and expects the answer `Rice`.
struct Episode {
    task: Task,
    gold: Trace,
    turns: Vec<Turn>,
    unsolved: UnsolvedSet,
    score: Score,
}

impl Episode {
    fn new(gold: &[&[ToolCall]], turns: &[Turn]) -> Self {
        Self {
            task: task("Answer in <answer></answer>.", "Rice"),
            gold: trace(gold),
            turns: turns.to_vec(),
            unsolved: unsolved(&[]),
            score: Score::default(),
        }
    }

    fn solving(goldens: &[(&str, &[&str])], turns: &[Turn]) -> Self {
        Self {
            unsolved: unsolved(goldens),
            ..Self::new(&[], turns)
        }
    }

    fn judge_after(&self, hint_turns: usize, kind: RewardKind, config: &Config) -> Judgement {
        let case = Case {
            task: &self.task,
            gold: Some(&self.gold),
            hint_turns,
            turns: &self.turns,
            score: &self.score,
            unsolved: Some(&self.unsolved),
        };
        judge(kind, config, &case)
    }

    fn judge(&self, kind: RewardKind) -> Judgement {
        self.judge_after(0, kind, &Config::default())
    }
}

#[track_caller]
fn assert_close(found: &[f64], expected: &[f64]) {
    let near = found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(a, b)| (a - b).abs() < 1e-12);
    assert!(near, "found {found:?}, expected {expected:?}");
}

mod ftrl {
    use super::*;

    #[test]
    fn a_turn_with_calls_earns_by_the_step_that_is_chosen() {
        let of = |name: &str| call(name, json!({}));
        let check = |calls: usize, solved: usize, expected: [f64; 4]| {
            let calls = vec![of("t"); calls];
            let results: Vec<&str> = (0..calls.len())
                .map(|index| if index < solved { "gold" } else { "nothing" })
                .collect();
            let goldens: &[&str] = &["gold"; 4];
            let episode = Episode::solving(&[("t", goldens)], &[calling(&calls, &results)]);
            let steps = [
                Step::SolveF1,
                Step::SolvePr,
                Step::SolveRate,
                Step::SolvePrecision,
            ];
            for (step, expected) in steps.into_iter().zip(expected) {
                let config = Config {
                    step,
                    ..Config::default()
                };
                let judged = episode.judge_after(0, RewardKind::Ftrl, &config);
                assert_close(&judged.turns, &[expected]);
            }
        };
        check(1, 0, [0.0, 0.0, 0.0, 0.0]);
        check(1, 1, [1.0, 1.0, 1.0, 1.0]);
        check(2, 1, [2.0 / 3.0, 0.5, 1.0, 0.5]);
        check(2, 2, [4.0 / 3.0, 2.0, 2.0, 1.0]);
        check(3, 2, [1.0, 4.0 / 3.0, 2.0, 2.0 / 3.0]);
    }

    #[test]
    fn a_turn_without_calls_earns_by_the_first_rule_that_holds() {
        let one_left: &[(&str, &[&str])] = &[("t", &["gold"])];
        let check = |goldens: &[(&str, &[&str])], turn: Turn, expected: f64| {
            let episode = Episode::solving(goldens, &[turn]);
            assert_eq!(episode.judge(RewardKind::Ftrl).turns, [expected]);
        };
        check(one_left, said(""), -0.5);
        check(one_left, said("rice <tool_call>"), -0.3);
        check(one_left, said("rice</tool_call>"), -0.3);
        check(one_left, said("<tool_parsed_response>"), -0.3);
        check(one_left, said("It is RI,CE."), 0.5);
        check(&[], said("It is rice."), 1.0);
        check(one_left, saying("<think>rice</think>", ""), 0.5);
        check(&[], said("I am done."), 0.5);
        check(one_left, said("I give up."), 0.0);
    }

    #[test]
    fn a_call_that_cannot_be_read_is_a_stray_tag() {
        let turn = Turn {
            failures: vec![ParseFailure::Unclosed],
            ..saying("<tool_call>{", "")
        };
        let episode = Episode::solving(&[], &[turn]);
        assert_eq!(episode.judge(RewardKind::Ftrl).turns, [-0.3]);
    }

    #[test]
    fn a_turn_is_rewarded_from_where_the_episode_stood() {
        let of = |name: &str| call(name, json!({}));
        let goldens: &[(&str, &[&str])] = &[("a", &["1,024"]), ("b", &["x", "y"])];
        let turns = [
            calling(&[of("a"), of("b")], &["1024 GB", "z"]),
            calling(&[of("a")], &["1024 GB"]),
            calling(&[of("b"), of("b")], &["x and y", "x and y"]),
            said("Rice."),
        ];
        let judged = Episode::solving(goldens, &turns).judge(RewardKind::Ftrl);
        // 2·1/(2+1); the golden of `a` is gone; 2·2/(2+1); 1/(1+0).
        assert_close(&judged.turns, &[2.0 / 3.0, 0.0, 4.0 / 3.0, 1.0]);
        assert_close(&[judged.reward], &[3.0 / 4.0]);
        // With two sub-answers left: 1/(1+2).
        let early = [turns[0].clone(), said("Rice.")];
        let judged = Episode::solving(goldens, &early).judge(RewardKind::Ftrl);
        assert_close(&judged.turns, &[2.0 / 3.0, 1.0 / 3.0]);
    }

    #[test]
    fn calls_of_a_turn_that_was_cut_off_solve_nothing() {
        let turn = calling(&[call("t", json!({}))], &[]);
        let episode = Episode::solving(&[("t", &["gold"])], &[turn]);
        assert_eq!(episode.judge(RewardKind::Ftrl).turns, [0.0]);
        assert_eq!(episode.judge(RewardKind::SolveR).reward, 0.0);
    }

    #[test]
    fn what_a_hint_solved_is_not_the_policys() {
        let of = |name: &str| call(name, json!({}));
        let goldens: &[(&str, &[&str])] = &[("a", &["found"]), ("b", &["x", "y"])];
        let turns = [calling(&[of("b")], &["x"])];
        let episode = Episode {
            gold: trace(&[&[of("a")], &[of("b")]]),
            ..Episode::solving(goldens, &turns)
        };
        let solve_r = |hint| {
            let config = Config::default();
            episode
                .judge_after(hint, RewardKind::SolveR, &config)
                .reward
        };
        assert_close(&[solve_r(0), solve_r(1)], &[1.0 / 3.0, 1.0 / 2.0]);
    }
}

mod tool_rl {
    use super::*;

    fn reward(gold: &[&[ToolCall]], turns: &[Turn], format: bool) -> f64 {
        let config = Config {
            format,
            ..Config::default()
        };
        let episode = Episode::new(gold, turns);
        let judged = episode.judge_after(0, RewardKind::ToolRl, &config);
        assert!(judged.turns.is_empty());
        judged.reward
    }

    fn birth(person: &str) -> ToolCall {
        call("birth", json!({"person": person, "unit": "year"}))
    }

    #[test]
    fn calls_are_worth_from_minus_three_to_three() {
        let gold = [birth("Ann")];
        let check = |calls: &[ToolCall], expected: f64| {
            let turns = [calling(calls, &["-"])];
            assert_close(&[reward(&[&gold], &turns, false)], &[expected]);
        };
        check(&[birth("Ann")], 3.0);
        // s = 1 (names) + 1 (argument names) + 1 (`unit`), of 1 + 1 + 2.
        check(&[birth("Bob")], 6.0 * 3.0 / 4.0 - 3.0);
        // One of two argument names, and its value: 1 + 1/2 + 1.
        check(
            &[call("birth", json!({"unit": "year"}))],
            6.0 * 2.5 / 4.0 - 3.0,
        );
        // Two calls for one: names 1/2, then the better call.
        check(&[birth("Bob"), birth("Ann")], 6.0 * 3.5 / 4.0 - 3.0);
        check(
            &[call("death", json!({"person": "Ann", "unit": "year"}))],
            -3.0,
        );
        // Case of names matters here.
        check(
            &[call("Birth", json!({"person": "Ann", "unit": "year"}))],
            -3.0,
        );
    }

    #[test]
    fn a_call_answers_for_one_of_the_experts() {
        let gold = [birth("Ann"), birth("Bob")];
        // Names 1/2, and Ann's 1 + 2; nothing is left for Bob. s_max = 1 + 2 (1 + 2).
        let turns = [calling(&[birth("Ann")], &["-"])];
        assert_close(&[reward(&[&gold], &turns, false)], &[6.0 * 3.5 / 7.0 - 3.0]);
        // Over all turns together, in any order.
        let turns = [birth("Bob"), birth("Ann")].map(|call| calling(&[call], &["-"]));
        assert_close(&[reward(&[&gold], &turns, false)], &[3.0]);
    }

    #[test]
    fn an_episode_without_a_call_earns_nothing_in_the_release_and_the_least_in_the_paper() {
        let gold = [birth("Ann")];
        let turns = [said("Rice.")];
        assert_eq!(reward(&[&gold], &turns, false), 0.0);
        assert_eq!(reward(&[&gold], &turns, true), -3.0);
        assert_eq!(reward(&[&gold], &[], false), 0.0);
        assert_eq!(reward(&[&gold], &[], true), -3.0);
    }

    #[test]
    fn where_the_expert_calls_nothing_the_paper_has_its_form_alone() {
        let turns = [calling(&[birth("Ann")], &["-"])];
        assert_eq!(reward(&[], &turns, true), 0.0);
        assert_eq!(reward(&[], &turns, false), -3.0);
    }

    #[test]
    fn form_is_reasoning_and_then_calls_or_text() {
        let gold = [birth("Ann")];
        let called = calling(&gold, &["1900"]);
        let with = |turn: &Turn, before: &str, after: &str| {
            let text = turn.text.replace("<|im_end|>", "");
            Turn {
                text: format!("{before}{text}{after}<|im_end|>"),
                content: format!("{}{after}", turn.content),
                ..turn.clone()
            }
        };
        let (good, answer) = (
            with(&called, "<think>\nhm\n</think>\n\n", ""),
            with(&said("Rice."), "<think>so</think>\n", ""),
        );
        let check = |turns: &[Turn], form: f64| {
            assert_eq!(reward(&[&gold], turns, true), 3.0 + form, "{turns:?}");
        };
        check(&[good.clone(), answer.clone()], 1.0);
        check(&[with(&called, "hm</think>\n", ""), answer.clone()], 1.0);
        check(&[called.clone(), answer.clone()], 0.0);
        check(&[good.clone(), said("Rice.")], 0.0);
        check(&[with(&good, "", "and so"), answer.clone()], 0.0);
        check(&[with(&good, "<think>a</think>", ""), answer.clone()], 0.0);
        check(
            &[good.clone(), with(&said(""), "<think>so</think>", "")],
            0.0,
        );
        let unread = Turn {
            failures: vec![ParseFailure::Unclosed],
            ..good
        };
        check(&[unread, answer], 0.0);
    }
}

mod match_tir {
    use super::*;

    fn with(matching: Matching, unmatched: f64) -> Config {
        Config {
            matching,
            unmatched,
            ..Config::default()
        }
    }

    fn turns(gold: &[ToolCall], turns: &[Turn], config: Config) -> Vec<f64> {
        let judged = Episode::new(&[gold], turns).judge_after(0, RewardKind::MatchTir, &config);
        assert_close(&[judged.reward], &[judged.turns.iter().sum()]);
        judged.turns
    }

    fn visit(place: &str) -> ToolCall {
        call("visit", json!({ "landmark": place }))
    }

    #[test]
    fn similarity_is_name_argument_names_and_equal_values() {
        let check = |ours: ToolCall, gold: ToolCall, expected: f64| {
            let found = turns(&[gold], &[calling(&[ours], &["-"])], Config::default());
            assert_close(&found, &[expected]);
        };
        check(visit("castle"), visit("castle"), 1.0);
        // (1 + 1 + 0) / (2 + 1): a capital is another value.
        check(visit("Castle"), visit("castle"), 2.0 / 3.0);
        check(
            call("VISIT", json!({"landmark": "castle"})),
            visit("castle"),
            1.0,
        );
        check(
            call("see", json!({"landmark": "castle"})),
            visit("castle"),
            0.0,
        );
        check(call("visit", json!({})), visit("castle"), 1.0 / 3.0);
        check(call("visit", json!({})), call("visit", json!({})), 1.0);
        // (1 + 1/2 + 1) / (2 + 1).
        check(
            call("visit", json!({"landmark": "castle", "day": 1})),
            visit("castle"),
            2.5 / 3.0,
        );
    }

    #[test]
    fn values_are_equal_as_json_is() {
        let check = |ours: Value, gold: Value, equal: bool| {
            let of = |value: Value| call("t", json!({ "x": value }));
            let expected = if equal { 1.0 } else { 2.0 / 3.0 };
            let found = turns(
                &[of(gold)],
                &[calling(&[of(ours)], &["-"])],
                Config::default(),
            );
            assert_close(&found, &[expected]);
        };
        check(json!(1), json!(1.0), true);
        check(json!([{"a": 1, "b": 2.0}]), json!([{"b": 2, "a": 1}]), true);
        check(json!(1), json!("1"), false);
        check(json!([1, 2]), json!([2, 1]), false);
        check(json!("x "), json!("x"), false);
        check(
            json!(9_007_199_254_740_993_i64),
            json!(9_007_199_254_740_992_i64),
            false,
        );
        check(Value::Null, json!(false), false);
    }

    #[test]
    fn the_best_matching_is_not_always_the_greedy_one() {
        let of = |p: u8, q: u8, r: u8| call("t", json!({"p": p, "q": q, "r": r}));
        let gold = [of(1, 0, 0), of(0, 1, 0)];
        let made = [of(0, 0, 0), of(1, 0, 1)].map(|call| calling(&[call], &["-"]));
        // The first call is (1 + 1 + 2) / 5 like both of the expert's, the second so like the
        // first of them, and (1 + 1 + 0) / 5 like the other.
        let greedy = turns(&gold, &made, with(Matching::Greedy, 0.0));
        assert_close(&greedy, &[4.0 / 5.0, 2.0 / 5.0]);
        let hard = turns(&gold, &made, with(Matching::Hard, 0.0));
        assert_close(&hard, &[4.0 / 5.0, 4.0 / 5.0]);
    }

    #[test]
    fn a_call_that_matches_nothing_earns_what_was_chosen() {
        let gold = [visit("castle")];
        let made = [
            calling(&[visit("castle"), visit("castle")], &["-", "-"]),
            calling(&[call("see", json!({}))], &["-"]),
        ];
        for matching in [Matching::Hard, Matching::Greedy] {
            assert_close(&turns(&gold, &made, with(matching, 0.0)), &[0.5, 0.0]);
            assert_close(&turns(&gold, &made, with(matching, -0.5)), &[0.25, -0.5]);
        }
        let none = turns(&[], &made, with(Matching::Hard, -0.5));
        assert_close(&none, &[-0.5, -0.5]);
    }

    #[test]
    fn transport_shares_a_reward_of_one_among_all_calls() {
        let reward = |gold: &[ToolCall], calls: &[ToolCall]| {
            let made: Vec<Turn> = calls
                .iter()
                .map(|call| calling(std::slice::from_ref(call), &["-"]))
                .collect();
            turns(gold, &made, with(Matching::Transport, 0.0))
        };
        let (a, b) = (visit("a"), visit("b"));
        let other = call("see", json!({}));
        // One gold call takes from all alike: 1/2 · 1 and 1/2 · 2/3.
        assert_close(
            &reward(std::slice::from_ref(&a), &[a.clone(), b.clone()]),
            &[0.5, 1.0 / 3.0],
        );
        // Similarities [1, 2/3; 0, 0]. A plan [p, 1/2 - p; 1/2 - p, p] has the cross ratio
        // p² / (1/2 - p)² of the kernel, e^(10/3), so that p = 1/2 · e^(5/3) / (1 + e^(5/3)).
        let scale = (5f64 / 3.0).exp();
        let p = 0.5 * scale / (1.0 + scale);
        let found = reward(&[a.clone(), b], &[a, other]);
        let expected = p + (0.5 - p) * 2.0 / 3.0;
        assert!((found[0] - expected).abs() < 1e-8, "{found:?}, {expected}");
        assert_eq!(found[1], 0.0);
        assert_eq!(reward(&[], &[visit("a")]), [0.0]);
    }

    #[test]
    fn an_answer_earns_its_f1_and_its_calls_are_not_looked_at() {
        let gold = [visit("castle")];
        let answering = Turn {
            content: "so <answer>Brown rice</answer> <answer>Rice</answer>".to_owned(),
            ..calling(&gold, &["-"])
        };
        // Two words, one of them expected: 2·1/(2+1). The call there takes nothing away.
        let made = [calling(&gold, &["-"]), answering];
        let found = turns(&gold, &made, Config::default());
        assert_close(&found, &[1.0, 2.0 / 3.0]);
    }

    #[test]
    fn a_turn_that_neither_calls_nor_answers_earns_nothing() {
        let unread = Turn {
            failures: vec![ParseFailure::Unclosed],
            ..saying("<tool_call>", "")
        };
        let hidden = saying("<think><answer>Rice</answer></think>", "");
        let made = [said("Rice"), unread, hidden];
        let found = turns(&[visit("castle")], &made, Config::default());
        assert_eq!(found, [0.0; 3]);
    }

    #[test]
    fn without_tags_asked_for_the_last_words_are_the_answer() {
        let episode = Episode {
            task: task("What grows there?", "Rice"),
            ..Episode::new(&[&[visit("x")]], &[said("Rice.")])
        };
        assert_eq!(episode.judge(RewardKind::MatchTir).turns, [1.0]);
    }

    #[test]
    fn a_hints_calls_are_not_looked_for() {
        let gold: [&[ToolCall]; 2] = [&[visit("a")], &[visit("b")]];
        let episode = Episode::new(&gold, &[calling(&[visit("a")], &["-"])]);
        let reward = |hint| {
            let config = Config::default();
            episode
                .judge_after(hint, RewardKind::MatchTir, &config)
                .reward
        };
        assert_close(&[reward(0), reward(1)], &[1.0, 2.0 / 3.0]);
    }

    #[test]
    fn an_episode_that_never_began_earns_nothing() {
        let judged = Episode::new(&[&[visit("a")]], &[]).judge(RewardKind::MatchTir);
        assert_eq!((judged.reward, judged.turns), (0.0, vec![]));
    }
}

mod answers {
    use super::*;

    #[test]
    fn an_answer_is_compared_word_by_word_or_as_a_whole() {
        let check = |expected: &str, said: &str, f1: f64, exact: f64| {
            let episode = Episode {
                task: task("Answer in <answer></answer>.", expected),
                ..Episode::new(&[], &[super::said(said)])
            };
            assert_close(&[episode.judge(RewardKind::AnswerF1).reward], &[f1]);
            assert_eq!(
                episode.judge(RewardKind::ExactAnswer).reward,
                exact,
                "{said}"
            );
        };
        check("New York", "<answer> new york! </answer>", 1.0, 1.0);
        check("New York", "<answer>York</answer>", 2.0 / 3.0, 0.0);
        check("New York", "<answer>york, new, new</answer>", 1.0, 0.0);
        check("the Nile", "<answer>Nile</answer>", 2.0 / 3.0, 1.0);
        check("2,048", "<answer>2048</answer>", 0.0, 1.0);
        check("New York", "New York", 0.0, 0.0);
        check("New York", "<answer>New York", 0.0, 0.0);
        check("…", "<answer>Nile</answer>", 0.0, 0.0);
        check("!", "<answer>?</answer>", 0.0, 1.0);
    }

    #[test]
    fn an_episode_that_never_answered_earns_nothing() {
        let episode = Episode::new(&[], &[calling(&[call("t", json!({}))], &["Rice"])]);
        assert_eq!(episode.judge(RewardKind::AnswerF1).reward, 0.0);
        assert_eq!(episode.judge(RewardKind::ExactAnswer).reward, 0.0);
    }
}

#[test]
fn solve_f1_is_the_environments_own() {
    let score = Score {
        reward: 0.25,
        turn_rewards: vec![],
        metrics: BTreeMap::new(),
    };
    let episode = Episode {
        score,
        ..Episode::new(&[], &[])
    };
    let judged = episode.judge(RewardKind::SolveF1);
    assert_eq!((judged.reward, judged.turns), (0.25, vec![]));
}

#[test]
fn a_special_token_at_the_end_was_not_written() {
    let check = |text: &str, expected: &str| {
        let turn = Turn {
            text: text.to_owned(),
            ..said("")
        };
        assert_eq!(written(&turn), expected);
    };
    check(" so \n<|im_end|>\n<|endoftext|>", "so");
    check("a <|b c|>", "a <|b c|>");
    check("a |>", "a |>");
    check("<|im_end|>", "");
}

/// The world's expert judged as if it had been the policy.
#[test]
fn an_expert_earns_everything_that_there_is() {
    let world = world::generate(&world::Config {
        tasks: 20,
        ..world::Config::default()
    });
    for (task, trace) in world.suite.tasks().iter().zip(&world.traces) {
        let results = |turn: &TraceTurn| -> Turn {
            let texts: Vec<&str> = turn.results.iter().map(String::as_str).collect();
            calling(&turn.calls, &texts)
        };
        let mut turns: Vec<Turn> = trace.turns.iter().map(results).collect();
        turns.extend(trace.answer.as_deref().map(said));
        let unsolved = world.suite.unsolved(task);
        assert!(unsolved.as_ref().is_some_and(|it| it.left() > 0));
        let case = Case {
            task,
            gold: Some(trace),
            hint_turns: 0,
            turns: &turns,
            score: &Score::default(),
            unsolved: unsolved.as_ref(),
        };
        let judge = |kind| judge(kind, &Config::default(), &case);
        assert_eq!(judge(RewardKind::MatchTir).turns, vec![1.0; turns.len()]);
        assert_close(&[judge(RewardKind::ToolRl).reward], &[3.0]);
        assert_eq!(judge(RewardKind::SolveR).reward, 1.0);
        assert_eq!(judge(RewardKind::AnswerF1).reward, 1.0);
        assert_eq!(judge(RewardKind::ExactAnswer).reward, 1.0);
        // Each turn earns 2s / (n + 1), and all of them solve everything; then 1 / (1 + 0).
        let steps = judge(RewardKind::Ftrl).turns;
        let solved = |(turn, reward): (&Turn, &f64)| reward * (turn.calls.len() + 1) as f64 / 2.0;
        let last = steps.len() - 1;
        let all: f64 = turns.iter().zip(&steps[..last]).map(solved).sum();
        let to_solve = unsolved.as_ref().map_or(0, UnsolvedSet::left);
        assert_close(&[all, steps[last]], &[to_solve as f64, 1.0]);
    }
}

/// Calls of few tools with few arguments, so that many are alike.
fn some_call() -> impl Strategy<Value = ToolCall> {
    let arguments = prop::collection::btree_map("[xyz]", 0..3u8, 0..4);
    ("[ab]", arguments).prop_map(|(name, arguments)| call(&name, json!(arguments)))
}

fn some_turns() -> impl Strategy<Value = Vec<Vec<ToolCall>>> {
    prop::collection::vec(prop::collection::vec(some_call(), 1..4), 0..4)
}

fn made(turns: &[Vec<ToolCall>]) -> Vec<Turn> {
    turns.iter().map(|calls| calling(calls, &[])).collect()
}

fn judge_turns(
    gold: &[Vec<ToolCall>],
    turns: &[Turn],
    kind: RewardKind,
    config: Config,
) -> Judgement {
    let gold: Vec<&[ToolCall]> = gold.iter().map(Vec::as_slice).collect();
    Episode::new(&gold, turns).judge_after(0, kind, &config)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_calls_right_earn_one_in_every_turn(gold in some_turns()) {
        let turns = [made(&gold), vec![said("<answer>rice</answer>")]].concat();
        for matching in [Matching::Hard, Matching::Greedy] {
            let config = Config { matching, unmatched: -1.0, ..Config::default() };
            let judged = judge_turns(&gold, &turns, RewardKind::MatchTir, config);
            prop_assert_eq!(judged.turns, vec![1.0; turns.len()]);
        }
    }

    #[test]
    fn all_calls_right_earn_three_by_tool_rl(gold in some_turns()) {
        prop_assume!(!gold.is_empty());
        let judged = judge_turns(&gold, &made(&gold), RewardKind::ToolRl, Config::default());
        prop_assert!((judged.reward - 3.0).abs() < 1e-12);
    }

    #[test]
    fn the_experts_order_does_not_matter(gold in some_turns(), calls in some_turns()) {
        let turns = made(&calls);
        let mut reversed = gold.clone();
        reversed.reverse();
        reversed.iter_mut().for_each(|turn| turn.reverse());
        let one_call_a_turn: Vec<Turn> = calls.concat().into_iter()
            .map(|call| calling(&[call], &[]))
            .collect();
        let sum = |gold: &[Vec<ToolCall>], matching| {
            let config = Config { matching, ..Config::default() };
            judge_turns(gold, &one_call_a_turn, RewardKind::MatchTir, config).reward
        };
        for matching in [Matching::Hard, Matching::Transport] {
            let (a, b) = (sum(&gold, matching), sum(&reversed, matching));
            prop_assert!((a - b).abs() < 1e-6, "{a} and {b}");
        }
        prop_assert!(sum(&gold, Matching::Hard) >= sum(&gold, Matching::Greedy) - 1e-12);
        prop_assert!(sum(&gold, Matching::Transport) <= 1.0 + 1e-9);
        let judged = judge_turns(&gold, &turns, RewardKind::MatchTir, Config::default());
        prop_assert_eq!(judged.turns.len(), turns.len());
        prop_assert!(judged.turns.iter().all(|reward| (0.0..=1.0).contains(reward)));
    }

    #[test]
    fn tool_rl_stays_in_its_range(gold in some_turns(), calls in some_turns()) {
        for format in [false, true] {
            let config = Config { format, ..Config::default() };
            let judged = judge_turns(&gold, &made(&calls), RewardKind::ToolRl, config);
            prop_assert!((-3.0..=4.0).contains(&judged.reward), "{}", judged.reward);
        }
    }
}
