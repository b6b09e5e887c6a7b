//! How conversations are laid out as tokens: the choices a run may make.

use serde::{Deserialize, Serialize};

/// What becomes of the reasoning of earlier turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Thinking {
    /// Earlier turns stay whole, as sampled, whatever the template would do with them. An
    /// episode is one segment, so one forward pass trains all of its turns. The cost: reasoning
    /// piles up in the context, and where the template would strip it (Qwen3's does so before
    /// the last user message) the policy reads histories unlike those it was trained on.
    #[default]
    Keep,
    /// Every turn begins from the conversation as the template renders it. The context stays
    /// short and is the one that other software will show to the model. The cost: wherever
    /// the rendering does not extend what was sampled, a new segment begins with the whole
    /// history, to be read and trained again: up to one segment for each turn.
    Strip,
}

/// The layout of conversations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// What becomes of the reasoning of earlier turns: `keep` or `strip`.
    pub thinking: Thinking,
    /// Passed to the template where set; Qwen3 closes an empty reasoning block in the
    /// generation prompt for `false`. The cost of `false`: nothing is reasoned, and an expert
    /// trace's reasoning is left out, since the policy could not have written it.
    pub enable_thinking: Option<bool>,
    /// The day that templates see as today, `YYYY-MM-DD`. Fixed, so that the same config
    /// renders the same tokens for ever; the cost is that a prompt which prints the date
    /// prints this one.
    pub date: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            thinking: Thinking::Keep,
            enable_thinking: None,
            date: "2025-01-01".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_is_refused() {
        assert!(serde_json::from_str::<Config>(r#"{"enable-thinking": false}"#).is_ok());
        let error = serde_json::from_str::<Config>(r#"{"enable_thinking": false}"#).unwrap_err();
        assert!(error.to_string().contains("enable-thinking"), "{error}");
    }
}
