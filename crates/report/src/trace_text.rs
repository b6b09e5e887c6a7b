//! A trace as text: what was asked, then turn by turn the reasoning in its segments, the calls
//! and what they returned, and the answer.

use std::fmt::Write;

use episode::{Role, Task, Trace};

use crate::episode_text::{call_text, printable};

/// Renders an expert's trace for reading. `reasoning` has the segments of each turn's
/// reasoning, the answering turn's last, as `chat::Chat::expert_reasoning` cuts them.
///
/// Each segment begins with its number. With `colour`, numbers are bold and what tools returned
/// is cyan. Control characters are shown, never sent to the terminal.
pub fn trace_text(task: &Task, trace: &Trace, reasoning: &[Vec<String>], colour: bool) -> String {
    let mut text = heading(task, trace);
    for (index, turn) in trace.turns.iter().enumerate() {
        let segments = reasoning.get(index).map_or(&[][..], Vec::as_slice);
        let _ = writeln!(text, "\n-- turn {}: {}", index + 1, counted(segments.len()));
        text += &numbered(segments, colour);
        for (call, result) in turn.calls.iter().zip(&turn.results) {
            let _ = writeln!(text, "calls {}", call_text(call));
            text += &returned(result, colour);
        }
    }
    match &trace.answer {
        None => text += "\n-- no answer\n",
        Some(answer) => {
            let segments = reasoning
                .get(trace.turns.len())
                .map_or(&[][..], Vec::as_slice);
            let _ = writeln!(text, "\n-- answer: {}", counted(segments.len()));
            text += &numbered(segments, colour);
            let _ = writeln!(text, "answers {}", indented(answer, "        "));
        }
    }
    text
}

fn heading(task: &Task, trace: &Trace) -> String {
    let source = match trace.source.as_str() {
        "" => "of unknown source".to_owned(),
        source => format!("from {}", printable(source)),
    };
    let verified = match trace.verified {
        None => "never replayed",
        Some(true) => "verified",
        Some(false) => "not verified",
    };
    let mut text = format!(
        "task {} ({}), {source}, {verified}\n",
        task.id, task.scenario
    );
    let asked = task.messages.iter().rfind(|said| said.role == Role::User);
    if let Some(asked) = asked {
        let _ = writeln!(text, "{}", printable(asked.content.trim_end()));
    }
    text
}

fn counted(segments: usize) -> String {
    match segments {
        0 => "no reasoning".to_owned(),
        1 => "1 segment of reasoning".to_owned(),
        more => format!("{more} segments of reasoning"),
    }
}

/// Segments with their numbers, from 1, before them.
fn numbered(segments: &[String], colour: bool) -> String {
    let lines = segments.iter().enumerate().map(|(index, segment)| {
        let number = format!("[{}]", index + 1);
        let indent = " ".repeat(number.len() + 1);
        let number = match colour {
            true => format!("\x1b[1m{number}\x1b[0m"),
            false => number,
        };
        format!("{number} {}\n", indented(segment, &indent))
    });
    lines.collect()
}

fn returned(result: &str, colour: bool) -> String {
    let result = indented(result, "        ");
    // Line by line: pagers drop a style at the end of a line.
    let lines = result.split('\n').map(|line| match colour {
        true if !line.is_empty() => format!("\x1b[36m{line}\x1b[0m"),
        _ => line.to_owned(),
    });
    format!("returns {}\n", lines.collect::<Vec<_>>().join("\n"))
}

/// The text without the white space at its end, its later lines set in.
fn indented(text: &str, indent: &str) -> String {
    let text = printable(text.trim_end());
    let lines = text
        .split('\n')
        .enumerate()
        .map(|(index, line)| match (index, line) {
            (0, _) | (_, "") => line.to_owned(),
            _ => format!("{indent}{line}"),
        });
    lines.collect::<Vec<_>>().join("\n")
}
