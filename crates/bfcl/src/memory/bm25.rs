//! BM25+ over a few short texts: how the key-value memory searches its keys.
//!
//! Lv and Zhai 2011, "Lower-bounding term frequency normalization",
//! <https://doi.org/10.1145/2063576.2063584>. Agents read the scores to the last digit, so every
//! sum and product keeps the leaderboard's order.

use std::collections::{HashMap, HashSet};

/// How soon a repeated term stops counting.
const K1: f64 = 1.5;
/// How much of a document's length is held against it.
const B: f64 = 0.75;
/// What a document gets for each term, whether it has it or not.
const DELTA: f64 = 1.0;

/// Documents to search, each `[words]`.
pub(super) struct Search<'d> {
    documents: &'d [Vec<String>],
    /// In words.
    mean_length: f64,
    /// How many documents have a word.
    documents_with: HashMap<&'d str, usize>,
}

impl<'d> Search<'d> {
    /// `None` where there is no word to search: no document has a length then.
    pub(super) fn new(documents: &'d [Vec<String>]) -> Option<Self> {
        let words: usize = documents.iter().map(Vec::len).sum();
        if words == 0 {
            return None;
        }
        let mut documents_with = HashMap::new();
        for document in documents {
            for word in document.iter().collect::<HashSet<_>>() {
                *documents_with.entry(word.as_str()).or_default() += 1;
            }
        }
        Some(Self {
            documents,
            mean_length: words as f64 / documents.len() as f64,
            documents_with,
        })
    }

    /// The score of each document for `query`, `[words]`, in the documents' order.
    pub(super) fn scores(&self, query: &[String]) -> Vec<f64> {
        let mut scores = vec![0.0; self.documents.len()];
        for word in query {
            let Some(&with) = self.documents_with.get(word.as_str()) else {
                continue;
            };
            let rarity = ((self.documents.len() as f64 + 1.0) / with as f64).ln();
            for (score, document) in scores.iter_mut().zip(self.documents) {
                let count = document.iter().filter(|other| *other == word).count() as f64;
                let saturation = K1 * (1.0 - B + B * document.len() as f64 / self.mean_length);
                *score += rarity * (DELTA + (count * (K1 + 1.0)) / (saturation + count));
            }
        }
        scores
    }
}

/// A key or a query in words: `_` parts words as blanks do, and case does not count.
pub(super) fn words(text: &str) -> Vec<String> {
    text.replace('_', " ")
        .to_lowercase()
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(keys: &[&str], query: &str, expected: Option<Vec<f64>>) {
        let documents: Vec<_> = keys.iter().map(|key| words(key)).collect();
        let scores = Search::new(&documents).map(|search| search.scores(&words(query)));
        assert_eq!(scores, expected, "{query}");
    }

    #[test]
    fn a_term_counts_for_all_documents_and_more_for_those_that_have_it() {
        // One of three documents has the term: ln(4 / 1) for each, and as much again for the one,
        // whose length is the mean.
        let rarity = 4f64.ln();
        let scores = vec![rarity * 2.0, rarity, rarity];
        check(&["dog", "cat", "home"], "Dog", Some(scores));
        check(&["dog_name", "cat"], "bird", Some(vec![0.0, 0.0]));
    }

    #[test]
    fn an_empty_store_cannot_be_searched() {
        check(&[], "dog", None);
    }
}
