//! A frame as plain text, for where there is no terminal.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::{Buffer, Cell};
use unicode_width::UnicodeWidthStr;

use crate::frame::{Moment, draw};
use crate::{RunState, View};

/// One frame of `width` columns and `height` lines, without blanks at the ends of lines.
pub fn page(
    run: &RunState,
    view: &mut View,
    moment: &Moment<'_>,
    width: u16,
    height: u16,
) -> String {
    let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
    let Ok(_) = terminal.draw(|frame| draw(frame, run, view, moment));
    text(terminal.backend().buffer())
}

fn text(buffer: &Buffer) -> String {
    let lines = buffer.content.chunks(usize::from(buffer.area.width).max(1));
    lines.map(|line| line_text(line) + "\n").collect()
}

/// A wide character takes the cell after it too.
fn line_text(cells: &[Cell]) -> String {
    let mut line = String::new();
    let mut covered = 0;
    for cell in cells {
        if covered == 0 {
            line.push_str(cell.symbol());
            covered = cell.symbol().width();
        }
        covered = covered.saturating_sub(1);
    }
    line.trim_end().to_owned()
}
