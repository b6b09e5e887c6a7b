//! JSON as Python's `json` writes and reads it.

use std::cmp::Ordering;
use std::fmt::Write;

use num_bigint::BigInt;

use crate::int::{MAX_DIGITS, too_many_digits};
use crate::{Comparison, Dict, Exception, MAX_DEPTH, Value, order, repr_float};

/// The arguments of `json.dumps` that anyone uses. Python's own default is `ensure_ascii`;
/// this one's is the other, which chat templates and data files use.
#[derive(Clone, Debug, Default)]
pub struct JsonStyle {
    /// Everything beyond ASCII as `\u` escapes, as `json.dumps` does when told nothing.
    pub ensure_ascii: bool,
    /// Keys in order.
    pub sort_keys: bool,
    /// One level of indentation; `None` puts everything on one line.
    pub indent: Option<String>,
    /// Between items, and between a key and its value.
    pub separators: Option<(String, String)>,
}

impl JsonStyle {
    /// What `json.dumps(value)` passes.
    pub fn ascii() -> Self {
        Self {
            ensure_ascii: true,
            ..Self::default()
        }
    }
}

/// `json.dumps(value)`; `TypeError` of what JSON cannot write.
pub fn json_dumps(value: &Value, style: &JsonStyle) -> Result<String, Exception> {
    let (item, key) = match &style.separators {
        Some((item, key)) => (item.as_str(), key.as_str()),
        None if style.indent.is_some() => (",", ": "),
        None => (", ", ": "),
    };
    let mut writer = Writer {
        text: String::new(),
        style,
        item,
        key,
    };
    writer.value(value, 0)?;
    Ok(writer.text)
}

struct Writer<'a> {
    text: String,
    style: &'a JsonStyle,
    item: &'a str,
    key: &'a str,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Exception> {
        match value {
            Value::Str(text) => self.string(text),
            Value::List(items) | Value::Tuple(items) => self.items(items, depth)?,
            Value::Dict(dict) => self.dict(dict, depth)?,
            Value::Set(_) | Value::Opaque(_) => {
                return Err(Exception::type_error(format!(
                    "Object of type {} is not JSON serializable",
                    value.type_name()
                )));
            }
            _ => self.text.push_str(&scalar(value)),
        }
        Ok(())
    }

    fn items(&mut self, items: &[Value], depth: usize) -> Result<(), Exception> {
        self.text.push('[');
        for (i, item) in items.iter().enumerate() {
            self.begin_item(i, depth + 1);
            self.value(item, depth + 1)?;
        }
        if !items.is_empty() {
            self.new_line(depth);
        }
        self.text.push(']');
        Ok(())
    }

    fn dict(&mut self, dict: &Dict, depth: usize) -> Result<(), Exception> {
        let mut items: Vec<_> = dict.iter().collect();
        if self.style.sort_keys {
            sort(&mut items)?;
        }
        self.text.push('{');
        for (i, (key, value)) in items.iter().enumerate() {
            self.begin_item(i, depth + 1);
            self.string(&key_text(key)?);
            self.text.push_str(self.key);
            self.value(value, depth + 1)?;
        }
        if !items.is_empty() {
            self.new_line(depth);
        }
        self.text.push('}');
        Ok(())
    }

    fn begin_item(&mut self, index: usize, depth: usize) {
        if index > 0 {
            self.text.push_str(self.item);
        }
        self.new_line(depth);
    }

    fn new_line(&mut self, depth: usize) {
        if let Some(indent) = &self.style.indent {
            self.text.push('\n');
            self.text.push_str(&indent.repeat(depth));
        }
    }

    fn string(&mut self, text: &str) {
        self.text.push('"');
        for c in text.chars() {
            match c {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                '\u{8}' => self.text.push_str("\\b"),
                '\u{c}' => self.text.push_str("\\f"),
                c if c < ' ' || (self.style.ensure_ascii && c > '~') => self.escape(c),
                c => self.text.push(c),
            }
        }
        self.text.push('"');
    }

    fn escape(&mut self, c: char) {
        for unit in c.encode_utf16(&mut [0; 2]) {
            write!(self.text, "\\u{unit:04x}").expect("a string takes all text");
        }
    }
}

