//! Which server, how it is reached, and what of it an agent is offered.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::own::bounds::limit;

/// One MCP server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct McpConfig {
    /// The program and its arguments, for a server over standard input and output. `{scratch}`
    /// in an argument, in a value of `env` or in `cwd` is a folder of the session's own, which
    /// is removed after it; the agent knows that folder as `/scratch`.
    pub command: Vec<String>,
    /// Environment variables of the program, beside those of `inherit`.
    pub env: BTreeMap<String, String>,
    /// Environment variables that the program has from pact's own environment.
    pub inherit: Vec<String>,
    /// The folder that the program runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// A folder whose content every `{scratch}` begins with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scratch_from: Option<PathBuf>,
    /// The address, for a server over streamable HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// HTTP headers, each with the name of the environment variable that has its value:
    /// `{ Authorization = "MY_TOKEN" }`.
    pub headers: BTreeMap<String, String>,
    /// `episode`: every episode has a server (or an HTTP session) of its own. `shared`: all have
    /// the same, which suits servers without state.
    pub session: Sharing,
    /// Only these tools, by the server's names; `*` stands for anything. Empty: all.
    pub include: Vec<String>,
    /// Not these.
    pub exclude: Vec<String>,
    /// What the agent's names of the tools begin with, before the server's.
    pub prefix: String,
    /// How long a server may take to start and to list its tools.
    pub start_seconds: f64,
    /// A call that takes longer fails, and the session has ended with it.
    pub call_seconds: f64,
    /// What is longer of a result is cut off, in bytes.
    pub longest_result: usize,
}

/// Whose a server is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sharing {
    /// One episode's.
    #[default]
    Episode,
    /// All episodes'; a new one is started when it has ended.
    Shared,
}

impl Default for McpConfig {
    fn default() -> Self {
        Self {
            command: Vec::new(),
            env: BTreeMap::new(),
            inherit: ["PATH", "HOME", "USER", "LANG", "TMPDIR"]
                .map(str::to_owned)
                .to_vec(),
            cwd: None,
            scratch_from: None,
            url: None,
            headers: BTreeMap::new(),
            session: Sharing::default(),
            include: Vec::new(),
            exclude: Vec::new(),
            prefix: String::new(),
            start_seconds: 60.0,
            call_seconds: 30.0,
            longest_result: 64 << 10,
        }
    }
}

impl McpConfig {
    /// What is wrong with it, before anything is started.
    pub fn check(&self) -> Result<(), String> {
        match (self.command.first(), &self.url) {
            (None, None) => {
                return Err(
                    "neither `command` nor `url` is set\nhint: `command = [\"npx\", …]` \
                            starts a server, `url = \"http://…\"` reaches one"
                        .to_owned(),
                );
            }
            (Some(_), Some(_)) => {
                return Err("both `command` and `url` are set, expected one of them".to_owned());
            }
            _ => {}
        }
        limit("start-seconds", self.start_seconds)?;
        limit("call-seconds", self.call_seconds)?;
        if self.longest_result == 0 {
            return Err("`longest-result` is 0, expected a number of bytes".to_owned());
        }
        if self.scratch_from.is_some() && !self.uses_scratch() {
            return Err("`scratch-from` is set and nothing uses `{scratch}`".to_owned());
        }
        Ok(())
    }

    pub(super) fn uses_scratch(&self) -> bool {
        let cwd = self.cwd.iter().filter_map(|cwd| cwd.to_str());
        let mut texts = self
            .command
            .iter()
            .chain(self.env.values())
            .map(String::as_str)
            .chain(cwd);
        texts.any(|text| text.contains(SCRATCH))
    }
}

/// What stands for the session's folder in a command.
pub(super) const SCRATCH: &str = "{scratch}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_started_or_reached_and_not_both() {
        let check = |config: McpConfig, problem: &str| {
            let found = config.check().unwrap_err();
            assert!(found.contains(problem), "{found}");
        };
        let started = McpConfig {
            command: vec!["server".to_owned()],
            ..McpConfig::default()
        };
        assert_eq!(started.check(), Ok(()));
        check(McpConfig::default(), "neither `command` nor `url` is set");
        check(
            McpConfig {
                url: Some("http://localhost".to_owned()),
                ..started.clone()
            },
            "both `command` and `url` are set",
        );
        check(
            McpConfig {
                call_seconds: f64::NAN,
                ..started.clone()
            },
            "`call-seconds` is NaN, expected a number of seconds above 0",
        );
        check(
            McpConfig {
                start_seconds: 0.0,
                ..started.clone()
            },
            "`start-seconds` is 0",
        );
        check(
            McpConfig {
                scratch_from: Some("files".into()),
                ..started
            },
            "nothing uses `{scratch}`",
        );
    }
}
