//! What went wrong: how episodes ended, calls that could not be read or failed, steps that were
//! skipped, and what the run warned of.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use episode::{Skipped as Dump, StopReason};
use serde::Serialize;
use serde_json::Value;

use crate::ReportError;
use crate::folder::RunFolder;
use crate::grid::Grid;
use crate::plot::Line;
use crate::plot::stacked::Stacked;
use crate::summary::stop_name;

use super::block::{Block, Chart, Figure};
use super::conversation::cut;
use super::problems::Problems;
use super::series::{Sketch, figures};
use super::tally::{Seen, Tally};

/// Bars of the picture of endings.
const BARS: usize = 30;
/// Rows of a table of errors.
const ROWS: usize = 30;
/// Bytes of a dump's first line, which says why.
const REASON: u64 = 1 << 20;

const SKETCHES: [Sketch; 1] = [Sketch {
    title: "What a rollout gets wrong",
    y: "a rollout",
    caption: "Calls that could not be read, calls that failed, and the share of rollouts that a \
              limit ended.",
    metrics: &["parse-failures", "errors", "cut-off"],
}];

/// What went wrong.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Failures {
    /// Training episodes by how they ended.
    pub(super) stops: Vec<Stop>,
    pub(super) parse_failures: BTreeMap<&'static str, Seen>,
    pub(super) tool_errors: Vec<ToolError>,
    /// Errors of kinds that are not told apart.
    pub(super) other_tool_errors: u64,
    /// Steps that were skipped, with the reason where there is one.
    pub(super) skipped: Vec<Skipped>,
    /// What the run warned of, and how often.
    pub(super) warnings: BTreeMap<String, u64>,
    pub(super) figures: Vec<Figure>,
}

/// How episodes ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Stop {
    pub(super) reason: StopReason,
    pub(super) count: usize,
    /// Of all episodes, of those of the first fifth of the steps, and of those of the last.
    pub(super) shares: [f64; 3],
}

/// Calls of one tool that failed with one message.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct ToolError {
    pub(super) tool: String,
    /// Its numbers as `N`.
    pub(super) message: String,
    #[serde(flatten)]
    pub(super) seen: Seen,
}

/// A step that was skipped.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Skipped {
    pub(super) step: u64,
    pub(super) reason: Option<String>,
}

impl Failures {
    pub(super) fn read(
        run: &RunFolder,
        lines: &[Line],
        skipped: &[u64],
        tally: &Tally,
        problems: &mut Problems,
    ) -> Result<Self, ReportError> {
        let mut tool_errors: Vec<ToolError> = (tally.tool_errors.iter())
            .map(|((tool, message), seen)| ToolError {
                tool: tool.clone(),
                message: message.clone(),
                seen: *seen,
            })
            .collect();
        tool_errors.sort_by_key(|it| std::cmp::Reverse(it.seen.count));
        let further = tool_errors
            .iter()
            .skip(ROWS)
            .map(|it| it.seen.count)
            .sum::<u64>();
        tool_errors.truncate(ROWS);
        let mut pictures = Vec::new();
        if !tally.steps.is_empty() {
            pictures.push(endings(tally));
        }
        pictures.extend(figures(&[("", lines)], &SKETCHES));
        Ok(Self {
            stops: stops(tally),
            parse_failures: tally.parse_failures.clone(),
            tool_errors,
            other_tool_errors: tally.other_tool_errors + further,
            skipped: (skipped.iter())
                .map(|step| Skipped {
                    step: *step,
                    reason: reason(&run.path().join(format!("skipped/step-{step:06}.jsonl"))),
                })
                .collect(),
            warnings: warnings(run, problems)?,
            figures: pictures,
        })
    }

    pub(super) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut none = Vec::new();
        let mut table =
            |caption: &'static str, without: &'static str, grid: Grid| match grid.rows.is_empty() {
                true => none.push(without),
                false => blocks.push(Block::Table(caption, grid)),
            };

        let grid = Grid::default().words(&["ended as"]);
        let mut grid = grid.numbers(&[
            "episodes",
            "share",
            "in the first fifth",
            "in the last fifth",
        ]);
        grid.rows = (self.stops.iter())
            .map(|it| {
                let shares = it.shares.map(|share| format!("{:.1}%", 100.0 * share));
                [
                    vec![stop_name(it.reason), it.count.to_string()],
                    shares.into(),
                ]
                .concat()
            })
            .collect();
        table(
            "How training episodes ended",
            "No training episode is recorded.",
            grid,
        );

        let seen = |seen: &Seen| [seen.count, seen.first, seen.last].map(|it| it.to_string());
        let counts = ["count", "first in step", "last in step"];
        let mut grid = Grid::default().words(&["not a call"]).numbers(&counts);
        grid.rows = (self.parse_failures.iter())
            .map(|(kind, it)| [vec![(*kind).to_owned()], seen(it).into()].concat())
            .collect();
        table(
            "Calls that could not be read",
            self.unless_empty("Every call could be read."),
            grid,
        );

        let mut grid = Grid::default().words(&["tool", "message"]).numbers(&counts);
        grid.rows = (self.tool_errors.iter())
            .map(|it| {
                [
                    vec![it.tool.clone(), it.message.clone()],
                    seen(&it.seen).into(),
                ]
                .concat()
            })
            .collect();
        if self.other_tool_errors > 0 {
            let rest = [
                "(all others)",
                "",
                &self.other_tool_errors.to_string(),
                "",
                "",
            ];
            grid.rows.push(rest.map(str::to_owned).into());
        }
        table(
            "Calls that failed, by tool and message",
            self.unless_empty("No call failed."),
            grid,
        );

