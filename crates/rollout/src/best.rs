//! Traces of a policy's own: the best of a group's episodes, retold.

use chat::Chat;
use episode::{Episode, Group, Trace};

/// The best of a group's episodes as a trace; `None` where [`ranked_traces`] has none.
pub fn best_trace(chat: &Chat, group: &Group, min_reward: f64) -> Option<Trace> {
    ranked_traces(chat, group, min_reward).into_iter().next()
}

/// A group's episodes as traces, the best first: the highest reward, among equals the fewest
/// calls, then the lowest sample. Episodes that [`Chat::retell`] cannot tell, and those whose
/// reward is below `min_reward`, do not count.
pub fn ranked_traces(chat: &Chat, group: &Group, min_reward: f64) -> Vec<Trace> {
    let good = |episode: &&Episode| episode.score.reward >= min_reward;
    let mut episodes: Vec<&Episode> = group.episodes.iter().filter(good).collect();
    episodes.sort_by(|a, b| {
        let by_reward = b.score.reward.total_cmp(&a.score.reward);
        let by_calls = calls(a).cmp(&calls(b));
        by_reward.then(by_calls).then(a.sample.cmp(&b.sample))
    });
    let told = episodes.into_iter().map(|episode| chat.retell(episode));
    told.flatten().collect()
}

fn calls(episode: &Episode) -> usize {
    episode.turns.iter().map(|turn| turn.calls.len()).sum()
}
