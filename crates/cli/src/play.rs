//! A rollout of tasks from a file, for `eval` and `rollout`: a model plays, or expert traces.

use std::sync::Arc;

use anyhow::Result;
use chat::Chat;
use env::{Suite, load_traces};
use episode::{EvaluationMode, Group, Seed, Task};
use rollout::{ScriptedPolicy, Setting, Start};

use crate::args::Subject;
use crate::policies::Policy;
use crate::terminal::Progress;
use crate::{clock, config_file, engine, prompts, suites, tokenizer};

/// What was played, and how.
pub(crate) struct Played {
    pub(crate) suite: Arc<dyn Suite>,
    pub(crate) mode: EvaluationMode,
    pub(crate) groups: Vec<Group>,
    /// In whose tokens the episodes are.
    pub(crate) chat: Chat,
}

/// Rolls out `samples` episodes of each task that the command line names.
pub(crate) fn play(subject: &Subject, samples: usize) -> Result<Played> {
    let config = config_file::read(subject.config.as_deref(), &subject.set)?;
    let suite = suites::open_file(subject.suite, &subject.data, &config.python)?;
    let tasks = suites::first(&*suite, subject.limit.unwrap_or(0));
    let mode = match subject.sampled {
        true => EvaluationMode::Sampled,
        false => EvaluationMode::Greedy,
    };
    let seed = Seed(config.seed).named("evaluation");
    let (groups, chat) = if let Some(folder) = &subject.model {
        engine::start(&config.engine)?;
        let policy = Policy::load(folder, &config.model, config.chat)?;
        let mut limits = config.rollout;
        if mode == EvaluationMode::Greedy {
            limits.temperature = 0.0;
        }
        prompts::check(&policy.chat, &tasks, limits.max_prompt_tokens)?;
        eprintln!("{}", engine::chosen(&policy.model));
        let stops = policy.chat.stop_tokens();
        let cache = engine::cache_limit(&config.engine);
        let mut player = train::ModelPolicy::new(&policy.model, &limits, stops, cache)?;
        let chat = &policy.chat;
        let groups = roll_out(&mut player, chat, &*suite, &limits, &tasks, samples, seed)?;
        (groups, policy.chat)
    } else {
        let file = subject.policy.as_ref().expect("a model or a policy plays");
        let chat = tokenizer::load_chat(subject.tokenizer.as_deref(), config.chat)?;
        let traces = load_traces(file, suite.tasks())?;
        let mut player = ScriptedPolicy::replay(&chat, suite.tasks(), &traces)?;
        let limits = without_limits(config.rollout);
        let groups = roll_out(&mut player, &chat, &*suite, &limits, &tasks, samples, seed)?;
        (groups, chat)
    };
    Ok(Played {
        suite,
        mode,
        groups,
        chat,
    })
}

fn roll_out(
    policy: &mut dyn rollout::Policy,
    chat: &Chat,
    suite: &dyn Suite,
    config: &rollout::Config,
    tasks: &[&Task],
    samples: usize,
    seed: Seed,
) -> Result<Vec<Group>> {
    let clock = clock::start();
    let setting = Setting {
        chat,
        suite,
        config,
        clock: &*clock,
    };
    let progress = Progress::new((tasks.len() * samples) as u64, "episodes");
    let starts: Vec<Start<'_>> = tasks.iter().copied().map(Start::of).collect();
    let groups = rollout::run(policy, &setting, &starts, samples, seed, &mut |_| {
        progress.advance();
    })?;
    Ok(groups)
}

/// An expert's traces are played as long as they are.
fn without_limits(config: rollout::Config) -> rollout::Config {
    rollout::Config {
        max_turns: Some(usize::MAX),
        max_turn_tokens: usize::MAX,
        max_prompt_tokens: usize::MAX,
        max_tokens: usize::MAX,
        max_seconds: None,
        ..config
    }
}