        let mut grid = Grid::default().numbers(&["step"]).words(&["reason"]);
        grid.rows = (self.skipped.iter().take(ROWS))
            .map(|it| {
                let reason = it.reason.clone();
                vec![
                    it.step.to_string(),
                    reason.unwrap_or_else(|| "not recorded".to_owned()),
                ]
            })
            .collect();
        table("Steps that were skipped", "No step was skipped.", grid);

        let mut grid = Grid::default().words(&["warning"]).numbers(&["times"]);
        grid.rows = (self.warnings.iter().take(ROWS))
            .map(|(warning, count)| vec![warning.clone(), count.to_string()])
            .collect();
        table("What the run warned of", "The run warned of nothing.", grid);

        none.retain(|sentence| !sentence.is_empty());
        if !none.is_empty() {
            blocks.push(Block::Note(none.join(" ")));
        }
        if !self.figures.is_empty() {
            blocks.push(Block::Figures(self.figures.clone()));
        }
        blocks
    }
}

impl Failures {
    /// What can be said of calls where there were episodes.
    fn unless_empty(&self, sentence: &'static str) -> &'static str {
        if self.stops.is_empty() { "" } else { sentence }
    }
}

fn stops(tally: &Tally) -> Vec<Stop> {
    let steps: Vec<_> = tally.steps.values().collect();
    let fifth = steps.len().div_ceil(5);
    let shares = |steps: &[&super::tally::StepTally], reason: StopReason| {
        let all: usize = steps.iter().map(|step| step.episodes).sum();
        let ended = steps.iter().filter_map(|step| step.stops.get(&reason));
        ended.sum::<usize>() as f64 / all.max(1) as f64
    };
    reasons(tally)
        .into_iter()
        .map(|(reason, count)| Stop {
            reason,
            count,
            shares: [
                shares(&steps, reason),
                shares(&steps[..fifth], reason),
                shares(&steps[steps.len() - fifth..], reason),
            ],
        })
        .collect()
}

/// Every reason for which an episode ended, and how many did.
fn reasons(tally: &Tally) -> BTreeMap<StopReason, usize> {
    let mut reasons = BTreeMap::new();
    for (reason, count) in tally.steps.values().flat_map(|step| &step.stops) {
        *reasons.entry(*reason).or_default() += count;
    }
    reasons
}

/// The shares of the ways in which episodes ended, over the steps.
fn endings(tally: &Tally) -> Figure {
    let reasons: Vec<StopReason> = reasons(tally).into_keys().collect();
    let steps: Vec<_> = tally.steps.iter().collect();
    let size = steps.len().div_ceil(BARS).max(1);
    let bars = steps.chunks(size).map(|chunk| {
        let all: usize = chunk.iter().map(|(_, step)| step.episodes).sum();
        let share = |reason: &StopReason| {
            let ended = chunk.iter().filter_map(|(_, step)| step.stops.get(reason));
            100.0 * ended.sum::<usize>() as f64 / all.max(1) as f64
        };
        (*chunk[0].0 as f64, reasons.iter().map(share).collect())
    });
    Figure {
        title: "How episodes ended".to_owned(),
        caption: match size {
            1 => "A bar a step.".to_owned(),
            size => format!("A bar is {size} steps, and stands at the first."),
        },
        chart: Chart::Stacked(Stacked {
            x: "steps".to_owned(),
            y: "percent of episodes".to_owned(),
            parts: reasons.iter().map(|reason| stop_name(*reason)).collect(),
            bars: bars.collect(),
        }),
    }
}

/// The first line of a dump, which says why; `None` where there is no such file.
fn reason(dump: &Path) -> Option<String> {
    let mut line = String::new();
    let file = File::open(dump).ok()?;
    BufReader::new(file.take(REASON))
        .read_line(&mut line)
        .ok()?;
    let Ok(dump) = serde_json::from_str::<Dump>(&line) else {
        return Some(format!("its dump does not say: {}", cut(&line)));
    };
    let what = dump.refused.iter().map(|refused| {
        let what = serde_json::to_value(refused.what).unwrap_or_default();
        what.as_str().unwrap_or_default().to_owned()
    });
    Some(format!(
        "not finite: {}",
        what.collect::<Vec<_>>().join(", ")
    ))
}

/// The warnings and errors of `log.jsonl`, with how often each was said.
fn warnings(
    run: &RunFolder,
    problems: &mut Problems,
) -> Result<BTreeMap<String, u64>, ReportError> {
    let mut warnings = BTreeMap::new();
    for line in problems.without(run.lines::<Value>("log.jsonl", "a line of a log")?) {
        let level = line.get("level").and_then(Value::as_str);
        if matches!(level, Some("WARN" | "ERROR")) {
            let message = line.pointer("/fields/message").and_then(Value::as_str);
            let message = cut(message.unwrap_or("(without a message)"));
            if warnings.len() < ROWS || warnings.contains_key(&message) {
                *warnings.entry(message).or_default() += 1;
            }
        }
    }
    Ok(warnings)
}

/// The metrics that are drawn here.
pub(super) fn drawn() -> impl Iterator<Item = &'static str> {
    SKETCHES
        .iter()
        .flat_map(|sketch| sketch.metrics.iter().copied())
}
