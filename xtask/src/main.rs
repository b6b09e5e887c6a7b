//! Writes what the repository keeps but nobody writes by hand, and checks that it is tidy.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};

mod base_tokenizer;
mod tidy;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  base-tokenizer --out DIR   write the base's tokenizer and chat template
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
    match arguments {
        ["base-tokenizer", "--out", folder] => base_tokenizer::write(Path::new(folder)),
        ["tidy"] => tidy::tidy(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))),
        _ => bail!("no such command\n{USAGE}"),
    }
}
