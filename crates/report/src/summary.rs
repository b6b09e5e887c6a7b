//! A run in a page of text: its config, its steps, its episodes, and what it changed.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use episode::{Evaluation, StopReason};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::folder::mode_name;
use crate::grid::WIDEST;
use crate::table::{Breakdown, shown_metrics, table};
use crate::{ReportError, RunFolder};

/// The settings that tell runs apart at a glance; `config.toml` has all of them.
const SETTINGS: [&str; 5] = ["algorithm", "model", "seed", "steps", "suite"];

/// What a run folder holds, in a page. Empty parts say that they are empty.
pub fn run_summary(folder: &Path) -> Result<String, ReportError> {
    let run = RunFolder::open(folder)?;
    let mut text = format!("run {}\n", folder.display());
    text.push_str(&config(&run.config()?, &run.config_table()?));
    text.push('\n');
    text.push_str(&steps(&run.metrics()?));
    text.push('\n');
    text.push_str(&EpisodeCounts::read(&run)?.to_text());
    text.push('\n');
    text.push_str(&evaluations(&run.evaluations()?));
    Ok(text)
}

/// The sentence on top of the config, where it has one, and the settings.
fn config(text: &str, config: &toml::Table) -> String {
    let mut lines = String::new();
    if let Some(sentence) = text.lines().next().and_then(|line| line.strip_prefix('#')) {
        let _ = writeln!(lines, "{}", sentence.trim());
    }
    for (path, value) in settings("", config) {
        let _ = writeln!(lines, "  {path} = {value}");
    }
    lines
}

/// The settings of `table` and of the tables in it, by dotted path.
fn settings(prefix: &str, table: &toml::Table) -> Vec<(String, String)> {
    table
        .iter()
        .flat_map(|(key, value)| match value {
            toml::Value::Table(inner) => settings(&format!("{prefix}{key}."), inner),
            value if SETTINGS.contains(&key.as_str()) => {
                vec![(format!("{prefix}{key}"), value.to_string())]
            }
            _ => vec![],
        })
        .collect()
}

/// How many steps there were, and each metric where it first and last was a number.
fn steps(metrics: &[Map<String, Value>]) -> String {
    if metrics.is_empty() {
        return "no step is recorded\n".into();
    }
    let mut ends = BTreeMap::<&str, (f64, f64)>::new();
    for (name, value) in metrics.iter().flatten().filter(|(name, _)| *name != "step") {
        if let Some(value) = value.as_f64() {
            ends.entry(name).or_insert((value, value)).1 = value;
        }
    }
    let count = metrics.len();
    let mut lines = format!("{count} step{}: first, last\n", plural(count));
    let width = ends.keys().map(|name| name.len()).max().unwrap_or(0);
    let width = width.min(WIDEST);
    for (name, (first, last)) in ends {
        let (first, last) = (number(first), number(last));
        let _ = writeln!(lines, "  {name:<width$}  {first:>10}  {last:>10}");
    }
    lines
}

/// Four decimals, or an exponent where they would show nothing or far too much.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if value.fract() == 0.0 && size < 1e9 {
        format!("{value}")
    } else if (1e-3..1e6).contains(&size) {
        format!("{value:.4}")
    } else {
        format!("{value:.3e}")
    }
}

pub(crate) fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// What a summary needs of an episode, so that its tokens are skipped.
#[derive(Deserialize)]
struct EpisodeLine {
    stop: StopReason,
    turns: Vec<TurnLine>,
}

#[derive(Deserialize)]
struct TurnLine {
    calls: Vec<IgnoredAny>,
    failures: Vec<IgnoredAny>,
}

#[derive(Default)]
struct EpisodeCounts {
    episodes: usize,
    turns: usize,
    calls: usize,
    failures: usize,
    stops: BTreeMap<StopReason, usize>,
}

impl EpisodeCounts {
    fn read(run: &RunFolder) -> Result<Self, ReportError> {
        let mut counts = Self::default();
        for episode in run.lines::<EpisodeLine>("episodes.jsonl", "an episode")? {
            let episode = episode?;
            counts.episodes += 1;
            counts.turns += episode.turns.len();
            for turn in &episode.turns {
                counts.calls += turn.calls.len();
                counts.failures += turn.failures.len();
            }
            *counts.stops.entry(episode.stop).or_default() += 1;
        }
        Ok(counts)
    }

    fn to_text(&self) -> String {
        if self.episodes == 0 {
            return "no episode is recorded\n".into();
        }
        let each = |count: usize| count as f64 / self.episodes as f64;
        let mut lines = format!(
            "{} episode{}: each {:.2} turns, {:.2} tool calls, {:.2} calls that could not be read\n",
            self.episodes,
            plural(self.episodes),
            each(self.turns),
            each(self.calls),
            each(self.failures),
        );
        let width = self.episodes.to_string().len();
        for (stop, &count) in &self.stops {
            let share = 100.0 * each(count);
            let _ = writeln!(
                lines,
                "  {count:>width$}  {share:>5.1}%  {}",
                stop_name(*stop)
            );
        }
        lines
    }
}

/// A stop reason as the run folder writes it.
pub(crate) fn stop_name(stop: StopReason) -> String {
    let name = serde_json::to_value(stop).unwrap_or_default();
    name.as_str().unwrap_or_default().to_owned()
}

/// The first evaluations against the last ones, or the means of the only ones.
fn evaluations(evaluations: &[Evaluation]) -> String {
    let (Some(first), Some(last)) = (evaluations.first(), evaluations.last()) else {
        return "no evaluation is recorded\n".into();
    };
    let at = |step| -> Vec<_> {
        let at_step = evaluations.iter().filter(|of| of.step == step);
        at_step.cloned().collect()
    };
    if first.step == last.step {
        return only(&at(first.step));
    }
    format!(
        "evaluated before (step {}) and after (step {}), in percent\n{}",
        first.step,
        last.step,
        table(
            &at(first.step),
            &at(last.step),
            &shown_metrics(evaluations),
            Breakdown::Whole
        ),
    )
}

fn only(evaluations: &[Evaluation]) -> String {
    let mut lines = String::new();
    for of in evaluations {
        let (step, mode) = (of.step, mode_name(of.mode));
        let _ = write!(lines, "evaluated once (step {step}, {mode}):");
        for (name, value) in &of.metrics {
            let _ = write!(lines, " {name} {}", number(*value));
        }
        lines.push('\n');
    }
    lines
}
