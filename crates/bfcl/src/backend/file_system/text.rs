//! Commands that read files.

use python::{Comparison, Exception, Value, compare, fixed};

use super::super::{dict, error};
use super::FileSystem;
use super::commands::{is_valid, text_of};
use super::tree::Node;

impl FileSystem {
    /// The content of a file here; `None` of a directory and of nothing.
    fn content(&self, name: &Value) -> Result<Option<&Value>, Exception> {
        let node = self.tree.child(self.here(), name)?;
        Ok(node.and_then(|node| match self.tree.node(node) {
            Node::File { content, .. } => Some(content),
            Node::Directory { .. } => None,
        }))
    }

    pub(super) fn cat(&self, name: &Value) -> Result<Value, Exception> {
        let refused = |reason| error(format!("cat: '{name}': {reason}"));
        if !is_valid(name)? {
            return refused("Invalid character");
        }
        match self.content(name)? {
            Some(content) => Ok(dict([("file_content", content.clone())])),
            None if self.tree.child(self.here(), name)?.is_some() => refused("Is a directory"),
            None => refused("No such file or directory"),
        }
    }

    pub(super) fn wc(&self, name: &Value, mode: &Value) -> Result<Value, Exception> {
        let Some(kind) = ["lines", "words", "characters"]
            .into_iter()
            .find(|kind| mode.as_str() == Some(&kind[..1]))
        else {
            return error(format!("wc: invalid mode '{mode}'"));
        };
        let Some(content) = self.content(name)? else {
            return no_such_file("wc", name);
        };
        let count = match kind {
            "lines" => lines_of(content)?.len(),
            "words" => text_of(content, "split")?
                .split(is_blank)
                .filter(|w| !w.is_empty())
                .count(),
            _ => content.length()?,
        };
        Ok(dict([
            ("count", Value::Int(count as i64)),
            ("type", Value::from(kind)),
        ]))
    }

    pub(super) fn sort(&self, name: &Value) -> Result<Value, Exception> {
        let Some(content) = self.content(name)? else {
            return no_such_file("sort", name);
        };
        let mut lines = lines_of(content)?;
        lines.sort_unstable();
        Ok(dict([("sorted_content", Value::Str(lines.join("\n")))]))
    }

    pub(super) fn grep(&self, name: &Value, pattern: &Value) -> Result<Value, Exception> {
        let Some(content) = self.content(name)? else {
            return no_such_file("grep", name);
        };
        let mut matching = Vec::new();
        for line in lines_of(content)? {
            let line = Value::from(line);
            if line.contains(pattern)? {
                matching.push(line);
            }
        }
        Ok(dict([("matching_lines", Value::List(matching))]))
    }

    pub(super) fn tail(&self, name: &Value, count: &Value) -> Result<Value, Exception> {
        let Some(content) = self.content(name)? else {
            return no_such_file("tail", name);
        };
        let lines = lines_of(content)?;
        let all = Value::Int(lines.len() as i64);
        let count = if compare(count, Comparison::Greater, &all)? {
            &all
        } else {
            count
        };
        let last = last(&lines, count)?;
        Ok(dict([("last_lines", Value::Str(last.join("\n")))]))
    }

    pub(super) fn diff(&self, first: &Value, second: &Value) -> Result<Value, Exception> {
        let exists = |name| Ok::<_, Exception>(self.tree.child(self.here(), name)?.is_some());
        let contents = if exists(first)? && exists(second)? {
            self.content(first)?.zip(self.content(second)?)
        } else {
            None
        };
        let Some((left, right)) = contents else {
            return no_such_file("diff", &Value::Str(format!("{first} or {second}")));
        };
        let different: Vec<String> = lines_of(left)?
            .into_iter()
            .zip(lines_of(right)?)
            .filter(|(left, right)| left != right)
            .map(|(left, right)| format!("- {left}\n+ {right}"))
            .collect();
        Ok(dict([("diff_lines", Value::Str(different.join("\n")))]))
    }

    pub(super) fn du(&self, human_readable: &Value) -> Result<Value, Exception> {
        let mut bytes = 0;
        self.tree.walk(self.here(), "", &mut |_, _, node| {
            if let Node::File { content, .. } = node {
                bytes += text_of(content, "encode")?.len();
            }
            Ok(())
        })?;
        let usage = if human_readable.is_true() {
            readable(bytes)
        } else {
            format!("{bytes} bytes")
        };
        Ok(dict([("disk_usage", Value::Str(usage))]))
    }
}

fn no_such_file(command: &str, name: &Value) -> Result<Value, Exception> {
    error(format!("{command}: {name}: No such file or directory"))
}

/// `lines[-count:]`; of a count of 0 that is all of them.
fn last<'a>(lines: &'a [&'a str], count: &Value) -> Result<&'a [&'a str], Exception> {
    let negated = python::negate(count)?;
    let Some(start) = negated.as_big_int() else {
        return Err(Exception::type_error(
            "slice indices must be integers or None or have an __index__ method",
        ));
    };
    let length = lines.len() as i64;
    let start = i64::try_from(start).unwrap_or(if count.is_true() { length } else { 0 });
    let start = if start < 0 { start + length } else { start };
    Ok(&lines[start.clamp(0, length) as usize..])
}

fn readable(bytes: usize) -> String {
    let mut size = bytes as f64;
    let mut units = ["B", "KB", "MB", "GB", "TB"].into_iter();
    for unit in units.by_ref() {
        if size < 1024.0 {
            return format!("{} {unit}", fixed(size, 2));
        }
        size /= 1024.0;
    }
    format!("{} PB", fixed(size, 2))
}

/// `text.splitlines()`
fn lines_of(content: &Value) -> Result<Vec<&str>, Exception> {
    let mut rest = text_of(content, "splitlines")?;
    let mut lines = Vec::new();
    while !rest.is_empty() {
        let Some(end) = rest.find(is_line_end) else {
            lines.push(rest);
            break;
        };
        lines.push(&rest[..end]);
        let after = &rest[end..];
        let width = after.chars().next().map_or(0, char::len_utf8);
        rest = after.strip_prefix("\r\n").unwrap_or(&after[width..]);
    }
    Ok(lines)
}

fn is_line_end(c: char) -> bool {
    matches!(
        c,
        '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

/// `c.isspace()`: to Python the separators of ASCII are blanks too.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}
