//! What a step has to learn from: tasks, what was rolled out of them, and what that is worth.

use env::{Health, Suite};
use episode::{Episode, Group, Seed, Task, Trace, TraceTurn};
use objective::{Estimator, HintOdds, Outcome, Push, hint_chunks};
use rand::RngExt;
use rollout::Start;

use crate::judge::Judge;
use crate::metrics::{has_signal, is_cut_off};
use crate::{Drawn, TrainError};

/// A task with what is known of it.
pub(crate) struct Rolled {
    pub(crate) task: Task,
    /// How an expert did it.
    pub(crate) trace: Option<Trace>,
    /// Its rollouts, judged; `None` where nothing is sampled.
    pub(crate) group: Option<Group>,
    /// Turns of the trace that the rollouts began with.
    pub(crate) hint_turns: usize,
    /// What the trace would have earned, where it is a member of the group.
    pub(crate) trace_reward: Option<f64>,
}

/// A step's tasks with their rollouts.
pub(crate) struct Experience {
    pub(crate) rolled: Vec<Rolled>,
    /// Rounds of rollouts that it took.
    pub(crate) rounds: usize,
    /// Groups that were rolled out and left out.
    pub(crate) dropped: usize,
    /// Tokens that were sampled, those of groups left out included.
    pub(crate) sampled_tokens: usize,
    /// What rolling out took and met with.
    pub(crate) cost: RolloutCost,
}

/// What rolling out took and met with.
#[derive(Clone, Debug, Default)]
pub(crate) struct RolloutCost {
    /// How the suite's tools fared.
    pub(crate) tools: Health,
    /// The most bytes of keys and values that were held at once.
    pub(crate) cache_peak: usize,
    /// Tokens that were computed again after their keys and values had been given up.
    pub(crate) recomputed: usize,
}

impl RolloutCost {
    fn absorb(&mut self, other: Self) {
        self.tools.absorb(other.tools);
        self.cache_peak = self.cache_peak.max(other.cache_peak);
        self.recomputed += other.recomputed;
    }
}

type RollOut<'a> =
    dyn Fn(&dyn Suite, &[Start<'_>], Seed) -> Result<(Vec<Group>, RolloutCost), TrainError> + 'a;

/// How tasks are drawn and rolled out.
pub(crate) struct Gather<'a> {
    /// The tasks of a round, counted from 0.
    pub(crate) draw: &'a dyn Fn(usize) -> Drawn,
    /// Rolls out a group from each start.
    pub(crate) roll_out: &'a RollOut<'a>,
    /// What episodes are worth.
    pub(crate) judge: Judge,
    /// Whether traces are members of their groups.
    pub(crate) with_trace: bool,
}

impl Experience {
    /// Tasks of which nothing is sampled.
    pub(crate) fn of_traces(drawn: Drawn) -> Self {
        let alone = |(task, trace)| Rolled {
            task,
            trace,
            group: None,
            hint_turns: 0,
            trace_reward: None,
        };
        Self {
            rolled: drawn.tasks.into_iter().map(alone).collect(),
            rounds: 0,
            dropped: 0,
            sampled_tokens: 0,
            cost: RolloutCost::default(),
        }
    }

    /// Rolls out and judges tasks until as many groups as a round has tasks have variance, over
    /// at most `push.rounds` rounds; what is wanting then is filled with groups without. A
    /// single round takes every task as it comes.
    pub(crate) fn gather(gather: &Gather<'_>, push: &Push, seed: Seed) -> Result<Self, TrainError> {
        let (mut rolled, mut flat) = (Vec::new(), Vec::new());
        let mut count = usize::MAX;
        let (mut rounds, mut sampled_tokens) = (0, 0);
        let mut cost = RolloutCost::default();
        while rounds < push.rounds && rolled.len() < count {
            let seed = match rounds {
                0 => seed,
                round => seed.named("again").child(round as u64),
            };
            let drawn = (gather.draw)(rounds);
            count = drawn.tasks.len();
            let (round, cost_of_round) = gather.round(drawn, push, seed)?;
            cost.absorb(cost_of_round);
            for one in round {
                let episodes = one.group.iter().flat_map(|group| &group.episodes);
                sampled_tokens += episodes.map(Episode::sampled_tokens).sum::<usize>();
                let teaches = push.rounds == 1 || one.group.as_ref().is_some_and(has_signal);
                match teaches && rolled.len() < count {
                    true => rolled.push(one),
                    false => flat.push(one),
                }
            }
            rounds += 1;
        }
        let wanting = count - rolled.len();
        let dropped = flat.len().saturating_sub(wanting);
        rolled.extend(flat.into_iter().take(wanting));
        Ok(Self {
            rolled,
            rounds,
            dropped,
            sampled_tokens,
            cost,
        })
    }

    /// The rollouts.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &Group> {
        self.rolled.iter().filter_map(|one| one.group.as_ref())
    }

    /// The episodes of all rollouts.
    pub(crate) fn episodes(&self) -> impl Iterator<Item = &Episode> {
        self.groups().flat_map(|group| &group.episodes)
    }

    /// What each sampled token of a task's rollouts was better by, `[tasks][episodes][sampled
    /// tokens]`; `None` for an episode that is left out of the loss.
    pub(crate) fn advantages(&self, push: Option<&Push>) -> Vec<Vec<Option<Vec<f32>>>> {
        let Some(push) = push else {
            return self.rolled.iter().map(|_| Vec::new()).collect();
        };
        let outcome = |episode: &Episode| Outcome {
            reward: episode.score.reward,
            turn_rewards: episode.score.turn_rewards.clone(),
            turn_tokens: episode.turns.iter().map(|t| t.end - t.start).collect(),
        };
        let outcomes: Vec<Vec<Outcome>> = (self.groups())
            .map(|group| group.episodes.iter().map(outcome).collect())
            .collect();
        let is_kept = |episode: &Episode| match push.estimator {
            Estimator::Kept { threshold } => episode.score.reward >= threshold,
            _ => !(push.filter_overlong && is_cut_off(episode)),
        };
        let advantages = objective::advantages(&outcomes, push.estimator);
        (self.groups().zip(advantages))
            .map(|(group, advantages)| {
                let pairs = group.episodes.iter().zip(advantages);
                pairs.map(|(e, a)| is_kept(e).then_some(a)).collect()
            })
            .collect()
    }
}

