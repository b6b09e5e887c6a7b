//! Text and bytes: quotes, prefixes, escapes.

use super::{Lexer, Token};
use crate::Exception;

impl Lexer<'_> {
    /// A literal whose prefix, in lower case, has been read.
    pub(super) fn text(&mut self, prefix: &str) -> Result<(), Exception> {
        let line = self.line;
        let (is_raw, is_bytes) = (prefix.contains('r'), prefix.contains('b'));
        if prefix.contains('f') {
            return Err(self.error("f-strings are not read"));
        }
        let body = self.body()?;
        if is_bytes && !body.is_ascii() {
            return Err(Exception::syntax_error(
                "bytes can only contain ASCII literal characters",
                line,
            ));
        }
        let text = if is_raw {
            body
        } else {
            unescape(&body, is_bytes).map_err(|problem| Exception::syntax_error(problem, line))?
        };
        self.push(if is_bytes {
            Token::Bytes(text)
        } else {
            Token::Text(text)
        });
        Ok(())
    }

    /// What stands between the quotes, escapes as they are, lines' ends as `\n`.
    fn body(&mut self) -> Result<String, Exception> {
        let line = self.line;
        let quote = if self.rest().starts_with('"') {
            '"'
        } else {
            '\''
        };
        let triple = quote.to_string().repeat(3);
        let is_triple = self.rest().starts_with(&triple);
        let end = if is_triple { triple } else { quote.to_string() };
        self.at += end.len();
        let mut body = String::new();
        loop {
            if self.rest().starts_with(&end) {
                self.at += end.len();
                return Ok(body);
            }
            let Some(c) = self.peek() else {
                return Err(self.unterminated(is_triple, line));
            };
            if c == '\\' {
                self.at += 1;
                body.push(c);
            } else if matches!(c, '\n' | '\r') && !is_triple {
                return Err(self.unterminated(is_triple, line));
            }
            let Some(c) = self.peek() else {
                return Err(self.unterminated(is_triple, line));
            };
            self.advance(c);
            match c {
                '\r' => {
                    self.line += 1;
                    body.push('\n');
                    self.at += usize::from(self.peek() == Some('\n'));
                }
                c => {
                    self.line += usize::from(c == '\n');
                    body.push(c);
                }
            }
        }
    }

    fn unterminated(&self, is_triple: bool, begin: usize) -> Exception {
        let kind = if is_triple {
            "triple-quoted string"
        } else {
            "string"
        };
        let problem = format!(
            "unterminated {kind} literal (detected at line {})",
            self.line
        );
        Exception::syntax_error(problem, begin)
    }
}

/// Resolves escapes. Unknown ones stay as they are; `\N{…}` needs a table that is not here.
fn unescape(body: &str, is_bytes: bool) -> Result<String, String> {
    let mut text = String::new();
    let mut units = Vec::new();
    let mut rest = body;
    while let Some(c) = rest.chars().next() {
        let at = body.len() - rest.len();
        rest = &rest[c.len_utf8()..];
        if c != '\\' {
            flush(&mut units, &mut text)?;
            text.push(c);
            continue;
        }
        let escape = rest.chars().next().unwrap_or('\\');
        rest = &rest[escape.len_utf8().min(rest.len())..];
        let simple = match escape {
            '\n' => Some(""),
            '\\' => Some("\\"),
            '\'' => Some("'"),
            '"' => Some("\""),
            'a' => Some("\u{7}"),
            'b' => Some("\u{8}"),
            'f' => Some("\u{c}"),
            'n' => Some("\n"),
            'r' => Some("\r"),
            't' => Some("\t"),
            'v' => Some("\u{b}"),
            _ => None,
        };
        let code = match escape {
            '0'..='7' => {
                let more = rest
                    .bytes()
                    .take(2)
                    .take_while(|b| (b'0'..b'8').contains(b));
                let length = more.count();
                let digits = format!("{escape}{}", &rest[..length]);
                rest = &rest[length..];
                u32::from_str_radix(&digits, 8).ok()
            }
            'x' => Some(hexadecimal(&mut rest, 2, at, body, "\\xXX", is_bytes)?),
            'u' if !is_bytes => Some(hexadecimal(&mut rest, 4, at, body, "\\uXXXX", false)?),
            'U' if !is_bytes => Some(hexadecimal(&mut rest, 8, at, body, "\\UXXXXXXXX", false)?),
            'N' if !is_bytes => return Err("names of characters are not read".to_owned()),
            _ => None,
        };
        match (simple, code) {
            (_, Some(code @ 0xd800..=0xdfff)) => units.push(code as u16),
            (_, Some(code)) => {
                flush(&mut units, &mut text)?;
                text.push(char::from_u32(code).ok_or_else(|| {
                    format!(
                        "(unicode error) 'unicodeescape' codec can't decode bytes in position \
                         {}-{}: illegal Unicode character",
                        position(body, at),
                        position(body, body.len() - rest.len()) - 1
                    )
                })?);
            }
            (Some(simple), None) => {
                flush(&mut units, &mut text)?;
                text.push_str(simple);
            }
            (None, None) => {
                flush(&mut units, &mut text)?;
                text.push('\\');
                text.push(escape);
            }
        }
    }
    flush(&mut units, &mut text)?;
    Ok(text)
}

/// Writes escaped surrogates as the characters that they are halves of.
fn flush(units: &mut Vec<u16>, text: &mut String) -> Result<(), String> {
    let whole = String::from_utf16(units)
        .map_err(|_| "(unicode error) surrogates not allowed outside of pairs".to_owned())?;
    text.push_str(&whole);
    units.clear();
    Ok(())
}

/// Exactly `length` digits, or what Python says of fewer.
fn hexadecimal(
    rest: &mut &str,
    length: usize,
    at: usize,
    body: &str,
    form: &str,
    is_bytes: bool,
) -> Result<u32, String> {
    let is_digit = |byte: &u8| byte.is_ascii_hexdigit();
    let found = rest.bytes().take(length).take_while(is_digit).count();
    if found < length {
        let position = position(body, at);
        return Err(if is_bytes {
            format!("(value error) invalid \\x escape at position {position}")
        } else {
            let end = position + 1 + found;
            format!(
                "(unicode error) 'unicodeescape' codec can't decode bytes in position \
                 {position}-{end}: truncated {form} escape"
            )
        });
    }
    let (digits, after) = rest.split_at(length);
    *rest = after;
    Ok(u32::from_str_radix(digits, 16).expect("hexadecimal digits that fit"))
}

/// A byte of the body as Python counts it: what is not ASCII has been made an escape of ten.
fn position(body: &str, at: usize) -> usize {
    body[..at]
        .chars()
        .map(|c| if c.is_ascii() { 1 } else { 10 })
        .sum()
}
