//! What strangers may send us, and who reads it: one function a reader, each of which takes any
//! bytes and comes back. Whether a reader likes them is its own business; a panic, a wait without
//! end or memory without bound is ours.
//!
//! `cargo fuzz` drives the same functions (`fuzz_targets`), and `tests/corpus.rs` holds them to
//! every input in `corpus` that once was news.

mod files;
mod folders;
mod text;

#[cfg(feature = "parquet")]
pub use files::parquet;
pub use files::{adapters, architectures, tables, tokenizers, traces, weights};
pub use folders::{checkpoints, folders, runs};
#[cfg(feature = "mcp")]
pub use text::mcp;
pub use text::{calls, configs, conversations, environments, python, replies, templates, turns};

/// A reader of any bytes.
pub type Target = fn(&[u8]);

/// Every reader, by the name of its folder in `corpus`.
pub const TARGETS: &[(&str, Target)] = &[
    ("turns", turns),
    ("conversations", conversations),
    ("templates", templates),
    ("tokenizers", tokenizers),
    ("tables", tables),
    ("traces", traces),
    #[cfg(feature = "parquet")]
    ("parquet", parquet),
    ("configs", configs),
    ("weights", weights),
    ("architectures", architectures),
    ("adapters", adapters),
    ("python", python),
    ("calls", calls),
    ("runs", runs),
    ("folders", folders),
    ("checkpoints", checkpoints),
    ("replies", replies),
    ("environments", environments),
    #[cfg(feature = "mcp")]
    ("mcp", mcp),
];

/// The first byte, which chooses among forms, and the rest.
fn choice(bytes: &[u8]) -> Option<(u8, &[u8])> {
    bytes.split_first().map(|(&first, rest)| (first, rest))
}
