//! The rooms: which crate may use which, as ARCHITECTURE.md's table says, against the manifests.

use std::collections::BTreeMap;

use super::files::Source;
use super::text::{in_backticks, table_below};

/// A crate's name and its parsed `Cargo.toml`.
pub(super) type Manifests = BTreeMap<String, toml::Table>;

/// Which crates a room may use.
enum Allowed {
    All,
    Only(Vec<String>),
}

/// Forbidden edges, and crates or rooms that the other side does not know.
pub(super) fn check(architecture: &str, manifests: &Manifests) -> Vec<String> {
    let rooms = rooms(architecture);
    let mut problems = Vec::new();
    for room in rooms.keys().filter(|room| !manifests.contains_key(*room)) {
        problems.push(format!("the table of rooms names `{room}`: no such crate"));
    }
    for (name, manifest) in manifests {
        let Some(allowed) = rooms.get(name) else {
            problems.push(format!("the table of rooms lacks the crate `{name}`"));
            continue;
        };
        for used in crates_used(manifest, manifests) {
            if !allows(allowed, &used) {
                problems.push(format!("`{name}` must not use `{used}`"));
            }
        }
    }
    problems
}

/// Sources that open an environment where there must be none: training and evaluation share
/// `rollout`'s turn loop, `env` replays its own traces, and tests of suites drive them by hand.
pub(super) fn second_turn_loops(sources: &[Source]) -> Vec<String> {
    let homes = [
        "crates/rollout",
        "crates/env",
        "crates/bfcl/tests",
        "crates/remote/tests",
        "xtask",
    ];
    sources
        .iter()
        .filter(|source| !homes.iter().any(|home| source.path.starts_with(home)))
        .filter(|source| source.text.contains("suite.open("))
        .map(|source| {
            format!(
                "`{}` opens an environment: only `rollout` does",
                source.path.display()
            )
        })
        .collect()
}

/// The table's first and third columns: the crate, and what it may use.
fn rooms(architecture: &str) -> BTreeMap<String, Allowed> {
    table_below(architecture, "Rooms")
        .iter()
        .filter_map(|cells| {
            let room = in_backticks(cells.first()?).first()?.to_string();
            let allowed = match cells.get(2)?.as_str() {
                "all" => Allowed::All,
                list => Allowed::Only(in_backticks(list).into_iter().map(str::to_owned).collect()),
            };
            Some((room, allowed))
        })
        .collect()
}

/// The workspace's crates that a manifest depends on, for whatever purpose.
fn crates_used(manifest: &toml::Table, manifests: &Manifests) -> Vec<String> {
    ["dependencies", "dev-dependencies", "build-dependencies"]
        .iter()
        .filter_map(|section| manifest.get(*section)?.as_table())
        .flat_map(|section| section.keys())
        .filter(|name| manifests.contains_key(*name))
        .cloned()
        .collect()
}

fn allows(allowed: &Allowed, name: &str) -> bool {
    match allowed {
        Allowed::All => true,
        Allowed::Only(names) => names.iter().any(|allowed| allowed == name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "## Rooms\n| crate | purpose | may use | must never see |\n\
        | --- | --- | --- | --- |\n| `data` | flows | - | files |\n\
        | `chat` | text | `data` | tensors |\n| `cli` | binary | all | - |\n";

    fn manifests(entries: &[(&str, &str)]) -> Manifests {
        entries
            .iter()
            .map(|(name, text)| ((*name).to_owned(), toml::from_str(text).unwrap()))
            .collect()
    }

    #[test]
    fn edges_of_the_table_are_allowed_and_outside_crates_are_no_edges() {
        let manifests = manifests(&[
            ("data", "[dependencies]\nserde.workspace = true"),
            ("chat", "[dependencies]\ndata.workspace = true"),
            (
                "cli",
                "[dependencies]\nchat.workspace = true\ndata.workspace = true",
            ),
        ]);
        assert_eq!(check(TABLE, &manifests), [""; 0]);
    }

    #[test]
    fn an_edge_that_the_table_lacks_is_named_even_when_only_tests_need_it() {
        let manifests = manifests(&[
            ("data", "[dev-dependencies]\nchat.workspace = true"),
            ("chat", "[dependencies]\ncli = { path = \"../cli\" }"),
            ("cli", ""),
        ]);
        assert_eq!(
            check(TABLE, &manifests),
            ["`chat` must not use `cli`", "`data` must not use `chat`"]
        );
    }

    #[test]
    fn crates_and_rooms_must_be_the_same() {
        let manifests = manifests(&[("data", ""), ("cli", ""), ("utils", "")]);
        assert_eq!(
            check(TABLE, &manifests),
            [
                "the table of rooms names `chat`: no such crate",
                "the table of rooms lacks the crate `utils`"
            ]
        );
    }

    #[test]
    fn only_rollout_opens_an_environment() {
        let source = |path: &str| Source {
            path: path.into(),
            text: "let environment = self.suite.open(task);".into(),
        };
        let sources = [
            source("crates/rollout/src/turn_loop.rs"),
            source("crates/train/src/evaluate.rs"),
        ];
        assert_eq!(
            second_turn_loops(&sources),
            ["`crates/train/src/evaluate.rs` opens an environment: only `rollout` does"]
        );
    }
}
