//! An endpoint's address, which is shown in errors and so holds no secret.

use std::fmt;

use ureq::http::Uri;

const PATH: &str = "/chat/completions";

/// The base URL of a server, as in `http://127.0.0.1:8000/v1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(String);

/// A text that is no such address. It is not quoted: it may hold a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the endpoint's URL {0}\n\
     hint: give the base URL of the server, as in `http://127.0.0.1:8000/v1`"
)]
pub struct AddressError(&'static str);

impl Address {
    /// Reads a base URL; one that goes on to `/chat/completions` is taken back to its base.
    pub fn new(url: &str) -> Result<Self, AddressError> {
        let url = url.trim();
        let uri: Uri = url.parse().map_err(|_| AddressError("is none"))?;
        match uri.scheme_str() {
            Some("http" | "https") => {}
            Some(_) => return Err(AddressError("is neither of `http` nor of `https`")),
            None => return Err(AddressError("does not begin with `http://` or `https://`")),
        }
        let authority = uri.authority().map_or("", |it| it.as_str());
        if uri.host().is_none_or(str::is_empty) {
            return Err(AddressError("names no host"));
        }
        if authority.contains('@') {
            return Err(AddressError(
                "has a name or a password in it; a key comes from the environment",
            ));
        }
        if uri.query().is_some() || url.contains('#') {
            return Err(AddressError("has a part after its path"));
        }
        let base = url.trim_end_matches('/');
        let base = base.strip_suffix(PATH).unwrap_or(base);
        Ok(Self(base.trim_end_matches('/').to_owned()))
    }

    /// Where conversations are sent.
    pub(crate) fn completions(&self) -> String {
        format!("{}{PATH}", self.0)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversations_are_sent_below_the_base() {
        let check = |url: &str, expected: &str| {
            assert_eq!(Address::new(url).expect(url).completions(), expected);
        };
        check("http://h:1/v1", "http://h:1/v1/chat/completions");
        check(" https://h/v1/ ", "https://h/v1/chat/completions");
        check(
            "http://h/v1/chat/completions",
            "http://h/v1/chat/completions",
        );
        check("http://[::1]:8000", "http://[::1]:8000/chat/completions");
    }

    #[test]
    fn what_is_no_base_is_refused_unquoted() {
        let check = |url: &str, expected: &str| {
            let error = Address::new(url).expect_err(url).to_string();
            assert!(
                error.starts_with(&format!("the endpoint's URL {expected}")),
                "{error}"
            );
            assert!(!error.contains("secret"), "{error}");
        };
        check("127.0.0.1:8000/v1", "");
        check("localhost", "does not begin");
        check("ftp://h/v1", "is neither");
        check("http://user:secret@h/v1", "has a name or a password");
        check("http://h/v1?key=secret", "has a part after its path");
        check("http://h/v1#secret", "has a part after its path");
        check("http://h /v1", "is none");
        check("", "is none");
    }
}
