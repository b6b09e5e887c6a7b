//! An episode as lines of a given width: who said what, and what came of it.

use episode::{Episode, ParseFailure, Turn};
use ratatui::style::Style;
use ratatui::text::Line;
use unicode_width::UnicodeWidthChar;

use crate::frame::{Decode, Look};
use crate::printable::{printable, printable_line};

/// The most characters of one text that are shown.
const SHOWN: usize = 4000;

/// The most characters of a name.
const NAME: usize = 60;

/// What the episode was, on a line.
pub(crate) fn heading(step: u64, episode: &Episode) -> String {
    let stop = serde_json::to_value(episode.stop).unwrap_or_default();
    printable_line(
        &format!(
            "step {step}, task {} ({}), sample {}: reward {:.3}, {}",
            episode.task,
            episode.scenario,
            episode.sample,
            episode.score.reward,
            stop.as_str().unwrap_or_default(),
        ),
        200,
    )
}

/// Its prompt, where tokens can be told, and its turns.
pub(crate) fn lines(
    episode: &Episode,
    decode: Option<Decode<'_>>,
    width: u16,
    look: Look,
) -> Vec<Line<'static>> {
    let mut page = Lines {
        lines: Vec::new(),
        width: usize::from(width),
    };
    let prompt = episode.segments.first().map(|it| &it.tokens[..]);
    let prompt = prompt.and_then(|tokens| tokens.get(..episode.prompt_tokens));
    match (decode, prompt) {
        (Some(decode), Some(prompt)) => page.say("prompt", &decode(prompt), look.dim()),
        _ => page.say("prompt", "(its tokenizer is not at hand)", look.dim()),
    }
    for (number, turn) in (1..).zip(&episode.turns) {
        page.turn(number, turn, look);
    }
    page.lines
}

struct Lines {
    lines: Vec<Line<'static>>,
    width: usize,
}

impl Lines {
    fn turn(&mut self, number: usize, turn: &Turn, look: Look) {
        self.say(&format!("turn {number}"), &turn.text, look.plain());
        for failure in &turn.failures {
            self.say("not a call", &failure_text(failure), look.warning());
        }
        for (place, observation) in turn.observations.iter().enumerate() {
            let call = turn.calls.get(place);
            let name = call.map_or_else(|| "told".to_owned(), |it| printable_line(&it.name, NAME));
            let style = match observation.failed {
                true => look.warning(),
                false => look.tool(),
            };
            self.say(&name, &observation.text, style);
        }
        if let Some(reply) = &turn.reply {
            self.say("user", reply, look.dim());
        }
    }

    /// A text with who said it before it.
    fn say(&mut self, who: &str, text: &str, style: Style) {
        let text = format!("{who}: {}", printable(text.trim_end(), SHOWN));
        for line in text.split('\n') {
            for piece in pieces(line, self.width) {
                self.lines.push(Line::styled(piece.to_owned(), style));
            }
        }
    }
}

fn failure_text(failure: &ParseFailure) -> String {
    match failure {
        ParseFailure::NotJson(reason) => format!("not JSON, {reason}"),
        ParseFailure::NotACall(reason) => format!("no `name` and `arguments`, {reason}"),
        ParseFailure::Unclosed => "cut off before its closing tag".to_owned(),
    }
}

/// A line cut where it reaches `width` columns; wide characters take two.
fn pieces(line: &str, width: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut start, mut columns) = (0, 0);
    for (at, c) in line.char_indices() {
        let wide = c.width().unwrap_or(0);
        if columns + wide > width && at > start {
            pieces.push(&line[start..at]);
            (start, columns) = (at, 0);
        }
        columns += wide;
    }
    pieces.push(&line[start..]);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_by_columns_and_loses_nothing() {
        assert_eq!(pieces("abcdef", 4), ["abcd", "ef"]);
        assert_eq!(pieces("漢字漢", 4), ["漢字", "漢"]);
        assert_eq!(pieces("a漢字", 4), ["a漢", "字"]);
        assert_eq!(pieces("", 4), [""]);
        assert_eq!(pieces("漢字", 1), ["漢", "字"], "too narrow for any");
        assert_eq!(pieces("ab", 0), ["a", "b"]);
    }
}
