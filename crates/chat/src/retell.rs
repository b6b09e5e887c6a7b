//! From tokens back to a trace: an episode retold as if an expert had written it, and an
//! expert's reasoning in the segments that a curriculum keeps or drops.

use episode::{Author, Episode, Part, StopReason, Task, Trace, TraceTurn, Turn};

use crate::{Chat, ChatError, reasoning};

impl Chat {
    /// What an episode thought, called, was told and answered. `None` where no trace can say
    /// it: the episode did not end with an answer, or something in it looked like a call and
    /// could not be read. Text beside calls ends the turn's reasoning, as in a chat's messages.
    /// Where the trace came from, and whether it is verified, is for the caller to say.
    pub fn retell(&self, episode: &Episode) -> Option<Trace> {
        let (last, before) = episode.turns.split_last()?;
        let is_readable = |turn: &Turn| turn.failures.is_empty();
        if episode.stop != StopReason::Answered || !episode.turns.iter().all(is_readable) {
            return None;
        }
        let (answer_reasoning, answer) = self.words(episode, last);
        let turns = before.iter().map(|turn| {
            let (reasoning, text) = self.words(episode, turn);
            let results = turn.observations.iter().map(|seen| seen.text.clone());
            TraceTurn {
                reasoning: joined([reasoning, text]),
                calls: turn.calls.clone(),
                results: results.collect(),
                ..TraceTurn::default()
            }
        });
        (!answer.is_empty()).then(|| Trace {
            task: episode.task.clone(),
            turns: turns.collect(),
            answer_reasoning,
            answer: Some(answer),
            ..Trace::default()
        })
    }

    /// A turn's reasoning without its tags, and its text without the token that ends it.
    fn words(&self, episode: &Episode, turn: &Turn) -> (String, String) {
        let segment = &episode.segments[turn.segment];
        let mut range = turn.start..turn.end;
        let stop = |place: usize| self.stop_tokens().contains(&segment.tokens[place]);
        if !range.is_empty() && stop(range.end - 1) {
            range.end -= 1;
        }
        let parts = &segment.parts[range.clone()];
        let mut tokens = &segment.tokens[range];
        let (mut thought, mut said) = (Vec::new(), Vec::new());
        for stretch in parts.chunk_by(|a, b| a == b) {
            let (here, after) = tokens.split_at(stretch.len());
            tokens = after;
            let text = self.decode(here);
            match stretch[0] {
                Part::Reasoning => {
                    let inside = reasoning::without_tags(text.as_bytes());
                    thought.push(text[inside].to_owned());
                }
                Part::Answer => said.push(text.trim().to_owned()),
                Part::Call | Part::Context => {}
            }
        }
        (joined(thought), joined(said))
    }

    /// The reasoning of each of a trace's turns, the answering one included, as the policy is
    /// taught it: cut as [`reasoning_segments`](Self::reasoning_segments) cuts, tags included.
    pub fn expert_reasoning(
        &self,
        task: &Task,
        trace: &Trace,
    ) -> Result<Vec<Vec<String>>, ChatError> {
        let segments = self.expert(task, trace)?.into_segments();
        let turns = segments.iter().flat_map(|segment| {
            (segment.runs_of(Author::Policy))
                .into_iter()
                .map(move |turn| (segment, turn))
        });
        Ok(turns
            .map(|(segment, turn)| {
                let tokens = &segment.tokens[turn.clone()];
                self.reasoning_segments(tokens, &segment.parts[turn])
                    .into_iter()
                    .map(|cut| self.decode(&tokens[cut]))
                    .collect()
            })
            .collect())
    }
}

/// Texts that are not empty, with blank lines between them.
fn joined(texts: impl IntoIterator<Item = String>) -> String {
    let said: Vec<String> = texts.into_iter().filter(|text| !text.is_empty()).collect();
    said.join("\n\n")
}
