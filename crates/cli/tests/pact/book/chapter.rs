//! A chapter as its text and its fenced blocks, and whether a command printed what it shows.

/// One file of the book.
pub(super) struct Chapter {
    /// The file's name, without a folder.
    pub(super) name: String,
    pub(super) text: String,
}

/// What stands between two fences.
pub(super) struct Block {
    /// The line of its opening fence, from 1.
    pub(super) line: usize,
    /// The first word after the fence, such as `console`.
    pub(super) kind: String,
    /// The second: the file that the reader is to save it as.
    pub(super) file: Option<String>,
    pub(super) text: String,
}

/// A command of a `console` block and the lines that the book shows under it.
pub(super) struct Step {
    pub(super) command: String,
    pub(super) shown: Vec<String>,
}

impl Chapter {
    pub(super) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for (index, line) in self.text.lines().enumerate() {
            match (line.strip_prefix("```"), open.take()) {
                (Some(_), Some(block)) => blocks.push(block),
                (Some(info), None) => {
                    let mut words = info.split_whitespace();
                    open = Some(Block {
                        line: index + 1,
                        kind: words.next().unwrap_or_default().to_owned(),
                        file: words.next().map(str::to_owned),
                        text: String::new(),
                    });
                }
                (None, Some(mut block)) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                    open = Some(block);
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block is not closed", self.name);
        blocks
    }

    /// The text without what stands in fenced blocks.
    pub(super) fn prose(&self) -> String {
        let mut is_code = false;
        let lines = self.text.lines().filter(|line| {
            let is_fence = line.starts_with("```");
            is_code ^= is_fence;
            !is_fence && !is_code
        });
        lines.map(|line| format!("{line}\n")).collect()
    }
}

impl Block {
    /// The commands of a `console` block, each after `$ `, with what is shown under them.
    pub(super) fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        let mut is_continued = false;
        for line in self.text.lines() {
            if let Some(command) = line.strip_prefix("$ ") {
                steps.push(Step {
                    command: command.to_owned(),
                    shown: Vec::new(),
                });
                is_continued = command.ends_with('\\');
                continue;
            }
            let step = steps.last_mut().expect("a console block begins with `$ `");
            match is_continued {
                true => step.command.push_str(&format!("\n{line}")),
                false => step.shown.push(line.trim_end().to_owned()),
            }
            is_continued &= line.ends_with('\\');
        }
        steps
    }

    /// The commands of an `sh` block, which the test does not run: each on one line.
    pub(super) fn commands(&self) -> Vec<String> {
        let joined = self.text.replace("\\\n", " ");
        let lines = joined.lines().map(|line| match line.split_once("  #") {
            Some((command, _)) => command.trim().to_owned(),
            None => line.trim().to_owned(),
        });
        lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .collect()
    }
}

impl Step {
    /// Whether this is what the book shows. A line `…` stands for any lines, `…` in a line for
    /// any text.
    pub(super) fn shows(&self, printed: &[&str]) -> bool {
        lines_match(&self.shown, printed)
    }

    pub(super) fn is_shortened(&self) -> bool {
        self.shown.iter().any(|line| line.contains('…'))
    }
}

fn lines_match(shown: &[String], printed: &[&str]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((line, rest)) if line.trim() == "…" => {
            (0..=printed.len()).any(|skipped| lines_match(rest, &printed[skipped..]))
        }
        Some((line, rest)) => printed.split_first().is_some_and(|(first, others)| {
            line_matches(line, first.trim_end()) && lines_match(rest, others)
        }),
    }
}

fn line_matches(shown: &str, printed: &str) -> bool {
    let Some((start, rest)) = shown.split_once('…') else {
        return shown == printed;
    };
    let Some(mut printed) = printed.strip_prefix(start) else {
        return false;
    };
    let mut pieces: Vec<&str> = rest.split('…').collect();
    let end = pieces.pop().expect("a split has a piece");
    for piece in pieces {
        let Some(at) = printed.find(piece) else {
            return false;
        };
        printed = &printed[at + piece.len()..];
    }
    printed.ends_with(end)
}

#[test]
fn what_is_left_out_may_be_anything_and_what_is_shown_may_not() {
    let check = |shown: &[&str], printed: &[&str], expected: bool| {
        let step = Step {
            command: String::new(),
            shown: shown.iter().map(|line| (*line).to_owned()).collect(),
        };
        assert_eq!(step.shows(printed), expected, "{shown:?} of {printed:?}");
    };
    check(&[], &[], true);
    check(&[], &["a"], false);
    check(&["…"], &[], true);
    check(&["…"], &["a", "b"], true);
    check(&["a", "…", "d"], &["a", "b", "c", "d"], true);
    check(&["a", "…", "d"], &["a", "b", "c"], false);
    check(&["took … s"], &["took 1.5 s"], true);
    check(&["took … s"], &["took 1.5 h"], false);
    check(&["…: … of …"], &["x: 1 of 2"], true);
    check(&["…: … of …"], &["x, 1 of 2"], false);
    check(&["ab…b"], &["ab"], false);
}

#[test]
fn a_block_knows_its_kind_its_file_and_its_commands() {
    let chapter = Chapter {
        name: "a.md".to_owned(),
        text: "```toml a.toml\nseed = 1\n```\n\n```console\n$ one \\\n  two\nout\n$ three\n```\n\
               ```sh\n# why\npact a \\\n  b    # c\n```\n"
            .to_owned(),
    };
    let blocks = chapter.blocks();
    assert_eq!(blocks[0].file.as_deref(), Some("a.toml"));
    assert_eq!(blocks[0].text, "seed = 1\n");
    let steps = blocks[1].steps();
    assert_eq!(steps[0].command, "one \\\n  two");
    assert_eq!(steps[0].shown, ["out"]);
    assert_eq!(steps[1].command, "three");
    assert_eq!(blocks[2].commands(), ["pact a    b"]);
    assert!(!chapter.prose().contains("seed"));
}
