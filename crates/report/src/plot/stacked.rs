//! Parts of a whole over the steps of a run, one upon the other.

use std::fmt::Write;

use serde::Serialize;

use super::{HEIGHT, MARGINS, WIDTH, class, colour, escaped, short, steps, text};

/// Bars, each with the same parts.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Stacked {
    /// What stands below the bars.
    pub(crate) x: String,
    /// What their height is.
    pub(crate) y: String,
    /// The parts by name, from below.
    pub(crate) parts: Vec<String>,
    /// Where each bar stands, and how high each part is, `[parts]`.
    pub(crate) bars: Vec<(f64, Vec<f64>)>,
}

impl Stacked {
    /// To stand in a page; `label` is as in [`super::inline_svg`].
    pub(crate) fn to_svg(&self, label: &str) -> String {
        let [left, right, above, below] = MARGINS;
        let (bottom, end) = (HEIGHT - below, WIDTH - right);
        let heights = self.bars.iter().map(|(_, parts)| parts.iter().sum::<f64>());
        let highest = heights.fold(0.0, f64::max);
        let highest = if highest > 0.0 { highest } else { 1.0 };
        let length = |height: f64| height / highest * (bottom - above);

        let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" {label}>\n");
        text(&mut svg, left, above - 10.0, "start", &self.y);
        text(&mut svg, end, HEIGHT - 8.0, "end", &self.x);
        for tick in steps(&(0.0..=highest)) {
            let y = bottom - length(tick);
            let grid = format!("M{left:.1} {y:.1}H{end:.1}");
            let _ = writeln!(svg, "<path class=\"grid\" d=\"{grid}\" stroke=\"#ddd\"/>");
            text(&mut svg, left - 6.0, y + 4.0, "end", &short(tick));
        }
        let room = (end - left) / self.bars.len().max(1) as f64;
        let named = self.bars.len().div_ceil(6).max(1);
        for (number, (x, parts)) in self.bars.iter().enumerate() {
            let start = left + room * number as f64;
            let mut top = bottom;
            for (part, height) in parts.iter().enumerate() {
                top -= length(*height);
                let (class, fill, name) = (class(part), colour(part), escaped(&self.parts[part]));
                let (width, height) = (room * 0.86, length(*height));
                let _ = writeln!(
                    svg,
                    "<rect class=\"{class}\" x=\"{start:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" \
                     height=\"{height:.1}\" fill=\"{fill}\"><title>{name}</title></rect>"
                );
            }
            if number % named == 0 {
                text(
                    &mut svg,
                    start + room * 0.43,
                    bottom + 15.0,
                    "middle",
                    &short(*x),
                );
            }
        }
        svg.push_str("</svg>\n");
        svg
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bars_parts_stand_upon_each_other_and_fill_the_height() {
        let stacked = Stacked {
            parts: vec!["a".into(), "b".into()],
            bars: vec![(0.0, vec![1.0, 3.0])],
            ..Stacked::default()
        };
        let svg = stacked.to_svg("");
        let [_, _, above, below] = MARGINS;
        let whole = HEIGHT - below - above;
        let a = format!("y=\"{:.1}\" width", above + 0.75 * whole);
        let b = format!("y=\"{above:.1}\" width");
        assert!(svg.contains(&a) && svg.contains(&b), "{svg}");
        let nothing = Stacked::default().to_svg("");
        assert!(
            !nothing.contains("NaN") && !nothing.contains("inf"),
            "{nothing}"
        );
    }
}
