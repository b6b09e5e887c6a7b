//! Lines on logarithmic or linear scales as an SVG that needs nothing beside it. Colours are
//! attributes, which a page that has an SVG in it may overrule by the classes that are there too.

pub(crate) mod intervals;
pub(crate) mod stacked;

use std::fmt::Write;
use std::ops::RangeInclusive;

use serde::Serialize;

/// A set of axes with its lines.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Panel {
    /// What stands above it.
    pub title: String,
    /// What the horizontal axis is.
    pub x: String,
    /// What the vertical axis is.
    pub y: String,
    /// Its lines; those of one name have one colour in all panels.
    pub lines: Vec<Line>,
}

/// Points joined in their order; on logarithmic scales all positive.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Line {
    /// What it is of.
    pub name: String,
    /// `(x, y)`.
    pub points: Vec<(f64, f64)>,
    /// `(low, high)` of each point, between which there is a band; empty is no band.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub band: Vec<(f64, f64)>,
}

/// How numbers become lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Logarithmic,
    Linear,
}

impl Scale {
    fn of(self, number: f64) -> f64 {
        match self {
            Self::Logarithmic => number.log10(),
            Self::Linear => number,
        }
    }
}

/// Pixels of a panel, its margins included.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 260.0;
/// Left, right, above, below.
const MARGINS: [f64; 4] = [62.0, 14.0, 34.0, 44.0];
const COLUMNS: usize = 2;
/// Told apart also by those who do not see red from green (Okabe & Ito 2008).
const COLOURS: [&str; 7] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000",
];
/// Lines beyond the colours begin with these again.
const DASHES: [&str; 3] = ["none", "6 3", "2 2"];
/// Pixels of the legend's lines, and names in each.
const LEGEND_LINE: f64 = 16.0;
const LEGEND_COLUMNS: usize = 3;
/// Points beyond these are no longer marked on their line.
const MARKED_POINTS: usize = 40;

/// All panels, two in a row, on logarithmic scales.
pub fn log_log_svg(panels: &[Panel]) -> String {
    svg(panels, Scale::Logarithmic)
}

/// All panels, two in a row, on linear scales.
pub fn linear_svg(panels: &[Panel]) -> String {
    svg(panels, Scale::Linear)
}

/// One panel on linear scales to stand in a page, which says in its own words what the panel is
/// and names its lines by [`key_svg`]. `label` is the attribute that tells what it shows to those
/// who do not see it.
pub(crate) fn inline_svg(panel: &Panel, label: &str) -> String {
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" {label}>\n");
    let names = names(std::slice::from_ref(panel));
    Axes::of(panel, Scale::Linear).draw(panel, &panel.y, &names, &mut svg);
    svg.push_str("</svg>\n");
    svg
}

/// What stands beside the name of a panel's line of this number, from 0.
pub(crate) fn key_svg(number: usize) -> String {
    let stroke = stroke(number);
    format!("<svg viewBox=\"0 0 24 8\" aria-hidden=\"true\"><path d=\"M0 4H24\" {stroke}/></svg>")
}

/// The names of lines, each once, in the order of their colours.
pub(crate) fn names(panels: &[Panel]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for line in panels.iter().flat_map(|panel| &panel.lines) {
        if !names.contains(&line.name.as_str()) {
            names.push(&line.name);
        }
    }
    names
}

