//! The FTRL suite: rows of a file, their Python tools, and what an episode of one was worth.

mod check;
mod file;
mod gold;
mod prefix;
mod row;
mod suite;

pub use check::{CheckReport, check_file};
pub(crate) use prefix::read_prefixes;
pub use row::{GoldCall, Row};
pub use suite::{FtrlOptions, FtrlSuite};
