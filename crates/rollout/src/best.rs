//! Traces of a policy's own: the best of a group's episodes, retold.

use chat::Chat;
use episode::{Episode, Group, Trace};

/// The best of a group's episodes as a trace: the highest reward, among equals the fewest calls,
/// then the lowest sample. Episodes that [`Chat::retell`] cannot tell, and those whose reward is
/// below `min_reward`, do not count; `None` where there are no others.
pub fn best_trace(chat: &Chat, group: &Group, min_reward: f64) -> Option<Trace> {
    let told = group
        .episodes
        .iter()
        .filter(|episode| episode.score.reward >= min_reward)
        .filter_map(|episode| Some((episode, chat.retell(episode)?)));
    let best = told.min_by(|(a, _), (b, _)| {
        let by_reward = b.score.reward.total_cmp(&a.score.reward);
        let by_calls = calls(a).cmp(&calls(b));
        by_reward.then(by_calls).then(a.sample.cmp(&b.sample))
    });
    best.map(|(_, trace)| trace)
}

fn calls(episode: &Episode) -> usize {
    episode.turns.iter().map(|turn| turn.calls.len()).sum()
}
