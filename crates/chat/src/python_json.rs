//! JSON as Python's `json.dumps` prints it, which is what chat templates were written and
//! models were trained with. Values only: nothing here knows a template's variables.

use std::fmt::Write;

use serde_json::Value;

/// The arguments of `json.dumps` that templates use. The default is what Hugging Face's
/// `tojson` passes: key order kept, non-ASCII text as it is, `", "` and `": "` between.
#[derive(Clone, Debug, Default)]
pub(crate) struct Style {
    pub(crate) ensure_ascii: bool,
    pub(crate) sort_keys: bool,
    /// One level of indentation; `None` puts everything on one line.
    pub(crate) indent: Option<String>,
    /// Between items, and between a key and its value.
    pub(crate) separators: Option<(String, String)>,
}

/// Prints a value.
pub(crate) fn dumps(value: &Value, style: &Style) -> String {
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
    writer.value(value, 0);
    writer.text
}

struct Writer<'a> {
    text: String,
    style: &'a Style,
    item: &'a str,
    key: &'a str,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, depth: usize) {
        match value {
            Value::Null => self.text.push_str("null"),
            Value::Bool(value) => self.text.push_str(if *value { "true" } else { "false" }),
            Value::Number(number) => match number.as_f64() {
                Some(float) if number.is_f64() => self.text.push_str(&repr(float)),
                _ => self.text.push_str(&number.to_string()),
            },
            Value::String(text) => self.string(text),
            Value::Array(items) if items.is_empty() => self.text.push_str("[]"),
            Value::Array(items) => {
                self.text.push('[');
                for (i, item) in items.iter().enumerate() {
                    self.begin_item(i, depth + 1);
                    self.value(item, depth + 1);
                }
                self.new_line(depth);
                self.text.push(']');
            }
            Value::Object(fields) if fields.is_empty() => self.text.push_str("{}"),
            Value::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().collect();
                if self.style.sort_keys {
                    fields.sort_by_key(|(key, _)| *key);
                }
                self.text.push('{');
                for (i, (key, value)) in fields.into_iter().enumerate() {
                    self.begin_item(i, depth + 1);
                    self.string(key);
                    self.text.push_str(self.key);
                    self.value(value, depth + 1);
                }
                self.new_line(depth);
                self.text.push('}');
            }
        }
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

    /// serde_json escapes as Python does, but for `ensure_ascii`.
    fn string(&mut self, text: &str) {
        let quoted = Value::from(text).to_string();
        if !self.style.ensure_ascii {
            self.text.push_str(&quoted);
            return;
        }
        for c in quoted.chars() {
            // Python escapes DEL no more than serde_json does.
            if c.is_ascii() {
                self.text.push(c);
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(self.text, "\\u{unit:04x}").expect("a string takes all text");
                }
            }
        }
    }
}

/// A float as Python's `repr` prints it: the shortest digits that read back the same, with an
/// exponent from 1e16 up and below 1e-4.
fn repr(float: f64) -> String {
    let scientific = format!("{float:e}");
    let (digits, exponent) = scientific
        .split_once('e')
        .expect("`{:e}` prints an exponent");
    let exponent: i32 = exponent.parse().expect("`{:e}` prints a decimal exponent");
    if (-4..16).contains(&exponent) {
        let plain = float.to_string();
        let point = if plain.contains('.') { "" } else { ".0" };
        format!("{plain}{point}")
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{digits}e{sign}{:02}", exponent.abs())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn floats_are_printed_as_python_prints_them() {
        for (float, expected) in [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (123_456_789.125, "123456789.125"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.25e100, "1.25e+100"),
        ] {
            assert_eq!(repr(float), expected);
        }
    }

    #[test]
    fn the_default_is_one_line_with_spaces_and_no_ascii_escapes() {
        let value =
            json!({"b": [1, 2.0, null], "a": {"é": "日\n\"<b>&'\u{1}\u{7f}"}, "e": [{}, []]});
        assert_eq!(
            dumps(&value, &Style::default()),
            "{\"b\": [1, 2.0, null], \"a\": {\"é\": \"日\\n\\\"<b>&'\\u0001\u{7f}\"}, \"e\": [{}, []]}"
        );
    }

    #[test]
    fn every_argument_does_what_python_does() {
        let value = json!({"b": [1, {"c": []}], "a": "é😀"});
        let check = |style: Style, expected: &str| assert_eq!(dumps(&value, &style), expected);
        check(
            Style {
                indent: Some("  ".to_owned()),
                ..Style::default()
            },
            "{\n  \"b\": [\n    1,\n    {\n      \"c\": []\n    }\n  ],\n  \"a\": \"é😀\"\n}",
        );
        check(
            Style {
                ensure_ascii: true,
                sort_keys: true,
                separators: Some((",".to_owned(), ":".to_owned())),
                ..Style::default()
            },
            "{\"a\":\"\\u00e9\\ud83d\\ude00\",\"b\":[1,{\"c\":[]}]}",
        );
    }
}
