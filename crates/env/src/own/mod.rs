//! Your own tasks and tools: a file of tasks, one JSON object a line, and the toolboxes that
//! act on them, whether a Python file, a server or a Rust type.

mod file;
mod python;
mod row;
mod schema;
mod suite;
mod toolbox;

pub use file::{CheckReport, check_file};
pub use python::PythonTools;
pub use row::TaskRow;
pub use schema::check_tool;
pub use suite::{Accept, OwnSuite};
pub use toolbox::{Record, Session, Toolbox, read_score};
