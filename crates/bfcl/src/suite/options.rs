//! What of the leaderboard is played, and how, as a config says it.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use serde::de::IntoDeserializer;
use serde::de::value::{Error as NameError, StrDeserializer};
use serde::{Deserialize, Serialize};

use crate::decode::Handler;
use crate::memory::Embedder;
use crate::search::SearchOptions;
use crate::{BfclError, Category, Group};

/// Which questions are asked, and in which of the leaderboard's forms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct BfclOptions {
    /// The data set's folder, as `pact data fetch bfcl` lays it out.
    pub folder: PathBuf,
    /// Categories, or groups of them: `multi-turn`, `memory`, `web-search`. A category that is
    /// not run counts 0 in the leaderboard's overall score.
    pub categories: Vec<Selection>,
    /// How functions are shown and calls are written.
    pub format: Format,
    /// The day on which travellers have the age that they are asked for: `YYYY-MM-DD`. The
    /// original asks the clock.
    pub today: String,
    /// Where the web tools get their answers.
    pub search: SearchOptions,
    /// A folder for what memories hold after each conversation that fills them, laid out as a
    /// model's official results. Conversations that it already holds are not played again, so
    /// every model and every seed needs a folder of its own. Without one, memories are filled
    /// in each run.
    pub memory_dir: Option<PathBuf>,
    /// The folder of the model that embeds the texts of `memory-vector`: a BERT encoder such as
    /// all-MiniLM-L6-v2, in the Hugging Face layout.
    pub embedder: Option<PathBuf>,
}

impl Default for BfclOptions {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("data/bfcl"),
            categories: vec![Selection::MultiTurn],
            format: Format::default(),
            today: "2025-01-01".to_owned(),
            search: SearchOptions::default(),
            memory_dir: None,
            embedder: None,
        }
    }
}

impl BfclOptions {
    /// The model that embeds the texts of `memory-vector`.
    pub(super) fn open_embedder(&self) -> Result<Arc<dyn Embedder>, BfclError> {
        match &self.embedder {
            Some(folder) => embedder(folder),
            None => Err(BfclError::Option {
                option: "embedder",
                problem: "`memory-vector` needs a model that embeds texts\n\
                    hint: give the folder of one, all-MiniLM-L6-v2 for one, or ask only for \
                    `memory-kv` and `memory-rec-sum`"
                    .to_owned(),
            }),
        }
    }
}

#[cfg(feature = "vector")]
fn embedder(folder: &Path) -> Result<Arc<dyn Embedder>, BfclError> {
    Ok(Arc::new(crate::memory::BertEmbedder::load(folder)?))
}

#[cfg(not(feature = "vector"))]
fn embedder(_: &Path) -> Result<Arc<dyn Embedder>, BfclError> {
    Err(BfclError::Option {
        option: "embedder",
        problem: "this pact was built without embedding models\n\
            hint: build it with `--features vector`, or ask only for `memory-kv` and \
            `memory-rec-sum`"
            .to_owned(),
    })
}

/// How functions are shown and calls are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// The authors' docs, unchanged, as the tools of the model's chat template, and its own
    /// calls: what the leaderboard's handler for Qwen3-FC does.
    #[default]
    Fc,
    /// The docs in a system message, and a Python list of calls as the whole answer: the
    /// leaderboard's prompting mode.
    Prompt,
    /// JSON schemas as the tools of a function-calling interface: for endpoints.
    Api,
}

impl Format {
    /// How the leaderboard reads the calls of a model's text.
    pub fn handler(self) -> Handler {
        match self {
            Self::Fc | Self::Api => Handler::Fc,
            Self::Prompt => Handler::Prompting,
        }
    }
}

/// A category, or a group of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// The four categories of dialogues over stateful back ends.
    MultiTurn,
    /// The three of memory.
    Memory,
    /// The two of web search.
    WebSearch,
    /// All that is needed is at hand.
    #[serde(alias = "base")]
    MultiTurnBase,
    /// A function is held out until a later turn.
    #[serde(alias = "miss-func")]
    MultiTurnMissFunc,
    /// A parameter is not known until a later turn.
    #[serde(alias = "miss-param")]
    MultiTurnMissParam,
    /// The back ends hold, and print, far more than is needed.
    #[serde(alias = "long-context")]
    MultiTurnLongContext,
    /// Memory by keys and values.
    MemoryKv,
    /// Memory by similarity of texts; needs an `embedder`.
    MemoryVector,
    /// Memory as one text.
    MemoryRecSum,
    /// Hits have snippets.
    WebSearchBase,
    /// Hits have only a title and an address.
    WebSearchNoSnippet,
}

impl Selection {
    /// The categories that it names, in the leaderboard's order.
    pub fn categories(self) -> Vec<Category> {
        let one = |category| vec![category];
        match self {
            Self::MultiTurn => Group::MultiTurn.categories().collect(),
            Self::Memory => Group::Memory.categories().collect(),
            Self::WebSearch => Group::WebSearch.categories().collect(),
            Self::MultiTurnBase => one(Category::MultiTurnBase),
            Self::MultiTurnMissFunc => one(Category::MultiTurnMissFunc),
            Self::MultiTurnMissParam => one(Category::MultiTurnMissParam),
            Self::MultiTurnLongContext => one(Category::MultiTurnLongContext),
            Self::MemoryKv => one(Category::MemoryKv),
            Self::MemoryVector => one(Category::MemoryVector),
            Self::MemoryRecSum => one(Category::MemoryRecSum),
            Self::WebSearchBase => one(Category::WebSearchBase),
            Self::WebSearchNoSnippet => one(Category::WebSearchNoSnippet),
        }
    }
}

/// Reads the names of a config: `multi-turn`, `memory-kv`, `base`.
impl FromStr for Selection {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        let name: StrDeserializer<'_, NameError> = name.into_deserializer();
        Self::deserialize(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_stands_for_its_categories() {
        let check = |name: &str, expected: &[Category]| {
            let selection: Selection = name.parse().unwrap();
            assert_eq!(selection.categories(), expected, "{name}");
        };
        check("multi-turn", &Category::ALL[..4]);
        check("memory", &Category::ALL[4..7]);
        check("web-search", &Category::ALL[7..]);
        check("base", &[Category::MultiTurnBase]);
        for category in Category::ALL {
            check(&category.name().replace('_', "-"), &[category]);
        }
    }

    #[test]
    fn an_unknown_category_is_named_beside_those_that_there_are() {
        let error = "memry".parse::<Selection>().unwrap_err().to_string();
        assert!(
            error.starts_with("unknown variant `memry`, expected one of `multi-turn`, `memory`,"),
            "{error}"
        );
    }
}
