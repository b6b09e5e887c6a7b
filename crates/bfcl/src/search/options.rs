//! Which engine answers, as a config says it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Recorded, SearchEngine, SerpApi, SerpApiOptions};
use crate::BfclError;

/// Who answers searches and fetches pages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// The live web through SerpAPI, as the leaderboard's authors do it; its key is read from
    /// the environment variable SERPAPI_API_KEY.
    #[default]
    Serpapi,
    /// A file of recorded answers, and nothing else: `{ recorded = "answers.jsonl" }`.
    Recorded(PathBuf),
    /// A folder of documents (text, Markdown, HTML) on this machine: `{ folder = "docs" }`. Its
    /// scores are not comparable to the leaderboard's.
    Folder(PathBuf),
}

/// How the web tools of the categories `web-search-*` get their answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SearchOptions {
    /// Who answers: `"serpapi"`, `{ recorded = "answers.jsonl" }` or `{ folder = "docs" }`.
    pub engine: Engine,
    /// A file that keeps every answer of the engine. What it holds is not asked again.
    pub record: Option<PathBuf>,
    /// Whether the agent may fetch pages of this machine and of its private networks.
    pub private_pages: bool,
    /// SerpAPI's key. Never written to a config.
    #[serde(skip)]
    pub key: Option<String>,
}

impl SearchOptions {
    /// The engine that they describe.
    pub fn open(&self) -> Result<Box<dyn SearchEngine>, BfclError> {
        let engine: Box<dyn SearchEngine> = match &self.engine {
            Engine::Serpapi => Box::new(self.serpapi()?),
            Engine::Recorded(file) => Box::new(Recorded::open(file)?),
            Engine::Folder(folder) => documents(folder)?,
        };
        match &self.record {
            Some(file) => Ok(Box::new(Recorded::over(engine, file)?)),
            None => Ok(engine),
        }
    }

    fn serpapi(&self) -> Result<SerpApi, BfclError> {
        let Some(key) = &self.key else {
            return Err(BfclError::Option {
                option: "search.engine",
                problem: "searching the live web needs a key of SerpAPI\n\
                    hint: set SERPAPI_API_KEY, or search recorded answers with \
                    `{ recorded = \"FILE\" }` or documents of your own with `{ folder = \"DIR\" }`"
                    .to_owned(),
            });
        };
        Ok(SerpApi::new(SerpApiOptions {
            private_pages: self.private_pages,
            ..SerpApiOptions::new(key)
        }))
    }
}

#[cfg(feature = "search")]
fn documents(folder: &std::path::Path) -> Result<Box<dyn SearchEngine>, BfclError> {
    Ok(Box::new(super::DocumentFolder::open(folder)?))
}

#[cfg(not(feature = "search"))]
fn documents(_: &std::path::Path) -> Result<Box<dyn SearchEngine>, BfclError> {
    Err(BfclError::Option {
        option: "search.engine",
        problem: "this pact was built without local search\n\
            hint: build it with `--features search`"
            .to_owned(),
    })
}
