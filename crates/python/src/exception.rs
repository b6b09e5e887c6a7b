//! What Python would raise. To those who use this crate it is data: a text that an agent reads.

use std::fmt;

use crate::Value;

/// An exception. It displays as `str(exception)` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Its class, for whoever would catch it.
    pub kind: ExceptionKind,
    /// What `str(exception)` gives.
    pub text: String,
}

/// The classes of exceptions that somebody may have to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExceptionKind {
    /// `AttributeError`
    Attribute,
    /// `IndexError`
    Index,
    /// `KeyError`
    Key,
    /// `MemoryError`
    Memory,
    /// `NameError`
    Name,
    /// `OverflowError`
    Overflow,
    /// `SyntaxError`
    Syntax,
    /// `TypeError`
    Type,
    /// `ValueError`
    Value,
    /// `ZeroDivisionError`
    ZeroDivision,
    /// Any other: what the program itself raises.
    Other,
}

impl Exception {
    /// An exception of a kind.
    pub fn new(kind: ExceptionKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
        }
    }

    /// `TypeError(text)`
    pub fn type_error(text: impl Into<String>) -> Self {
        Self::new(ExceptionKind::Type, text)
    }

    /// `ValueError(text)`
    pub fn value_error(text: impl Into<String>) -> Self {
        Self::new(ExceptionKind::Value, text)
    }

    /// `KeyError(key)`, whose text is the key's `repr`.
    pub fn key_error(key: &Value) -> Self {
        Self::new(ExceptionKind::Key, key.repr())
    }

    /// `NameError` of a name that nothing defines.
    pub fn name_error(name: &str) -> Self {
        Self::new(ExceptionKind::Name, format!("name '{name}' is not defined"))
    }

    /// `AttributeError` of a value that lacks an attribute.
    pub fn attribute_error(value: &Value, attribute: &str) -> Self {
        Self::new(
            ExceptionKind::Attribute,
            format!(
                "'{}' object has no attribute '{attribute}'",
                value.type_name()
            ),
        )
    }

    /// `SyntaxError` in a line of evaluated text, counted from 1.
    pub fn syntax_error(text: impl fmt::Display, line: usize) -> Self {
        Self::new(
            ExceptionKind::Syntax,
            format!("{text} (<string>, line {line})"),
        )
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Exception {}
