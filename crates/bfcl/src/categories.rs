//! The leaderboard's categories and how it groups them. Which are run, and what they score, is
//! decided elsewhere.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A category that pact runs. Written as its authors write it in ids and file names, with `-`
/// for `_` in a config.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Category {
    /// Several user turns, all that is needed at hand.
    MultiTurnBase,
    /// A function is held out until a later turn.
    MultiTurnMissFunc,
    /// A parameter is not known until a later turn.
    MultiTurnMissParam,
    /// The back ends hold, and print, far more than is needed.
    MultiTurnLongContext,
    /// Memory by keys and values.
    MemoryKv,
    /// Memory by similarity of texts.
    MemoryVector,
    /// Memory as one text, rewritten again and again.
    MemoryRecSum,
    /// Web search whose hits have snippets.
    WebSearchBase,
    /// Web search whose hits have only a title and an address.
    WebSearchNoSnippet,
}

/// The part of the leaderboard that a category counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// Dialogues over stateful back ends.
    MultiTurn,
    /// Questions about what earlier conversations told.
    Memory,
    /// Questions that the web answers.
    WebSearch,
}

impl Category {
    /// All of them, in the leaderboard's order.
    pub const ALL: [Category; 9] = [
        Category::MultiTurnBase,
        Category::MultiTurnMissFunc,
        Category::MultiTurnMissParam,
        Category::MultiTurnLongContext,
        Category::MemoryKv,
        Category::MemoryVector,
        Category::MemoryRecSum,
        Category::WebSearchBase,
        Category::WebSearchNoSnippet,
    ];

    /// The official name, as in ids and file names: `multi_turn_base`.
    pub fn name(self) -> &'static str {
        match self {
            Category::MultiTurnBase => "multi_turn_base",
            Category::MultiTurnMissFunc => "multi_turn_miss_func",
            Category::MultiTurnMissParam => "multi_turn_miss_param",
            Category::MultiTurnLongContext => "multi_turn_long_context",
            Category::MemoryKv => "memory_kv",
            Category::MemoryVector => "memory_vector",
            Category::MemoryRecSum => "memory_rec_sum",
            Category::WebSearchBase => "web_search_base",
            Category::WebSearchNoSnippet => "web_search_no_snippet",
        }
    }

    /// What it counts for.
    pub fn group(self) -> Group {
        match self {
            Category::MultiTurnBase
            | Category::MultiTurnMissFunc
            | Category::MultiTurnMissParam
            | Category::MultiTurnLongContext => Group::MultiTurn,
            Category::MemoryKv | Category::MemoryVector | Category::MemoryRecSum => Group::Memory,
            Category::WebSearchBase | Category::WebSearchNoSnippet => Group::WebSearch,
        }
    }

    /// Memory's back end, as its authors name it: `kv`, `vector`, `rec_sum`.
    pub fn memory_backend(self) -> Option<&'static str> {
        self.name().strip_prefix("memory_")
    }

    /// The category of a record: `multi_turn_base_3`, `memory_kv_prereq_0-customer-0`.
    pub fn of_id(id: &str) -> Option<Category> {
        let (name, _) = id.rsplit_once('_')?;
        name.strip_suffix("_prereq").unwrap_or(name).parse().ok()
    }

    /// The folder of its result files within a model's: `multi_turn`, `agentic/memory/kv`.
    pub fn result_folder(self) -> PathBuf {
        match (self.group(), self.memory_backend()) {
            (Group::MultiTurn, _) => PathBuf::from("multi_turn"),
            (_, Some(backend)) => ["agentic", "memory", backend].iter().collect(),
            (_, None) => PathBuf::from("agentic"),
        }
    }
}

impl Group {
    /// Its categories, in the leaderboard's order.
    pub fn categories(self) -> impl Iterator<Item = Category> {
        Category::ALL
            .into_iter()
            .filter(move |category| category.group() == self)
    }
}

impl fmt::Display for Category {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Reads an official name.
impl FromStr for Category {
    type Err = UnknownCategory;

    fn from_str(name: &str) -> Result<Self, UnknownCategory> {
        Category::ALL
            .into_iter()
            .find(|category| category.name() == name)
            .ok_or_else(|| UnknownCategory(name.to_owned()))
    }
}

/// A name that is no category's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no category that pact runs, expected one of {names}", names = names())]
pub struct UnknownCategory(pub String);

fn names() -> String {
    Category::ALL
        .map(|category| format!("`{category}`"))
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_its_category() {
        let check = |id: &str, expected: Option<Category>| {
            assert_eq!(Category::of_id(id), expected, "{id}");
        };
        check("multi_turn_base_0", Some(Category::MultiTurnBase));
        check(
            "multi_turn_long_context_199",
            Some(Category::MultiTurnLongContext),
        );
        check("memory_rec_sum_0-customer-0", Some(Category::MemoryRecSum));
        check("memory_kv_prereq_0-customer-0", Some(Category::MemoryKv));
        check(
            "web_search_no_snippet_7",
            Some(Category::WebSearchNoSnippet),
        );
        check("live_simple_0-0-0", None);
        check("", None);
    }

    #[test]
    fn every_name_reads_back() {
        for category in Category::ALL {
            assert_eq!(category.name().parse(), Ok(category));
            let config = serde_json::to_string(&category).expect("a name");
            assert_eq!(config, format!("\"{}\"", category.name().replace('_', "-")));
        }
        let error = "multi_turn_bass".parse::<Category>().unwrap_err();
        assert!(error.to_string().contains("`multi_turn_base`"), "{error}");
    }

    #[test]
    fn result_files_lie_where_the_official_evaluator_looks() {
        let check = |category: Category, expected: &str| {
            assert_eq!(category.result_folder(), PathBuf::from(expected));
        };
        check(Category::MultiTurnMissFunc, "multi_turn");
        check(Category::MemoryRecSum, "agentic/memory/rec_sum");
        check(Category::WebSearchBase, "agentic");
    }
}
