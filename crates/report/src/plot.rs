//! Lines on logarithmic scales as an SVG that needs nothing beside it.

use std::fmt::Write;
use std::ops::RangeInclusive;

/// A set of axes with its lines.
#[derive(Clone, Debug, Default, PartialEq)]
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

/// Points joined in their order, all positive.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    /// What it is of.
    pub name: String,
    /// `(x, y)`.
    pub points: Vec<(f64, f64)>,
}

/// Pixels of a panel, its margins included.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 260.0;
/// Left, right, above, below.
const MARGINS: [f64; 4] = [62.0, 14.0, 34.0, 44.0];
const COLUMNS: usize = 2;
/// Told apart also by those who do not see red from green (Okabe & Ito 2008).
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

/// All panels, two in a row, on logarithmic scales.
pub fn log_log_svg(panels: &[Panel]) -> String {
    let rows = panels.len().div_ceil(COLUMNS);
    let (width, height) = (WIDTH * COLUMNS as f64, HEIGHT * rows as f64);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    let mut names: Vec<&str> = Vec::new();
    for line in panels.iter().flat_map(|panel| &panel.lines) {
        if !names.contains(&line.name.as_str()) {
            names.push(&line.name);
        }
    }
    for (i, panel) in panels.iter().enumerate() {
        let (column, row) = ((i % COLUMNS) as f64, (i / COLUMNS) as f64);
        let _ = writeln!(
            svg,
            "<g transform=\"translate({},{})\">",
            column * WIDTH,
            row * HEIGHT
        );
        Axes::of(panel).draw(panel, &names, &mut svg);
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    svg
}

/// What the axes span, in powers of ten.
struct Axes {
    x: RangeInclusive<f64>,
    y: RangeInclusive<f64>,
}

impl Axes {
    fn of(panel: &Panel) -> Self {
        let span = |of: fn(&(f64, f64)) -> f64| {
            let points = panel.lines.iter().flat_map(|line| &line.points);
            let logs = points.map(|point| of(point).log10());
            let (low, high) = logs.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), log| {
                (low.min(log), high.max(log))
            });
            match low <= high {
                true => low - 0.15..=high + 0.15,
                false => 0.0..=1.0,
            }
        };
        Self {
            x: span(|point| point.0),
            y: span(|point| point.1),
        }
    }

    /// Pixels of a point.
    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let share = |axis: &RangeInclusive<f64>, value: f64| {
            (value.log10() - axis.start()) / (axis.end() - axis.start())
        };
        let [left, right, above, below] = MARGINS;
        let across = left + share(&self.x, x) * (WIDTH - left - right);
        let down = HEIGHT - below - share(&self.y, y) * (HEIGHT - above - below);
        (across, down)
    }

    fn draw(&self, panel: &Panel, names: &[&str], svg: &mut String) {
        let [left, right, above, below] = MARGINS;
        let (bottom, end) = (HEIGHT - below, WIDTH - right);
        let text = |svg: &mut String, x: f64, y: f64, anchor: &str, text: &str| {
            let text = escaped(text);
            let at = format!("x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\"");
            let _ = writeln!(svg, "<text {at}>{text}</text>");
        };
        text(
            svg,
            left,
            above - 18.0,
            "start",
            &format!("{}: {}", panel.title, panel.y),
        );
        text(svg, end, HEIGHT - 8.0, "end", &panel.x);
        for tick in ticks(&self.x) {
            let (x, _) = self.place((tick, 1.0));
            let grid = format!("M{x:.1} {above:.1}V{bottom:.1}");
            let _ = writeln!(svg, "<path d=\"{grid}\" stroke=\"#ddd\"/>");
            text(svg, x, bottom + 15.0, "middle", &short(tick));
        }
        for tick in ticks(&self.y) {
            let (_, y) = self.place((1.0, tick));
            let grid = format!("M{left:.1} {y:.1}H{end:.1}");
            let _ = writeln!(svg, "<path d=\"{grid}\" stroke=\"#ddd\"/>");
            text(svg, left - 6.0, y + 4.0, "end", &short(tick));
        }
        for line in &panel.lines {
            let number = names
                .iter()
                .position(|name| *name == line.name)
                .unwrap_or(0);
            let colour = COLOURS[number % COLOURS.len()];
            let places: Vec<(f64, f64)> = line.points.iter().map(|p| self.place(*p)).collect();
            let path: Vec<String> = places
                .iter()
                .map(|(x, y)| format!("{x:.1},{y:.1}"))
                .collect();
            let path = path.join(" ");
            let _ = writeln!(
                svg,
                "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
            );
            for (x, y) in places {
                let _ = writeln!(
                    svg,
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"
                );
            }
            let x = left + 60.0 * number as f64;
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>",
                above - 5.0,
                escaped(&line.name)
            );
        }
    }
}

/// Powers of ten within an axis, with halves between where they are few.
fn ticks(axis: &RangeInclusive<f64>) -> Vec<f64> {
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
    let units = [(1e9, "G"), (1e6, "M"), (1e3, "k")];
    let unit = units.into_iter().find(|(size, _)| number >= 0.999 * size);
    let (size, name) = unit.unwrap_or((1.0, ""));
    let digits = number / size;
    match digits >= 0.999 {
        true => format!("{digits:.0}{name}"),
        false => format!("{digits:.3}").trim_end_matches('0').to_owned(),
    }
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
            }],
        }
    }

    #[test]
    fn a_line_goes_through_its_points_on_logarithmic_scales() {
        let axes = Axes {
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
    fn a_panel_without_points_is_drawn_empty() {
        let svg = log_log_svg(&[panel(vec![])]);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn ticks_are_round_numbers_that_people_read() {
        assert_eq!(ticks(&(0.0..=1.0)), [1.0, 2.0, 5.0, 10.0]);
        assert_eq!(ticks(&(0.0..=2.0)), [1.0, 10.0, 100.0]);
        let texts = [1.0, 50e3, 2e6, 0.5].map(short);
        assert_eq!(texts, ["1", "50k", "2M", "0.5"]);
    }
}
