//! What is not as it was when a run is gone on with, and whether it can matter: to the bits that
//! are still to come, or to what the run can be said to be.

use std::collections::BTreeMap;
use std::path::Path;

use episode::{RunRecord, Session};
use toml::{Table, Value};

use crate::config::RunConfig;
use crate::exit::UsageError;

/// Keys that say how a run is done, and not what comes out of it.
const HARMLESS: [&str; 10] = [
    "engine.threads",
    "engine.memory-gib",
    "engine.cache-gib",
    "train.checkpoint-every",
    "train.keep-checkpoints",
    "train.sampler-gap-warning",
    "train.sampler-gap-limit",
    "train.max-skipped",
    "train.heartbeat-seconds",
    "train.tensorboard",
];

/// Keys that name what a run reads, whose content is compared by itself.
const PATHS: [&str; 18] = [
    "model.path",
    "model.adapter",
    "model.reference",
    "model.tokenizer",
    "data.traces",
    "data.train.ftrl.file",
    "data.train.ftrl.traces",
    "data.train.toolhop.file",
    "data.train.toolhop.traces",
    "data.train.bfcl.folder",
    "data.train.tau.file",
    "data.train.tau.traces",
    "data.train.own.file",
    "data.train.own.python",
    "data.eval.ftrl.file",
    "data.eval.toolhop.file",
    "data.eval.bfcl.folder",
    "data.eval.own.file",
];

/// What is not as it was, a sentence each.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Changes {
    /// What may change the run's outcome or its meaning.
    pub(super) serious: Vec<String>,
    /// What cannot.
    pub(super) harmless: Vec<String>,
}

impl Changes {
    /// What `now` has otherwise than `before`.
    pub(super) fn between(before: &RunRecord, now: &RunRecord) -> Self {
        let mut changes = Self::default();
        changes.of_config(before, now);
        changes.of_contents(before, now);
        if let (Some(before), Some(now)) = (before.sessions.last(), now.sessions.last()) {
            changes.of_session(before, now);
        }
        changes
    }

    /// Refuses to go on where something serious has changed.
    pub(super) fn refuse(&self, run: &Path) -> Result<(), UsageError> {
        if self.serious.is_empty() {
            return Ok(());
        }
        Err(UsageError(format!(
            "`{}` would not go on as what it was:\n  {}\nhint: `--allow-changed` goes on with this, and \
             `run.json` will say so",
            run.display(),
            self.serious.join("\n  ")
        )))
    }

    /// All of it.
    pub(super) fn into_sentences(self) -> Vec<String> {
        self.serious.into_iter().chain(self.harmless).collect()
    }

    fn of_config(&mut self, before: &RunRecord, now: &RunRecord) {
        let mut keys: Vec<&String> = before.config.keys().chain(now.config.keys()).collect();
        keys.sort();
        keys.dedup();
        for key in keys {
            let (old, new) = (before.config.get(key), now.config.get(key));
            if old == new {
                continue;
            }
            let shown = |value: Option<&String>| value.map_or("not set", |it| it).to_owned();
            let sentence = format!("`{key}` was {}, and is {}", shown(old), shown(new));
            match is_harmless(key, old, new) {
                true => self.harmless.push(sentence),
                false => self.serious.push(sentence),
            }
        }
    }

    /// What only one of both reads was named by the config.
    fn of_contents(&mut self, before: &RunRecord, now: &RunRecord) {
        for (what, digest) in &now.contents {
            if before.contents.get(what).is_some_and(|it| it != digest) {
                let sentence = format!("the {what} is not what it was: other content");
                self.serious.push(sentence);
            }
        }
    }

    fn of_session(&mut self, before: &Session, now: &Session) {
        let short = |it: &Session| {
            let digest: String = it.binary.chars().take(12).collect();
            format!("pact {} ({digest})", it.version)
        };
        if before.binary != now.binary {
            self.serious.push(format!(
                "the program was {}, and is {}",
                short(before),
                short(now)
            ));
        }
        let (was, is) = (&before.machine, &now.machine);
        if was.instructions != is.instructions {
            self.serious.push(format!(
                "the machine computed with `{}`, and does with `{}`, which rounds otherwise",
                was.instructions, is.instructions
            ));
        }
        if was.threads != is.threads {
            let threads = (was.threads, is.threads);
            let sentence = format!("{} threads computed, and {} do", threads.0, threads.1);
            self.harmless.push(sentence);
        }
    }
}

