//! What cargo itself can check: formatting, lints, documentation.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

const CHECKS: [&[&str]; 4] = [
    &["fmt", "--all", "--check"],
    &[
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ],
    // What only a GPU's code has.
    &[
        "clippy",
        "--quiet",
        "--package",
        "model",
        "--features",
        "cuda",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ],
    &["doc", "--quiet", "--no-deps", "--workspace"],
];

/// Runs every check to its end, so that one pass shows all there is. Cargo's own words go to
/// stderr. Safe inside `cargo test`: cargo holds the lock of the build folder while it builds,
/// and not while the tests run.
pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for arguments in CHECKS {
        let status = Command::new("cargo")
            .args(arguments)
            .current_dir(root)
            .env("RUSTDOCFLAGS", "-D warnings")
            .stdin(Stdio::null())
            .status()
            .context("`cargo` could not be started")?;
        if !status.success() {
            problems.push(format!("`cargo {}` fails", arguments.join(" ")));
        }
    }
    Ok(problems)
}
