//! The turn loop: who may start, who decodes, whose tools have answered.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::thread;
use std::time::Duration;

use chat::{Chat, ChatError};
use env::{Environment, Suite};
use episode::{Episode, Group, Score, Seed, StopReason, Task, TraceTurn, Turn};

use crate::config::Rules;
use crate::live::{Live, Next, Place};
use crate::tools::{Act, Acted, Job, Outcome, Tools};
use crate::{Activity, Config, Policy, PolicyError};

/// What stays the same from rollout to rollout.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    /// The tokens' side of the conversation.
    pub chat: &'a Chat,
    /// Whose tasks these are, and what their tools do.
    pub suite: &'a dyn Suite,
    /// Limits and widths.
    pub config: &'a Config,
    /// Time since some fixed moment; read for `max-seconds` alone.
    pub clock: &'a dyn Fn() -> Duration,
    /// Told what is under way, for whoever watches.
    pub activity: &'a Activity,
}

/// What the episodes of one task begin with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Start<'a> {
    /// The task.
    pub task: &'a Task,
    /// The first turns of an expert's trace of it, which the policy finds in its context as if
    /// it had taken them (UFT, <https://arxiv.org/abs/2505.16984>); may be empty. Their calls
    /// are executed, and what they return now is what the policy reads. They count in the
    /// environment's score and in `max-tokens`, but not in `max-turns`.
    pub hint: &'a [TraceTurn],
}

impl<'a> Start<'a> {
    /// The prompt alone.
    pub fn of(task: &'a Task) -> Self {
        Self { task, hint: &[] }
    }
}

/// A rollout that could not go on. An agent that fails is no error.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    /// The task's conversation cannot be put into tokens.
    #[error("task `{task}`: {source}")]
    Chat {
        /// The task's id.
        task: String,
        /// What was wrong.
        source: ChatError,
    },
    /// The policy broke.
    #[error("the policy cannot go on: {0}")]
    Policy(#[from] PolicyError),
    /// An environment broke its promise that whatever goes wrong is an observation.
    #[error(
        "task `{task}`: {act} panicked: {message}\n\
         hint: this is a mistake in the suite, not of the agent; please report it"
    )]
    EnvironmentPanicked {
        /// The task's id.
        task: String,
        /// What the environment was doing: which tool it ran, as the agent called it.
        act: String,
        /// The panic's.
        message: String,
    },
}

/// Rolls out `samples` episodes from each start.
///
/// Groups come back in the order of `starts`, and episodes in the order of their samples.
/// `on_episode` sees each episode as it ends, in no fixed order. An episode's seed is
/// `seed.named(task).child(sample)`, a turn's `.child(turn)` of that.
pub fn run(
    policy: &mut dyn Policy,
    setting: &Setting<'_>,
    starts: &[Start<'_>],
    samples: usize,
    seed: Seed,
    on_episode: &mut dyn FnMut(&Episode),
) -> Result<Vec<Group>, RolloutError> {
    let _span = tracing::info_span!("rollout", tasks = starts.len(), samples).entered();
    setting.activity.expect(starts.len() * samples);
    let episodes = thread::scope(|scope| {
        let activity = setting.activity;
        let tools = if setting.suite.is_instant() {
            Tools::inline(activity)
        } else {
            Tools::threaded(scope, setting.config.tool_threads.max(1), activity)
        };
        let turn_loop = TurnLoop {
            policy,
            setting,
            rules: Rules::new(setting.config, setting.suite.protocol()),
            starts,
            samples,
            seed,
            on_episode,
            tools,
            waves: waves(starts.len(), samples, setting.config.concurrency.max(1)),
            live: BTreeMap::new(),
            decoding: 0,
            ended: BTreeMap::new(),
        };
        turn_loop.run()
    })?;
    Ok(groups(starts, samples, episodes))
}

/// Puts episodes, which are in the order of their numbers, into their tasks' groups.
fn groups(starts: &[Start<'_>], samples: usize, episodes: BTreeMap<usize, Episode>) -> Vec<Group> {
    let mut episodes = episodes.into_values();
    let group = |start: &Start<'_>| Group {
        task: start.task.id.clone(),
        episodes: episodes.by_ref().take(samples).collect(),
    };
    starts.iter().map(group).collect()
}

/// Numbers of episodes that start together: those of one task, as far as `concurrency` holds
/// them. Episode `e` is sample `e % samples` of task `e / samples`.
fn waves(tasks: usize, samples: usize, concurrency: usize) -> VecDeque<Range<usize>> {
    let of_task = |task: usize| {
        let (start, end) = (task * samples, (task + 1) * samples);
        (start..end)
            .step_by(concurrency)
            .map(move |first| first..end.min(first + concurrency))
    };
    (0..tasks).flat_map(of_task).collect()
}

struct TurnLoop<'a> {
    policy: &'a mut dyn Policy,
    setting: &'a Setting<'a>,
    rules: Rules<'a>,
    starts: &'a [Start<'a>],
    samples: usize,
    seed: Seed,
    on_episode: &'a mut dyn FnMut(&Episode),
    tools: Tools,
    waves: VecDeque<Range<usize>>,
    live: BTreeMap<usize, Live<'a>>,
    /// How many of the live episodes wait for the policy; the others wait for their
    /// environments.
    decoding: usize,
    ended: BTreeMap<usize, Episode>,
}

