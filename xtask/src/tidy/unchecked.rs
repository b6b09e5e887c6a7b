//! What the compiler cannot check: every source with `unsafe` is in ARCHITECTURE.md's list, which
//! says why, and the list names no other.

use std::collections::BTreeSet;

use super::files::Source;
use super::text::{in_backticks, table_below};

/// The lint that is denied everywhere, so that a source with `unsafe` has to name it. In two
/// pieces, for this source has none.
const LINT: &str = concat!("unsafe", "_code");

/// The sources that ARCHITECTURE.md says have `unsafe`.
pub(crate) fn listed(architecture: &str) -> BTreeSet<String> {
    let rows = table_below(architecture, "Unsafe");
    let files = rows
        .iter()
        .filter_map(|row| in_backticks(row.first()?).first().copied());
    files.map(str::to_owned).collect()
}

/// Sources with `unsafe` that are not in the table, and files in the table without.
pub(super) fn unlisted(architecture: &str, sources: &[Source]) -> Vec<String> {
    let listed = listed(architecture);
    let found: BTreeSet<String> = sources
        .iter()
        .filter(|source| source.text.contains(LINT))
        .filter_map(|source| Some(source.path.to_str()?.to_owned()))
        .collect();
    let unlisted = found.difference(&listed).map(|path| {
        format!("`{path}` has unsafe code and is not in ARCHITECTURE.md's table of it")
    });
    let safe = listed
        .difference(&found)
        .map(|path| format!("ARCHITECTURE.md says that `{path}` has unsafe code, but it has none"));
    unlisted.chain(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_and_the_sources_have_the_same_files() {
        let source = |path: &str, text: String| Source {
            path: path.into(),
            text,
        };
        let sources = [
            source("a.rs", format!("#[expect({LINT})]")),
            source("b.rs", format!("#[expect({LINT})]")),
            source("c.rs", "fn safe() {}".into()),
        ];
        let table = |paths: &[&str]| {
            let rows = paths.iter().map(|path| format!("| `{path}` | speed |\n"));
            let rows: String = rows.collect();
            format!("## Unsafe\n| file | why |\n| - | - |\n{rows}")
        };
        assert_eq!(unlisted(&table(&["a.rs", "b.rs"]), &sources), [""; 0]);
        assert_eq!(
            unlisted(&table(&["a.rs", "c.rs"]), &sources),
            [
                "`b.rs` has unsafe code and is not in ARCHITECTURE.md's table of it",
                "ARCHITECTURE.md says that `c.rs` has unsafe code, but it has none"
            ]
        );
    }
}
