//! The chapter on trouble quotes messages that the program has, and every warning of a run.

use std::fs;
use std::path::Path;

use super::{chapter, root};

/// The messages that head the chapter's sections, each with `…` for what differs.
fn quoted() -> Vec<String> {
    let prose = chapter("trouble.md").prose();
    let headings = prose.lines().filter_map(|line| line.strip_prefix("### `"));
    let messages = headings.map(|rest| {
        let (message, _) = rest.rsplit_once('`').expect("a message between code marks");
        message.to_owned()
    });
    messages.collect()
}

/// The sources of all crates but their tests, with string literals joined that go over lines.
fn sources() -> Vec<String> {
    let mut sources = Vec::new();
    let mut folders = vec![root().join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            let is_test = path.file_stem().is_some_and(|stem| stem == "tests");
            match (path.is_dir(), is_test) {
                (_, true) => {}
                (true, false) => folders.push(path),
                (false, false) => sources.extend(source(&path)),
            }
        }
    }
    sources
}

fn source(path: &Path) -> Option<String> {
    let is_source = path
        .extension()
        .is_some_and(|end| end == "rs" || end == "py");
    let text = is_source.then(|| fs::read_to_string(path).expect("a source"))?;
    let mut pieces = text.split("\\\n");
    let first = pieces.next().unwrap_or_default().to_owned();
    let joined = pieces.fold(first, |joined, piece| joined + piece.trim_start());
    Some(joined.replace("\\\"", "\""))
}

/// Whether the pieces between `…` stand in this order, close to each other.
fn says(source: &str, message: &str) -> bool {
    let pieces: Vec<&str> = (message.split('…').map(str::trim))
        .filter(|piece| !piece.is_empty())
        .collect();
    let begin = pieces.first().expect("a message has words");
    source.match_indices(begin).any(|(at, _)| {
        let mut rest = &source[at..];
        pieces.iter().all(|piece| match rest.find(piece) {
            Some(at) if at <= 200 => {
                rest = &rest[at + piece.len()..];
                true
            }
            _ => false,
        })
    })
}

#[test]
fn every_message_that_the_chapter_on_trouble_quotes_is_in_the_sources() {
    let (quoted, sources) = (quoted(), sources());
    assert!(quoted.len() > 50, "{} messages", quoted.len());
    let unsaid = quoted.iter().filter(|message| {
        let words: usize = message.split('…').map(|piece| piece.trim().len()).sum();
        assert!(words >= 10, "`{message}` could be anything");
        !sources.iter().any(|source| says(source, message))
    });
    assert_eq!(unsaid.collect::<Vec<_>>(), [""; 0], "nothing says this");
    println!("{} messages", quoted.len());
}

/// The warnings of a step are what a run says while it can still be saved.
#[test]
fn the_chapter_on_trouble_has_every_warning_of_a_step() {
    let path = root().join("crates/train/src/metrics.rs");
    let source = source(&path).expect("the warnings' source");
    let (_, body) = source.split_once("fn warnings(").expect("the warnings");
    let (body, _) = body.split_once("\n}\n").expect("the function's end");
    let texts: Vec<&str> = body
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|text| text.contains(' '))
        .collect();
    assert!(texts.len() >= 5, "{texts:?}");
    let quoted = quoted();
    for text in texts {
        let is_quoted = quoted.iter().any(|message| says(text, message));
        assert!(is_quoted, "the chapter does not have `{text}`");
    }
}