impl TurnLoop<'_> {
    fn run(mut self) -> Result<BTreeMap<usize, Episode>, RolloutError> {
        loop {
            self.admit()?;
            if self.live.is_empty() && self.waves.is_empty() {
                return Ok(self.ended);
            }
            self.decode()?;
            self.collect()?;
        }
    }

    /// Starts waves of episodes while there is room for a whole one.
    fn admit(&mut self) -> Result<(), RolloutError> {
        while let Some(wave) = self.waves.front().cloned()
            && self.live.len() + wave.len() <= self.setting.config.concurrency.max(1)
        {
            self.waves.pop_front();
            self.start(wave)?;
        }
        Ok(())
    }

    /// Starts episodes of one task, whose prompt is rendered once.
    fn start(&mut self, wave: Range<usize>) -> Result<(), RolloutError> {
        let start = &self.starts[wave.start / self.samples];
        let task = start.task;
        let messages = self.setting.suite.prompt(task);
        let chat = self.setting.chat;
        let prompt = chat.begin(&messages, &task.tools, task.calls);
        let prompt = prompt.map_err(in_task(task))?;
        for number in wave.clone() {
            let place = Place {
                number,
                sample: number % self.samples,
                wave: wave.clone(),
                seed: self.seed,
                now: (self.setting.clock)(),
            };
            let live = Live::new(start, prompt.clone(), messages.to_vec(), place);
            let calls = live.hint_calls();
            self.live.insert(number, live);
            (self.setting.activity).begin(number, &task.id, number % self.samples);
            let environment = self.setting.suite.open(task);
            if start.hint.is_empty() {
                self.ask(number, environment)?;
            } else {
                self.submit(number, environment, Act::Call(calls));
            }
        }
        Ok(())
    }

    /// Gives the word to the policy in all episodes of a wave, one after the other, once the
    /// hints of all of them have been acted out.
    fn start_hinted(&mut self, wave: Range<usize>) -> Result<(), RolloutError> {
        let is_ready = |number| self.live[&number].waits_for_its_wave();
        if !wave.clone().all(is_ready) {
            return Ok(());
        }
        for number in wave {
            let environment = live(&mut self.live, number).leave_its_wave();
            self.ask(number, environment)?;
        }
        Ok(())
    }

    /// Gives the word to the policy, or ends the episode.
    fn ask(
        &mut self,
        number: usize,
        environment: Box<dyn Environment>,
    ) -> Result<(), RolloutError> {
        let now = (self.setting.clock)();
        match live(&mut self.live, number).next_turn(environment, &self.rules, now) {
            Ok(request) => {
                self.setting.activity.asks(number, request.turn);
                self.policy.begin(&request)?;
                self.decoding += 1;
            }
            Err((stop, environment)) => self.close(number, stop, environment),
        }
        Ok(())
    }

    /// One step of the policy, and what follows from the turns that it ended.
    fn decode(&mut self) -> Result<(), RolloutError> {
        if self.decoding == 0 {
            return Ok(());
        }
        for sampled in self.policy.step()? {
            self.decoding -= 1;
            let number = sampled.episode;
            let live = live(&mut self.live, number);
            let next = live
                .hear(&sampled, &self.rules)
                .map_err(in_task(live.task))?;
            match next {
                Next::Stop(stop, environment) => self.close(number, stop, environment),
                Next::Act(environment, act) => self.submit(number, environment, act),
            }
        }
        self.end_overdue();
        Ok(())
    }

    /// Ends the episodes whose time is over while the policy has the word.
    fn end_overdue(&mut self) {
        let now = (self.setting.clock)();
        let overdue = self
            .live
            .iter()
            .filter(|(_, live)| live.is_overdue(&self.rules, now));
        let overdue: Vec<usize> = overdue.map(|(number, _)| *number).collect();
        for number in overdue {
            let environment = live(&mut self.live, number).interrupt();
            self.decoding -= 1;
            self.close(number, StopReason::TimeLimit, environment);
        }
    }

    /// Takes in what environments have done; waits for one of them when nothing decodes.
    fn collect(&mut self) -> Result<(), RolloutError> {
        for Outcome { episode, result } in self.tools.collect(self.decoding == 0) {
            let live = live(&mut self.live, episode);
            let task = live.task;
            let acted = result.map_err(|panicked| RolloutError::EnvironmentPanicked {
                task: task.id.clone(),
                act: panicked.act,
                message: panicked.message,
            })?;
            match acted {
                Acted::Called {
                    environment,
                    observations,
                } if live.waits_for_its_hint() => {
                    live.take_hint(environment, observations)
                        .map_err(in_task(task))?;
                    let wave = live.wave.clone();
                    self.start_hinted(wave)?;
                }
                Acted::Called {
                    environment,
                    observations,
                } => {
                    live.observe(observations, &self.rules)
                        .map_err(in_task(task))?;
                    match environment.is_over() {
                        true => self.close(episode, StopReason::Ended, environment),
                        false => self.ask(episode, environment)?,
                    }
                }
                Acted::Heard { environment, reply } => match reply {
                    Some(reply) => {
                        live.take_reply(reply).map_err(in_task(task))?;
                        self.ask(episode, environment)?;
                    }
                    None => self.close(episode, StopReason::Answered, environment),
                },
                Acted::Closed { stop, turns, score } => self.end(episode, stop, turns, score),
            }
        }
        Ok(())
    }

    fn submit(&mut self, episode: usize, environment: Box<dyn Environment>, act: Act) {
        self.tools.submit(Job {
            episode,
            environment,
            act,
        });
    }

    /// The policy has no word any more; the environment has the last one.
    fn close(&mut self, number: usize, stop: StopReason, environment: Box<dyn Environment>) {
        self.policy.release(number);
        let turns = live(&mut self.live, number).take_turns();
        self.submit(number, environment, Act::Close(stop, turns));
    }

    fn end(&mut self, number: usize, stop: StopReason, turns: Vec<Turn>, score: Score) {
        let live = self.live.remove(&number).expect("only a live episode ends");
        let episode = live.finish(stop, turns, score);
        (self.on_episode)(&episode);
        self.setting.activity.end(number);
        self.ended.insert(number, episode);
    }
}

fn live<'l, 'a>(live: &'l mut BTreeMap<usize, Live<'a>>, number: usize) -> &'l mut Live<'a> {
    live.get_mut(&number)
        .expect("turns and outcomes belong to live episodes")
}

fn in_task(task: &Task) -> impl FnOnce(ChatError) -> RolloutError + use<> {
    let task = task.id.clone();
    move |source| RolloutError::Chat { task, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn episodes_of_one_task_start_together() {
        assert_eq!(waves(2, 4, 8), [0..4, 4..8]);
        assert_eq!(waves(2, 4, 4), [0..4, 4..8]);
        assert_eq!(waves(2, 3, 2), [0..2, 2..3, 3..5, 5..6]);
        assert_eq!(waves(3, 0, 2), VecDeque::<Range<usize>>::new());
    }
}
