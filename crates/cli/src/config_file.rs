//! Reads a config from its file and the command line's `--set`, and says which line or which
//! override is wrong, and what it should have been.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::config::{RunConfig, Wrong};
use crate::exit::UsageError;
use crate::schema::Schema;
use crate::suggestion;

/// The config of `file` (all defaults without one), changed by each `--set` in turn, and
/// checked.
pub(crate) fn read(file: Option<&Path>, sets: &[String]) -> Result<RunConfig, UsageError> {
    let text = match file {
        Some(path) => fs::read_to_string(path).map_err(|error| unreadable(path, &error))?,
        None => String::new(),
    };
    let origin = Origin { file, text: &text };
    let config: RunConfig = origin.parse()?;
    let config = with_sets(config, &text, sets)?;
    config.check().map_err(|wrongs| {
        let lines: Vec<String> = (wrongs.iter())
            .map(|wrong| origin.refuse(wrong, sets))
            .collect();
        UsageError(lines.join("\n"))
    })?;
    Ok(config)
}

/// The comment on the first line of a config, with its line break: what the run is to show. Empty
/// where the first line is none.
pub(crate) fn sentence(file: &Path) -> Result<String, UsageError> {
    let text = fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
    let first = text.lines().next().filter(|line| line.starts_with('#'));
    Ok(first.map_or_else(String::new, |line| format!("{line}\n")))
}

/// `base` changed by `--set` overrides, without a file.
pub(crate) fn overridden<T: Serialize + DeserializeOwned>(
    base: T,
    sets: &[String],
) -> Result<T, UsageError> {
    let text = toml::to_string(&base).expect("a config is TOML");
    with_sets(base, &text, sets)
}

fn with_sets<T: DeserializeOwned>(
    mut config: T,
    text: &str,
    sets: &[String],
) -> Result<T, UsageError> {
    let mut table: Table = toml::from_str(text).expect("a config that was read is TOML");
    for set in sets {
        apply(&mut table, set)?;
        config = table
            .clone()
            .try_into()
            .map_err(|error: toml::de::Error| in_set(set, error.message()))?;
    }
    Ok(config)
}

/// Sets one dotted key. Where a table is one of several (`data.train`), the new one takes the
/// place of the old.
fn apply(table: &mut Table, set: &str) -> Result<(), UsageError> {
    let Some((key, value)) = set.split_once('=') else {
        let problem = "expected KEY=VALUE, as in `--set rollout.group-size=16`";
        return Err(in_set(set, problem));
    };
    let (parents, last) = match key.trim().rsplit_once('.') {
        Some((parents, last)) => (parents.split('.').collect(), last),
        None => (Vec::new(), key.trim()),
    };
    let schema = Schema::of_run();
    let mut table = table;
    let mut path = String::new();
    for parent in parents {
        if schema.is_choice(&path) {
            table.retain(|name, _| name == parent);
        }
        let entry = table
            .entry(parent)
            .or_insert_with(|| Value::Table(Table::new()));
        path = if path.is_empty() {
            parent.to_owned()
        } else {
            format!("{path}.{parent}")
        };
        table = entry
            .as_table_mut()
            .ok_or_else(|| in_set(set, &format!("`{path}` is a value, not a table")))?;
    }
    table.insert(last.to_owned(), parse_value(value.trim()));
    Ok(())
}

/// A TOML value, or the text itself: quotes would have to be written twice in a shell.
fn parse_value(text: &str) -> Value {
    let parsed: Result<Table, _> = toml::from_str(&format!("value = {text}"));
    match parsed {
        Ok(mut table) if table.len() == 1 => table.remove("value").expect("the only key"),
        _ => Value::String(text.to_owned()),
    }
}

/// Where a config comes from.
struct Origin<'a> {
    file: Option<&'a Path>,
    text: &'a str,
}

impl Origin<'_> {
    fn parse<T: DeserializeOwned>(&self) -> Result<T, UsageError> {
        toml::from_str(self.text).map_err(|error| {
            let place = self.place(error.span());
            let hint = suggestion::hint_of_message(error.message());
            UsageError(format!("{place}: {}{hint}", error.message().trim_end()))
        })
    }

    /// The error of a value that was read and makes no sense.
    fn refuse(&self, wrong: &Wrong, sets: &[String]) -> String {
        let is_key = |set: &&String| {
            set.split_once('=')
                .is_some_and(|(key, _)| key.trim() == wrong.key)
        };
        let place = match sets.iter().rfind(is_key) {
            Some(set) => format!("`--set {set}`"),
            None => self.place(span_of(self.text, &wrong.key)),
        };
        format!("{place}: `{}` {}", wrong.key, wrong.problem)
    }

    fn place(&self, span: Option<Range<usize>>) -> String {
        let file: PathBuf = self.file.map_or_else(|| "config".into(), Path::to_owned);
        match span {
            Some(span) => {
                let line = 1 + self.text[..span.start].matches('\n').count();
                format!("`{}`, line {line}", file.display())
            }
            None => format!("`{}`", file.display()),
        }
    }
}

