//! The Berkeley Function Calling Leaderboard, version 4: multi-turn, memory and web search.
//! Its back ends, its executor, its checkers and its formats, natively. Knows no token.

pub mod backend;
pub mod calendar;
pub mod executor;
pub mod memory;
pub mod tables;
pub mod twister;
