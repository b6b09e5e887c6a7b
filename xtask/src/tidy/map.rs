//! The map: paths that ARCHITECTURE.md names must be there, and so must the tests that it says
//! hold the invariants.

use super::files::Source;
use super::text::{in_backticks, table_below};

/// Words in backticks that look like a path of the repository, and are none.
pub(super) fn dead_paths(architecture: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    in_backticks(architecture)
        .into_iter()
        .filter(|word| looks_like_a_path(word) && !exists(word))
        .map(|path| format!("ARCHITECTURE.md names `{path}`, which is not there"))
        .collect()
}

fn looks_like_a_path(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    (word.contains('/') || word.ends_with(".md")) && word.chars().all(plain)
}

/// Invariants without a test, and tests that no source has.
pub(super) fn unheld_invariants(architecture: &str, sources: &[Source]) -> Vec<String> {
    let rows = table_below(architecture, "Invariants");
    if rows.is_empty() {
        return vec!["ARCHITECTURE.md has no table of invariants".into()];
    }
    let mut problems = Vec::new();
    for row in &rows {
        let tests = row
            .last()
            .map(|cell| in_backticks(cell))
            .unwrap_or_default();
        if tests.is_empty() {
            problems.push(format!("no test holds the invariant `{}`", row.join(" ")));
        }
        for test in tests.iter().filter(|test| !is_a_test(test, sources)) {
            problems.push(format!(
                "ARCHITECTURE.md names the test `{test}`, which is not there"
            ));
        }
    }
    problems
}

fn is_a_test(name: &str, sources: &[Source]) -> bool {
    let signature = format!("fn {name}(");
    sources
        .iter()
        .any(|source| source.text.contains(&signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_looks_like_a_path_is_looked_for() {
        let text = "`a/b.rs` `GONE.md` `a b/c` `Vec<a/b>` `<https://x.y/z>` `config.toml` `fn x()`";
        assert_eq!(
            dead_paths(text, |_| false),
            [
                "ARCHITECTURE.md names `a/b.rs`, which is not there",
                "ARCHITECTURE.md names `GONE.md`, which is not there"
            ]
        );
        assert_eq!(dead_paths(text, |_| true), [""; 0]);
    }

    #[test]
    fn an_invariant_needs_a_test_that_exists() {
        let table = "## Invariants\n| invariant | held by |\n| - | - |\n\
            | one | `it_holds` |\n| two | `it_is_gone` |\n| three | hope |\n";
        let sources = [Source {
            path: "a.rs".into(),
            text: "    fn it_holds() {}".into(),
        }];
        assert_eq!(
            unheld_invariants(table, &sources),
            [
                "ARCHITECTURE.md names the test `it_is_gone`, which is not there",
                "no test holds the invariant `three hope`"
            ]
        );
        assert_eq!(
            unheld_invariants("", &sources),
            ["ARCHITECTURE.md has no table of invariants"]
        );
    }
}
