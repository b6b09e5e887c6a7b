//! One frame: how the run stands on top, its numbers below, an episode beneath, the keys at the
//! bottom.

use episode::{Phase, Status};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Borders, Paragraph};
use unicode_width::UnicodeWidthStr;

use crate::printable::printable_line;
use crate::time::span;
use crate::view::Shown;
use crate::{Page, RunState, View, episode_lines, panels};

/// The text of tokens.
pub type Decode<'a> = &'a dyn Fn(&[u32]) -> String;

/// What a frame needs beside the run's folder.
pub struct Moment<'a> {
    /// Seconds since 1970.
    pub now: f64,
    /// Whether the process that runs it is on this machine, and alive.
    pub is_here: bool,
    /// `None` where the run's tokenizer is not at hand.
    pub decode: Option<Decode<'a>>,
    /// What whoever watches has asked for and is still to come.
    pub notice: Option<&'a str>,
    /// Whether there is colour beside weight.
    pub colour: bool,
    /// What can be pressed, and what it does.
    pub keys: &'a [(&'a str, &'a str)],
}

/// A run whose process is not here, and of which nothing was heard for so many seconds, is shown as
/// one that may be gone. A run says something every few seconds.
const SILENT: f64 = 30.0;

/// An episode that waits for so many seconds deserves attention.
const LONG_WAIT: f64 = 10.0;

/// What parts of a frame look like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    colour: bool,
}

impl Look {
    fn colour(self, colour: Color) -> Style {
        match self.colour {
            true => Style::new().fg(colour),
            false => Style::new(),
        }
    }

    pub(crate) fn plain(self) -> Style {
        Style::new()
    }

