//! Runs as one page to read: what was asked and answered, how it went, what it cost, what went
//! wrong, and how to do it again. One set of facts, written as HTML, Markdown or JSON.
//! The same folders always give the same bytes: every time on the page comes from a file.

mod block;
mod comparison;
mod conversation;
mod cost;
mod credit;
mod curves;
mod failures;
mod html;
mod markdown;
mod problems;
mod question;
mod repeat;
mod run;
mod series;
mod setup;
mod tally;

use std::path::PathBuf;

use serde::Serialize;

use crate::{ReportError, RunFolder};

use block::{Block, Section};
use comparison::Compared;
use run::RunReport;

/// From tokens to their text, special tokens included.
pub type Decode = dyn Fn(&[u32]) -> String;

/// A run to report on.
pub struct PageRun {
    /// What the reader calls it; without a name it is called by its folder.
    pub name: Option<String>,
    /// Its folder.
    pub folder: PathBuf,
    /// The text of its tokens, where its tokenizer is at hand.
    pub decode: Option<Box<Decode>>,
}

/// What there is to say about runs.
#[derive(Serialize)]
pub struct Page {
    runs: Vec<RunReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<Compared>,
}

impl Page {
    /// Reads the folders of `runs`, of which there is one at least. `defaults` is the config of a
    /// run that sets nothing. What is missing or cannot be read is said on the page; a folder
    /// without a config, or of a later pact, is an error.
    pub fn read(runs: &[PageRun], defaults: &toml::Table) -> Result<Self, ReportError> {
        let names = names(runs);
        let reports = (runs.iter().zip(&names))
            .map(|(run, name)| RunReport::read(run, name, defaults))
            .collect::<Result<Vec<_>, _>>()?;
        let comparison = match &reports[..] {
            [_] => None,
            _ => {
                let compared = runs.iter().zip(&names).map(|(run, name)| {
                    let config = RunFolder::open(&run.folder)?.config_table()?;
                    Ok((name.clone(), run.name.is_some(), run.folder.clone(), config))
                });
                let compared = compared.collect::<Result<Vec<_>, ReportError>>()?;
                let metric = reports.iter().find_map(|report| report.headline);
                Some(Compared::of(&compared, metric))
            }
        };
        Ok(Self {
            runs: reports,
            comparison,
        })
    }

    /// One file that needs nothing beside it.
    pub fn to_html(&self) -> String {
        html::page(&self.title(), ABOUT, &self.sections())
    }

    /// The same without its pictures.
    pub fn to_markdown(&self) -> String {
        markdown::page(&self.title(), ABOUT, &self.sections())
    }

    /// All that the page shows, as data.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a page is JSON") + "\n"
    }

    fn title(&self) -> String {
        match &self.runs[..] {
            [only] => format!("Run {}", only.name),
            several => format!("{} runs", several.len()),
        }
    }

    fn sections(&self) -> Vec<Section> {
        let section = |id, title, blocks| Section { id, title, blocks };
        let each = |of: &dyn Fn(&RunReport) -> Vec<Block>| -> Vec<Block> {
            let several = self.runs.len() > 1;
            let blocks = self.runs.iter().flat_map(|run| {
                let heading = several.then(|| Block::Heading(run.name.clone()));
                heading.into_iter().chain(of(run))
            });
            blocks.collect()
        };
        let mut sections = vec![
            section(
                "question",
                "Question and answer",
                each(&RunReport::question_blocks),
            ),
            section("setup", "Setup", each(&|run| run.setup.blocks())),
            section("curves", "Curves", curves::blocks(&self.runs)),
            section(
                "scenarios",
                "Success by scenario",
                each(&RunReport::scenario_blocks),
            ),
            section(
                "credit",
                "Credit and annealing",
                each(&|run| run.credit.blocks()),
            ),
            section("cost", "Time and memory", each(&|run| run.cost.blocks())),
            section(
                "failures",
                "What went wrong",
                each(&|run| run.failures.blocks()),
            ),
            section(
                "episodes",
                "Best and worst episodes",
                each(&RunReport::episode_blocks),
            ),
        ];
        if let Some(comparison) = &self.comparison {
            sections.push(section("comparison", "Comparison", comparison.blocks()));
        }
        sections.push(section(
            "repeat",
            "How to repeat it",
            each(&|run| run.repeat.blocks()),
        ));
        sections
    }
}

const ABOUT: &str = "Written by pact report from the run's folder alone. Percentages are of \
                     the suite's metrics; intervals are 95%.";

/// Given names, else the folders' paths without what they have in common at their beginnings.
fn names(runs: &[PageRun]) -> Vec<String> {
    let parts = |run: &PageRun| -> Vec<String> {
        let components = run.folder.components();
        components
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect()
    };
    let all: Vec<Vec<String>> = runs.iter().map(parts).collect();
    let shortest = all.iter().map(Vec::len).min().unwrap_or(0);
    let is_common = |place: &usize| all.iter().all(|it| it[*place] == all[0][*place]);
    // The last part always stays.
    let common = (0..shortest.saturating_sub(1))
        .take_while(is_common)
        .count();
    (runs.iter().zip(all))
        .map(|(run, parts)| {
            run.name
                .clone()
                .unwrap_or_else(|| parts[common..].join("/"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_called_by_what_tells_their_folders_apart() {
        let run = |name: Option<&str>, folder: &str| PageRun {
            name: name.map(str::to_owned),
            folder: folder.into(),
            decode: None,
        };
        assert_eq!(names(&[run(None, "runs/out/a")]), ["a"]);
        let two = [run(None, "out/pact/seed-1"), run(None, "out/sft/seed-1")];
        assert_eq!(names(&two), ["pact/seed-1", "sft/seed-1"]);
        assert_eq!(
            names(&[run(Some("mine"), "out/a"), run(None, "out/b")]),
            ["mine", "b"]
        );
    }
}
