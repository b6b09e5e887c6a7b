//! The two web tools, as a back end over whichever engine answers.

use std::sync::Arc;

use python::{Dict, Exception, Value};

use super::{Hit, Query, SearchEngine, page};
use crate::backend::{
    Arguments, Backend, DefaultValue, Method, dict, error, method, optional, required,
};

/// The class's name.
pub const WEB_SEARCH: &str = "WebSearchAPI";

const METHODS: &[Method] = &[
    method(
        "search_engine_query",
        &[
            required("keywords"),
            optional("max_results", DefaultValue::Int(10)),
            optional("region", DefaultValue::Str("wt-wt")),
        ],
    ),
    method(
        "fetch_url_content",
        &[required("url"), optional("mode", DefaultValue::Str("raw"))],
    ),
];

/// `WebSearchAPI` of one episode.
pub struct WebSearch {
    engine: Arc<dyn SearchEngine>,
    show_snippet: bool,
}

impl WebSearch {
    /// Without snippets a hit is a title and an address.
    pub fn new(engine: Arc<dyn SearchEngine>, show_snippet: bool) -> Self {
        Self {
            engine,
            show_snippet,
        }
    }

    fn search(&self, arguments: &Arguments) -> Result<Value, Exception> {
        let query = Query {
            keywords: arguments["keywords"].to_string(),
            region: arguments["region"].to_string(),
        };
        match self.engine.search(&query) {
            Ok(hits) => {
                let hits = &hits[..slice_end(&arguments["max_results"], hits.len())?];
                let shown = hits.iter().map(|hit| self.shown(hit));
                Ok(Value::List(shown.collect::<Result<_, _>>()?))
            }
            Err(text) => error(text),
        }
    }

    /// What the service has left out is a `KeyError` by the service's own name of it.
    fn shown(&self, hit: &Hit) -> Result<Value, Exception> {
        let field = |value: &Option<String>, key: &str| match value {
            Some(text) => Ok(Value::from(text.as_str())),
            None => Err(Exception::key_error(&Value::from(key))),
        };
        let mut shown = Dict::new();
        shown.insert("title", field(&hit.title, "title")?);
        shown.insert("href", field(&hit.href, "link")?);
        if self.show_snippet {
            shown.insert("body", field(&hit.body, "snippet")?);
        }
        Ok(Value::Dict(shown))
    }

    fn fetch(&self, arguments: &Arguments) -> Result<Value, Exception> {
        let url = &arguments["url"];
        let Some(address) = url.as_str() else {
            return Err(Exception::attribute_error(url, "startswith"));
        };
        let mut schemes = self.engine.schemes().iter();
        if !schemes.any(|scheme| address.starts_with(scheme)) {
            return Err(Exception::value_error(format!("Invalid URL: {address}")));
        }
        let content = self.engine.fetch(address).and_then(|page| {
            match arguments["mode"].to_string().as_str() {
                "raw" => Ok(page),
                "markdown" => page::markdown(&page),
                "truncate" => Ok(page::text(&page)),
                mode => Err(format!("Unsupported mode: {mode}")),
            }
        });
        match content {
            Ok(text) => Ok(dict([("content", Value::from(text))])),
            Err(text) => error(format!(
                "An error occurred while fetching {address}: {text}"
            )),
        }
    }
}

impl Backend for WebSearch {
    fn class(&self) -> &'static str {
        WEB_SEARCH
    }

    fn methods(&self) -> &'static [Method] {
        METHODS
    }

    fn call(&mut self, method: &str, arguments: &Arguments) -> Result<Value, Exception> {
        match method {
            "search_engine_query" => self.search(arguments),
            _ => self.fetch(arguments),
        }
    }

    fn state(&self) -> Dict {
        let mut state = Dict::new();
        state.insert("show_snippet", self.show_snippet);
        state
    }
}

