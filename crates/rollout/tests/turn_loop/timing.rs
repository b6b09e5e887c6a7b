//! What a rollout must not depend on: threads, tools' speed, and what else is in the batch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chat::fixture;
use episode::{Group, Task};
use rollout::{Activity, Config, ScriptedPolicy, Setting, Start};

use crate::policies::{Dice, Recorder};
use crate::suite::{TestSuite, task};
use crate::{SEED, call, roll, said};

fn tasks() -> Vec<Task> {
    ["a", "b", "c"].map(task).to_vec()
}

/// Turns of which some are slow, some fail and some answer.
fn dice(delays: [u64; 2]) -> Dice {
    let chat = fixture::chat();
    let say = |text: &str, ms: u64| call("say", &serde_json::json!({ "text": text, "ms": ms }));
    let turns = [
        say("first", delays[0]),
        say("second", delays[1]) + &say("third", 0),
        "<tool_call>\nbroken".to_owned(),
        "The answer is 4.".to_owned(),
    ];
    Dice::new(turns.iter().map(|turn| said(&chat, turn)).collect())
}

fn roll_dice(delays: [u64; 2], instant: bool, concurrency: usize) -> Vec<Group> {
    let suite = TestSuite {
        instant,
        ..TestSuite::default()
    };
    let config = Config {
        concurrency,
        tool_threads: 3,
        ..Config::default()
    };
    roll(&mut dice(delays), &suite, config, &tasks(), 4).expect("nothing broke")
}

#[test]
fn the_same_seed_gives_the_same_episodes_whatever_runs_beside_them() {
    let expected = roll_dice([0, 0], true, 1);
    for concurrency in [2, 4, 5, 64] {
        for instant in [true, false] {
            let found = roll_dice([0, 0], instant, concurrency);
            assert_eq!(found, expected, "{concurrency} at once, instant {instant}");
        }
    }
    assert!(expected.iter().any(|group| {
        let first = &group.episodes[0].turns;
        group.episodes.iter().any(|episode| episode.turns != *first)
    }));
}

#[test]
fn the_order_of_episodes_does_not_depend_on_how_fast_tools_are() {
    let names = |groups: &[Group]| -> Vec<(String, usize)> {
        let episodes = groups.iter().flat_map(|group| &group.episodes);
        episodes.map(|e| (e.task.clone(), e.sample)).collect()
    };
    let texts = |groups: &[Group]| -> Vec<String> {
        let episodes = groups.iter().flat_map(|group| &group.episodes);
        let turns = episodes.flat_map(|episode| &episode.turns);
        let observations = turns.flat_map(|turn| &turn.observations);
        observations.map(|o| o.text.clone()).collect()
    };
    let (fast, slow) = (roll_dice([0, 9], false, 64), roll_dice([9, 0], false, 64));
    let expected = ["a", "b", "c"].map(|task| [0, 1, 2, 3].map(|sample| (task.to_owned(), sample)));
    assert_eq!(names(&fast), expected.concat());
    assert_eq!(names(&slow), expected.concat());
    assert_eq!(texts(&fast), texts(&slow));
}

#[test]
fn seeds_depend_on_task_sample_and_turn_alone() {
    let mut policy = Recorder::new(dice([0, 0]));
    roll(
        &mut policy,
        &TestSuite::default(),
        Config::default(),
        &tasks(),
        4,
    )
    .expect("nothing broke");
    assert!(policy.asked.iter().any(|asked| asked.turn > 0));
    for asked in &policy.asked {
        let episode = SEED.named(&asked.task).child(asked.sample as u64);
        assert_eq!(asked.seed, episode.child(asked.turn as u64));
    }
}

