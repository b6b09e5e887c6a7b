//! An endpoint's key: what is sent, and never shown.

use std::fmt;

/// An API key. Neither its `Debug` nor any error, notice or file of this crate shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(String);

/// A text that cannot be a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nothing but white space.
    #[error("the key is empty")]
    Empty,
    /// It cannot stand in a header of HTTP.
    #[error(
        "the key has characters that no key has: only visible ASCII can be sent\n\
         hint: was a file's name, or more than one line, put in its place?"
    )]
    Characters,
}

impl Key {
    /// A key without the white space around it, which files and shells leave.
    pub fn new(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        match text.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Self(text.to_owned())),
            false => Err(KeyError::Characters),
        }
    }

    /// The value of the header `Authorization`.
    pub(crate) fn authorization(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// The text without the key: servers quote what they were sent.
    pub(crate) fn scrub(&self, text: &str) -> String {
        text.replace(&self.0, "[key]")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[key]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_not_shown() {
        let key = Key::new(" sk-secret\n").expect("a key");
        assert_eq!(format!("{key:?}"), "[key]");
        assert_eq!(key.authorization(), "Bearer sk-secret");
        assert_eq!(key.scrub("wrong: sk-secret!"), "wrong: [key]!");
    }

    #[test]
    fn what_cannot_be_a_key_is_refused() {
        assert_eq!(Key::new(" \n"), Err(KeyError::Empty));
        assert_eq!(Key::new("sk\r\nX-Evil: 1"), Err(KeyError::Characters));
        assert_eq!(Key::new("schlüssel"), Err(KeyError::Characters));
    }
}
