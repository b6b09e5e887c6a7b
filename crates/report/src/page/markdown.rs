//! A page as Markdown: its texts and tables, without its pictures. Texts of models, tools and
//! files are escaped, or stand in a fence that they cannot end.

use std::fmt::Write;

use crate::episode_text::printable;
use crate::grid::Grid;

use super::block::{Block, Section};
use super::conversation::Conversation;

/// A whole page under `title`; `about` stands below it.
pub(crate) fn page(title: &str, about: &str, sections: &[Section]) -> String {
    let mut text = format!("# {}\n\n{}\n", inline(title), inline(about));
    for section in sections {
        let _ = write!(text, "\n## {}\n", section.title);
        blocks(&section.blocks, &mut text);
    }
    text
}

fn blocks(all: &[Block], text: &mut String) {
    for block in all {
        let _ = match block {
            Block::Heading(heading) => write!(text, "\n### {}\n", inline(heading)),
            Block::Text(words) | Block::Note(words) => write!(text, "\n{}\n", inline(words)),
            Block::Answer(words) => write!(text, "\n**{}**\n", inline(words)),
            Block::Warning(words) => write!(text, "\n> {}\n", inline(words)),
            Block::Table(caption, grid) => write!(text, "\n{caption}:\n\n{}", table(grid)),
            Block::Figures(figures) => {
                for figure in figures {
                    if let Some(grid) = figure.numbers() {
                        let (title, caption) = (inline(&figure.title), inline(&figure.caption));
                        let _ = write!(text, "\n**{title}.** {caption}\n\n{}", table(&grid));
                    }
                }
                Ok(())
            }
            Block::Code(code) => write!(text, "\n{}", fenced(code)),
            Block::Fold(summary, inside) => {
                let _ = write!(text, "\n{}:\n", inline(summary));
                blocks(inside, text);
                Ok(())
            }
            Block::Conversation(it) => {
                conversation(it, text);
                Ok(())
            }
        };
    }
}

fn table(grid: &Grid) -> String {
    let mut grid = grid.clone();
    for cell in grid.rows.iter_mut().flatten() {
        *cell = inline(cell);
    }
    grid.map_headings(inline);
    grid.to_markdown()
}

fn conversation(it: &Conversation, text: &mut String) {
    let _ = write!(
        text,
        "\n#### {}\n\n{}\n",
        inline(&it.title()),
        inline(&it.facts())
    );
    let mut said = |who: &str, words: &str| {
        if !words.is_empty() {
            let _ = write!(text, "\n{who}:\n\n{}", fenced(words));
        }
    };
    said("Prompt", it.prompt.as_deref().unwrap_or(""));
    for (number, turn) in it.turns.iter().enumerate() {
        let turn_number = number + 1;
        said(&format!("Turn {turn_number}, reasoning"), &turn.reasoning);
        said(&format!("Turn {turn_number} says"), &turn.content);
        for call in &turn.calls {
            said(&format!("Turn {turn_number} calls"), call);
        }
        for failure in &turn.failures {
            said("Not a call", failure);
        }
        for observation in &turn.observations {
            let who = if observation.failed {
                "Failed"
            } else {
                "Returned"
            };
            said(who, &observation.text);
        }
        said("The user says", turn.reply.as_deref().unwrap_or(""));
    }
    if it.turns_left_out > 0 {
        let _ = write!(text, "\n{}\n", it.left_out_note());
    }
}

/// A text on one line, nothing of it left that Markdown or HTML understands but words.
fn inline(text: &str) -> String {
    let mut line = String::new();
    for c in printable(text).chars() {
        match c {
            '\n' | '\t' => line.push(' '),
            '<' => line.push_str("&lt;"),
            '>' => line.push_str("&gt;"),
            '&' => line.push_str("&amp;"),
            '\\' | '`' | '*' | '[' | ']' | '~' => line.extend(['\\', c]),
            c => line.push(c),
        }
    }
    line
}

/// A text as it is, between fences that are longer than any in it.
fn fenced(text: &str) -> String {
    let text = printable(text);
    let longest = text
        .split(|c| c != '`')
        .map(str::len)
        .max()
        .unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{}\n{fence}\n", text.trim_end_matches('\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_ends_no_fence_and_makes_no_tag() {
        assert_eq!(fenced("a\n````\n<b>"), "`````text\na\n````\n<b>\n`````\n");
        assert_eq!(fenced("x"), "```text\nx\n```\n");
        assert_eq!(
            inline("<img src=x>\n*[a](b)* `c` \u{1b}"),
            "&lt;img src=x&gt; \\*\\[a\\](b)\\* \\`c\\` \\\\u{1b}"
        );
    }
}