/// Where the text gives a dotted key its value.
fn span_of(text: &str, key: &str) -> Option<Range<usize>> {
    let document = toml::de::DeTable::parse(text).ok()?;
    let mut table = document.get_ref();
    let mut span = None;
    for part in key.split('.') {
        let (name, value) = table.get_key_value(part)?;
        span = Some(name.span());
        match value.get_ref() {
            toml::de::DeValue::Table(inner) => table = inner,
            _ => return span,
        }
    }
    span
}

fn in_set(set: &str, message: &str) -> UsageError {
    let hint = suggestion::hint_of_message(message);
    UsageError(format!("`--set {set}`: {}{hint}", message.trim_end()))
}

fn unreadable(path: &Path, error: &std::io::Error) -> UsageError {
    UsageError(format!(
        "`{}`: {error}\nhint: `pact config default > {}` writes a config to begin with",
        path.display(),
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;

    fn read_text(text: &str, sets: &[&str]) -> Result<RunConfig, String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("run.toml");
        fs::write(&file, text).expect("a file in it");
        let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        read(Some(&file), &sets).map_err(|error| {
            error
                .0
                .replace(&format!("{}/", folder.path().display()), "")
        })
    }

    fn check_refused(text: &str, sets: &[&str], expected: &str) {
        let message = read_text(text, sets).expect_err(text);
        assert_eq!(message, expected);
    }

    #[test]
    fn an_unknown_key_is_named_with_its_file_and_line_and_the_nearest_key() {
        let message = read_text("seed = 1\n[schedule]\nwarmup-step = 3", &[]).expect_err("a typo");
        assert_eq!(
            message,
            "`run.toml`, line 3: unknown field `warmup-step`, expected one of `kind`, \
             `warmup-steps`, `final-fraction`\nhint: did you mean `warmup-steps`?"
        );
    }

    #[test]
    fn a_misspelt_override_is_named_with_the_nearest_key() {
        check_refused(
            "",
            &["schedule.kin=linear"],
            "`--set schedule.kin=linear`: unknown field `kin`, expected one of `kind`, \
             `warmup-steps`, `final-fraction`\nhint: did you mean `kind`?",
        );
        check_refused(
            "",
            &["schedule.kind=liner"],
            "`--set schedule.kind=liner`: unknown variant `liner`, expected one of `constant`, \
             `linear`, `cosine`\nhint: did you mean `linear`?",
        );
        check_refused(
            "",
            &["seed"],
            "`--set seed`: expected KEY=VALUE, as in `--set rollout.group-size=16`",
        );
        check_refused(
            "",
            &["seed.x=1"],
            "`--set seed.x=1`: invalid type: map, expected u64",
        );
        check_refused(
            "seed = 4",
            &["seed.x=1"],
            "`--set seed.x=1`: `seed` is a value, not a table",
        );
    }

    #[test]
    fn a_value_that_makes_no_sense_is_named_where_it_was_given() {
        let refused = "`rollout.max-turns` is 0, expected 1 or more";
        let text = "[rollout]\n\nmax-turns = 0";
        check_refused(text, &[], &format!("`run.toml`, line 3: {refused}"));
        let set = "rollout.max-turns=0";
        check_refused("", &[set], &format!("`--set {set}`: {refused}"));
    }

    #[test]
    fn overrides_are_toml_or_bare_text_and_the_last_one_counts() {
        let sets = [
            "rollout.group-size=4",
            "objective.algorithm=grpo",
            "data.train.world.hops=[3, 4]",
            "rollout.group-size=5",
        ];
        let config = read_text("seed = 3", &sets).expect("known keys");
        assert_eq!(config.seed, 3);
        assert_eq!(config.rollout.group_size, 5);
        assert_eq!(config.objective.algorithm, objective::Algorithm::Grpo);
        assert!(matches!(config.data.train, Source::World(world) if world.hops == [3, 4]));
    }

    #[test]
    fn an_override_may_choose_another_source() {
        let sets = ["data.train.ftrl.file=rows.jsonl"];
        let config = read_text("[data.train.world]\ntasks = 3", &sets).expect("known keys");
        assert!(matches!(config.data.train, Source::Ftrl(ftrl) if ftrl.traces.is_none()));
    }
}
