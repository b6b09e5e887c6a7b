//! Runs every fuzz target for so many inputs, with bounds on time and memory. Needs a nightly
//! toolchain and `cargo install cargo-fuzz`. Without a sanitizer, which makes it four times slower
//! and finds what safe code cannot do; `sanitize` is for the crate that has other code.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::sanitize::has_nightly;

/// Of one input, in seconds.
const LONGEST: u32 = 10;
/// Of the process, in MiB.
const MOST_MEMORY: u32 = 2048;
/// Of an input, in bytes.
const LONGEST_INPUT: u32 = 4096;

/// Shows `runs` inputs to each of `targets`, or to every one. What is news is kept below
/// `target/fuzz`; what makes a reader panic, below `fuzz/artifacts`.
pub(crate) fn run(root: &Path, runs: u64, targets: &[&str]) -> Result<()> {
    ensure!(
        has_nightly(),
        "a fuzzer needs a nightly toolchain\nhint: `rustup toolchain install nightly`"
    );
    let known = names(&root.join("fuzz/fuzz_targets"))?;
    if let Some(unknown) = targets
        .iter()
        .find(|it| !known.iter().any(|name| name == *it))
    {
        bail!(
            "no target is called `{unknown}`\nhint: there are {}",
            known.join(", ")
        );
    }
    let mut failed = Vec::new();
    for name in &known {
        if !targets.is_empty() && !targets.contains(&name.as_str()) {
            continue;
        }
        let news = root.join("target/fuzz").join(name);
        fs::create_dir_all(&news).with_context(|| format!("`{}`", news.display()))?;
        let status = Command::new("rustup")
            .current_dir(root)
            .args(["run", "nightly", "cargo", "fuzz", "run"])
            .args(["--sanitizer", "none"])
            .args(["--features", "libfuzzer,mcp,parquet", name])
            .arg(&news)
            .arg(root.join("fuzz/corpus").join(name))
            .arg("--")
            .arg(format!("-runs={runs}"))
            .arg(format!("-timeout={LONGEST}"))
            .arg(format!("-rss_limit_mb={MOST_MEMORY}"))
            .arg(format!("-max_len={LONGEST_INPUT}"))
            .arg("-print_final_stats=1")
            // Optimising across crates would be done anew for each target.
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .status()
            .context("`rustup run nightly cargo fuzz`")?;
        if !status.success() {
            failed.push(name.as_str());
        }
    }
    ensure!(
        failed.is_empty(),
        "these found something: {}",
        failed.join(", ")
    );
    Ok(())
}

/// The targets, in the order of their names.
fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("`{}`", folder.display()))? {
        let path = entry?.path();
        names.extend(
            path.file_stem()
                .map(|name| name.to_string_lossy().into_owned()),
        );
    }
    names.sort();
    Ok(names)
}
