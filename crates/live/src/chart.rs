//! A metric over the steps: a row with a small curve in it, or a curve with axes.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Chart, Dataset, GraphType};

use crate::frame::{Look, titled};
use crate::printable::printable_line;
use crate::series::Series;

/// Columns of a metric's name.
const NAME: usize = 20;

/// Columns of its last value.
const VALUE: usize = 9;

/// The heights of a bar, from the lowest.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// `name  ▁▂▃▅  0.123`, as wide as `width`.
pub(crate) fn row(series: &Series, name: &str, width: u16, look: Look) -> Line<'static> {
    let curve = usize::from(width).saturating_sub(NAME + VALUE + 2);
    let last = series.last(name);
    let last = last.map_or_else(String::new, |value| amount(name, value));
    let name_shown: String = printable_line(name, NAME).chars().take(NAME).collect();
    Line::from(vec![
        Span::styled(format!("{name_shown:<NAME$} "), look.plain()),
        Span::styled(bars(&series.of(name), curve), look.curve()),
        Span::styled(format!(" {last:>VALUE$}"), look.strong()),
    ])
}

/// Values as bars between the least and the largest, one a column: each is the mean of the steps
/// that fall into it. Columns without a value are blank.
fn bars(values: &[f64], columns: usize) -> String {
    let count = values.len().min(columns);
    let means: Vec<f64> = (0..count)
        .map(|column| {
            let [start, end] = [column, column + 1].map(|it| it * values.len() / count);
            let known = values[start..end].iter().filter(|it| it.is_finite());
            let (sum, known) = known.fold((0.0, 0), |(sum, known), it| (sum + it, known + 1));
            sum / f64::from(known)
        })
        .collect();
    let finite = || means.iter().copied().filter(|it| it.is_finite());
    let (least, most) = (
        finite().fold(f64::INFINITY, f64::min),
        finite().fold(f64::NEG_INFINITY, f64::max),
    );
    // What differs by the rounding of means only is flat.
    let is_flat = most - least <= 1e-9 * most.abs().max(least.abs());
    let bar = |mean: f64| match mean.is_finite() {
        false => ' ',
        true if is_flat => BARS[0],
        true => BARS[(((mean - least) / (most - least)) * 7.0).round() as usize],
    };
    let drawn: String = means.iter().map(|mean| bar(*mean)).collect();
    format!("{drawn:<columns$}")
}

/// A metric's value; those that are memory are in bytes.
fn amount(name: &str, value: f64) -> String {
    const MIB: f64 = (1 << 20) as f64;
    match name {
        "memory-peak" | "cache-peak" if value < 1024.0 * MIB => format!("{:.0} MiB", value / MIB),
        "memory-peak" | "cache-peak" => format!("{:.2} GiB", value / MIB / 1024.0),
        _ => number(value),
    }
}

/// A number in nine columns.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if value.fract() == 0.0 && size < 1e7 {
        format!("{value}")
    } else if (1e-3..1e4).contains(&size) {
        format!("{value:.4}").chars().take(VALUE).collect()
    } else {
        format!("{value:.2e}")
    }
}

/// A curve with axes.
pub(crate) fn curve(frame: &mut Frame<'_>, area: Rect, series: &Series, name: &str, look: Look) {
    let points = series.points(name);
    let block = titled(name, look);
    // What no axis can span is left out.
    let can_be_drawn = |it: &(f64, f64)| it.1.abs() < 1e300;
    let finite: Vec<(f64, f64)> = points.into_iter().filter(can_be_drawn).collect();
    let (Some(first), Some(last)) = (finite.first(), finite.last()) else {
        frame.render_widget(block, area);
        return;
    };
    let values = || finite.iter().map(|it| it.1);
    let least = values().fold(f64::INFINITY, f64::min);
    let most = values().fold(f64::NEG_INFINITY, f64::max);
    // A flat curve has no height of its own.
    let most = if most > least { most } else { least + 1.0 };
    let right = if last.0 > first.0 {
        last.0
    } else {
        first.0 + 1.0
    };
    let dataset = Dataset::default()
        .marker(Marker::Braille)
        .graph_type(GraphType::Line)
        .style(look.curve())
        .data(&finite);
    let axis = |low: f64, high: f64| {
        let labels = [number(low), number(high)];
        let axis = Axis::default().bounds([low, high]).style(look.dim());
        axis.labels(labels)
    };
    let chart = Chart::new(vec![dataset])
        .block(block)
        .x_axis(axis(first.0, right))
        .y_axis(axis(least, most));
    frame.render_widget(chart, area);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_span_the_least_and_the_largest() {
        let nan = f64::NAN;
        for (values, columns, drawn) in [
            (&[0.0, 7.0, 3.0][..], 5, "▁█▄  "),
            (&[0.0, 2.0, 4.0, 6.0], 2, "▁█"),
            (&[1.0, nan, 1.0], 3, "▁ ▁"),
            (&[nan, f64::INFINITY], 2, "  "),
            (&[], 2, "  "),
            (&[1.0], 0, ""),
            (&[0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], 2, "▁▁"),
            (&[f64::MIN, f64::MAX], 2, "▁▁"),
        ] {
            assert_eq!(bars(values, columns), drawn, "{values:?}");
        }
    }

    #[test]
    fn numbers_fit_their_column() {
        for (value, text) in [
            (0.0, "0"),
            (12.0, "12"),
            (0.12345, "0.1235"),
            (-1234.5, "-1234.500"),
            (1e-5, "1.00e-5"),
            (-1.5e300, "-1.50e300"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(number(value), text);
            assert!(text.len() <= VALUE);
        }
    }
}
