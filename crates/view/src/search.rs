//! Which episodes say a word. A file is read once, a stretch for each request, so that every
//! request is answered soon, with what was found so far.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, Read, Result, Seek, SeekFrom};
use std::path::Path;

use serde::Deserialize;

use crate::followed::Span;
use crate::index::Source;

/// How many bytes of a file one request reads at most, if no line is longer.
const STRETCH: u64 = 48 << 20;
/// How many searches are remembered: the pages of one list ask for the same.
const KEPT: usize = 4;

/// Searches under way.
#[derive(Default)]
pub(crate) struct Searches(VecDeque<Search>);

/// One search: what it found in the rows that it has read.
#[derive(Clone)]
pub(crate) struct Search {
    source: String,
    generation: u64,
    /// In lower case.
    text: String,
    /// How many rows were read.
    pub(crate) searched: usize,
    /// The numbers of the rows that say it, ascending.
    pub(crate) hits: Vec<usize>,
}

/// What is to be read: rows that are not searched yet, so that no lock is held while reading.
pub(crate) struct Stretch {
    rows: Vec<(Span, bool)>,
}

impl Searches {
    /// The search for `text` in a source, begun if it is new, taken out to be gone on with.
    pub(crate) fn take(&mut self, source: &Source, text: &str) -> Search {
        let text = text.to_lowercase();
        let same = |it: &Search| {
            it.source == source.name && it.generation == source.generation && it.text == text
        };
        let known = self.0.iter().position(same);
        known
            .and_then(|place| self.0.remove(place))
            .unwrap_or_else(|| Search {
                source: source.name.clone(),
                generation: source.generation,
                text,
                searched: 0,
                hits: Vec::new(),
            })
    }

    /// Keeps a search for the next request.
    pub(crate) fn keep(&mut self, search: Search) {
        self.0.truncate(KEPT - 1);
        self.0.push_front(search);
    }
}

impl Search {
    /// The next rows to read.
    pub(crate) fn stretch(&self, source: &Source) -> Stretch {
        let mut bytes = 0;
        let rows = source.rows[self.searched.min(source.rows.len())..]
            .iter()
            .take_while(|row| {
                let fits = bytes < STRETCH;
                bytes += row.span.length;
                fits
            })
            .map(|row| (row.span, row.task.to_lowercase().contains(&self.text)))
            .collect();
        Stretch { rows }
    }

    /// Reads a stretch of the source's file.
    pub(crate) fn read(&mut self, stretch: Stretch, path: &Path) -> Result<()> {
        let Some((first, _)) = stretch.rows.first() else {
            return Ok(());
        };
        let mut file = BufReader::with_capacity(1 << 18, File::open(path)?);
        let mut position = first.offset;
        file.seek(SeekFrom::Start(position))?;
        let mut line = Vec::new();
        for (span, named) in stretch.rows {
            file.seek_relative((span.offset - position) as i64)?;
            line.clear();
            (&mut file).take(span.length).read_to_end(&mut line)?;
            position = span.offset + line.len() as u64;
            if named || says(&line, &self.text) {
                self.hits.push(self.searched);
            }
            self.searched += 1;
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Said {
    turns: Vec<TurnSaid>,
}

#[derive(Deserialize)]
struct TurnSaid {
    text: String,
    observations: Vec<Observed>,
    reply: Option<String>,
}

#[derive(Deserialize)]
struct Observed {
    text: String,
}

/// Whether a turn, an observation or a reply of an episode has `text`, which is in lower case.
fn says(line: &[u8], text: &str) -> bool {
    let Ok(said) = serde_json::from_slice::<Said>(line) else {
        return false;
    };
    let has = |words: &str| words.to_lowercase().contains(text);
    said.turns.iter().any(|turn| {
        has(&turn.text)
            || turn.observations.iter().any(|it| has(&it.text))
            || turn.reply.as_deref().is_some_and(has)
    })
}