fn svg(panels: &[Panel], scale: Scale) -> String {
    let names = names(panels);
    let rows = panels.len().div_ceil(COLUMNS) as f64;
    let legend = names.len().div_ceil(LEGEND_COLUMNS) as f64 * LEGEND_LINE;
    let (width, height) = (WIDTH * COLUMNS as f64, HEIGHT * rows + legend + LEGEND_LINE);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for (i, panel) in panels.iter().enumerate() {
        let (column, row) = ((i % COLUMNS) as f64, (i / COLUMNS) as f64);
        let _ = writeln!(
            svg,
            "<g transform=\"translate({},{})\">",
            column * WIDTH,
            row * HEIGHT
        );
        let title = format!("{}: {}", panel.title, panel.y);
        Axes::of(panel, scale).draw(panel, &title, &names, &mut svg);
        svg.push_str("</g>\n");
    }
    for (number, name) in names.iter().enumerate() {
        let across = width / LEGEND_COLUMNS as f64;
        let x = 20.0 + across * (number % LEGEND_COLUMNS) as f64;
        let row = (number / LEGEND_COLUMNS) as f64;
        let y = HEIGHT * rows + LEGEND_LINE * (row + 0.7);
        let (middle, end) = (y - 4.0, x + 24.0);
        let path = format!("M{x:.1} {middle:.1}H{end:.1}");
        let stroke = stroke(number);
        let _ = writeln!(svg, "<path d=\"{path}\" {stroke}/>");
        let (at, name) = (end + 6.0, escaped(name));
        let _ = writeln!(svg, "<text x=\"{at:.1}\" y=\"{y:.1}\">{name}</text>");
    }
    svg.push_str("</svg>\n");
    svg
}

fn colour(number: usize) -> &'static str {
    COLOURS[number % COLOURS.len()]
}

/// By which a page's style sheet finds what is of this colour.
fn class(number: usize) -> String {
    format!("colour-{}", number % COLOURS.len())
}

fn stroke(number: usize) -> String {
    let dash = DASHES[number / COLOURS.len() % DASHES.len()];
    let colour = colour(number);
    let class = class(number);
    format!(
        "class=\"{class}\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\" \
         fill=\"none\""
    )
}

/// What the axes span, as their scale has it: powers of ten on a logarithmic one.
struct Axes {
    scale: Scale,
    x: RangeInclusive<f64>,
    y: RangeInclusive<f64>,
}

impl Axes {
    fn of(panel: &Panel, scale: Scale) -> Self {
        let span = |numbers: &mut dyn Iterator<Item = f64>| {
            let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
            for number in numbers.map(|number| scale.of(number)) {
                (low, high) = (low.min(number), high.max(number));
            }
            let room = match scale {
                Scale::Logarithmic => 0.15,
                Scale::Linear if high > low => 0.05 * (high - low),
                Scale::Linear => 0.5 * high.abs(),
            };
            match (low <= high, scale) {
                (false, _) => 0.0..=1.0,
                // What is always 0 is nearly always a count or a share, which is never below.
                (true, Scale::Linear) if low == 0.0 && high == 0.0 => -0.05..=1.05,
                (true, _) => low - room..=high + room,
            }
        };
        let points = || panel.lines.iter().flat_map(|line| &line.points);
        let ends = panel.lines.iter().flat_map(|line| &line.band);
        let heights = points().map(|point| point.1);
        Self {
            scale,
            x: span(&mut points().map(|point| point.0)),
            y: span(&mut heights.chain(ends.flat_map(|(low, high)| [*low, *high]))),
        }
    }

