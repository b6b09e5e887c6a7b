//! tau-bench (<https://arxiv.org/abs/2406.12045>) as FTRL packages it: a user wants something
//! done, tools act on a database, and the database in the end is what counts.

mod domain;
mod episode;
mod suite;
mod user;

pub use suite::{TauRow, TauSuite};
pub use user::{StaticUsers, User, Users};