/// Where Python's `list[:end]` ends.
fn slice_end(end: &Value, length: usize) -> Result<usize, Exception> {
    match end {
        Value::None => Ok(length),
        Value::Int(_) | Value::Bool(_) => {
            let end = end.as_int().unwrap_or_default();
            let from_back = length.saturating_sub(end.unsigned_abs() as usize);
            Ok(match end < 0 {
                true => from_back,
                false => length.min(end as usize),
            })
        }
        _ => Err(Exception::type_error(
            "slice indices must be integers or None or have an __index__ method",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::Instances;

    /// Knows one page and three hits, the last without a snippet.
    struct Shelf;

    impl SearchEngine for Shelf {
        fn search(&self, query: &Query) -> Result<Vec<Hit>, String> {
            if query.keywords == "fail" {
                return Err("no network".to_owned());
            }
            let hit = |name: &str, body: Option<&str>| Hit {
                title: Some(format!("{name} in {}", query.region)),
                href: Some(format!("https://{name}.example")),
                body: body.map(str::to_owned),
            };
            Ok(vec![
                hit("a", Some("it's")),
                hit("b", Some("two")),
                hit("c", None),
            ])
        }

        fn fetch(&self, url: &str) -> Result<String, String> {
            match url {
                "https://a.example" => Ok("<h1>A</h1><script>x()</script> b".to_owned()),
                _ => Err("404 Client Error".to_owned()),
            }
        }
    }

    fn check(show_snippet: bool, call: &str, expected: &str) {
        let tool = WebSearch::new(Arc::new(Shelf), show_snippet);
        let mut instances = Instances::new(vec![Box::new(tool)]);
        assert_eq!(instances.execute(call), expected, "{call}");
    }

    #[test]
    fn hits_are_printed_as_python_prints_a_list() {
        check(
            true,
            "search_engine_query(keywords='x', max_results=2)",
            "[{'title': 'a in wt-wt', 'href': 'https://a.example', 'body': \"it's\"}, \
             {'title': 'b in wt-wt', 'href': 'https://b.example', 'body': 'two'}]",
        );
        check(
            false,
            "search_engine_query('x', region='us-en', max_results=-2)",
            "[{'title': 'a in us-en', 'href': 'https://a.example'}]",
        );
        check(true, "search_engine_query('x', max_results=-9)", "[]");
        check(true, "search_engine_query('x', max_results=0)", "[]");
        check(
            true,
            "search_engine_query('x', max_results='2')",
            "Error during execution: slice indices must be integers or None or have an \
             __index__ method",
        );
        check(
            true,
            "search_engine_query('x')",
            "Error during execution: 'snippet'",
        );
        check(
            true,
            "search_engine_query('fail')",
            "{\"error\": \"no network\"}",
        );
    }

    #[test]
    fn a_page_is_fetched_in_the_form_that_was_asked_for() {
        let url = "https://a.example";
        let fetch = |more: &str| format!("fetch_url_content(url='{url}'{more})");
        check(
            true,
            &fetch(""),
            "{\"content\": \"<h1>A</h1><script>x()</script> b\"}",
        );
        check(
            true,
            &fetch(", mode='truncate'"),
            "{\"content\": \"A\\nb\"}",
        );
        check(
            true,
            &fetch(", mode='markdown'"),
            "{\"content\": \"# A\\n\\nb\"}",
        );
        check(
            true,
            &fetch(", mode='pdf'"),
            "{\"error\": \"An error occurred while fetching https://a.example: Unsupported \
             mode: pdf\"}",
        );
        check(
            true,
            "fetch_url_content('https://b.example')",
            "{\"error\": \"An error occurred while fetching https://b.example: 404 Client \
             Error\"}",
        );
        check(
            true,
            "fetch_url_content('file:///etc/passwd')",
            "Error during execution: Invalid URL: file:///etc/passwd",
        );
        check(
            true,
            "fetch_url_content(3)",
            "Error during execution: 'int' object has no attribute 'startswith'",
        );
    }
}
