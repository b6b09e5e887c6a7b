//! A page as HTML that needs nothing beside it: no script, no font, no picture from elsewhere.
//! Texts of models, tools and files go in by [`Html::text`] alone, which leaves no tag of them.

use std::fmt::Write;

use crate::episode_text::printable;
use crate::grid::Grid;
use crate::plot::{inline_svg, key_svg, names};

use super::block::{Block, Chart, Figure, Section};
use super::conversation::{Conversation, Turn};

const STYLE: &str = include_str!("style.css");

/// Characters of a cell that stays on one line.
const SHORT: usize = 26;

/// HTML in the making. Tags and attributes' names are the program's own.
struct Html {
    text: String,
    figures: usize,
}

/// A whole page under `title`; `about` stands below it.
pub(crate) fn page(title: &str, about: &str, sections: &[Section]) -> String {
    let mut html = Html {
        text: String::new(),
        figures: 0,
    };
    html.text.push_str(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src \
         'unsafe-inline'\">\n",
    );
    html.element("title", &[], title);
    let _ = write!(html.text, "<style>\n{STYLE}</style>\n</head>\n<body>\n");
    html.within("header", &[], |html| {
        html.element("h1", &[], title);
        html.element("p", &[], about);
    });
    html.within("nav", &[("aria-label", "Chapters")], |html| {
        html.within("ul", &[], |html| {
            for section in sections {
                html.within("li", &[], |html| {
                    let to = format!("#{}", section.id);
                    html.element("a", &[("href", &to)], section.title);
                });
            }
        });
    });
    html.within("main", &[], |html| {
        for section in sections {
            html.within("section", &[("aria-labelledby", section.id)], |html| {
                html.element("h2", &[("id", section.id)], section.title);
                html.blocks(&section.blocks);
            });
        }
    });
    html.text.push_str("</body>\n</html>\n");
    html.text
}

impl Html {
    /// A text, control characters shown and nothing of it left that HTML understands.
    fn text(&mut self, text: &str) {
        for c in printable(text).chars() {
            match c {
                '&' => self.text.push_str("&amp;"),
                '<' => self.text.push_str("&lt;"),
                '>' => self.text.push_str("&gt;"),
                '"' => self.text.push_str("&quot;"),
                '\'' => self.text.push_str("&#39;"),
                c => self.text.push(c),
            }
        }
    }

