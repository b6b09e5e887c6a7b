//! `pact man`: every command's help as a page of the manual.

use anyhow::{Context, Result};
use clap::CommandFactory;

use crate::args::{Arguments, Man};
use crate::exit::Exit;

pub(crate) fn run(arguments: &Man) -> Result<Exit> {
    let folder = &arguments.out;
    let cannot = || format!("cannot write manual pages into `{}`", folder.display());
    std::fs::create_dir_all(folder).with_context(cannot)?;
    // The command `help` would have a page beside each page, that says the same.
    let command = Arguments::command().disable_help_subcommand(true);
    clap_mangen::generate_to(command, folder).with_context(cannot)?;
    Ok(Exit::Done)
}