/// Whether a key can have changed so without any weight or past evaluation meaning less.
fn is_harmless(key: &str, old: Option<&String>, new: Option<&String>) -> bool {
    if HARMLESS.contains(&key) {
        return true;
    }
    if PATHS.contains(&key) {
        return old.is_some() && new.is_some();
    }
    // Evaluations that come beside those that there were.
    let number = |value: Option<&String>| value.and_then(|it| it.parse::<u64>().ok());
    match key {
        "train.evaluate-every" => match (number(old), number(new)) {
            (Some(0), _) => true,
            (Some(old), Some(new)) => new > 0 && old.is_multiple_of(new),
            _ => false,
        },
        "eval.greedy" | "eval.sampled" | "eval.greedy-between" | "eval.sampled-between" => {
            new.is_some_and(|it| it == "true")
        }
        _ => false,
    }
}

/// Every key of a config that has a value, from the top, with its value as TOML.
pub(super) fn keys(config: &RunConfig) -> BTreeMap<String, String> {
    // Through its text, in which 0.0003 is 0.0003 however it is held.
    let text = crate::commands::config::to_toml(config);
    let table: Table = toml::from_str(&text).expect("a config is TOML");
    let mut keys = BTreeMap::new();
    flatten("", &table, &mut keys);
    keys
}

fn flatten(above: &str, table: &Table, keys: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        let key = match above {
            "" => key.clone(),
            above => format!("{above}.{key}"),
        };
        match value {
            Value::Table(below) => flatten(&key, below, keys),
            value => {
                keys.insert(key, value.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(set: impl Fn(&mut RunConfig)) -> RunRecord {
        let mut config = RunConfig::default();
        set(&mut config);
        RunRecord {
            config: keys(&config),
            contents: BTreeMap::from([("training data".to_owned(), "12".to_owned())]),
            sessions: vec![Session::default()],
            ..RunRecord::default()
        }
    }

    fn check(now: &RunRecord, serious: &[&str], harmless: &[&str]) {
        let before = record(|_| ());
        let found = Changes::between(&before, now);
        assert_eq!(
            (found.serious, found.harmless),
            (owned(serious), owned(harmless))
        );
    }

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn what_changes_the_outcome_is_told_from_what_cannot() {
        check(&record(|_| ()), &[], &[]);
        check(
            &record(|config| {
                config.train.steps = 7;
                config.train.checkpoint_every = 3;
                config.model.preset = Some(crate::config::Preset::Small);
            }),
            &[
                "`model.preset` was not set, and is \"small\"",
                "`train.steps` was 100, and is 7",
            ],
            &["`train.checkpoint-every` was 50, and is 3"],
        );
        check(
            &record(|config| config.train.evaluate_every = 5),
            &[],
            &["`train.evaluate-every` was 0, and is 5"],
        );
        check(
            &record(|config| config.eval.sampled = false),
            &["`eval.sampled` was true, and is false"],
            &[],
        );
    }

    #[test]
    fn other_content_another_program_and_another_machine_are_named() {
        let mut now = record(|_| ());
        now.contents.insert("training data".into(), "34".into());
        now.sessions[0].binary = "0123456789abcdef".into();
        now.sessions[0].version = "0.2.0".into();
        now.sessions[0].machine.instructions = "avx2".into();
        now.sessions[0].machine.threads = 4;
        check(
            &now,
            &[
                "the training data is not what it was: other content",
                "the program was pact  (), and is pact 0.2.0 (0123456789ab)",
                "the machine computed with ``, and does with `avx2`, which rounds otherwise",
            ],
            &["0 threads computed, and 4 do"],
        );
    }

    #[test]
    fn every_key_whose_change_is_judged_by_content_or_not_at_all_is_a_key() {
        for key in HARMLESS.iter().chain(&PATHS) {
            let known = crate::schema::Schema::of_run().find(key).is_some();
            assert!(known, "{key}");
        }
    }
}