    fn open(&mut self, tag: &'static str, attributes: &[(&'static str, &str)]) {
        let _ = write!(self.text, "<{tag}");
        for (name, value) in attributes {
            let _ = write!(self.text, " {name}=\"");
            self.text(value);
            self.text.push('"');
        }
        self.text.push('>');
    }

    fn within(
        &mut self,
        tag: &'static str,
        attributes: &[(&'static str, &str)],
        inside: impl FnOnce(&mut Self),
    ) {
        self.open(tag, attributes);
        inside(self);
        let _ = writeln!(self.text, "</{tag}>");
    }

    fn element(&mut self, tag: &'static str, attributes: &[(&'static str, &str)], text: &str) {
        self.within(tag, attributes, |html| html.text(text));
    }

    fn classed(&mut self, tag: &'static str, class: &str, text: &str) {
        self.element(tag, &[("class", class)], text);
    }

    fn blocks(&mut self, blocks: &[Block]) {
        for block in blocks {
            match block {
                Block::Heading(text) => self.element("h3", &[], text),
                Block::Text(text) => self.element("p", &[], text),
                Block::Answer(text) => self.classed("p", "answer", text),
                Block::Warning(text) => self.classed("p", "warning", text),
                Block::Note(text) => self.classed("p", "note", text),
                Block::Code(text) => {
                    self.within("pre", &[], |html| html.element("code", &[], text));
                }
                Block::Table(caption, grid) => self.table(caption, grid),
                Block::Figures(figures) => self.figures(figures),
                Block::Fold(summary, blocks) => self.within("details", &[], |html| {
                    html.element("summary", &[], summary);
                    html.blocks(blocks);
                }),
                Block::Conversation(conversation) => self.conversation(conversation),
            }
        }
    }

    fn table(&mut self, caption: &str, grid: &Grid) {
        let side = |is_number: bool| match is_number {
            true => [("class", "number")].to_vec(),
            false => vec![],
        };
        // What is wider than the window is scrolled, by keys too.
        let region = [("class", "wide"), ("tabindex", "0"), ("role", "region")];
        let region = [&region[..], &[("aria-label", caption)]].concat();
        self.within("div", &region, |html| {
            html.within("table", &[], |html| {
                html.element("caption", &[], caption);
                html.within("thead", &[], |html| {
                    html.within("tr", &[], |html| {
                        for (heading, is_number) in grid.headings() {
                            let attributes = [vec![("scope", "col")], side(is_number)].concat();
                            html.element("th", &attributes, heading);
                        }
                    });
                });
                html.within("tbody", &[], |html| {
                    for row in &grid.rows {
                        html.within("tr", &[], |html| {
                            for (cell, (_, is_number)) in row.iter().zip(grid.headings()) {
                                let attributes = match cell.chars().count() {
                                    // Short ones are not broken on narrow screens.
                                    ..=SHORT if !is_number => vec![("class", "short")],
                                    _ => side(is_number),
                                };
                                html.element("td", &attributes, cell);
                            }
                        });
                    }
                });
            });
        });
    }

    fn figures(&mut self, figures: &[Figure]) {
        self.within("div", &[("class", "figures")], |html| {
            for figure in figures {
                html.figure(figure);
            }
        });
        let tables: Vec<_> = (figures.iter())
            .filter_map(|figure| Some((figure, figure.numbers()?)))
            .collect();
        if tables.is_empty() {
            return;
        }
        self.within("details", &[("class", "numbers")], |html| {
            html.element("summary", &[], "These pictures as tables");
            for (figure, grid) in tables {
                html.table(&figure.title, &grid);
            }
        });
    }

    fn figure(&mut self, figure: &Figure) {
        self.figures += 1;
        let (title, description) = (
            format!("figure-{}", self.figures),
            format!("figure-{}-text", self.figures),
        );
        let label = format!("aria-labelledby=\"{title}\" aria-describedby=\"{description}\"");
        let class = match figure.chart {
            Chart::Intervals(_) => "whole",
            Chart::Lines(_) | Chart::Stacked(_) => "part",
        };
        self.within("figure", &[("class", class)], |html| {
            html.within("figcaption", &[], |html| {
                html.element("strong", &[("id", &title)], &figure.title);
                html.text(" ");
                html.classed("span", "caption", &figure.caption);
            });
            // The plots escape their own texts.
            let svg = match &figure.chart {
                Chart::Lines(panel) => inline_svg(panel, &label),
                Chart::Stacked(stacked) => stacked.to_svg(&label),
                Chart::Intervals(intervals) => intervals.to_svg(&label),
            };
            html.text.push_str(&svg);
            let description = [("id", description.as_str()), ("class", "unseen")];
            html.element("p", &description, &figure.description());
            match &figure.chart {
                Chart::Lines(panel) => html.keys(&names(std::slice::from_ref(panel))),
                Chart::Stacked(stacked) => {
                    html.keys(&stacked.parts.iter().map(String::as_str).collect::<Vec<_>>());
                }
                Chart::Intervals(_) => {}
            }
        });
    }

    /// Which colour is whose.
    fn keys(&mut self, names: &[&str]) {
        self.within("ul", &[("class", "keys")], |html| {
            for (number, name) in names.iter().enumerate() {
                html.within("li", &[], |html| {
                    html.text.push_str(&key_svg(number));
                    html.text(name);
                });
            }
        });
    }

    fn conversation(&mut self, it: &Conversation) {
        self.within("article", &[("class", "episode")], |html| {
            html.element("h4", &[], &it.title());
            html.classed("p", "facts", &it.facts());
            if let Some(prompt) = &it.prompt {
                html.within("details", &[("class", "said template")], |html| {
                    html.element("summary", &[], "Prompt");
                    html.element("pre", &[], prompt);
                });
            }
            html.within("ol", &[("class", "turns")], |html| {
                for turn in &it.turns {
                    html.within("li", &[], |html| html.turn(turn));
                }
            });
            if it.turns_left_out > 0 {
                html.classed("p", "note", &it.left_out_note());
            }
        });
    }

    fn turn(&mut self, turn: &Turn) {
        if let Some(advantage) = turn.advantage {
            self.classed("p", "facts", &format!("advantage {advantage:+.3}"));
        }
        if !turn.reasoning.is_empty() {
            self.within("details", &[("class", "said reasoning")], |html| {
                html.element("summary", &[], "Reasoning");
                html.element("pre", &[], &turn.reasoning);
            });
        }
        self.said("policy", "Says", &turn.content);
        for call in &turn.calls {
            self.said("call", "Calls", call);
        }
        for failure in &turn.failures {
            self.said("failed", "Not a call", failure);
        }
        for observation in &turn.observations {
            match observation.failed {
                true => self.said("failed", "Failed", &observation.text),
                false => self.said("tool", "Returned", &observation.text),
            }
        }
        self.said(
            "template",
            "The user says",
            turn.reply.as_deref().unwrap_or(""),
        );
    }

    /// Nothing where there is nothing.
    fn said(&mut self, class: &str, who: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        self.within("div", &[("class", &format!("said {class}"))], |html| {
            html.classed("span", "who", who);
            html.element("pre", &[], text);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_leaves_no_tag_no_entity_and_no_control_character() {
        let mut html = Html {
            text: String::new(),
            figures: 0,
        };
        let hostile = "<script>x()</script> &lt; \" ' \u{1b}[2J\0\u{202e}";
        html.element("p", &[("id", "\"><b>")], hostile);
        assert_eq!(
            html.text,
            "<p id=\"&quot;&gt;&lt;b&gt;\">&lt;script&gt;x()&lt;/script&gt; &amp;lt; &quot; &#39; \
             \\u{1b}[2J\\u{0}\\u{202e}</p>\n"
        );
    }
}
