//! The leaderboard's numbers from the accuracies of its categories. Pure; what a category's
//! accuracy is made of is decided elsewhere.
//!
//! The official weights: Overall = 10% Non-Live + 10% Live + 10% Irrelevance + 30% Multi-Turn +
//! 40% Agentic. Means are plain, not by record, except for Live. A category that was not run
//! counts as 0, so every number says which were not: it is comparable only where none is
//! named.

use serde::Serialize;

/// The categories of Live with their records in BFCL v4, by which its mean is weighted.
const LIVE: [(&str, f64); 4] = [
    ("live_simple", 258.0),
    ("live_multiple", 1053.0),
    ("live_parallel", 16.0),
    ("live_parallel_multiple", 24.0),
];

/// One number of the leaderboard.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Mean {
    /// A fraction of 1; categories that were not run count as 0.
    pub accuracy: f64,
    /// The categories that it is made of and that were not run.
    pub not_run: Vec<&'static str>,
}

/// The leaderboard's numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Leaderboard {
    /// Simple (a plain mean over three languages), multiple, parallel, parallel multiple.
    pub non_live: Mean,
    /// The same kinds of question, asked by users.
    pub live: Mean,
    /// When no function fits. `live_relevance` enters nothing.
    pub irrelevance: Mean,
    /// Four categories.
    pub multi_turn: Mean,
    /// With and without snippets.
    pub web_search: Mean,
    /// Three back ends.
    pub memory: Mean,
    /// Web search and memory, half and half, however many records each has.
    pub agentic: Mean,
    /// The official weighted mean.
    pub overall: Mean,
    /// The plain mean of Multi-Turn, Web Search and Memory: no number of the leaderboard's, but
    /// the one that papers report which train on these three.
    pub average: Mean,
}

/// The numbers from each category's accuracy, a fraction of 1, by its official name; `None` for
/// a category that was not run.
pub fn aggregate(accuracy: impl Fn(&str) -> Option<f64>) -> Leaderboard {
    let of = |name: &'static str| match accuracy(name) {
        Some(accuracy) => Mean {
            accuracy,
            not_run: Vec::new(),
        },
        None => Mean {
            accuracy: 0.0,
            not_run: vec![name],
        },
    };
    let simple = mean(["simple_python", "simple_java", "simple_javascript"].map(of));
    let [multiple, parallel, both] = ["multiple", "parallel", "parallel_multiple"].map(of);
    let non_live = mean([simple, multiple, parallel, both]);
    let live = weighted(LIVE.map(|(name, records)| (records, of(name))));
    let irrelevance = mean(["irrelevance", "live_irrelevance"].map(of));
    let multi_turn = mean(
        [
            "multi_turn_base",
            "multi_turn_miss_func",
            "multi_turn_miss_param",
            "multi_turn_long_context",
        ]
        .map(of),
    );
    let web_search = mean(["web_search_base", "web_search_no_snippet"].map(of));
    let memory = mean(["memory_kv", "memory_vector", "memory_rec_sum"].map(of));
    let agentic = mean([web_search.clone(), memory.clone()]);
    Leaderboard {
        overall: weighted([
            (10.0, non_live.clone()),
            (10.0, live.clone()),
            (10.0, irrelevance.clone()),
            (30.0, multi_turn.clone()),
            (40.0, agentic.clone()),
        ]),
        average: mean([multi_turn.clone(), web_search.clone(), memory.clone()]),
        non_live,
        live,
        irrelevance,
        multi_turn,
        web_search,
        memory,
        agentic,
    }
}

fn mean<const N: usize>(parts: [Mean; N]) -> Mean {
    weighted(parts.map(|part| (1.0, part)))
}

fn weighted<const N: usize>(parts: [(f64, Mean); N]) -> Mean {
    let whole: f64 = parts.iter().map(|(weight, _)| weight).sum();
    let sum: f64 = parts
        .iter()
        .map(|(weight, part)| weight * part.accuracy)
        .sum();
    Mean {
        accuracy: sum / whole,
        not_run: parts
            .into_iter()
            .flat_map(|(_, part)| part.not_run)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found}, {expected}");
    }

    #[test]
    fn perfect_dialogues_and_agents_and_nothing_else_are_seventy_percent() {
        let board = aggregate(|name| {
            let run = ["multi_turn", "web_search", "memory"];
            run.iter().any(|it| name.starts_with(it)).then_some(1.0)
        });
        near(board.overall.accuracy, 0.7);
        near(board.average.accuracy, 1.0);
        assert_eq!(board.average.not_run, [""; 0]);
        let not_run = &board.overall.not_run;
        assert_eq!(not_run.len(), 6 + 4 + 2);
        assert!(not_run.contains(&"simple_java") && !not_run.contains(&"live_relevance"));
    }

    #[test]
    fn means_are_plain_except_over_live() {
        let board = aggregate(|name| match name {
            "simple_python" | "live_multiple" | "multi_turn_base" | "memory_kv" => Some(0.6),
            "web_search_base" => Some(0.5),
            _ => None,
        });
        near(board.non_live.accuracy, 0.6 / 3.0 / 4.0);
        near(board.live.accuracy, 0.6 * 1053.0 / 1351.0);
        near(board.irrelevance.accuracy, 0.0);
        near(board.multi_turn.accuracy, 0.15);
        near(board.memory.accuracy, 0.2);
        near(board.web_search.accuracy, 0.25);
        near(board.agentic.accuracy, 0.225);
        near(board.average.accuracy, 0.2);
        near(
            board.overall.accuracy,
            0.1 * 0.05 + 0.06 * 1053.0 / 1351.0 + 0.3 * 0.15 + 0.4 * 0.225,
        );
        assert_eq!(board.memory.not_run, ["memory_vector", "memory_rec_sum"]);
    }
}
