//! A policy that says what it was told to: for tests, and for replaying expert traces.

use std::collections::HashMap;

use chat::{Chat, ChatError};
use episode::{Author, Segment, Task, Trace};

use crate::{Policy, PolicyError, SampledTurn, TurnEnd, TurnRequest};

/// Plays scripts. Each token has log-probability 0; a turn longer than it may be is cut, as
/// a model's would be.
#[derive(Clone, Debug, Default)]
pub struct ScriptedPolicy {
    /// Turns by task, and by sample or for any.
    scripts: HashMap<(String, Option<usize>), Vec<Vec<u32>>>,
    under_way: Vec<SampledTurn>,
}

impl ScriptedPolicy {
    /// A policy without scripts, whose every episode ends as one whose script has ended.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the turns, stop tokens included, that `sample` of a task plays; `None` is every
    /// sample that has no script of its own.
    pub fn script(mut self, task: &str, sample: Option<usize>, turns: Vec<Vec<u32>>) -> Self {
        self.scripts.insert((task.to_owned(), sample), turns);
        self
    }

    /// Plays each task's expert trace. A task without one answers at once with an empty
    /// turn; a trace of none of the tasks is not played.
    pub fn replay(chat: &Chat, tasks: &[Task], traces: &[Trace]) -> Result<Self, ChatError> {
        let traces: HashMap<&str, &Trace> = traces.iter().map(|t| (t.task.as_str(), t)).collect();
        let silence: Vec<u32> = chat.stop_tokens().iter().take(1).copied().collect();
        let mut policy = Self::new();
        for task in tasks {
            let turns = match traces.get(task.id.as_str()) {
                Some(trace) => expert_turns(&chat.expert(task, trace)?.into_segments()),
                None => vec![silence.clone()],
            };
            policy = policy.script(&task.id, None, turns);
        }
        Ok(policy)
    }

    fn turn(&self, request: &TurnRequest<'_>) -> Option<&Vec<u32>> {
        let script = |sample| self.scripts.get(&(request.task.to_owned(), sample));
        let turns = script(Some(request.sample)).or_else(|| script(None))?;
        turns.get(request.turn)
    }
}

/// The runs of tokens that the expert wrote in the policy's place; something of the
/// template's lies between any two turns.
fn expert_turns(segments: &[Segment]) -> Vec<Vec<u32>> {
    let mut turns = Vec::new();
    for segment in segments {
        let mut previous = Author::Template;
        for (&token, &author) in segment.tokens.iter().zip(&segment.authors) {
            if author == Author::Policy {
                if previous != Author::Policy {
                    turns.push(Vec::new());
                }
                turns.last_mut().expect("a turn was just begun").push(token);
            }
            previous = author;
        }
    }
    turns
}

impl Policy for ScriptedPolicy {
    fn begin(&mut self, request: &TurnRequest<'_>) -> Result<(), PolicyError> {
        let (tokens, end) = match self.turn(request) {
            Some(turn) if turn.len() > request.max_tokens => {
                (turn[..request.max_tokens].to_vec(), TurnEnd::TokenLimit)
            }
            Some(turn) => (turn.clone(), TurnEnd::Stop),
            None => (Vec::new(), TurnEnd::ScriptEnded),
        };
        self.under_way.push(SampledTurn {
            episode: request.episode,
            logprobs: vec![0.0; tokens.len()],
            tokens,
            end,
        });
        Ok(())
    }

    fn step(&mut self) -> Result<Vec<SampledTurn>, PolicyError> {
        Ok(std::mem::take(&mut self.under_way))
    }

    fn release(&mut self, episode: usize) {
        self.under_way.retain(|turn| turn.episode != episode);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use episode::Part;

    #[test]
    fn an_experts_turns_are_the_runs_between_the_templates() {
        let mut first = Segment::default();
        first.extend(&[1, 2], Author::Template, Part::Context);
        first.extend(&[3], Author::Policy, Part::Reasoning);
        first.extend(&[4, 5], Author::Policy, Part::Call);
        first.extend(&[6], Author::Template, Part::Context);
        first.extend(&[7], Author::Tool, Part::Context);
        first.extend(&[8], Author::Policy, Part::Answer);
        let mut second = Segment::default();
        second.extend(&[9], Author::Policy, Part::Answer);
        let turns = expert_turns(&[first, second]);
        assert_eq!(turns, [vec![3, 4, 5], vec![8], vec![9]]);
    }
}
