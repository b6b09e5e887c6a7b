//! Where the two web tools get their answers: the live web, what was recorded of it, or a
//! folder of documents. An engine that fails gives a text for the agent, never an error of ours.

#[cfg(feature = "search")]
mod folder;
mod options;
mod page;
mod recorded;
mod serpapi;
mod tool;
mod web;

#[cfg(feature = "search")]
pub use folder::DocumentFolder;
pub use options::{Engine, SearchOptions};
pub use recorded::Recorded;
pub use serpapi::{SerpApi, SerpApiOptions};
pub use tool::{WEB_SEARCH, WebSearch};

use serde::{Deserialize, Serialize};

/// Answers searches and fetches pages.
pub trait SearchEngine: Send + Sync {
    /// All that was found, best first.
    fn search(&self, query: &Query) -> Result<Vec<Hit>, String>;
    /// A page as it is served: HTML or text.
    fn fetch(&self, url: &str) -> Result<String, String>;
    /// What the addresses that can be fetched begin with.
    fn schemes(&self) -> &'static [&'static str] {
        &["http://", "https://"]
    }
}

/// What is searched for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Query {
    /// As the agent wrote them.
    pub keywords: String,
    /// Country and language as DuckDuckGo names them: `wt-wt` for none, `us-en`, …
    pub region: String,
}

/// A page that was found. A service may leave any part out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// The page's title.
    pub title: Option<String>,
    /// Its address.
    pub href: Option<String>,
    /// What it says about the query.
    pub body: Option<String>,
}
