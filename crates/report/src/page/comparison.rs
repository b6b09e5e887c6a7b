//! Several runs against each other: what was set otherwise, and what that came to.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use crate::ReportError;
use crate::grid::Grid;
use crate::method::{Method, MethodRun};
use crate::standing::{Question, Standings, common_modes};
use crate::standing_page::StandingPage;

use super::block::Block;
use super::conversation::brief;

/// Several runs against each other.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Compared {
    /// The runs by name.
    pub(super) runs: Vec<String>,
    /// The settings that differ: the key, and each run's value.
    pub(super) differing: Vec<(String, Vec<Option<String>>)>,
    /// As `pact compare --json`; nothing where they cannot be compared.
    pub(super) standings: Value,
    /// Why they cannot be compared.
    pub(super) incomparable: Option<String>,
    #[serde(skip)]
    page: Option<StandingPage>,
}

impl Compared {
    /// `runs` are a name, whether it was given, the folder and the config.
    pub(super) fn of(runs: &[(String, bool, PathBuf, toml::Table)], metric: Option<&str>) -> Self {
        let settings: Vec<_> = (runs.iter())
            .map(|(_, _, _, config)| super::setup::flat(config))
            .collect();
        let keys: BTreeSet<&String> = settings.iter().flat_map(|it| it.keys()).collect();
        let values = keys.into_iter().map(|key| {
            let values = settings.iter().map(|it| Some(brief(it.get(key)?)));
            (key.clone(), values.collect::<Vec<_>>())
        });
        let differing = values.filter(|(_, values)| values.iter().any(|it| *it != values[0]));
        let (page, incomparable) = match metric.map(|metric| standings(runs, metric)) {
            None => (None, Some("no run was evaluated".to_owned())),
            Some(Ok(page)) => (Some(page), None),
            Some(Err(error)) => (None, Some(error.to_string())),
        };
        Self {
            runs: runs.iter().map(|(name, ..)| name.clone()).collect(),
            differing: differing.collect(),
            standings: page.as_ref().map_or(Value::Null, StandingPage::to_json),
            incomparable,
            page,
        }
    }

    pub(super) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        if let Some(page) = &self.page {
            blocks.push(Block::Table("As pact compare has it", page.grid()));
            blocks.push(Block::Note(page.notes().join(" ")));
        }
        if let Some(why) = &self.incomparable {
            blocks.push(Block::Warning(format!(
                "These runs cannot be compared: {why}"
            )));
        }
        let names: Vec<&str> = self.runs.iter().map(String::as_str).collect();
        let mut grid = Grid::default().words(&["setting"]).words(&names);
        for (key, values) in &self.differing {
            let value = |it: &Option<String>| it.clone().unwrap_or_else(|| "not set".to_owned());
            let values = values.iter().map(value).collect();
            grid.rows.push([vec![key.clone()], values].concat());
        }
        blocks.push(match grid.rows.is_empty() {
            true => Block::Note("All settings are the same.".into()),
            false => Block::Table("Settings that differ", grid),
        });
        blocks
    }
}

/// The first run's method is the baseline.
fn standings(
    runs: &[(String, bool, PathBuf, toml::Table)],
    metric: &str,
) -> Result<StandingPage, ReportError> {
    let read = runs.iter().map(|(name, is_given, folder, _)| {
        Ok((is_given.then(|| name.clone()), MethodRun::read(folder)?))
    });
    let methods = Method::of_runs(read.collect::<Result<_, ReportError>>()?)?;
    let baseline = methods[0].name.clone();
    let standings = common_modes(&methods)?.into_iter().map(|mode| {
        let question = Question {
            metric,
            mode,
            step: None,
            scenario: None,
        };
        Standings::of(&methods, &[&baseline], &question)
    });
    Ok(StandingPage {
        metric: metric.to_owned(),
        standings: standings.collect::<Result<_, _>>()?,
        baseline,
    })
}
