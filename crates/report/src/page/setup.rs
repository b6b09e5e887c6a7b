//! What a run was told, on what it ran, and what it read.

use std::collections::BTreeMap;

use episode::{Machine, RunRecord, Session};
use serde::Serialize;

use crate::grid::Grid;
use crate::method::flatten;

use super::block::Block;
use super::conversation::{brief, cut};

/// The settings that say what a run is.
const MAIN: [&str; 14] = [
    "seed",
    "objective.algorithm",
    "objective.anchor",
    "model.path",
    "model.preset",
    "model.lora.rank",
    "optimizer.kind",
    "optimizer.learning-rate",
    "rollout.group-size",
    "rollout.max-turns",
    "rollout.temperature",
    "train.prompts-per-step",
    "train.steps",
    "eval.tasks",
];

/// A setting, and what it is where nobody says it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) default: Option<String>,
}

/// What a run was told, on what it ran, and what it read.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Setup {
    /// The settings that say what it is.
    pub(super) main: Vec<Setting>,
    /// The settings that are not the defaults.
    pub(super) changed: Vec<Setting>,
    /// The processes that wrote it, as `run.json` has them.
    pub(super) sessions: Vec<Session>,
    /// Hashes of what it read.
    pub(super) contents: BTreeMap<String, String>,
    /// `config.toml`, whole.
    pub(super) config: String,
}

impl Setup {
    /// `record` is `run.json`, or nothing.
    pub(super) fn of(
        text: &str,
        config: &toml::Table,
        defaults: &toml::Table,
        record: Option<&RunRecord>,
    ) -> Self {
        let (settings, defaults) = (flat(config), flat(defaults));
        let setting = |(key, value): (&String, &String)| Setting {
            key: key.clone(),
            value: brief(value),
            default: defaults.get(key).map(|it| brief(it)),
        };
        let main = MAIN.iter().filter_map(|key| settings.get_key_value(*key));
        let mut main: Vec<Setting> = main.map(setting).collect();
        main.insert(
            0,
            Setting {
                key: "suite".to_owned(),
                value: suite(config),
                default: None,
            },
        );
        let changed = settings
            .iter()
            .filter(|(key, value)| defaults.get(*key) != Some(*value));
        Self {
            main,
            changed: changed.map(setting).collect(),
            sessions: record.map(|it| it.sessions.clone()).unwrap_or_default(),
            contents: record.map(|it| it.contents.clone()).unwrap_or_default(),
            config: text.to_owned(),
        }
    }

    pub(super) fn blocks(&self) -> Vec<Block> {
        let mut grid = Grid::default().words(&["setting", "value"]);
        grid.rows = (self.main.iter())
            .map(|it| vec![it.key.clone(), it.value.clone()])
            .collect();
        let mut blocks = vec![Block::Table("What was run", grid)];

        let grid = Grid::default().numbers(&["after steps"]);
        let mut grid = grid.words(&["pact", "program's SHA-256", "machine"]);
        for session in &self.sessions {
            let (step, version) = (session.step.to_string(), cut(&session.version));
            grid.rows.push(vec![
                step,
                version,
                cut(&session.binary),
                machine(&session.machine),
            ]);
        }
        match grid.rows.is_empty() {
            true => blocks.push(Block::Note(
                "No run.json says on what machine it ran.".into(),
            )),
            false => blocks.push(Block::Table("The processes that wrote it", grid)),
        }
        let changes = self.sessions.iter().flat_map(|session| &session.changes);
        blocks.extend(
            changes.map(|it| Block::Warning(format!("Gone on with a change: {}", cut(it)))),
        );
        if !self.contents.is_empty() {
            let mut grid = Grid::default().words(&["what it read", "SHA-256"]);
            let rows = self.contents.iter();
            grid.rows = rows
                .map(|(what, hash)| vec![what.clone(), hash.clone()])
                .collect();
            blocks.push(Block::Table("What it read", grid));
        }
        let mut grid = Grid::default().words(&["setting", "value", "default"]);
        grid.rows = (self.changed.iter())
            .map(|it| {
                let default = it.default.clone().unwrap_or_else(|| "not set".to_owned());
                vec![it.key.clone(), it.value.clone(), default]
            })
            .collect();
        let summary = "Settings that are not the defaults".to_owned();
        blocks.push(Block::Fold(summary, vec![Block::Table("As set", grid)]));
        let config = cut(&self.config);
        blocks.push(Block::Fold(
            "The whole config".into(),
            vec![Block::Code(config)],
        ));
        blocks
    }
}

/// Settings by dotted key.
pub(super) fn flat(table: &toml::Table) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    flatten("", table.clone(), &mut settings);
    settings
}

fn machine(machine: &Machine) -> String {
    let (cores, threads) = (machine.cores, machine.threads);
    format!(
        "{threads} of {cores} threads, {}",
        cut(&machine.instructions)
    )
}

fn text(config: &toml::Table, table: &str, key: &str) -> Option<String> {
    Some(config.get(table)?.get(key)?.as_str()?.to_owned())
}

/// `PACT`, `GRPO`: what it optimises.
pub(super) fn algorithm(config: &toml::Table) -> String {
    let name = text(config, "objective", "algorithm");
    name.map_or_else(|| "training".to_owned(), |name| name.to_uppercase())
}

pub(super) fn model(config: &toml::Table) -> String {
    let path = text(config, "model", "path").or_else(|| text(config, "model", "preset"));
    path.unwrap_or_else(|| "unnamed".to_owned())
}

/// The kind of the held-out tasks, else of the training tasks.
pub(super) fn suite(config: &toml::Table) -> String {
    let kind = |part: &str| {
        let data = config.get("data")?.get(part)?.as_table()?;
        data.keys().next().cloned()
    };
    kind("eval")
        .or_else(|| kind("train"))
        .unwrap_or_else(|| "unnamed".to_owned())
}
