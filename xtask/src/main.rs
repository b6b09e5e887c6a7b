//! Writes what the repository keeps but nobody writes by hand, and checks that it is tidy.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

mod base_tokenizer;
mod fuzz;
mod sanitize;
mod tidy;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  base-tokenizer --out DIR   write the base's tokenizer and chat template
  fuzz [--runs N] [TARGET…]  show N inputs (a million) to every reader of strangers' bytes
  sanitize                   run the tests of crates with `unsafe` under AddressSanitizer
  tidy                       check the rooms, the map, formatting, lints and documentation";

#[expect(
    clippy::disallowed_methods,
    reason = "a binary of its own, where arguments enter"
)]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<()> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    match arguments {
        ["base-tokenizer", "--out", folder] => base_tokenizer::write(Path::new(folder)),
        ["fuzz", "--runs", runs, targets @ ..] => {
            let runs = runs.parse().context("`--runs` takes a number of inputs")?;
            fuzz::run(root, runs, targets)
        }
        ["fuzz", targets @ ..] => fuzz::run(root, 1_000_000, targets),
        ["sanitize"] => sanitize::run(root),
        ["tidy"] => tidy::tidy(root),
        _ => bail!("no such command\n{USAGE}"),
    }
}
