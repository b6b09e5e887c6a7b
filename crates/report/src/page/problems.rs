//! What of a run could not be read: said on the page, rather than the end of it.

use crate::ReportError;

/// Lines that are named; further ones are counted.
const NAMED: usize = 8;

/// What could not be read so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Problems {
    named: Vec<String>,
    further: usize,
}

impl Problems {
    pub(crate) fn add(&mut self, problem: String) {
        match self.named.len() < NAMED {
            true => self.named.push(problem),
            false => self.further += 1,
        }
    }

    /// The items that could be read; the others become problems.
    pub(crate) fn without<T>(
        &mut self,
        items: impl Iterator<Item = Result<T, ReportError>>,
    ) -> impl Iterator<Item = T> {
        items.filter_map(|item| item.map_err(|error| self.add(error.to_string())).ok())
    }

    /// A sentence each.
    pub(crate) fn sentences(self) -> Vec<String> {
        let mut sentences = self.named;
        if self.further > 0 {
            sentences.push(format!("{} further lines could not be read.", self.further));
        }
        sentences
    }
}
