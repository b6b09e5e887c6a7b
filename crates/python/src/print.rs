//! `str` and `repr`.

use std::fmt::{self, Write};

use crate::{Dict, Value, repr_float};

/// What `str(value)` gives: text as it is, everything else as its `repr`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Str(text) => f.write_str(text),
            _ => f.write_str(&self.repr()),
        }
    }
}

impl Value {
    /// `repr(value)`
    pub fn repr(&self) -> String {
        let mut text = String::new();
        self.write_repr(&mut text);
        text
    }

    fn write_repr(&self, out: &mut String) {
        match self {
            Self::None => out.push_str("None"),
            Self::Bool(true) => out.push_str("True"),
            Self::Bool(false) => out.push_str("False"),
            Self::Int(value) => out.push_str(&value.to_string()),
            Self::BigInt(value) => out.push_str(&value.to_string()),
            Self::Float(value) => out.push_str(&repr_float(*value)),
            Self::Str(text) => write_text(text, out),
            Self::List(items) => write_items("[", items, "]", out),
            Self::Tuple(items) if items.len() == 1 => write_items("(", items, ",)", out),
            Self::Tuple(items) => write_items("(", items, ")", out),
            Self::Set(items) if items.is_empty() => out.push_str("set()"),
            Self::Set(items) => write_items("{", items, "}", out),
            Self::Dict(dict) => write_dict(dict, out),
            Self::Opaque(opaque) => out.push_str(&opaque.repr),
        }
    }
}

fn write_items(open: &str, items: &[Value], close: &str, out: &mut String) {
    out.push_str(open);
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        item.write_repr(out);
    }
    out.push_str(close);
}

fn write_dict(dict: &Dict, out: &mut String) {
    out.push('{');
    for (i, (key, value)) in dict.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        key.write_repr(out);
        out.push_str(": ");
        value.write_repr(out);
    }
    out.push('}');
}

/// Single quotes, unless the text has some and no double ones.
fn write_text(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if is_printable(c) => out.push(c),
            c => write_code(c, out),
        }
    }
    out.push(quote);
}

fn write_code(c: char, out: &mut String) {
    let code = u32::from(c);
    match code {
        0..=0xff => write!(out, "\\x{code:02x}"),
        0x100..=0xffff => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    }
    .expect("a string takes all text");
}

/// `c.isprintable()`. Rust's `Debug` of text escapes by the same rule (separators but the
/// blank, and what is control, format, surrogate, private or unassigned), save for marks at a
/// text's beginning: hence the letter before it.
pub fn is_printable(c: char) -> bool {
    match c {
        ' '..='~' => true,
        c if c.is_ascii() => false,
        c => {
            let mut buffer = [b'a', 0, 0, 0, 0];
            let length = c.encode_utf8(&mut buffer[1..]).len();
            let text = std::str::from_utf8(&buffer[..=length]).expect("a letter, then a character");
            text.escape_debug().eq(text.chars())
        }
    }
}
