//! The book in `docs`: that it holds together, and that what it shows is what happens.
//!
//! `console` blocks are run, in order, chapter after chapter, in one folder that has the
//! repository's `base`, `examples` and `runs`; what they print must be what the book shows, where
//! `…` stands for anything. Of `sh` blocks, which need a network, a server or hours, each `pact` is
//! told to explain itself, which reads its arguments first. `toml`, `json` and `jsonl` blocks are
//! checked, and a block with a file's name is saved under it. With `UPDATE_BOOK` set, outputs
//! that are not shortened are written into the book.

mod chapter;
mod messages;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use self::chapter::{Block, Chapter};
use super::{Outcome, Place};

/// The repository.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn chapter(name: &str) -> Chapter {
    let path = root().join("docs").join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    Chapter {
        name: name.to_owned(),
        text,
    }
}

/// The chapters that SUMMARY.md lists, in its order.
fn chapters() -> Vec<Chapter> {
    let summary = chapter("SUMMARY.md").text;
    links(&summary).iter().map(|name| chapter(name)).collect()
}

/// Where the links of this Markdown lead.
fn links(markdown: &str) -> Vec<String> {
    let targets = markdown.split("](").skip(1);
    let targets = targets.filter_map(|after| after.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).collect()
}

#[test]
fn the_contents_list_every_chapter_once() {
    let listed: Vec<String> = chapters().into_iter().map(|chapter| chapter.name).collect();
    let listed_once: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(listed.len(), listed_once.len(), "a chapter is listed twice");
    let files = fs::read_dir(root().join("docs")).expect("the book");
    let names = files.map(|file| file.expect("a file").file_name().into_string().unwrap());
    let chapters = names.filter(|name| name.ends_with(".md") && name != "SUMMARY.md");
    assert_eq!(chapters.collect::<BTreeSet<_>>(), listed_once);
}

#[test]
fn every_link_of_the_book_leads_to_something_in_the_book() {
    let mut count = 0;
    for Chapter { name, text } in chapters() {
        for link in links(&text)
            .iter()
            .filter(|link| !link.starts_with("https://"))
        {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let file = if file.is_empty() { &name } else { file };
            assert!(
                !file.contains('/') && root().join("docs").join(file).is_file(),
                "{name}: `{link}` leads out of the book, or nowhere"
            );
            let anchors = || headings(&chapter(file).prose());
            assert!(
                anchor.is_empty() || anchors().contains(&anchor.to_owned()),
                "{name}: `{file}` has no heading `{anchor}`"
            );
            count += 1;
        }
    }
    assert!(count > 20, "{count} links");
}

/// The anchors that mdbook gives the headings: lower case, words joined by hyphens.
fn headings(prose: &str) -> Vec<String> {
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let kept = line.trim_start_matches('#').trim().chars();
        let kept = kept.filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    headings.map(anchor).collect()
}

/// A path in code marks that begins with a folder of the repository is one of its paths.
#[test]
fn every_path_of_the_repository_that_the_book_names_exists() {
    let mut count = 0;
    for chapter in chapters() {
        for word in chapter.prose().split('`').skip(1).step_by(2) {
            let folders = ["crates/", "examples/", "fixtures/", "benches/", "scripts/"];
            let is_ours = folders.iter().any(|folder| word.starts_with(folder))
                || (word.starts_with("runs/") && word.ends_with(".toml"));
            if is_ours && !word.contains(['*', ' ']) {
                assert!(root().join(word).exists(), "{}: `{word}`", chapter.name);
                count += 1;
            }
        }
    }
    assert!(count > 10, "{count} paths");
}

#[test]
fn what_the_book_shows_is_what_happens() {
    let mut reader = Reader::new();
    for chapter in chapters() {
        reader.read(&chapter);
    }
    let Reader { run, parsed, .. } = reader;
    println!("{run} commands were run, and the arguments of {parsed} others read");
    assert!(run > 60 && parsed > 10, "{run} run, {parsed} read");
    let problems = reader.problems;
    assert!(problems.is_empty(), "\n{}", problems.join("\n\n"));
}

