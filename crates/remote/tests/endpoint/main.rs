//! Endpoints from outside: a server that does as its script says, well or badly, and the policy
//! that asks it.

mod conversations;
mod failures;
mod limits;
mod retries;
mod streams;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chat::{Chat, Thinking, fixture as chats};
use env::{Environment, Suite};
use episode::{
    CallFormat, Episode, Group, Message, Observation, Role, Score, Seed, Task, ToolCall,
};
use remote::endpoint::fixture::Server;
use remote::endpoint::{Address, Clock, Endpoint, EndpointPolicy, Key};
use rollout::{Config, RolloutError, Setting, Start};
use serde_json::{Value, json};

/// One tool, `say`, which returns its `text`.
struct SaySuite;

struct SayEnvironment;

impl Suite for SaySuite {
    fn name(&self) -> &'static str {
        "say"
    }

    fn tasks(&self) -> &[Task] {
        &[]
    }

    fn open(&self, _task: &Task) -> Box<dyn Environment> {
        Box::new(SayEnvironment)
    }

    fn is_instant(&self) -> bool {
        true
    }
}

impl Environment for SayEnvironment {
    fn call(&mut self, call: &ToolCall) -> Observation {
        Observation {
            text: call.arguments["text"].as_str().unwrap_or("?").to_owned(),
            failed: false,
        }
    }

    fn score(&self) -> Score {
        Score::default()
    }
}

fn tools() -> Vec<Value> {
    vec![json!({"type": "function", "function": {"name": "say", "description": "says"}})]
}

fn task(id: &str) -> Task {
    Task {
        id: id.to_owned(),
        scenario: "test".to_owned(),
        messages: vec![Message::new(Role::User, format!("Do {id}."))],
        tools: tools(),
        answer: None,
        calls: CallFormat::Tagged,
    }
}

/// Greedy, one turn at a time.
fn limits() -> Config {
    Config {
        temperature: 0.0,
        max_turn_tokens: 500,
        ..Config::default()
    }
}

/// The server's model, asked without waiting long between tries.
fn endpoint(server: &Server) -> Endpoint {
    let address = Address::new(&server.url()).expect("a server's address");
    Endpoint {
        key: Some(Key::new("sk-secret").expect("a key")),
        back_off: Duration::from_millis(1),
        timeout: Duration::from_secs(20),
        ..Endpoint::new(address, "parrot")
    }
}

#[expect(clippy::disallowed_methods, reason = "tests hand the clock in")]
fn clock() -> Clock {
    let began = Instant::now();
    Arc::new(move || began.elapsed())
}

/// What came of a rollout.
struct Played {
    result: Result<Vec<Group>, RolloutError>,
    notices: Vec<String>,
}

impl Played {
    /// The first episode.
    fn episode(self) -> Episode {
        let mut groups = self.result.unwrap_or_else(|error| panic!("{error}"));
        groups.remove(0).episodes.remove(0)
    }

    fn error(self) -> String {
        self.result.expect_err("the endpoint fails").to_string()
    }
}

fn play_with(
    chat: &Chat,
    endpoint: Endpoint,
    config: Config,
    tasks: &[Task],
    samples: usize,
) -> Played {
    let notices = Mutex::new(Vec::new());
    let push = |text: &str| {
        let mut notices = notices.lock().unwrap_or_else(PoisonError::into_inner);
        notices.push(text.to_owned());
    };
    let mut policy = EndpointPolicy::new(chat, endpoint, &config, clock(), Box::new(push));
    let clock = clock();
    let setting = Setting {
        chat,
        suite: &SaySuite,
        config: &config,
        clock: &*clock,
        activity: &rollout::Activity::default(),
    };
    let starts: Vec<Start<'_>> = tasks.iter().map(Start::of).collect();
    let result = rollout::run(
        &mut policy,
        &setting,
        &starts,
        samples,
        Seed(1),
        &mut |_| {},
    );
    drop(policy);
    let notices = notices.into_inner().unwrap_or_else(PoisonError::into_inner);
    Played { result, notices }
}

/// One episode of one task.
fn play(endpoint: Endpoint, config: Config) -> Played {
    play_with(&chats::chat(), endpoint, config, &[task("a")], 1)
}

/// What each turn calls.
fn calls(episode: &Episode) -> Vec<Vec<(String, Value)>> {
    let of_turn = |turn: &episode::Turn| {
        let calls = turn.calls.iter();
        calls
            .map(|it| (it.name.clone(), json!(it.arguments)))
            .collect()
    };
    episode.turns.iter().map(of_turn).collect()
}

fn strip() -> Chat {
    chats::chat_with(chat::Config {
        thinking: Thinking::Strip,
        ..chat::Config::default()
    })
}
