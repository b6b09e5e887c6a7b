//! What all episodes of a suite use.

use std::sync::Arc;

use super::memories::Memories;
use super::options::Format;
use crate::prompt::Texts;
use crate::search::SearchEngine;
use crate::tables::Tables;

/// Texts, tables, memories and the web.
pub(super) struct Kit {
    pub(super) format: Format,
    pub(super) texts: Texts,
    pub(super) tables: Arc<Tables>,
    pub(super) memories: Memories,
    /// There where a category needs it.
    pub(super) engine: Option<Arc<dyn SearchEngine>>,
}
