//! BM25+ over a few short texts: how the key-value memory searches its keys.
//!
//! Lv and Zhai 2011, "Lower-bounding term frequency normalization", <https://doi.org/10.1145/2063576.2063584>.
//! The scores are printed to the last digit, so every sum and product keeps the order of the leaderboard's.

use std::collections::{HashMap, HashSet};

/// How soon a repeated term stops counting.
const K1: f64 = 1.5;
/// How much of a document's length is held against it.
const B: f64 = 0.75;
/// What a document gets for each term, whether it has it or not.
const DELTA: f64 = 1.0;

/// The score of each document for `query`, in the order of `documents`; all are `[words]`.
/// `None` where there is no word to search, as no length is the mean of none.
pub(super) fn scores(documents: &[Vec<String>], query: &[String]) -> Option<Vec<f64>> {
    let words: usize = documents.iter().map(Vec::len).sum();
    if words == 0 {
        return None;
    }
    let mean_length = words as f64 / documents.len() as f64;
    let mut documents_with: HashMap<&str, usize> = HashMap::new();
    for document in documents {
        for word in document.iter().collect::<HashSet<_>>() {
            *documents_with.entry(word).or_default() += 1;
        }
    }
    let mut scores = vec![0.0; documents.len()];
    for word in query {
        let Some(&with) = documents_with.get(word.as_str()) else {
            continue;
        };
        let rarity = ((documents.len() as f64 + 1.0) / with as f64).ln();
        for (score, document) in scores.iter_mut().zip(documents) {
            let count = document.iter().filter(|other| *other == word).count() as f64;
            let length = document.len() as f64;
            *score += rarity
                * (DELTA
                    + (count * (K1 + 1.0)) / (K1 * (1.0 - B + B * length / mean_length) + count));
        }
    }
    Some(scores)
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

    fn search(keys: &[&str], query: &str) -> Option<Vec<f64>> {
        scores(
            &keys.iter().map(|key| words(key)).collect::<Vec<_>>(),
            &words(query),
        )
    }

    #[test]
    fn a_term_counts_for_all_documents_and_more_for_those_that_have_it() {
        // One of three documents has the term: ln(4 / 1) times delta, plus 2.5 / 2.5 for the one, as all are of one length.
        let rarity = 4f64.ln();
        assert_eq!(
            search(&["dog", "cat", "home"], "Dog"),
            Some(vec![rarity * 2.0, rarity, rarity])
        );
        assert_eq!(search(&["dog_name", "cat"], "bird"), Some(vec![0.0, 0.0]));
    }

    #[test]
    fn an_empty_store_cannot_be_searched() {
        assert_eq!(search(&[], "dog"), None);
    }
}
