//! What a run asks, how far it is, and what it answers.

use episode::{Evaluation, EvaluationMode, Status};
use serde::Serialize;

use crate::Comparison;
use crate::folder::mode_name;
use crate::grid::Grid;
use crate::plot::intervals::{Interval, Intervals};
use crate::summary::number;
use crate::table::{Breakdown, percent, scenarios, shown_metrics, signed, tasks_of, title};

use super::block::{Block, Chart, Figure};
use super::conversation::{after_steps, brief, cut};
use super::tally::Tally;

/// What changed in one metric of one part of the held-out tasks. Fractions, as in the
/// evaluations.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Change {
    pub(super) mode: EvaluationMode,
    /// `None` for all tasks.
    pub(super) scenario: Option<String>,
    pub(super) metric: String,
    pub(super) tasks: usize,
    /// Steps before the first evaluation and before the last.
    pub(super) steps: [u64; 2],
    pub(super) before: f64,
    pub(super) after: f64,
    pub(super) difference: f64,
    /// The ends of the difference's 95% interval.
    pub(super) interval: [f64; 2],
}

/// What changed from each mode's first evaluation to its last, over all tasks, then by scenario.
pub(super) fn changes(evaluations: &[Evaluation]) -> Vec<Change> {
    let mut changes = Vec::new();
    for mode in [EvaluationMode::Greedy, EvaluationMode::Sampled] {
        let mut of_mode = evaluations.iter().filter(|it| it.mode == mode);
        let (Some(before), Some(after)) = (of_mode.next(), of_mode.next_back()) else {
            continue;
        };
        for scenario in scenarios(before, Breakdown::Scenarios) {
            for metric in shown_metrics(evaluations) {
                let (first, last) = (tasks_of(before, scenario), tasks_of(after, scenario));
                let Some(of) = Comparison::of_tasks(&first, &last, metric) else {
                    continue;
                };
                changes.push(Change {
                    mode,
                    scenario: scenario.map(brief),
                    metric: metric.to_owned(),
                    tasks: of.tasks,
                    steps: [before.step, after.step],
                    before: of.before,
                    after: of.after,
                    difference: of.difference,
                    interval: [of.low, of.high],
                });
            }
        }
    }
    changes
}

/// A table of changes and the picture of their intervals.
pub(super) fn change_blocks(caption: &'static str, changes: &[&Change]) -> Vec<Block> {
    let grid = Grid::default().words(&["rollouts", "scenario"]);
    let grid = grid.numbers(&["tasks"]).words(&["metric"]);
    let mut grid = grid.numbers(&["before", "after", "difference", "95% interval"]);
    let mut rows = Vec::new();
    for change in changes {
        let scenario = change.scenario.as_deref().unwrap_or("all");
        let [low, high] = change.interval;
        grid.rows.push(vec![
            mode_name(change.mode).to_owned(),
            scenario.to_owned(),
            change.tasks.to_string(),
            title(&change.metric),
            percent(change.before),
            percent(change.after),
            signed(change.difference),
            format!("{} to {}", signed(low), signed(high)),
        ]);
        let mut name = vec![title(&change.metric), mode_name(change.mode).to_owned()];
        name.extend(change.scenario.clone());
        rows.push(Interval {
            name: name.join(", "),
            middle: 100.0 * change.difference,
            low: 100.0 * low,
            high: 100.0 * high,
        });
    }
    let figure = Figure {
        title: "After less before".to_owned(),
        caption: "Dots are means, lines 95% intervals; what crosses the line at 0 is no proof of \
                  a change."
            .to_owned(),
        chart: Chart::Intervals(Intervals {
            x: "percent points".to_owned(),
            rows,
        }),
    };
    vec![Block::Table(caption, grid), Block::Figures(vec![figure])]
}

/// What a run asks, and how it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Question {
    pub(super) asked: String,
    /// In numbers, with their interval.
    pub(super) answer: String,
    /// How far it is.
    pub(super) state: String,
}

/// What the sentences are made of.
pub(super) struct Known<'a> {
    pub(super) config_text: &'a str,
    pub(super) config: &'a toml::Table,
    pub(super) steps: usize,
    pub(super) status: Option<&'a Status>,
    pub(super) evaluations: &'a [Evaluation],
    pub(super) changes: &'a [Change],
    pub(super) tally: &'a Tally,
}