    /// Pixels of a point.
    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let share = |axis: &RangeInclusive<f64>, value: f64| {
            (self.scale.of(value) - axis.start()) / (axis.end() - axis.start())
        };
        let [left, right, above, below] = MARGINS;
        let across = left + share(&self.x, x) * (WIDTH - left - right);
        let down = HEIGHT - below - share(&self.y, y) * (HEIGHT - above - below);
        (across, down)
    }

    fn draw(&self, panel: &Panel, title: &str, names: &[&str], svg: &mut String) {
        let [left, right, above, below] = MARGINS;
        let (bottom, end) = (HEIGHT - below, WIDTH - right);
        text(svg, left, above - 10.0, "start", title);
        text(svg, end, HEIGHT - 8.0, "end", &panel.x);
        for tick in ticks(&self.x, self.scale) {
            let (x, _) = self.place((tick, 1.0));
            let grid = format!("M{x:.1} {above:.1}V{bottom:.1}");
            let _ = writeln!(svg, "<path class=\"grid\" d=\"{grid}\" stroke=\"#ddd\"/>");
            text(svg, x, bottom + 15.0, "middle", &short(tick));
        }
        for tick in ticks(&self.y, self.scale) {
            let (_, y) = self.place((1.0, tick));
            let grid = format!("M{left:.1} {y:.1}H{end:.1}");
            let _ = writeln!(svg, "<path class=\"grid\" d=\"{grid}\" stroke=\"#ddd\"/>");
            text(svg, left - 6.0, y + 4.0, "end", &short(tick));
        }
        for line in &panel.lines {
            self.draw_line(line, names, svg);
        }
    }

    fn draw_line(&self, line: &Line, names: &[&str], svg: &mut String) {
        let mut numbers = names.iter();
        let number = numbers.position(|name| *name == line.name).unwrap_or(0);
        let path = |points: &mut dyn Iterator<Item = (f64, f64)>| {
            let places = points.map(|point| self.place(point));
            let places = places.map(|(x, y)| format!("{x:.1},{y:.1}"));
            places.collect::<Vec<_>>().join(" ")
        };
        let ends = || line.points.iter().zip(&line.band);
        if !line.band.is_empty() {
            let there = ends().map(|((x, _), (low, _))| (*x, *low));
            let back = ends().rev().map(|((x, _), (_, high))| (*x, *high));
            let band = path(&mut there.chain(back));
            let (class, fill) = (class(number), colour(number));
            let _ = writeln!(
                svg,
                "<polygon class=\"{class}\" points=\"{band}\" fill=\"{fill}\" fill-opacity=\"0.15\"/>"
            );
        }
        let points = path(&mut line.points.iter().copied());
        let stroke = stroke(number);
        let _ = writeln!(svg, "<polyline points=\"{points}\" {stroke}/>");
        let marked = match line.points.len() {
            ..=MARKED_POINTS => &line.points[..],
            _ => &[],
        };
        for (x, y) in marked.iter().map(|point| self.place(*point)) {
            let (class, fill) = (class(number), colour(number));
            let _ = writeln!(
                svg,
                "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{fill}\"/>"
            );
        }
    }
}

/// Round numbers within an axis.
fn ticks(axis: &RangeInclusive<f64>, scale: Scale) -> Vec<f64> {
    match scale {
        Scale::Logarithmic => decades(axis),
        Scale::Linear => steps(axis),
    }
}

/// Multiples of the least of 1, 2 and 5 times a power of ten that gives six or fewer.
fn steps(axis: &RangeInclusive<f64>) -> Vec<f64> {
    let span = axis.end() - axis.start();
    let power = 10_f64.powf((span / 6.0).log10().floor());
    let sizes = [1.0, 2.0, 5.0, 10.0].map(|size| size * power);
    let step = sizes.into_iter().find(|step| span / step <= 6.0);
    let step = step.unwrap_or(10.0 * power);
    // So short a span that the least of numbers cannot divide it.
    if step == 0.0 {
        return Vec::new();
    }
    let (first, last) = ((axis.start() / step).ceil(), (axis.end() / step).floor());
    (first as i64..=last as i64)
        .map(|multiple| multiple as f64 * step)
        .collect()
}

/// Powers of ten within an axis, with halves between where they are few.
fn decades(axis: &RangeInclusive<f64>) -> Vec<f64> {
    let steps: &[f64] = match axis.end() - axis.start() {
        span if span < 1.6 => &[1.0, 2.0, 5.0],
        _ => &[1.0],
    };
    let decades = axis.start().floor() as i32..=axis.end().ceil() as i32;
    decades
        .flat_map(|decade| steps.iter().map(move |step| step * 10_f64.powi(decade)))
        .filter(|tick| axis.contains(&tick.log10()))
        .collect()
}

/// A number as an axis names it: 2, 50k, 1M.
fn short(number: f64) -> String {
    if number <= 0.0 {
        return if number == 0.0 {
            "0".to_owned()
        } else {
            format!("-{}", short(-number))
        };
    }
    if number < 9.99e-4 {
        return format!("{number:.1e}").replace(".0e", "e");
    }
    let units = [(1e9, "G"), (1e6, "M"), (1e3, "k")];
    let unit = units.into_iter().find(|(size, _)| number >= 0.999 * size);
    let (size, name) = unit.unwrap_or((1.0, ""));
    let digits = number / size;
    match digits >= 0.999 && (digits - digits.round()).abs() < 1e-6 {
        true => format!("{digits:.0}{name}"),
        false if digits >= 0.999 => format!("{digits:.1}{name}"),
        false => format!("{digits:.3}").trim_end_matches('0').to_owned(),
    }
}

