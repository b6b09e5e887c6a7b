//! Which server, and what it may take.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::own::bounds::limit;

/// One environment behind HTTP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct HttpConfig {
    /// What its paths stand below: `http://localhost:8000`.
    pub url: String,
    /// HTTP headers, each with the name of the environment variable that has its value:
    /// `{ Authorization = "MY_TOKEN" }`.
    pub headers: BTreeMap<String, String>,
    /// How long a request may take, from connecting to the last byte of its reply.
    pub call_seconds: f64,
    /// How often a request is tried again that never reached the server.
    pub retries: usize,
    /// What is longer of a result is cut off, in bytes.
    pub longest_result: usize,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            headers: BTreeMap::new(),
            call_seconds: 30.0,
            retries: 3,
            longest_result: 64 << 10,
        }
    }
}

impl HttpConfig {
    /// What is wrong with it, before anything is sent.
    pub fn check(&self) -> Result<(), String> {
        let is_http = ["http://", "https://"]
            .iter()
            .any(|it| self.url.starts_with(it));
        if !is_http {
            let expected = "expected an address that begins with `http://` or `https://`";
            return Err(format!("`url` is `{}`, {expected}", self.url));
        }
        if self.longest_result == 0 {
            return Err("`longest-result` is 0, expected a number of bytes".to_owned());
        }
        limit("call-seconds", self.call_seconds).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_has_an_address() {
        let check = |url: &str| {
            HttpConfig {
                url: url.to_owned(),
                ..HttpConfig::default()
            }
            .check()
        };
        assert_eq!(check("https://tools.example/v1"), Ok(()));
        let problem = check("tools.example").unwrap_err();
        assert!(
            problem.starts_with("`url` is `tools.example`, expected"),
            "{problem}"
        );
    }
}
