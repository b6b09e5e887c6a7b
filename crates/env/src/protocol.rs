//! What the authors of a suite ask of an episode, and of the order of its tasks.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Tasks that may be played at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Which of the suite's tasks they are.
    pub tasks: Range<usize>,
    /// Whether their scores count. Those that do not prepare what later stages find, and are
    /// played once each, however many samples are asked for.
    pub scored: bool,
}

/// The rules of a suite's authors, which a config may overrule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// Turns of the policy after each message of the user.
    pub max_turns: usize,
    /// What becomes of a call that cannot be read.
    pub unread_calls: UnreadCalls,
}

impl Default for Protocol {
    fn default() -> Self {
        Self {
            max_turns: 10,
            unread_calls: UnreadCalls::Tell,
        }
    }
}

/// What becomes of a call that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnreadCalls {
    /// The agent reads what was wrong with it, in the place of an observation.
    Tell,
    /// Nobody speaks of it; a turn without a call that can be read is an answer.
    Drop,
}
