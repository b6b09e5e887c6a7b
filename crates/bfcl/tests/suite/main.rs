//! The leaderboard as a suite of tasks.

mod data;
mod dialogue;
mod loading;
mod memory;
mod mini;
mod play;
mod throughput;
