//! What a run is made of: `run.json` of a run folder. Whoever goes on with a run compares it
//! with what there is now; whoever reads a run finds in it how to repeat it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a run was begun with, and by whom it was gone on with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct RunRecord {
    /// The form of the run folder: 1.
    pub format: u32,
    /// Every key of the config from the top, `rollout.group-size`, with its value as TOML.
    pub config: BTreeMap<String, String>,
    /// The SHA-256 of everything that the run reads, by what it is: `training data`,
    /// `evaluation data`, `model`, `reference`, `tokenizer`.
    pub contents: BTreeMap<String, String>,
    /// The processes that wrote it, in order.
    pub sessions: Vec<Session>,
}

/// One process that wrote a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Session {
    /// Seconds since 1970.
    pub began: f64,
    /// Steps done when it began.
    pub step: u64,
    /// Its command line, the program first.
    pub command: Vec<String>,
    /// pact's version.
    pub version: String,
    /// The SHA-256 of the program.
    pub binary: String,
    /// Where it ran.
    pub machine: Machine,
    /// What was not as in the session before, a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
}

/// What a run has of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Machine {
    /// Threads that the machine runs at once.
    pub cores: usize,
    /// Threads that compute.
    pub threads: usize,
    /// The vector instructions that they compute with; others round otherwise.
    pub instructions: String,
}

impl Default for RunRecord {
    fn default() -> Self {
        Self {
            format: Self::FORMAT,
            config: BTreeMap::new(),
            contents: BTreeMap::new(),
            sessions: Vec::new(),
        }
    }
}

/// Why a `run.json` is not one that can be read.
#[derive(Debug, thiserror::Error)]
pub enum RunRecordError {
    /// It is no such object.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// A later pact wrote it.
    #[error(
        "this run folder is of format {format}, and this pact knows formats up to {}",
        RunRecord::FORMAT
    )]
    Newer {
        /// Its format.
        format: u64,
    },
}

impl RunRecord {
    /// The form of run folders that this pact writes, and the newest that it reads.
    pub const FORMAT: u32 = 1;

    /// Reads the text of a `run.json`. The format comes first: what a later one says beside it
    /// need not make sense here.
    pub fn from_json(text: &str) -> Result<Self, RunRecordError> {
        #[derive(Deserialize)]
        struct Format {
            format: u64,
        }
        let Format { format } = serde_json::from_str(text)?;
        if format > u64::from(Self::FORMAT) {
            return Err(RunRecordError::Newer { format });
        }
        Ok(serde_json::from_str(text)?)
    }

    /// As text.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a run's record is JSON") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written_and_a_later_form_is_refused_by_its_number() {
        let mut record = RunRecord::default();
        record.config.insert("seed".into(), "3".into());
        record.sessions.push(Session::default());
        let text = record.to_json();
        assert_eq!(RunRecord::from_json(&text).expect("its own"), record);
        let later = RunRecord::from_json(r#"{"format": 7, "config": "elsewhere"}"#);
        assert_eq!(
            later.expect_err("a later one").to_string(),
            "this run folder is of format 7, and this pact knows formats up to 1"
        );
        assert!(RunRecord::from_json("{").is_err());
    }
}