impl Gather<'_> {
    fn round(
        &self,
        drawn: Drawn,
        push: &Push,
        seed: Seed,
    ) -> Result<(Vec<Rolled>, RolloutCost), TrainError> {
        let suite = &*drawn.suite;
        let hints = hints(&drawn.tasks, push.hint, seed);
        let starts: Vec<Start<'_>> = (drawn.tasks.iter().zip(&hints))
            .map(|((task, trace), &turns)| Start {
                task,
                hint: first_turns(trace.as_ref(), turns),
            })
            .collect();
        let (groups, cost) = (self.roll_out)(suite, &starts, seed)?;
        let judged =
            |(((task, trace), mut group), hint_turns): (((Task, Option<Trace>), Group), usize)| {
                for episode in &mut group.episodes {
                    self.judge
                        .judge(suite, &task, trace.as_ref(), push, episode);
                }
                let member = trace.as_ref().filter(|_| self.with_trace);
                let trace_reward = member.map(|it| self.judge.reward_of_trace(suite, &task, it));
                Rolled {
                    task,
                    trace,
                    group: Some(group),
                    hint_turns,
                    trace_reward,
                }
            };
        let all = drawn.tasks.into_iter().zip(groups).zip(hints);
        Ok((all.map(judged).collect(), cost))
    }
}

/// How many turns of its trace each task's rollouts begin with.
fn hints(tasks: &[(Task, Option<Trace>)], odds: Option<HintOdds>, seed: Seed) -> Vec<usize> {
    let mut random = model::rng(seed.named("hint").0);
    let turns = |(_, trace): &(Task, Option<Trace>)| {
        let (Some(odds), Some(trace)) = (odds, trace) else {
            return 0;
        };
        // A hint ends where the user goes on: its answers would have to be heard.
        let usable = (trace.turns.iter()).take_while(|turn| turn.reply.is_none());
        let usable = usable.count();
        let chunks = odds.chunks.min(usable);
        let uniforms: Vec<f64> = (0..chunks).map(|_| random.random()).collect();
        let (low, high) = (odds.low, odds.high);
        let kept = hint_chunks(odds.step, odds.steps, chunks, low, high, &uniforms);
        // The turns fall into chunks of sizes that differ by one at most.
        (kept * usable).checked_div(chunks).unwrap_or(0)
    };
    tasks.iter().map(turns).collect()
}

fn first_turns(trace: Option<&Trace>, turns: usize) -> &[TraceTurn] {
    trace.map_or(&[], |trace| &trace.turns[..turns])
}