#[test]
fn a_slow_tool_does_not_keep_other_episodes_from_decoding() {
    let chat = fixture::chat();
    let of = |name: &str| said(&chat, &call(name, &serde_json::json!({})));
    let waits = vec![of("pass"), said(&chat, "Done.")];
    let opens = vec![of("say"), of("say"), of("open"), said(&chat, "Done.")];
    let mut policy = ScriptedPolicy::new()
        .script("a", None, waits)
        .script("b", None, opens);
    let config = Config {
        tool_threads: 2,
        ..Config::default()
    };
    let groups =
        roll(&mut policy, &TestSuite::default(), config, &tasks()[..2], 1).expect("nothing broke");
    assert_eq!(
        groups[0].episodes[0].turns[0].observations[0].text,
        "passed"
    );
}

#[test]
fn whoever_watches_sees_which_episode_waits_for_which_tool() {
    let chat = fixture::chat();
    let waits = vec![
        said(&chat, &call("pass", &serde_json::json!({}))),
        said(&chat, "Done."),
    ];
    let mut policy = ScriptedPolicy::new().script("a", Some(1), waits);
    let suite = TestSuite::default();
    let activity = Activity::new(Arc::new(|| Duration::ZERO));
    let setting = Setting {
        chat: &chat,
        suite: &suite,
        config: &Config::default(),
        clock: &|| Duration::ZERO,
        activity: &activity,
    };
    let seen = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            // The gate opens by itself after 20 seconds.
            let seen = (0..2000).find_map(|_| {
                std::thread::sleep(Duration::from_millis(5));
                let now = activity.snapshot()?;
                let waiting = now.waiting.clone()?;
                (now.done == 1 && waiting.on == "tool `pass`").then_some(now)
            });
            suite.gate.open();
            seen
        });
        let tasks = tasks();
        let starts = [Start::of(&tasks[0])];
        let groups = rollout::run(&mut policy, &setting, &starts, 2, SEED, &mut |_| {});
        assert_eq!(groups.expect("nothing broke")[0].episodes.len(), 2);
        watcher.join().expect("it only looks")
    });
    let seen = seen.expect("the episode waits for its tool until the watcher has seen it");
    assert_eq!((seen.done, seen.of), (1, 2));
    let waiting = seen.waiting.expect("just seen");
    assert_eq!((&*waiting.task, waiting.sample, waiting.turn), ("a", 1, 0));
    let after = activity.snapshot().expect("it is watched");
    assert_eq!((after.done, after.waiting), (2, None));
}

#[test]
fn episodes_of_one_task_begin_before_the_first_step_and_never_exceed_the_concurrency() {
    let mut policy = Recorder::new(dice([0, 0]));
    let config = Config {
        concurrency: 6,
        ..Config::default()
    };
    roll(&mut policy, &TestSuite::default(), config, &tasks(), 4).expect("nothing broke");
    let mut starts: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for asked in policy.asked.iter().filter(|asked| asked.turn == 0) {
        starts.entry(&asked.task).or_default().push(asked.step);
    }
    assert_eq!(starts.len(), 3);
    for (task, steps) in starts {
        assert_eq!(steps, [steps[0]; 4], "{task}");
    }
    assert!(policy.most_live <= 6, "{} at once", policy.most_live);
}

#[test]
fn every_episode_is_released_once() {
    let mut policy = Recorder::new(dice([0, 0]));
    roll(
        &mut policy,
        &TestSuite::default(),
        Config::default(),
        &tasks(),
        4,
    )
    .expect("nothing broke");
    policy.released.sort_unstable();
    assert_eq!(policy.released, (0..12).collect::<Vec<_>>());
}

#[test]
fn no_task_and_no_sample_make_no_episode() {
    let suite = TestSuite::default();
    let groups = roll(&mut dice([0, 0]), &suite, Config::default(), &[], 4);
    assert_eq!(groups.expect("nothing broke"), []);
    let groups = roll(
        &mut dice([0, 0]),
        &suite,
        Config::default(),
        &tasks()[..1],
        0,
    );
    assert_eq!(groups.expect("nothing broke")[0].episodes, []);
}
