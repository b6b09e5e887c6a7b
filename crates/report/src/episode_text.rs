//! An episode as text: every token once, marked by its author, with what each turn led to.

use std::fmt::Write;
use std::ops::Range;

use episode::{Author, Episode, ParseFailure, Segment, ToolCall, Turn};

use crate::summary::stop_name;

/// Renders an episode for reading, turn by turn. `decode` gives the text of tokens, special
/// tokens included.
///
/// With `colour`, the template is dim, tools are cyan and the policy is bold and underlined,
/// since its tokens are the trained ones. Without, they stand in `⟦…⟧`. Control characters are
/// shown, never sent to the terminal. Where a later segment begins with what the template
/// rendered again, that stretch is counted rather than shown.
pub fn episode_text(episode: &Episode, decode: &dyn Fn(&[u32]) -> String, colour: bool) -> String {
    let page = Page { decode, colour };
    let mut text = heading(episode);
    for (index, segment) in episode.segments.iter().enumerate() {
        page.segment(&mut text, episode, index, segment);
    }
    for (index, turn) in episode.turns.iter().enumerate() {
        if turn.segment >= episode.segments.len() {
            let (turn, segment) = (index + 1, turn.segment.saturating_add(1));
            let _ = write!(
                text,
                "\n-- turn {turn} is of segment {segment}, which is not there\n"
            );
        }
    }
    text.push_str(&ending(episode));
    text
}

fn heading(episode: &Episode) -> String {
    format!(
        "task {} ({}), sample {}, seed {}: {} prompt tokens\n",
        episode.task, episode.scenario, episode.sample, episode.seed.0, episode.prompt_tokens
    )
}

fn ending(episode: &Episode) -> String {
    let mut text = format!(
        "\n-- {}: {} tokens sampled in {} turns, reward {:.4}\n",
        stop_name(episode.stop),
        episode.sampled_tokens(),
        episode.turns.len(),
        episode.score.reward
    );
    for (name, value) in &episode.score.metrics {
        let _ = writeln!(text, "   {name} {value:.4}");
    }
    text
}

/// How tokens become text on this page.
struct Page<'a> {
    decode: &'a dyn Fn(&[u32]) -> String,
    colour: bool,
}

impl Page<'_> {
    fn segment(&self, text: &mut String, episode: &Episode, index: usize, segment: &Segment) {
        let mut position = 0;
        if index > 0 {
            position = rendered_again(segment);
            let _ = write!(
                text,
                "\n-- segment {}: the template rendered {position} tokens again\n",
                index + 1
            );
        }
        let turns = episode.turns.iter().enumerate();
        for (number, turn) in turns.filter(|(_, turn)| turn.segment == index) {
            self.span(text, segment, position..turn.start);
            let sampled = turn.end.saturating_sub(turn.start);
            let _ = write!(text, "\n-- turn {}: {sampled} tokens\n", number + 1);
            self.span(text, segment, turn.start..turn.end);
            text.push_str(&outcome(turn));
            position = turn.end;
        }
        self.span(text, segment, position..segment.tokens.len());
    }

    /// The tokens of a range, in stretches of one author. A file may tell of tokens that it does
    /// not have.
    fn span(&self, text: &mut String, segment: &Segment, range: Range<usize>) {
        let columns = (
            segment.authors.get(range.clone()),
            segment.tokens.get(range.clone()),
        );
        let (Some(authors), Some(tokens)) = columns else {
            let (tokens, authors) = (segment.tokens.len(), segment.authors.len());
            let _ = writeln!(
                text,
                "\n-- tokens {} to {} cannot be shown: there are {tokens}, with {authors} authors",
                range.start, range.end
            );
            return;
        };
        let mut start = 0;
        for stretch in authors.chunk_by(|a, b| a == b) {
            let end = start + stretch.len();
            let words = printable(&(self.decode)(&tokens[start..end]));
            text.push_str(&self.marked(&words, stretch[0]));
            start = end;
        }
    }

    fn marked(&self, words: &str, author: Author) -> String {
        if self.colour {
            let style = match author {
                Author::Template => "\x1b[2m",
                Author::Tool => "\x1b[36m",
                Author::Policy => "\x1b[1;4m",
            };
            // Line by line: pagers drop a style at the end of a line.
            let lines = words.split('\n').map(|line| match line {
                "" => String::new(),
                line => format!("{style}{line}\x1b[0m"),
            });
            return lines.collect::<Vec<_>>().join("\n");
        }
        match author {
            Author::Policy => format!("⟦{words}⟧"),
            Author::Template | Author::Tool => words.to_owned(),
        }
    }
}

/// How many tokens at the head of a later segment are the template's.
fn rendered_again(segment: &Segment) -> usize {
    let of_template = |author: &&Author| **author == Author::Template;
    segment.authors.iter().take_while(of_template).count()
}

/// What the harness made of a turn.
fn outcome(turn: &Turn) -> String {
    let mut text = String::from("\n");
    for call in &turn.calls {
        let _ = writeln!(text, "-- called {}", call_text(call));
    }
    for failure in &turn.failures {
        let _ = writeln!(text, "-- not a call: {}", failure_text(failure));
    }
    for (index, observation) in turn.observations.iter().enumerate() {
        if observation.failed {
            let _ = writeln!(text, "-- observation {} is a failure", index + 1);
        }
    }
    text
}

pub(crate) fn call_text(call: &ToolCall) -> String {
    let arguments: Vec<_> = call
        .arguments
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    printable(&format!("{}({})", call.name, arguments.join(", ")))
}

/// Why an assistant's turn could not be read as calls, in words.
pub fn failure_text(failure: &ParseFailure) -> String {
    match failure {
        ParseFailure::NotJson(reason) => format!("not JSON, {}", printable(reason)),
        ParseFailure::NotACall(reason) => {
            format!("JSON without `name` and `arguments`, {}", printable(reason))
        }
        ParseFailure::Unclosed => "cut off before its closing tag".into(),
    }
}

/// Text whose control characters, line breaks and tabs apart, are written as escapes, and so is
/// what would turn the direction of the text around it.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c.to_string(),
            c if c.is_control() || turns_direction(c) => c.escape_default().to_string(),
            c => c.to_string(),
        })
        .collect()
}

/// Marks, embeddings, overrides and isolates of Unicode's bidirectional algorithm.
fn turns_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
