//! Rows and columns as text for a terminal, or as Markdown. Knows nothing of what they hold.

/// The widest that a text can be filled up to.
pub(crate) const WIDEST: usize = u16::MAX as usize;

/// A table with a heading over each column.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Grid {
    columns: Vec<Column>,
    /// As many cells in each as there are columns.
    pub(crate) rows: Vec<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Column {
    heading: String,
    is_right: bool,
}

impl Grid {
    /// With further columns of words, which stand to the left.
    pub(crate) fn words(self, headings: &[&str]) -> Self {
        self.columns(headings, false)
    }

    /// With further columns of numbers, which stand to the right.
    pub(crate) fn numbers(self, headings: &[&str]) -> Self {
        self.columns(headings, true)
    }

    fn columns(mut self, headings: &[&str], is_right: bool) -> Self {
        let column = |heading: &&str| Column {
            heading: (*heading).to_owned(),
            is_right,
        };
        self.columns.extend(headings.iter().map(column));
        self
    }

    /// Without the column of this heading.
    pub(crate) fn without(mut self, heading: &str) -> Self {
        if let Some(place) = self.columns.iter().position(|it| it.heading == heading) {
            self.columns.remove(place);
            for row in &mut self.rows {
                row.remove(place);
            }
        }
        self
    }

    /// Heading and whether it is of numbers, a column each.
    pub(crate) fn headings(&self) -> impl Iterator<Item = (&str, bool)> {
        let columns = self.columns.iter();
        columns.map(|column| (column.heading.as_str(), column.is_right))
    }

    /// With every heading through `change`.
    pub(crate) fn map_headings(&mut self, change: impl Fn(&str) -> String) {
        for column in &mut self.columns {
            column.heading = change(&column.heading);
        }
    }

    /// Two spaces between columns, each as wide as its widest cell.
    pub(crate) fn to_text(&self) -> String {
        let headings: Vec<String> = self.columns.iter().map(|it| it.heading.clone()).collect();
        let lines = || std::iter::once(&headings).chain(&self.rows);
        let widths: Vec<usize> = (0..headings.len())
            .map(|column| lines().map(|line| line[column].chars().count()).max())
            .map(|width| width.unwrap_or(0).min(WIDEST))
            .collect();
        let mut text = String::new();
        for line in lines() {
            let cells: Vec<_> = (line.iter().zip(&widths).zip(&self.columns))
                .map(|((cell, &width), column)| match column.is_right {
                    true => format!("{cell:>width$}"),
                    false => format!("{cell:<width$}"),
                })
                .collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text
    }

    /// A Markdown table.
    pub(crate) fn to_markdown(&self) -> String {
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let headings = self.columns.iter().map(|column| escaped(&column.heading));
        let sides = self.columns.iter().map(|column| match column.is_right {
            true => "---:".to_owned(),
            false => "---".to_owned(),
        });
        let mut text = line(headings.collect()) + &line(sides.collect());
        for row in &self.rows {
            text += &line(row.iter().map(|cell| escaped(cell)).collect());
        }
        text
    }
}

fn escaped(cell: &str) -> String {
    cell.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_to_the_left_and_numbers_to_the_right() {
        let grid = Grid::default().words(&["method", "group"]);
        let mut grid = grid.numbers(&["score"]);
        grid.rows
            .push(vec!["a|b".into(), "x".into(), "7.00".into()]);
        grid.rows
            .push(vec!["sft".into(), "x".into(), "12.00".into()]);
        assert_eq!(
            grid.to_markdown(),
            "| method | group | score |\n| --- | --- | ---: |\n| a\\|b | x | 7.00 |\n\
             | sft | x | 12.00 |\n"
        );
        assert_eq!(
            grid.without("group").to_text(),
            "method  score\na|b      7.00\nsft     12.00\n"
        );
    }
}
