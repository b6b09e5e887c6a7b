//! The robot's house does what it says, and its expert every errand.

use std::path::Path;
use std::time::Duration;

use chat::Chat;
use env::{Environment, Suite, replay};
use episode::{Seed, StopReason, ToolCall};
use robot::RobotSuite;
use rollout::{Activity, ScriptedPolicy, Setting, Start};
use serde_json::{Value, json};

fn call(house: &mut dyn Environment, tool: &str, arguments: Value) -> (String, bool) {
    let observation = house.call(&ToolCall {
        name: tool.to_owned(),
        arguments: arguments.as_object().cloned().unwrap_or_default(),
    });
    (observation.text, observation.failed)
}

#[test]
fn the_house_answers_whatever_the_robot_does() {
    let suite = RobotSuite::new();
    let task = suite.tasks().iter().find(|it| it.id == "lamp-kitchen-hall");
    let mut house = suite.open(task.unwrap());
    let mut check = |tool: &str, arguments: Value, text: &str, failed: bool| {
        assert_eq!(
            call(&mut *house, tool, arguments),
            (text.to_owned(), failed)
        );
    };
    check(
        "take",
        json!({"thing": "lamp"}),
        "there is no lamp here",
        true,
    );
    check(
        "go",
        json!({"room": "attic"}),
        "there is no door to it",
        true,
    );
    check("fly", json!({}), "`fly` is not called like that", true);
    check(
        "go",
        json!({"room": 7}),
        "`go` is not called like that",
        true,
    );
    let kitchen = "you are in the kitchen; doors: hall, cellar, and there is a lamp";
    check("go", json!({"room": "kitchen"}), kitchen, false);
    check("take", json!({"thing": "lamp"}), "you have the lamp", false);
    check(
        "go",
        json!({"room": "hall"}),
        "you are in the hall; doors: kitchen, study, stairs",
        false,
    );
    assert_eq!(house.score().reward, 0.0);
    assert_eq!(
        call(&mut *house, "drop", json!({})).0,
        "the lamp is in the hall"
    );
    assert_eq!(house.score().reward, 1.0);
}

#[test]
fn every_trace_returns_what_it_recorded_and_delivers() {
    let suite = RobotSuite::new();
    for trace in suite.traces() {
        let report = replay(&suite, &trace);
        assert_eq!(report.problems(&trace), [""; 0], "task {}", trace.task);
    }
}

#[test]
fn the_expert_delivers_in_every_episode_of_a_rollout() {
    let suite = RobotSuite::new();
    let base = concat!(env!("CARGO_MANIFEST_DIR"), "/../../base");
    let chat = Chat::load(Path::new(base), chat::Config::default()).unwrap();
    let mut expert = ScriptedPolicy::replay(&chat, suite.tasks(), &suite.traces()).unwrap();
    let setting = Setting {
        chat: &chat,
        suite: &suite,
        config: &rollout::Config::default(),
        clock: &|| Duration::ZERO,
        activity: &Activity::default(),
    };
    let starts: Vec<Start<'_>> = suite.tasks().iter().map(Start::of).collect();
    let groups = rollout::run(&mut expert, &setting, &starts, 1, Seed(1), &mut |_| {}).unwrap();
    assert_eq!(groups.len(), suite.tasks().len());
    for episode in groups.iter().flat_map(|group| &group.episodes) {
        assert_eq!(episode.stop, StopReason::Answered, "task {}", episode.task);
        assert_eq!(episode.score.reward, 1.0, "task {}", episode.task);
    }
}
