//! The Berkeley Function Calling Leaderboard, version 4: multi-turn, memory and web search.
//! Its back ends, its executor, its checkers and its formats, natively. Knows no token.
//!
//! ```
//! use bfcl::Category;
//!
//! let category = Category::of_id("multi_turn_miss_func_7").expect("a question's id");
//! assert_eq!(category.name(), "multi_turn_miss_func");
//! ```

pub mod aggregate;
pub mod backend;
pub mod calendar;
pub mod categories;
pub mod checker;
pub mod decode;
mod error;
pub mod executor;
pub mod memory;
pub mod prompt;
pub mod qwen3;
pub mod records;
pub mod result_file;
pub mod score;
pub mod search;
pub mod suite;
pub mod tables;
pub mod twister;

pub use categories::{Category, Group};
pub use error::BfclError;
pub use suite::{BfclOptions, BfclSuite};