/// By Python's `<`, so that keys that have no order raise as they do there.
fn sort(items: &mut [(&Value, &Value)]) -> Result<(), Exception> {
    let mut unordered = Ok(());
    items.sort_by(|(left, _), (right, _)| {
        let ordering = order(left, Comparison::Less, right);
        ordering.map_or_else(
            |exception| {
                unordered = Err(exception);
                Ordering::Equal
            },
            |ordering| ordering.unwrap_or(Ordering::Equal),
        )
    });
    unordered
}

fn scalar(value: &Value) -> String {
    match value {
        Value::None => "null".to_owned(),
        Value::Bool(true) => "true".to_owned(),
        Value::Bool(false) => "false".to_owned(),
        Value::Float(float) if float.is_nan() => "NaN".to_owned(),
        Value::Float(float) if float.is_infinite() && *float > 0.0 => "Infinity".to_owned(),
        Value::Float(float) if float.is_infinite() => "-Infinity".to_owned(),
        Value::Float(float) => repr_float(*float),
        _ => value.repr(),
    }
}

/// Keys are text in JSON: numbers, booleans and `None` become what they would print as.
fn key_text(key: &Value) -> Result<String, Exception> {
    match key {
        Value::Str(text) => Ok(text.clone()),
        Value::None | Value::Bool(_) | Value::Int(_) | Value::BigInt(_) | Value::Float(_) => {
            Ok(scalar(key))
        }
        _ => Err(Exception::type_error(format!(
            "keys must be str, int, float, bool or None, not {}",
            key.type_name()
        ))),
    }
}

/// `json.loads(text)`: ints of any size, `NaN` and `Infinity` where they stand, of two equal
/// keys the last. `ValueError` with Python's words where the text is no JSON, and where it is
/// nested too deeply or escapes half a surrogate pair, which Python would take.
pub fn json_loads(text: &str) -> Result<Value, Exception> {
    let mut reader = Reader { text, at: 0 };
    reader.skip_blanks();
    let value = reader.value(0)?;
    reader.skip_blanks();
    if reader.at < text.len() {
        return Err(reader.error("Extra data", reader.at));
    }
    Ok(value)
}

