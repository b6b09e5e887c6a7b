//! What an episode is worth to the run: the reward that the config or the algorithm names, put
//! in the place of the suite's own.

use env::reward::{self, Case, RewardKind};
use env::{Suite, replay};
use episode::{Episode, Observation, Score, Task, Trace, Turn};
use objective::{Algorithm, Push, overlong_penalty};

use crate::Settings;

/// The reward of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judge {
    /// What an episode earns.
    pub(crate) kind: RewardKind,
    config: reward::Config,
}

impl Judge {
    /// The reward that the config names, else the algorithm's own.
    pub(crate) fn of(settings: &Settings) -> Self {
        let own = match settings.objective.algorithm {
            Algorithm::Ftrl => RewardKind::Ftrl,
            Algorithm::ToolRl => RewardKind::ToolRl,
            Algorithm::MatchTir => RewardKind::MatchTir,
            _ => RewardKind::SolveF1,
        };
        Self {
            kind: settings.reward.kind.unwrap_or(own),
            config: settings.reward,
        }
    }

    /// Puts the reward into an episode's score, whose metrics stay the suite's.
    pub(crate) fn judge(
        &self,
        suite: &dyn Suite,
        task: &Task,
        trace: Option<&Trace>,
        push: &Push,
        episode: &mut Episode,
    ) {
        let done = (&episode.turns[..], &episode.score);
        let (reward, turns) = self.reward(suite, task, trace, episode.hint_turns, done);
        let tokens = episode.segments.last().map_or(0, |it| it.tokens.len());
        let penalty = overlong_penalty(tokens, push.longest, push.overlong_cache);
        episode.score.reward = reward + penalty;
        episode.score.turn_rewards = turns;
    }

    /// What the expert's trace would have earned.
    pub(crate) fn reward_of_trace(&self, suite: &dyn Suite, task: &Task, trace: &Trace) -> f64 {
        let score = replay(suite, trace).score;
        self.reward(suite, task, Some(trace), 0, (&turns_of(trace), &score))
            .0
    }

    fn reward(
        &self,
        suite: &dyn Suite,
        task: &Task,
        trace: Option<&Trace>,
        hint_turns: usize,
        (turns, score): (&[Turn], &Score),
    ) -> (f64, Vec<f64>) {
        let unsolved = (self.kind.needs_unsolved())
            .then(|| suite.unsolved(task))
            .flatten();
        let case = Case {
            task,
            gold: trace,
            hint_turns,
            turns,
            score,
            unsolved: unsolved.as_ref(),
        };
        let judgement = reward::judge(self.kind, &self.config, &case);
        (judgement.reward, judgement.turns)
    }
}

/// A trace as if it had been an episode, as far as rewards look.
fn turns_of(trace: &Trace) -> Vec<Turn> {
    let empty = Turn {
        segment: 0,
        start: 0,
        end: 0,
        text: String::new(),
        content: String::new(),
        calls: Vec::new(),
        failures: Vec::new(),
        observations: Vec::new(),
        reply: None,
    };
    let observed = |text: &String| Observation {
        text: text.clone(),
        failed: false,
    };
    let calling = trace.turns.iter().map(|turn| Turn {
        calls: turn.calls.clone(),
        observations: turn.results.iter().map(observed).collect(),
        ..empty.clone()
    });
    let answering = trace.answer.iter().map(|answer| Turn {
        text: answer.clone(),
        content: answer.clone(),
        ..empty.clone()
    });
    calling.chain(answering).collect()
}
