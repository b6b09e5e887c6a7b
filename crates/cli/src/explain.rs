//! The config as people read it: all of it with comments, or one key with its default.

use std::fmt::Write;

use toml::{Table, Value};

use crate::config::RunConfig;
use crate::exit::UsageError;
use crate::schema::{Entry, Kind, Schema};
use crate::suggestion;

/// The default config as TOML, each key under its text. What has no default stands as a
/// comment.
pub(crate) fn default_toml() -> String {
    let mut text = String::from(
        "# Every key of a run, with what it means and its default. A config needs only what\n\
         # differs. `pact config explain KEY` says the same of one key.\n",
    );
    write_table(&mut text, Schema::of_run(), "", &default_table());
    text
}

/// What a key, a table or a metric means.
pub(crate) fn explain(key: &str) -> Result<String, UsageError> {
    if let Some(name) = key
        .strip_prefix("metrics")
        .filter(|rest| rest.is_empty() || rest.starts_with('.'))
    {
        return explain_metric(name.trim_start_matches('.'));
    }
    let schema = Schema::of_run();
    let Some(entry) = schema.find(key).filter(|entry| !entry.key.is_empty()) else {
        let keys = schema.entries.iter().map(|entry| entry.key.as_str());
        let hint = suggestion::hint(key, keys);
        let hint = match hint.is_empty() {
            true => "\nhint: `pact config default` prints every key".to_owned(),
            false => hint,
        };
        return Err(UsageError(format!("no key is called `{key}`{hint}")));
    };
    let doc = entry.doc.join("\n");
    let defaults = default_table();
    Ok(match &entry.kind {
        Kind::Value(words) => {
            let default = lookup(&defaults, key);
            let default = default.map_or("not set".to_owned(), Value::to_string);
            let mut text = format!("{key}: {words}\ndefault: {default}\n\n{doc}\n");
            for (name, doc) in &entry.choices {
                let _ = writeln!(text, "\n{name}\n    {}", doc.join("\n    "));
            }
            text
        }
        Kind::Table => format!("[{key}]\n\n{doc}\n\n{}", list(schema, key, &defaults)),
        Kind::Choice => format!("{key}: one of\n\n{}\n{doc}\n", list(schema, key, &defaults)),
    })
}

/// What a number of metrics.jsonl is; all of them for an empty name.
fn explain_metric(name: &str) -> Result<String, UsageError> {
    if name.is_empty() {
        let lines = train::METRICS.map(|(name, text)| format!("{name}\n    {text}\n"));
        return Ok(lines.concat());
    }
    match train::describe(name) {
        Some(text) => Ok(format!("metrics.{name}\n\n{text}\n")),
        None => {
            let names = train::METRICS.iter().map(|(name, _)| *name);
            let hint = match suggestion::hint(name, names) {
                hint if hint.is_empty() => {
                    "\nhint: `pact config explain metrics` lists all of them".to_owned()
                }
                hint => hint,
            };
            Err(UsageError(format!("no metric is called `{name}`{hint}")))
        }
    }
}

/// The keys below a table, each with its default and the first line of its text.
fn list(schema: &Schema, key: &str, defaults: &Table) -> String {
    let mut text = String::new();
    for entry in schema.below(key) {
        let value = match (&entry.kind, lookup(defaults, &entry.key)) {
            (Kind::Table | Kind::Choice, _) => String::new(),
            (_, None) => " (not set)".to_owned(),
            (_, Some(value)) => format!(" = {value}"),
        };
        let name = match entry.kind {
            Kind::Table | Kind::Choice => format!("[{}]", entry.key),
            Kind::Value(_) => entry.key.clone(),
        };
        let _ = writeln!(text, "{name}{value}\n    {}", entry.doc.join("\n    "));
    }
    text
}

fn default_table() -> Table {
    let text = toml::to_string(&RunConfig::default()).expect("a config is TOML");
    toml::from_str(&text).expect("what was written can be read")
}

fn lookup<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        Some((first, rest)) => lookup(table.get(first)?.as_table()?, rest),
        None => table.get(key),
    }
}

/// Values first, as TOML wants them, then the tables below.
fn write_table(text: &mut String, schema: &Schema, key: &str, defaults: &Table) {
    let is_value = |entry: &&Entry| matches!(entry.kind, Kind::Value(_));
    for entry in schema.below(key).filter(is_value) {
        let name = entry.key.rsplit('.').next().unwrap_or(&entry.key);
        write_doc(text, entry, "");
        let Kind::Value(words) = &entry.kind else {
            continue;
        };
        let _ = match lookup(defaults, &entry.key) {
            Some(value) => writeln!(text, "{name} = {value}"),
            None => writeln!(text, "# {name} = ({words}; not set)"),
        };
    }
    for entry in schema.below(key).filter(|entry| !is_value(entry)) {
        if entry.kind == Kind::Choice {
            write_doc(text, entry, "");
            write_table(text, schema, &entry.key, defaults);
        } else if lookup(defaults, &entry.key).is_some() {
            write_doc(text, entry, "");
            let _ = writeln!(text, "[{}]", entry.key);
            write_table(text, schema, &entry.key, defaults);
        } else {
            write_unchosen(text, schema, entry);
        }
    }
}

/// A table that another one stands in the place of.
fn write_unchosen(text: &mut String, schema: &Schema, entry: &Entry) {
    write_doc(text, entry, "Or: ");
    let _ = writeln!(text, "# [{}]", entry.key);
    let keys: Vec<&str> = (schema.below(&entry.key))
        .map(|below| below.key.rsplit('.').next().unwrap_or(&below.key))
        .collect();
    let _ = writeln!(text, "#   with {}", keys.join(", "));
}

fn write_doc(text: &mut String, entry: &Entry, before: &str) {
    let _ = writeln!(text, "\n# {before}{}", entry.doc.join("\n# "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_config_as_printed_is_the_default_config() {
        let config: RunConfig = toml::from_str(&default_toml()).expect("TOML of known keys");
        assert_eq!(config, RunConfig::default());
    }

    #[test]
    fn every_value_of_the_default_config_has_a_text() {
        fn check(table: &Table, above: &str) {
            for (name, value) in table {
                let key = format!("{above}{name}");
                let entry = Schema::of_run().find(&key);
                assert!(entry.is_some(), "`{key}` cannot be explained");
                if let Value::Table(below) = value {
                    check(below, &format!("{key}."));
                }
            }
        }
        check(&default_table(), "");
    }

    #[test]
    fn a_misspelt_key_gets_the_nearest_one() {
        assert_eq!(
            explain("rollout.groupsize").expect_err("a typo").0,
            "no key is called `rollout.groupsize`\nhint: did you mean `rollout.group-size`?"
        );
    }
}
