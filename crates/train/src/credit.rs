//! Who got the credit in a step: for each episode, what its turns were better by and what the
//! trace made of its tokens, to be read beside it.

use episode::{Credit, Episode};
use objective::Recipe;

use crate::experience::Experience;
use crate::learner::Rescored;

/// The credit of every rollout, `[groups][episodes]`. `anchored` is each task's, and
/// `rescored` what
/// the first update scored under traces.
pub(crate) fn credits(
    experience: &Experience,
    anchored: &[bool],
    recipe: &Recipe,
    rescored: &[Rescored],
) -> Vec<Vec<Credit>> {
    let advantages = experience.advantages(recipe.rollouts.as_ref());
    let mut credits: Vec<Vec<Credit>> = (experience.rolled.iter())
        .zip(advantages)
        .zip(anchored)
        .map(|((one, advantages), &anchored)| {
            let episodes = one.group.iter().flat_map(|group| &group.episodes);
            let credit = |(episode, advantages): (&Episode, Option<Vec<f32>>)| Credit {
                anchored: Some(anchored),
                advantages: advantages.map_or_else(Vec::new, |it| of_turns(episode, &it)),
                under_trace: Vec::new(),
            };
            episodes.zip(advantages).map(credit).collect()
        })
        .collect();
    for scored in rescored {
        credits[scored.example][scored.episode].under_trace = scored.logprobs.clone();
    }
    (experience.rolled.iter().zip(credits))
        .filter_map(|(one, credits)| one.group.is_some().then_some(credits))
        .collect()
}

/// The advantage of each turn: that of its first token, since all of a turn's have the same.
fn of_turns(episode: &Episode, advantages: &[f32]) -> Vec<f32> {
    let mut first = 0;
    let of_turn = |turn: &episode::Turn| {
        let advantage = advantages.get(first).copied().unwrap_or(0.0);
        first += turn.end - turn.start;
        advantage
    };
    episode.turns.iter().map(of_turn).collect()
}

#[cfg(test)]
mod tests {
    use episode::{Score, Seed, StopReason, Turn};

    use super::*;

    #[test]
    fn a_turns_advantage_is_that_of_its_tokens() {
        let turn = |start, end| Turn {
            start,
            end,
            ..Turn::default()
        };
        let episode = Episode {
            task: "a".into(),
            scenario: "s".into(),
            sample: 0,
            seed: Seed(0),
            stop: StopReason::Answered,
            score: Score::default(),
            prompt_tokens: 4,
            hint_turns: 0,
            turns: vec![turn(4, 6), turn(9, 10)],
            segments: Vec::new(),
        };
        assert_eq!(of_turns(&episode, &[0.5, 0.5, -1.0]), [0.5, -1.0]);
    }
}
