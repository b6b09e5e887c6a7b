//! Rules about files as they lie there: how long a source may be, how a run's config begins.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::rooms::Manifests;

/// A source that is longer holds more than one idea.
const LONGEST: usize = 900;

/// One Rust source, its path from the workspace's root.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// Every Rust source of the crates, of the fuzzer and of xtask.
pub(super) fn sources(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for folder in ["crates", "fuzz", "xtask"] {
        collect(root, &root.join(folder), &mut sources)?;
    }
    Ok(sources)
}

fn collect(root: &Path, folder: &Path, sources: &mut Vec<Source>) -> Result<()> {
    for path in entries(folder)? {
        if path.is_dir() {
            collect(root, &path, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(Source {
                path: path.strip_prefix(root)?.to_owned(),
                text: read(&path)?,
            });
        }
    }
    Ok(())
}

/// The manifests of the folders below `crates`, by folder.
pub(super) fn manifests(root: &Path) -> Result<Manifests> {
    let mut manifests = Manifests::new();
    for folder in entries(&root.join("crates"))? {
        let path = folder.join("Cargo.toml");
        let manifest =
            toml::from_str(&read(&path)?).with_context(|| format!("`{}`", path.display()))?;
        let name = folder.file_name().unwrap_or_default();
        manifests.insert(name.to_string_lossy().into_owned(), manifest);
    }
    Ok(manifests)
}

pub(super) fn long(sources: &[Source]) -> Vec<String> {
    sources
        .iter()
        .map(|source| (source.path.display(), source.text.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST)
        .map(|(path, lines)| format!("`{path}` has {lines} lines, more than {LONGEST}"))
        .collect()
}

/// The first line of a published run says, as a comment, what the run shows.
pub(super) fn runs_without_a_sentence(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for path in entries(&root.join("runs"))? {
        let is_config = path
            .extension()
            .is_some_and(|extension| extension == "toml");
        if is_config && !begins_with_a_sentence(&read(&path)?) {
            let name = path.file_name().unwrap_or_default().display();
            problems.push(format!(
                "`runs/{name}` does not begin with `# ` and the sentence that it proves"
            ));
        }
    }
    Ok(problems)
}

fn begins_with_a_sentence(text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    let sentence = first.strip_prefix("# ").unwrap_or_default().trim();
    sentence.contains(' ') && sentence.ends_with(['.', ':'])
}

/// What lies in a folder, sorted; nothing where there is no such folder.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(vec![]);
    }
    let at = || format!("`{}`", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).with_context(at)? {
        paths.push(entry.with_context(at)?.path());
    }
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("`{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_over_the_limit_is_named() {
        let source = |lines: usize| Source {
            path: format!("{lines}.rs").into(),
            text: "x\n".repeat(lines),
        };
        assert_eq!(
            long(&[source(900), source(901)]),
            ["`901.rs` has 901 lines, more than 900"]
        );
    }

    #[test]
    fn a_sentence_is_words_and_a_full_stop_in_a_comment() {
        assert!(begins_with_a_sentence("# It learns two tasks.\nseed = 1\n"));
        for text in [
            "",
            "seed = 1\n",
            "#\n",
            "# quickstart\n",
            "\n# It learns two tasks.\n",
        ] {
            assert!(!begins_with_a_sentence(text), "{text:?}");
        }
    }
}
