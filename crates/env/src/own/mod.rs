//! Your own tasks and tools: a file of tasks, one JSON object a line, and the toolboxes that
//! act on them, whether a Python file, a server or a Rust type.

mod row;
mod schema;

pub use row::TaskRow;
pub use schema::check_tool;
