//! The turn loop from outside: what a policy sees, and what an episode becomes.

mod best;
mod endings;
mod hints;
mod policies;
mod replay;
mod suite;
mod timing;
mod tokens;
mod users;

use std::time::Duration;

use chat::{Chat, fixture};
use episode::{Episode, Group, Seed, Task};
use rollout::{Config, Policy, RolloutError, Setting, Start};

use suite::TestSuite;

const SEED: Seed = Seed(11);

/// A rollout with a clock that stands still.
fn roll(
    policy: &mut dyn Policy,
    suite: &TestSuite,
    config: Config,
    tasks: &[Task],
    samples: usize,
) -> Result<Vec<Group>, RolloutError> {
    let starts: Vec<Start<'_>> = tasks.iter().map(Start::of).collect();
    roll_from(policy, &fixture::chat(), suite, config, &starts, samples)
}

fn roll_from(
    policy: &mut dyn Policy,
    chat: &Chat,
    suite: &TestSuite,
    config: Config,
    starts: &[Start<'_>],
    samples: usize,
) -> Result<Vec<Group>, RolloutError> {
    let setting = Setting {
        chat,
        suite,
        config: &config,
        clock: &|| Duration::ZERO,
        activity: &rollout::Activity::default(),
    };
    rollout::run(policy, &setting, starts, samples, SEED, &mut |_| {})
}

/// The one episode of one task.
fn roll_one(policy: &mut dyn Policy, config: Config) -> Episode {
    let suite = TestSuite::default();
    let groups = roll(policy, &suite, config, &[suite::task("a")], 1).expect("nothing broke");
    groups
        .into_iter()
        .next()
        .expect("one task")
        .episodes
        .remove(0)
}

/// A turn's text as tokens, with the token that ends it.
fn said(chat: &Chat, text: &str) -> Vec<u32> {
    let mut tokens = chat.encode(text).expect("the fixture knows every byte");
    tokens.push(chat.stop_tokens()[0]);
    tokens
}

/// A call of `say`.
fn say(text: &str) -> String {
    call("say", &serde_json::json!({ "text": text }))
}

fn call(name: &str, arguments: &serde_json::Value) -> String {
    let call = serde_json::json!({ "name": name, "arguments": arguments });
    format!("<tool_call>\n{call}\n</tool_call>")
}
