//! Holds the house to its own rules: the rooms and the map of ARCHITECTURE.md, the small rules
//! about files, and what cargo checks. Says what is wrong; repairs nothing.

mod cargo;
mod files;
mod map;
mod rooms;
mod text;
mod unchecked;

pub(crate) use unchecked::listed as listed_unsafe;

use std::path::Path;

use anyhow::{Context, Result, bail};

/// Every check, over the workspace at `root`. The error lists all that is wrong.
pub(crate) fn tidy(root: &Path) -> Result<()> {
    let mut problems = house(root)?;
    problems.extend(cargo::check(root)?);
    report(&problems)
}

/// What takes no compiler.
fn house(root: &Path) -> Result<Vec<String>> {
    let path = root.join("ARCHITECTURE.md");
    let architecture =
        std::fs::read_to_string(&path).with_context(|| format!("`{}`", path.display()))?;
    let sources = files::sources(root)?;

    let mut problems = rooms::check(&architecture, &files::manifests(root)?);
    problems.extend(rooms::second_turn_loops(&sources));
    problems.extend(map::dead_paths(&architecture, |path| {
        root.join(path).exists()
    }));
    problems.extend(map::unheld_invariants(&architecture, &sources));
    problems.extend(unchecked::unlisted(&architecture, &sources));
    problems.extend(files::long(&sources));
    problems.extend(files::runs_without_a_sentence(root)?);
    Ok(problems)
}

fn report(problems: &[String]) -> Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    let list: Vec<_> = problems.iter().map(|p| format!("\n  {p}")).collect();
    bail!("the house is not tidy:{}", list.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
    }

    #[test]
    fn the_house_is_tidy() {
        report(&house(root()).unwrap()).unwrap();
    }

    /// Slow on a cold build: clippy and rustdoc read the whole workspace.
    #[test]
    fn cargo_finds_nothing_to_format_to_lint_or_to_document() {
        report(&cargo::check(root()).unwrap()).unwrap();
    }
}
