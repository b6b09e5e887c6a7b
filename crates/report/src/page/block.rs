//! What a page says before it has a form: HTML and Markdown are both made of this.

use serde::Serialize;

use crate::grid::Grid;
use crate::plot::Panel;
use crate::plot::intervals::Intervals;
use crate::plot::stacked::Stacked;

use super::conversation::Conversation;

/// A chapter of a page.
pub(crate) struct Section {
    /// By which links find it.
    pub(crate) id: &'static str,
    /// Its heading.
    pub(crate) title: &'static str,
    /// What is in it.
    pub(crate) blocks: Vec<Block>,
}

/// A piece of a chapter. Texts are as they came: who writes a form escapes them.
pub(crate) enum Block {
    /// A heading within the chapter.
    Heading(String),
    /// A paragraph.
    Text(String),
    /// The sentence that a reader should take away.
    Answer(String),
    /// Something that is wrong.
    Warning(String),
    /// How to read what stands above.
    Note(String),
    /// A table with what it is of.
    Table(&'static str, Grid),
    /// Pictures side by side; where there are none, the form shows none.
    Figures(Vec<Figure>),
    /// Lines to copy.
    Code(String),
    /// What is shown on demand.
    Fold(String, Vec<Block>),
    /// An episode.
    Conversation(Box<Conversation>),
}

/// A picture with what it shows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Figure {
    /// What it is of.
    pub(crate) title: String,
    /// How to read it.
    pub(crate) caption: String,
    /// The picture.
    pub(crate) chart: Chart,
}

/// A picture's data.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Chart {
    /// Numbers over steps.
    Lines(Panel),
    /// Parts of a whole over steps.
    Stacked(Stacked),
    /// Differences.
    Intervals(Intervals),
}

impl Figure {
    /// The picture in words, for those who do not see it.
    pub(crate) fn description(&self) -> String {
        match &self.chart {
            Chart::Lines(panel) => {
                let lines = panel.lines.iter().map(|line| {
                    let ys = || line.points.iter().map(|(_, y)| *y);
                    let (Some((first, begin)), Some((last, end))) =
                        (line.points.first(), line.points.last())
                    else {
                        return format!("{}: no point", line.name);
                    };
                    format!(
                        "{}: from {} at {} to {} at {}, between {} and {}",
                        line.name,
                        short(*begin),
                        short(*first),
                        short(*end),
                        short(*last),
                        short(ys().fold(f64::INFINITY, f64::min)),
                        short(ys().fold(f64::NEG_INFINITY, f64::max)),
                    )
                });
                let lines: Vec<String> = lines.collect();
                format!("Lines over {}. {}.", panel.x, lines.join("; "))
            }
            Chart::Stacked(stacked) => format!(
                "Bars over {}, each of these parts from below: {}.",
                stacked.x,
                stacked.parts.join(", ")
            ),
            Chart::Intervals(intervals) => {
                let rows = intervals.rows.iter().map(|row| {
                    let (middle, low, high) = (short(row.middle), short(row.low), short(row.high));
                    format!("{}: {middle}, from {low} to {high}", row.name)
                });
                let rows: Vec<String> = rows.collect();
                format!("Differences with their intervals. {}.", rows.join("; "))
            }
        }
    }

    /// The numbers that the picture is of, where no other table has them.
    pub(crate) fn numbers(&self) -> Option<Grid> {
        let row = |x: f64, cells: Vec<String>| [vec![crate::summary::number(x)], cells].concat();
        match &self.chart {
            Chart::Lines(panel) => {
                let names: Vec<&str> = panel.lines.iter().map(|line| line.name.as_str()).collect();
                let mut xs: Vec<f64> = (panel.lines.iter())
                    .flat_map(|line| line.points.iter().map(|(x, _)| *x))
                    .collect();
                xs.sort_by(f64::total_cmp);
                xs.dedup();
                let mut grid = Grid::default().numbers(&[&panel.x]).numbers(&names);
                for x in some(&xs) {
                    let cells = panel.lines.iter().map(|line| {
                        let at = line.points.iter().position(|point| point.0 == *x);
                        at.map_or_else(String::new, |at| match line.band.get(at) {
                            Some((low, high)) => format!(
                                "{} ({} to {})",
                                short(line.points[at].1),
                                short(*low),
                                short(*high)
                            ),
                            None => short(line.points[at].1),
                        })
                    });
                    grid.rows.push(row(*x, cells.collect()));
                }
                Some(grid)
            }
            Chart::Stacked(stacked) => {
                let parts: Vec<&str> = stacked.parts.iter().map(String::as_str).collect();
                let mut grid = Grid::default().numbers(&[&stacked.x]).numbers(&parts);
                for (x, parts) in some(&stacked.bars) {
                    let cells = parts.iter().map(|height| short(*height));
                    grid.rows.push(row(*x, cells.collect()));
                }
                Some(grid)
            }
            Chart::Intervals(_) => None,
        }
    }
}

/// Rows that a table of a picture's numbers has at most.
const ROWS: usize = 24;

/// All of a few, or evenly some of many: the first and the last among them.
fn some<T>(items: &[T]) -> impl Iterator<Item = &T> {
    let rows = items.len().min(ROWS);
    (0..rows).map(move |row| match rows {
        1 => &items[0],
        _ => &items[row * (items.len() - 1) / (rows - 1)],
    })
}

/// Four significant digits.
fn short(number: f64) -> String {
    crate::summary::number(number)
}
