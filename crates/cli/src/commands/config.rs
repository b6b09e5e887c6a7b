//! `pact config`.

use anyhow::Result;

use crate::args::{ConfigCommand, ConfigFile};
use crate::config::RunConfig;
use crate::exit::Exit;
use crate::{config_file, explain};

pub(crate) fn run(command: &ConfigCommand) -> Result<Exit> {
    let text = match command {
        ConfigCommand::Default => explain::default_toml(),
        ConfigCommand::Show(file) => to_toml(&read(file)?),
        ConfigCommand::Check(file) => {
            read(file)?;
            format!("`{}` can be run\n", file.config.display())
        }
        ConfigCommand::Explain { key } => explain::explain(key)?,
    };
    super::print(&text)?;
    Ok(Exit::Done)
}

/// A config as it is resolved, every key written out.
pub(super) fn to_toml(config: &RunConfig) -> String {
    toml::to_string(config).expect("a config is TOML")
}

fn read(file: &ConfigFile) -> Result<RunConfig> {
    Ok(config_file::read(Some(&file.config), &file.set)?)
}
