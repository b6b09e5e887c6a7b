//! Runs the tests of every crate that has `unsafe` under AddressSanitizer, which needs a nightly
//! toolchain, in a target folder of its own.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::tidy::listed_unsafe;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The unit tests and the integration tests; examples in documentation are left out.
pub(crate) fn run(root: &Path) -> Result<()> {
    ensure!(
        has_nightly(),
        "sanitizers need a nightly toolchain\nhint: `rustup toolchain install nightly`"
    );
    let path = root.join("ARCHITECTURE.md");
    let architecture =
        std::fs::read_to_string(&path).with_context(|| format!("`{}`", path.display()))?;
    let status = Command::new("rustup")
        .current_dir(root)
        .args(["run", "nightly", "cargo", "test", "--target", TARGET])
        .args(["--lib", "--tests", "--target-dir", "target/sanitize"])
        .args(crates(&architecture).iter().flat_map(|name| ["-p", name]))
        .env("RUSTFLAGS", "-Zsanitizer=address")
        .status()
        .context("`rustup run nightly cargo test`")?;
    ensure!(
        status.success(),
        "a test failed, or read or wrote what it must not"
    );
    Ok(())
}

pub(crate) fn has_nightly() -> bool {
    let asked = Command::new("rustup")
        .args(["run", "nightly", "rustc", "--version"])
        .output();
    asked.is_ok_and(|output| output.status.success())
}

/// The crates of the sources that ARCHITECTURE.md says have `unsafe`.
fn crates(architecture: &str) -> BTreeSet<String> {
    let sources = listed_unsafe(architecture);
    let names = sources
        .iter()
        .filter_map(|path| path.strip_prefix("crates/")?.split('/').next());
    names.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crates_are_those_of_the_table() {
        let architecture = "## Unsafe\n| file | why |\n| - | - |\n\
            | `crates/a/src/b.rs` | speed |\n| `crates/a/src/c/d.rs` | speed |\n";
        assert_eq!(crates(architecture), BTreeSet::from(["a".to_owned()]));
    }
}
