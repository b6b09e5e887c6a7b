//! The Berkeley Function Calling Leaderboard, version 4: multi-turn, memory and web search.
//! Its back ends, its executor, its checkers and its formats, natively. Knows no token.

mod error;
pub mod records;

pub use error::BfclError;