/// A text at a place; `anchor` says which of its ends is there.
fn text(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let text = escaped(text);
    let at = format!("x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\"");
    let _ = writeln!(svg, "<text {at}>{text}</text>");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(points: Vec<(f64, f64)>) -> Panel {
        Panel {
            title: "batch".into(),
            x: "sequences".into(),
            y: "tokens/s".into(),
            lines: vec![Line {
                name: "train & more".into(),
                points,
                band: vec![],
            }],
        }
    }

    #[test]
    fn a_line_goes_through_its_points_on_logarithmic_scales() {
        let axes = Axes {
            scale: Scale::Logarithmic,
            x: 0.0..=2.0,
            y: 0.0..=2.0,
        };
        let [left, right, above, below] = MARGINS;
        let middle = (
            left + (WIDTH - left - right) / 2.0,
            above + (HEIGHT - above - below) / 2.0,
        );
        assert_eq!(axes.place((10.0, 10.0)), middle);
        let svg = log_log_svg(&[panel(vec![(1.0, 10.0), (10.0, 1000.0)])]);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert_eq!(svg.matches("<circle ").count(), 2);
        assert!(svg.contains("train &amp; more"), "{svg}");
    }

    #[test]
    fn a_band_goes_there_along_its_low_ends_and_back_along_its_high_ones() {
        let mut panel = panel(vec![(0.0, 1.0), (10.0, 2.0)]);
        panel.lines[0].band = vec![(0.0, 2.0), (1.0, 3.0)];
        let axes = Axes::of(&panel, Scale::Linear);
        assert!((axes.y.start() + 0.15).abs() < 1e-9 && (axes.y.end() - 3.15).abs() < 1e-9);
        let places = [(0.0, 0.0), (10.0, 1.0), (10.0, 3.0), (0.0, 2.0)];
        let places = places.map(|point| axes.place(point));
        let path = places.map(|(x, y)| format!("{x:.1},{y:.1}")).join(" ");
        let svg = linear_svg(&[panel]);
        assert!(
            svg.contains(&format!("<polygon class=\"colour-0\" points=\"{path}\"")),
            "{svg}"
        );
    }

    #[test]
    fn a_panel_without_points_is_drawn_empty() {
        let svg = log_log_svg(&[panel(vec![])]);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn what_never_changes_has_an_axis_that_shows_how_much_it_is() {
        let check = |y: f64, ticks: &[f64]| {
            let axes = Axes::of(&panel(vec![(0.0, y), (10.0, y)]), Scale::Linear);
            let found = steps(&axes.y);
            let is_near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-9;
            assert_eq!(found.len(), ticks.len(), "{found:?}");
            assert!(found.iter().zip(ticks).all(is_near), "{found:?}");
        };
        check(0.0, &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        check(0.01, &[0.006, 0.008, 0.01, 0.012, 0.014]);
        check(-2.0, &[-3.0, -2.5, -2.0, -1.5, -1.0]);
        check(1e6, &[6e5, 8e5, 1e6, 1.2e6, 1.4e6]);
    }

    #[test]
    fn ticks_are_round_numbers_that_people_read() {
        assert_eq!(decades(&(0.0..=1.0)), [1.0, 2.0, 5.0, 10.0]);
        assert_eq!(decades(&(0.0..=2.0)), [1.0, 10.0, 100.0]);
        assert_eq!(steps(&(-3.0..=63.0)), [0.0, 20.0, 40.0, 60.0]);
        assert_eq!(steps(&(0.01..=0.55)).len(), 5);
        assert_eq!(steps(&(0.0..=f64::from_bits(1))), [0.0; 0]);
        let texts = [0.0, 1.0, 50e3, 2e6, 0.5, 1500.0, -20.0, 1.5e-5, 2e-4].map(short);
        assert_eq!(
            texts,
            [
                "0", "1", "50k", "2M", "0.5", "1.5k", "-20", "1.5e-5", "2e-4"
            ]
        );
    }
}
