//! The other side of the conversation: who wants something done, and answers the agent.

/// The users of a suite, one for each episode.
pub trait Users: Send + Sync {
    /// How a user with this goal begins; always alike for the same goal.
    fn opening(&self, instruction: &str) -> String;
    /// A user with this goal, who has said [`Users::opening`].
    fn open(&self, instruction: &str) -> Box<dyn User>;
}

/// One user in one episode.
pub trait User: Send {
    /// What the user says to what the agent said; nothing where the conversation is over. May
    /// block.
    fn reply(&mut self, said: &str) -> Option<String>;
}

/// Users who say all that they want at once, and nothing more: their opening is the goal as it
/// is written, and the agent's first answer ends the episode. They need no model, at the price
/// that an agent which asks is not answered.
#[derive(Clone, Copy, Debug, Default)]
pub struct StaticUsers;

impl Users for StaticUsers {
    fn opening(&self, instruction: &str) -> String {
        instruction.to_owned()
    }

    fn open(&self, _instruction: &str) -> Box<dyn User> {
        Box::new(SaidAll)
    }
}

struct SaidAll;

impl User for SaidAll {
    fn reply(&mut self, _said: &str) -> Option<String> {
        None
    }
}
