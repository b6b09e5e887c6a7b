//! A run folder in, a frame of the terminal out: how a run stands, drawn while it goes on.
//! Reads what a run writes and knows no trainer; keys and the terminal itself are the binary's,
//! and so is the time.

mod chart;
mod episode_lines;
mod frame;
mod panels;
mod plain;
mod printable;
mod recent;
mod series;
mod state;
mod time;
mod view;

pub use frame::{Decode, Moment, draw};
pub use plain::page;
pub use state::RunState;
pub use view::{Page, View};