impl Question {
    pub(super) fn of(known: &Known<'_>) -> Self {
        Self {
            asked: asked(known.config_text, known.config),
            answer: answer(known),
            state: state(known),
        }
    }
}

/// The sentence on top of the config; without one, what any run asks.
fn asked(text: &str, config: &toml::Table) -> String {
    let sentence = text.lines().next().and_then(|line| line.strip_prefix('#'));
    if let Some(sentence) = sentence.map(str::trim).filter(|it| !it.is_empty()) {
        return cut(sentence);
    }
    let (algorithm, model, suite) = (
        super::setup::algorithm(config),
        super::setup::model(config),
        super::setup::suite(config),
    );
    format!("What does {algorithm} make of the model {model} on tasks of the suite {suite}?")
}

/// Which metric decides, of those that the evaluations are judged by.
pub(super) fn headline(evaluations: &[Evaluation]) -> Option<&'static str> {
    let shown = shown_metrics(evaluations);
    let solve_f1 = shown.iter().find(|metric| **metric == "solve-f1");
    solve_f1.or(shown.first()).copied()
}

fn answer(known: &Known<'_>) -> String {
    let decides = headline(known.evaluations);
    let whole = |it: &&Change| it.scenario.is_none() && Some(it.metric.as_str()) == decides;
    if let Some(change) = known.changes.iter().find(whole) {
        return change_sentence(change);
    }
    if let (Some(only), Some(metric)) = (known.evaluations.last(), decides) {
        let value = percent(only.metrics.get(metric).copied().unwrap_or(0.0));
        let (mode, tasks, step) = (mode_name(only.mode), only.tasks.len(), only.step);
        return format!(
            "After {step} steps, held-out {} ({mode}, {tasks} tasks) is {value}%; nothing else \
             was measured to compare it with.",
            title(metric)
        );
    }
    let mut steps = known.tally.steps.values();
    match (steps.next(), steps.next_back()) {
        (Some(first), Some(last)) => format!(
            "Nothing held out was measured. In training, the mean reward went from {} in the \
             first step to {} in the last.",
            with_half(first.reward()),
            with_half(last.reward())
        ),
        _ => "Nothing was measured yet.".to_owned(),
    }
}

fn with_half((mean, half): (f64, f64)) -> String {
    format!("{mean:.3} (± {half:.3})")
}

fn change_sentence(change: &Change) -> String {
    let [low, high] = change.interval;
    let verb = match () {
        () if low > 0.0 => "rose from",
        () if high < 0.0 => "fell from",
        () => "went from",
    };
    let doubt = match low <= 0.0 && high >= 0.0 {
        true => " The interval has 0 in it: this run shows no change.",
        false => "",
    };
    format!(
        "A{}, {} on {} held-out tasks ({}) {verb} {}% to {}%: {} points, 95% interval \
         {} to {}.{doubt}",
        &after_steps(change.steps[1])[1..],
        title(&change.metric),
        change.tasks,
        mode_name(change.mode),
        percent(change.before),
        percent(change.after),
        signed(change.difference),
        signed(low),
        signed(high),
    )
}

fn state(known: &Known<'_>) -> String {
    let planned = known
        .config
        .get("train")
        .and_then(|train| train.get("steps"));
    let planned = planned.and_then(toml::Value::as_integer);
    let done = known.steps;
    let of = planned.map_or_else(String::new, |planned| format!(" of {planned}"));
    let is_done = planned.is_some_and(|planned| done as i64 >= planned);
    let mut state = match is_done {
        true => format!("All {done} steps are done."),
        false => format!("Not finished: {done}{of} steps are recorded."),
    };
    if let Some(status) = known.status {
        let phase = serde_json::to_value(status.phase).unwrap_or_default();
        let phase = phase.as_str().unwrap_or_default().to_owned();
        state += &format!(" When last heard of, the run's phase was {phase}.");
        if let Some(message) = &status.message {
            state += &format!(" Its last message: {}", cut(message));
        }
    }
    let tally = known.tally;
    if tally.episodes > 0 {
        let each = |count: usize| number(count as f64 / tally.episodes as f64);
        state += &format!(
            " {} training episodes, each {} turns and {} calls; {} tokens sampled.",
            tally.episodes,
            each(tally.turns),
            each(tally.calls),
            tally.sampled_tokens
        );
    }
    state
}