/// Somebody who does what the book says.
struct Reader {
    place: Place,
    /// Whether the book is brought up to date.
    updates: bool,
    /// Commands that were run.
    run: usize,
    /// Commands whose arguments were read.
    parsed: usize,
    problems: Vec<String>,
}

impl Reader {
    /// In a folder with what the commands of the book find in the repository.
    fn new() -> Self {
        let place = Place::new();
        for folder in ["base", "examples/library", "runs"] {
            fs::create_dir_all(place.path(folder)).expect("a folder");
            for file in fs::read_dir(root().join(folder)).expect(folder) {
                let file = file.expect("a file");
                if file.path().is_file() {
                    let to = place.path(folder).join(file.file_name());
                    fs::copy(file.path(), to).expect("a copy");
                }
            }
        }
        Self {
            place,
            updates: std::env::var_os("UPDATE_BOOK").is_some(),
            run: 0,
            parsed: 0,
            problems: Vec::new(),
        }
    }

    fn read(&mut self, chapter: &Chapter) {
        let mut text = chapter.text.clone();
        for block in chapter.blocks() {
            let at = format!("docs/{}, line {}", chapter.name, block.line);
            if let Some(file) = &block.file {
                if !chapter.text.contains(&format!("`{file}`")) {
                    (self.problems).push(format!("{at}: nobody is told to save `{file}`"));
                }
                self.place.write(file, &block.text);
            }
            match block.kind.as_str() {
                "console" => {
                    let now = self.play(&block, &at);
                    text = text.replacen(&block.text, &now, 1);
                }
                "sh" => self.parse(&block, &at),
                "toml" => self.check_config(&block, &at),
                "json" => self.check_json(&block.text, &at),
                "jsonl" => block
                    .text
                    .lines()
                    .for_each(|line| self.check_json(line, &at)),
                "python" | "rust" | "text" => {}
                kind => (self.problems).push(format!("{at}: nothing checks `{kind}`")),
            }
        }
        if text != chapter.text {
            let path = root().join("docs").join(&chapter.name);
            fs::write(path, text).expect("the book can be written");
        }
    }

    /// Runs a block's commands. Returns the block as it should be: with what they print now where
    /// the book is brought up to date.
    fn play(&mut self, block: &Block, at: &str) -> String {
        let mut text = String::new();
        for step in block.steps() {
            self.run += 1;
            let line = format!("exec 2>&1\n{}", step.command);
            let Outcome { code, stdout, .. } = self.place.shell(&line);
            let printed: Vec<&str> = stdout.lines().map(str::trim_end).collect();
            let is_right = code == Some(0) && step.shows(&printed);
            let is_new = !is_right && self.updates && !step.is_shortened();
            if !is_right && !is_new {
                let command = &step.command;
                let problem = format!("{at}, exit code {code:?}:\n$ {command}\n{stdout}");
                self.problems.push(problem);
            }
            let shown = step.shown.iter().map(String::as_str).collect();
            let lines = if is_new { printed } else { shown };
            text.push_str(&format!("$ {}\n", step.command));
            text.extend(lines.into_iter().flat_map(|line| [line, "\n"]));
        }
        text
    }

    /// Has each `pact` of the block explain itself, which it does after it has read its arguments.
    fn parse(&mut self, block: &Block, at: &str) {
        for line in block.commands() {
            if line.starts_with("pact ") {
                self.parsed += 1;
                self.succeeds(&format!("{line} --help"), at);
            }
        }
    }

    /// A whole config, or a part of one; a study's file is read by the commands that follow it.
    fn check_config(&mut self, block: &Block, at: &str) {
        let file = block.file.as_deref().unwrap_or("part-of-a-config.toml");
        if file != "study.toml" {
            self.place.write(file, &block.text);
            self.succeeds(&format!("pact config check {file}"), at);
        }
    }

    fn check_json(&mut self, text: &str, at: &str) {
        if let Err(error) = serde_json::from_str::<serde_json::Value>(text) {
            self.problems.push(format!("{at}: {error}: {text}"));
        }
    }

    fn succeeds(&mut self, line: &str, at: &str) {
        let outcome = self.place.shell(line);
        if outcome.code != Some(0) {
            let problem = format!("{at}: {line}\n{}", outcome.stderr);
            self.problems.push(problem);
        }
    }
}