    pub(crate) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(crate) fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(crate) fn title(self) -> Style {
        self.colour(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    pub(crate) fn curve(self) -> Style {
        self.colour(Color::Green)
    }

    pub(crate) fn tool(self) -> Style {
        self.colour(Color::Cyan)
    }

    pub(crate) fn warning(self) -> Style {
        self.colour(Color::Yellow).add_modifier(Modifier::BOLD)
    }
}

/// Below a rule with a title.
pub(crate) fn titled(title: &str, look: Look) -> Block<'static> {
    let block = Block::new().borders(Borders::TOP).border_style(look.dim());
    block.title(Span::styled(format!(" {title} "), look.title()))
}

/// Draws the run as it stands at this moment, and remembers in `view` what the keys go on from.
pub fn draw(frame: &mut Frame<'_>, run: &RunState, view: &mut View, moment: &Moment<'_>) {
    let look = Look {
        colour: moment.colour,
    };
    let lines = [3, 0, 1].map(|height| match height {
        0 => Constraint::Fill(1),
        height => Constraint::Length(height),
    });
    let [header, body, keys] = Layout::vertical(lines).areas(frame.area());
    let width = usize::from(frame.area().width);
    frame.render_widget(Text::from(heading(run, moment, width, look)), header);
    match view.page {
        Page::Run => {
            // A third, and at least five lines, for the episode.
            let below = (body.height / 3).max(5.min(body.height));
            let parts = [Constraint::Fill(1), Constraint::Length(below)];
            let [numbers, episode] = Layout::vertical(parts).areas(body);
            panels::draw(frame, numbers, run, look);
            draw_episode(frame, episode, run, view, moment, look);
        }
        Page::Episode => draw_episode(frame, body, run, view, moment, look),
        Page::Help => draw_help(frame, body, moment, look),
    }
    frame.render_widget(keys_line(moment, look), keys);
}

/// Three lines: which run and for how long, how far it is, and what is to be known now.
fn heading(run: &RunState, moment: &Moment<'_>, width: usize, look: Look) -> Vec<Line<'static>> {
    let facts = [&run.algorithm, &run.model].map(|fact| printable_line(fact, 60));
    let facts: Vec<&str> = (facts.iter().map(String::as_str))
        .filter(|fact| !fact.is_empty())
        .collect();
    let (facts, times) = (facts.join(", "), times(run, moment));
    let room = width.saturating_sub(facts.width() + times.width() + 6);
    let name = ending(
        &printable_line(&run.folder().display().to_string(), 500),
        room,
    );
    let gap = room.saturating_sub(name.width());
    let first = Line::from(vec![
        Span::styled(format!(" {name}"), look.strong()),
        Span::raw(format!("  {facts}{:gap$}  {times}", "")),
    ]);
    let second = Line::from(vec![
        Span::styled(bar(run, (width / 5).min(30)), look.curve()),
        Span::raw(format!("  {}", progress(run, moment))),
    ]);
    let (news, style) = match moment.notice {
        Some(notice) => (notice.to_owned(), look.title()),
        None => news(run, look),
    };
    vec![first, second, Line::styled(format!(" {news}"), style)]
}

/// The end of a text, which tells folders apart, in `columns`.
fn ending(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut kept = text;
    while kept.width() + 1 > columns {
        let mut rest = kept.chars();
        if rest.next().is_none() {
            break;
        }
        kept = rest.as_str();
    }
    format!("…{kept}")
}

/// Steps done, and of how many.
fn steps(run: &RunState) -> (u64, u64) {
    let done = run
        .status
        .as_ref()
        .map_or(run.series.len() as u64, |it| it.step);
    let all = run.status.as_ref().map_or(run.steps, |it| it.steps);
    (done, all.max(run.steps).max(done))
}

fn bar(run: &RunState, columns: usize) -> String {
    let (done, all) = steps(run);
    let filled = (done as f64 / all.max(1) as f64 * columns as f64).round() as usize;
    format!(" {}{}", "━".repeat(filled), "╌".repeat(columns - filled))
}

/// `began 3m 12s ago, about 12m 40s to go`, as far as it is known.
fn times(run: &RunState, moment: &Moment<'_>) -> String {
    let status = run.status.as_ref();
    let mut parts = Vec::new();
    if let (Some(status), Some(began)) = (status, run.began) {
        parts.push(match is_over(status) {
            true => format!("took {}", span(status.updated - began)),
            false => format!("began {} ago", span(moment.now - began)),
        });
    }
    let goes_on = status.is_some_and(|it| !is_over(it) && !is_silent(it, moment));
    if let Some(seconds) = run.series.seconds_per_step().filter(|_| goes_on) {
        let (done, all) = steps(run);
        parts.push(format!(
            "about {} to go",
            span(seconds * (all - done) as f64)
        ));
    }
    parts.join(", ")
}

/// `step 12 of 60, rollout 43 of 128 for 12 s, heard of 1 s ago`.
fn progress(run: &RunState, moment: &Moment<'_>) -> String {
    let (done, all) = steps(run);
    let step = format!("step {done} of {all}");
    let Some(status) = &run.status else {
        return format!("{step}, no status.json: what it does is not known");
    };
    let heard = format!("heard of {} ago", span(moment.now - status.updated));
    if is_over(status) {
        return format!("{step}, {}", phase_text(status, None));
    }
    let phase = match is_silent(status, moment) {
        true => format!("process {} is gone or elsewhere", status.process),
        false => phase_text(status, Some(moment.now)),
    };
    format!("{step}, {phase}, {heard}")
}

fn is_over(status: &Status) -> bool {
    matches!(
        status.phase,
        Phase::Done | Phase::Interrupted | Phase::Failed
    )
}

fn is_silent(status: &Status, moment: &Moment<'_>) -> bool {
    !moment.is_here && moment.now - status.updated > SILENT
}

/// What it is at, and until `now` for how long.
fn phase_text(status: &Status, now: Option<f64>) -> String {
    let mut text = match status.phase {
        Phase::Starting => "starting",
        Phase::Rollout => "rollout",
        Phase::Learn => "learning",
        Phase::Evaluation => "evaluation",
        Phase::Checkpoint => "writing a checkpoint",
        Phase::Paused => "paused",
        Phase::Done => "done",
        Phase::Interrupted => "interrupted",
        Phase::Failed => "failed",
    }
    .to_owned();
    if status.of > 0 {
        text += &format!(" {} of {}", status.done, status.of);
    }
    if let Some(now) = now {
        text += &format!(" for {}", span(now - status.since));
    }
    text
}

/// What matters most just now, on a line: what is wrong with the folder, an episode that takes long,
/// the last warning, else the episode that is slowest.
fn news(run: &RunState, look: Look) -> (String, Style) {
    const SHOWN: usize = 300;
    let status = run.status.as_ref();
    let waiting = status.and_then(|it| it.waiting.as_ref());
    let is_long = waiting.is_some_and(|it| it.seconds >= LONG_WAIT);
    let waiting = waiting.map(|it| {
        let (sample, turn, seconds) = (it.sample, it.turn, span(it.seconds));
        let who = format!("task {}, sample {sample}, turn {turn}", it.task);
        format!("slowest: {who} waits for {}, {seconds}", it.on)
    });
    // A run that says what it is doing says what it warns of now; its log tells what it once did.
    let message = match status {
        Some(status) => status.message.clone(),
        None => run.warnings.last().cloned(),
    };
    let long = waiting.clone().filter(|_| is_long);
    if let Some(warning) = run.problem.clone().or(long).or(message) {
        return (printable_line(&warning, SHOWN), look.warning());
    }
    let waiting = waiting.unwrap_or_default();
    (printable_line(&waiting, SHOWN), look.dim())
}

fn draw_episode(
    frame: &mut Frame<'_>,
    area: Rect,
    run: &RunState,
    view: &mut View,
    moment: &Moment<'_>,
    look: Look,
) {
    let newest = run.recent.numbers().map(|(_, newest)| newest);
    let wanted = view.episode.or(newest).unwrap_or(0);
    let Some((number, seen)) = run.recent.nearest(wanted) else {
        view.shown = Shown::default();
        let none = Paragraph::new("no episode yet").style(look.dim());
        frame.render_widget(none.block(titled("episode", look)), area);
        return;
    };
    let lines = episode_lines::lines(&seen.episode, moment.decode, area.width, look);
    let most = lines
        .len()
        .saturating_sub(usize::from(area.height.saturating_sub(1)));
    view.shown = Shown {
        episode: Some(number),
        is_newest: Some(number) == newest,
        last_scroll: u16::try_from(most).unwrap_or(u16::MAX),
    };
    view.scroll = view.scroll.min(view.shown.last_scroll);
    let title = episode_lines::heading(seen.step, &seen.episode);
    let visible = lines.into_iter().skip(usize::from(view.scroll));
    let visible: Vec<Line<'_>> = visible.take(usize::from(area.height)).collect();
    let text = Paragraph::new(visible).block(titled(&title, look));
    frame.render_widget(text, area);
}

fn draw_help(frame: &mut Frame<'_>, area: Rect, moment: &Moment<'_>, look: Look) {
    let lines = moment.keys.iter().map(|(key, what)| {
        Line::from(vec![
            Span::styled(format!(" {key:<16}"), look.strong()),
            Span::raw((*what).to_owned()),
        ])
    });
    let text = Paragraph::new(lines.collect::<Vec<_>>());
    frame.render_widget(text.block(titled("keys", look)), area);
}

/// As many keys as fit; `?` lists all.
fn keys_line(moment: &Moment<'_>, look: Look) -> Line<'static> {
    let mut spans = Vec::new();
    for (key, what) in moment.keys {
        // The first words are enough here.
        let what = what.split([',', ';', ':']).next().unwrap_or(what);
        spans.push(Span::styled(format!(" {key} "), look.strong()));
        spans.push(Span::styled(format!("{what} "), look.dim()));
    }
    Line::from(spans)
}
