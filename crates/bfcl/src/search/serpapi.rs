//! Web search by SerpAPI's DuckDuckGo engine, as the leaderboard's authors search, and pages
//! from where they lie.

use std::thread;
use std::time::Duration;

use episode::Seed;
use serde_json::Value;

use super::web::{Reach, Web};
use super::{Hit, Query, SearchEngine};

/// What the authors' tool says where the service has nothing.
const NO_RESULTS: &str =
    "Failed to retrieve the search results from server. Please try again later.";
/// Of a page, as in the original; a search is one more page.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The original asks for ever. With waits of 2, 4, … 120 s, this is four minutes.
const ATTEMPTS: u32 = 8;
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// How SerpAPI is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct SerpApiOptions {
    /// Whose account pays for a search.
    pub key: String,
    /// Where the service is.
    pub url: String,
    /// How long the first wait is after an answer of 429; each further one is twice as long.
    pub first_wait: Duration,
    /// How long a page may take, from the look-up of its name to its last byte.
    pub page_timeout: Duration,
    /// Whether pages of this machine and of its private networks may be fetched.
    pub private_pages: bool,
}

impl SerpApiOptions {
    /// The service itself, with the official waits.
    pub fn new(key: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            url: "https://serpapi.com/search".to_owned(),
            first_wait: Duration::from_secs(2),
            page_timeout: TIMEOUT,
            private_pages: false,
        }
    }
}

/// The live web.
pub struct SerpApi {
    options: SerpApiOptions,
    service: Web,
    pages: Web,
}

impl SerpApi {
    /// Nothing is sent before the first search.
    pub fn new(options: SerpApiOptions) -> Self {
        let reach = match options.private_pages {
            true => Reach::All,
            false => Reach::Public,
        };
        Self {
            service: Web::new(TIMEOUT, Reach::All),
            pages: Web::new(options.page_timeout, reach),
            options,
        }
    }

    /// One request: `None` where the service asks for patience.
    fn ask(&self, query: &Query) -> Result<Option<Value>, String> {
        let parameters = [
            ("engine", "duckduckgo"),
            ("q", &query.keywords),
            ("kl", &query.region),
            ("api_key", &self.options.key),
        ];
        let answer = self.service.get(&self.options.url, &parameters);
        // No text for the agent may hold the key.
        let answer = answer.map_err(|text| text.replace(&self.options.key, "…"))?;
        if answer.status == 429 {
            return Ok(None);
        }
        let payload: Value =
            serde_json::from_str(&answer.text).map_err(|error| error.to_string())?;
        let error = payload["error"].as_str().unwrap_or_default();
        Ok((!error.contains("429")).then_some(payload))
    }

    /// Twice as long each time, with up to a second more, so that what was refused together
    /// does not come back together.
    fn wait(&self, query: &Query, attempt: u32) {
        let doubled = self.options.first_wait * 2_u32.pow(attempt);
        let seed = Seed(u64::from(attempt)).named(&query.keywords);
        let jitter = self
            .options
            .first_wait
            .mul_f64((seed.0 % 1000) as f64 / 2000.0);
        thread::sleep(doubled.min(LONGEST_WAIT) + jitter);
    }
}

impl SearchEngine for SerpApi {
    fn search(&self, query: &Query) -> Result<Vec<Hit>, String> {
        for attempt in 0..ATTEMPTS {
            if let Some(payload) = self.ask(query)? {
                let results = payload["organic_results"].as_array();
                return Ok(results.ok_or(NO_RESULTS)?.iter().map(hit).collect());
            }
            if attempt + 1 < ATTEMPTS {
                self.wait(query, attempt);
            }
        }
        Err(format!(
            "429: the search service refused {ATTEMPTS} requests in a row. Please try again later."
        ))
    }

    fn fetch(&self, url: &str) -> Result<String, String> {
        let page = self.pages.get(url, &[])?;
        if page.status.is_client_error() || page.status.is_server_error() {
            let side = match page.status.is_client_error() {
                true => "Client",
                false => "Server",
            };
            let reason = page.status.canonical_reason().unwrap_or_default();
            let code = page.status.as_u16();
            // As Python's `requests` says it.
            return Err(format!(
                "{code} {side} Error: {reason} for url: {}",
                page.url
            ));
        }
        Ok(page.text)
    }
}

fn hit(result: &Value) -> Hit {
    let text = |key: &str| result[key].as_str().map(str::to_owned);
    Hit {
        title: text("title"),
        href: text("link"),
        body: text("snippet"),
    }
}
