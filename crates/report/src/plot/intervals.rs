//! Differences with their intervals, one below the other, beside the line of no difference.

use std::fmt::Write;

use serde::Serialize;

use super::{class, colour, short, steps, text};

/// Differences to look at together.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Intervals {
    /// What stands below: the unit.
    pub(crate) x: String,
    /// From above.
    pub(crate) rows: Vec<Interval>,
}

/// One difference.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Interval {
    /// What it is of.
    pub(crate) name: String,
    /// The difference.
    pub(crate) middle: f64,
    /// Its interval's lower end.
    pub(crate) low: f64,
    /// Its interval's upper end.
    pub(crate) high: f64,
}

const WIDTH: f64 = 720.0;
const ROW: f64 = 24.0;
/// Pixels left of the axis, for names; of a letter, about.
const NAMES: f64 = 230.0;
const LETTERS: usize = 36;
const RIGHT: f64 = 20.0;
const ABOVE: f64 = 10.0;
const BELOW: f64 = 40.0;

impl Intervals {
    /// To stand in a page; `label` is as in [`super::inline_svg`].
    pub(crate) fn to_svg(&self, label: &str) -> String {
        let (mut low, mut high) = (0.0_f64, 0.0_f64);
        for row in &self.rows {
            (low, high) = (low.min(row.low), high.max(row.high));
        }
        let room = if high > low { 0.05 * (high - low) } else { 0.5 };
        let axis = low - room..=high + room;
        let place = |value: f64| {
            let share = (value - axis.start()) / (axis.end() - axis.start());
            NAMES + share * (WIDTH - NAMES - RIGHT)
        };
        let bottom = ABOVE + ROW * self.rows.len() as f64;
        let height = bottom + BELOW;
        let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" {label}>\n");
        for tick in steps(&axis) {
            let x = place(tick);
            let grid = format!("M{x:.1} {ABOVE:.1}V{bottom:.1}");
            let _ = writeln!(svg, "<path class=\"grid\" d=\"{grid}\" stroke=\"#ddd\"/>");
            text(&mut svg, x, bottom + 15.0, "middle", &short(tick));
        }
        let zero = format!("M{:.1} {ABOVE:.1}V{bottom:.1}", place(0.0));
        let _ = writeln!(svg, "<path class=\"zero\" d=\"{zero}\" stroke=\"#000\"/>");
        text(&mut svg, WIDTH - RIGHT, height - 6.0, "end", &self.x);
        let (class, colour) = (class(0), colour(0));
        for (number, row) in self.rows.iter().enumerate() {
            let y = ABOVE + ROW * (number as f64 + 0.5);
            let (low, middle, high) = (place(row.low), place(row.middle), place(row.high));
            text(
                &mut svg,
                NAMES - 12.0,
                y + 4.0,
                "end",
                &shortened(&row.name),
            );
            let _ = writeln!(
                svg,
                "<path class=\"{class}\" d=\"M{low:.1} {y:.1}H{high:.1}\" stroke=\"{colour}\" \
                 stroke-width=\"3\" stroke-linecap=\"round\" fill=\"none\"/>\n\
                 <circle class=\"{class}\" cx=\"{middle:.1}\" cy=\"{y:.1}\" r=\"5\" \
                 fill=\"{colour}\"/>"
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}

fn shortened(name: &str) -> String {
    match name.chars().count() {
        ..=LETTERS => name.to_owned(),
        _ => name.chars().take(LETTERS - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_lies_beside_the_line_of_no_difference() {
        let row = |name: &str, low, high| Interval {
            name: name.into(),
            middle: 0.5 * (low + high),
            low,
            high,
        };
        let rows = vec![row("a", 0.0, 10.0), row(&"long".repeat(20), 5.0, 10.0)];
        let svg = Intervals {
            x: "points".into(),
            rows,
        }
        .to_svg("");
        let zero = svg.split("class=\"zero\" d=\"M").nth(1).unwrap();
        let (zero, _) = zero.split_once(' ').unwrap();
        assert!(svg.contains(&format!("d=\"M{zero} 22.0H")), "{svg}");
        assert!(
            svg.contains("longlon…") && !svg.contains(&"long".repeat(10)),
            "{svg}"
        );
        let nothing = Intervals::default().to_svg("");
        assert!(
            !nothing.contains("NaN") && !nothing.contains("inf"),
            "{nothing}"
        );
    }
}
