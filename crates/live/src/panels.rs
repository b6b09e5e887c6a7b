//! A run's numbers in columns of panels.

use std::collections::BTreeSet;

use episode::{Evaluation, EvaluationMode};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use report::MetricGroup;

use crate::chart;
use crate::frame::{Look, titled};
use crate::printable::printable_line;
use crate::{RunState, chart::row};

/// From so many columns and lines on, there is room for a curve with axes.
const WIDE: u16 = 130;
const HIGH: u16 = 24;

/// Fewer columns than this have room for one mode's evaluations.
const NARROW: u16 = 50;

/// Columns of what an evaluation says of a scenario, `12.5→100`, and of what the rollouts do.
const EVALUATED: usize = 11;
const ROLLED: usize = 6;

pub(crate) fn draw(frame: &mut Frame<'_>, area: Rect, run: &RunState, look: Look) {
    if area.width >= WIDE && area.height >= HIGH {
        let [left, middle, right] = columns(area);
        let [curve, success] = halves(left);
        chart::curve(frame, curve, &run.series, "reward", look);
        draw_success(frame, success, run, look);
        let [rollout, time] = halves(middle);
        draw_group(frame, rollout, run, MetricGroup::Rollout, look);
        draw_group(frame, time, run, MetricGroup::Time, look);
        let [loss, trace] = halves(right);
        draw_group(frame, loss, run, MetricGroup::Loss, look);
        draw_group(frame, trace, run, MetricGroup::Trace, look);
        return;
    }
    let [left, right] = columns(area);
    let thirds = [
        Constraint::Fill(4),
        Constraint::Fill(3),
        Constraint::Fill(3),
    ];
    let [rollout, success, time] = Layout::vertical(thirds).areas(left);
    draw_group(frame, rollout, run, MetricGroup::Rollout, look);
    draw_success(frame, success, run, look);
    draw_group(frame, time, run, MetricGroup::Time, look);
    let [loss, trace] = halves(right);
    draw_group(frame, loss, run, MetricGroup::Loss, look);
    draw_group(frame, trace, run, MetricGroup::Trace, look);
}

fn columns<const N: usize>(area: Rect) -> [Rect; N] {
    let layout = Layout::horizontal([Constraint::Fill(1); N]).spacing(2);
    layout.areas(area)
}

fn halves(area: Rect) -> [Rect; 2] {
    Layout::vertical([Constraint::Fill(1); 2]).areas(area)
}

/// The foremost metrics of a group, one a line. The title says how many find no room.
fn draw_group(frame: &mut Frame<'_>, area: Rect, run: &RunState, group: MetricGroup, look: Look) {
    let names = run.series.names(group);
    let room = usize::from(area.height.saturating_sub(1));
    let title = match group {
        MetricGroup::Rollout => "rollouts",
        MetricGroup::Loss => "loss",
        MetricGroup::Trace => "annealing, anchoring, lift",
        MetricGroup::Time => "time and memory",
    };
    let rows = names.iter().take(room);
    let rows: Vec<Line<'_>> = rows
        .map(|name| row(&run.series, name, area.width, look))
        .collect();
    let title = match names.len().saturating_sub(room) {
        0 => title.to_owned(),
        left_out => format!("{title}, {left_out} more"),
    };
    let empty = names
        .is_empty()
        .then(|| Line::styled("no step yet", look.dim()));
    let rows = rows.into_iter().chain(empty);
    let text = Paragraph::new(rows.collect::<Vec<_>>()).block(titled(&title, look));
    frame.render_widget(text, area);
}

/// Of each scenario: the first and the last evaluation, and the latest rollouts of training, in
/// percent.
fn draw_success(frame: &mut Frame<'_>, area: Rect, run: &RunState, look: Look) {
    let Some(metric) = run.success_metric() else {
        let none = Paragraph::new("no evaluation yet").style(look.dim());
        frame.render_widget(none.block(titled("success", look)), area);
        return;
    };
    let modes = [EvaluationMode::Greedy, EvaluationMode::Sampled];
    // Where it is narrow, names are worth more than a second mode.
    let shown = if area.width < NARROW { 1 } else { 2 };
    let evaluated: Vec<_> = (modes.into_iter())
        .filter_map(|mode| Some((mode, run.evaluated(mode)?)))
        .take(shown)
        .collect();
    let tasks = evaluated.iter().flat_map(|(_, (_, last))| &last.tasks);
    let scenarios = tasks.map(|task| task.scenario.as_str());
    let scenarios: BTreeSet<&str> = scenarios.chain(run.recent.scenarios()).collect();

    let taken = evaluated.len() * EVALUATED + ROLLED;
    let room = usize::from(area.width).saturating_sub(taken).clamp(8, 30);
    let mut head = format!("{:room$}", "");
    for (mode, _) in &evaluated {
        let mode = format!("{mode:?}").to_lowercase();
        head += &format!("{mode:>EVALUATED$}");
    }
    head += &format!("{:>ROLLED$}", "now");
    let mut lines = vec![Line::styled(head, look.dim())];
    for scenario in scenarios {
        let name = printable_line(scenario, room);
        let name: String = name.chars().take(room - 1).collect();
        let mut cells = String::new();
        for (_, (first, last)) in &evaluated {
            let shown = match [first, last].map(|it| mean(it, scenario, &metric)) {
                [None, None] => "-".to_owned(),
                [first, last] => format!("{}→{}", percent(first), percent(last)),
            };
            cells += &format!("{shown:>EVALUATED$}");
        }
        let now = percent(run.recent.mean(scenario, &metric));
        cells += &format!("{now:>ROLLED$}");
        lines.push(Line::from(vec![
            Span::styled(format!("{name:<room$}"), look.plain()),
            Span::styled(cells, look.strong()),
        ]));
    }
    let steps = evaluated
        .first()
        .map_or_else(String::new, |(_, (first, last))| {
            format!(", step {} → {}", first.step, last.step)
        });
    let title = format!("{}, %{steps}", printable_line(&metric, 30));
    frame.render_widget(Paragraph::new(lines).block(titled(&title, look)), area);
}

/// `12.5`, `100`.
fn percent(share: Option<f64>) -> String {
    match share {
        None => "-".to_owned(),
        Some(share) if share > 0.9995 => "100".to_owned(),
        Some(share) => format!("{:.1}", 100.0 * share),
    }
}

/// The mean of a metric over an evaluation's tasks of a scenario; a task without it counts as 0.
fn mean(evaluation: &Evaluation, scenario: &str, metric: &str) -> Option<f64> {
    let tasks = evaluation.tasks.iter().filter(|it| it.scenario == scenario);
    let values = tasks.map(|it| it.metrics.get(metric).copied().unwrap_or(0.0));
    let (count, sum) = values.fold((0.0, 0.0), |(count, sum), it| (count + 1.0, sum + it));
    (count > 0.0).then(|| sum / count)
}