struct Reader<'a> {
    text: &'a str,
    /// A byte of `text`, at the beginning of a character.
    at: usize,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Value, Exception> {
        if depth > MAX_DEPTH {
            return Err(self.error("Nested too deeply", self.at));
        }
        match self.peek() {
            Some(b'"') => self.string().map(Value::Str),
            Some(b'[') => self.array(depth),
            Some(b'{') => self.object(depth),
            Some(b'-' | b'0'..=b'9') if self.number_length() > 0 => self.number(),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Result<Value, Exception> {
        let words = [
            ("null", Value::None),
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("NaN", Value::Float(f64::NAN)),
            ("Infinity", Value::Float(f64::INFINITY)),
            ("-Infinity", Value::Float(f64::NEG_INFINITY)),
        ];
        for (word, value) in words {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.error("Expecting value", self.at))
    }

    fn array(&mut self, depth: usize) -> Result<Value, Exception> {
        let mut items = Vec::new();
        self.at += 1;
        self.skip_blanks();
        if self.take(b']') {
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_blanks();
            if self.take(b']') {
                return Ok(Value::List(items));
            }
            if !self.take(b',') {
                return Err(self.error("Expecting ',' delimiter", self.at));
            }
            self.skip_blanks();
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, Exception> {
        const NAME: &str = "Expecting property name enclosed in double quotes";
        let mut dict = Dict::new();
        self.at += 1;
        self.skip_blanks();
        if self.take(b'}') {
            return Ok(Value::Dict(dict));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.error(NAME, self.at));
            }
            let key = self.string()?;
            self.skip_blanks();
            if !self.take(b':') {
                return Err(self.error("Expecting ':' delimiter", self.at));
            }
            self.skip_blanks();
            dict.insert(key, self.value(depth + 1)?);
            self.skip_blanks();
            if self.take(b'}') {
                return Ok(Value::Dict(dict));
            }
            if !self.take(b',') {
                return Err(self.error("Expecting ',' delimiter", self.at));
            }
            self.skip_blanks();
        }
    }

    fn number(&mut self) -> Result<Value, Exception> {
        let digits = &self.text[self.at..self.at + self.number_length()];
        self.at += digits.len();
        if digits.contains(['.', 'e', 'E']) {
            let float = digits.parse().expect("JSON's floats are Rust's");
            return Ok(Value::Float(float));
        }
        if digits.len() > MAX_DIGITS {
            return Err(too_many_digits());
        }
        let int: BigInt = digits.parse().expect("a sign and digits are an int");
        Ok(Value::from(int))
    }

    /// How much of what follows is `-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?`.
    fn number_length(&self) -> usize {
        let bytes = &self.text.as_bytes()[self.at..];
        let digits = |from: usize| {
            let rest = bytes.get(from..).unwrap_or_default();
            rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
        };
        let mut end = usize::from(bytes.first() == Some(&b'-'));
        end += match bytes.get(end) {
            Some(b'0') => 1,
            _ => match digits(end) {
                0 => return 0,
                count => count,
            },
        };
        if bytes.get(end) == Some(&b'.') && digits(end + 1) > 0 {
            end += 1 + digits(end + 1);
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'-' | b'+')));
            if digits(end + 1 + sign) > 0 {
                end += 1 + sign + digits(end + 1 + sign);
            }
        }
        end
    }

    fn string(&mut self) -> Result<String, Exception> {
        let begin = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            let Some(c) = self.text[self.at..].chars().next() else {
                return Err(self.error("Unterminated string starting at", begin));
            };
            match c {
                '"' => {
                    self.at += 1;
                    return Ok(text);
                }
                '\\' => text.push(self.escape(begin)?),
                c if c < ' ' => return Err(self.error("Invalid control character at", self.at)),
                c => {
                    self.at += c.len_utf8();
                    text.push(c);
                }
            }
        }
    }

    fn escape(&mut self, begin: usize) -> Result<char, Exception> {
        let backslash = self.at;
        let Some(letter) = self.text[backslash + 1..].chars().next() else {
            return Err(self.error("Unterminated string starting at", begin));
        };
        self.at += 1 + letter.len_utf8();
        match letter {
            '"' | '\\' | '/' => Ok(letter),
            'b' => Ok('\u{8}'),
            'f' => Ok('\u{c}'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            'u' => self.code(backslash),
            _ => Err(self.error("Invalid \\escape", backslash)),
        }
    }

    /// What follows `\u`, of two escapes where the first is half a pair.
    fn code(&mut self, backslash: usize) -> Result<char, Exception> {
        let first = self.unit(backslash)?;
        let mut units = vec![first];
        if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with("\\u") {
            let second = self.at;
            self.at += 2;
            units.push(self.unit(second)?);
        }
        let mut characters = char::decode_utf16(units);
        match (characters.next(), characters.next()) {
            (Some(Ok(c)), None) => Ok(c),
            _ => Err(self.error("Half a surrogate pair", backslash)),
        }
    }

    fn unit(&mut self, backslash: usize) -> Result<u16, Exception> {
        let unit = self
            .text
            .get(self.at..self.at + 4)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|digits| u16::from_str_radix(digits, 16).ok())
            .ok_or_else(|| self.error("Invalid \\uXXXX escape", backslash + 1))?;
        self.at += 4;
        Ok(unit)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// A `JSONDecodeError` at a byte, which it names in characters.
    fn error(&self, problem: &str, at: usize) -> Exception {
        let before = &self.text[..at];
        let line = before.matches('\n').count() + 1;
        let line_begin = before.rfind('\n').map_or(0, |end| end + 1);
        let column = before[line_begin..].chars().count() + 1;
        let character = before.chars().count();
        Exception::value_error(format!(
            "{problem}: line {line} column {column} (char {character})"
        ))
    }
}
