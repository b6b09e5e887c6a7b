//! A file of lines that may grow, be put anew or vanish while it is read. Every line is known by
//! where it lies, so that it can be read again; none is kept.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Result, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A longer line is no episode: it is counted as broken and never held in memory.
pub(crate) const LONGEST_LINE: u64 = 256 << 20;

/// Where a line lies in its file, in bytes, without its line break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

impl Span {
    /// The line's bytes.
    pub(crate) fn read(self, path: &Path) -> Result<Vec<u8>> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut line = Vec::new();
        file.take(self.length).read_to_end(&mut line)?;
        Ok(line)
    }
}

/// A file of lines, and how far it has been read.
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) path: PathBuf,
    /// Whole lines read so far, in bytes.
    pub(crate) read: u64,
    /// Its length when last looked at, in bytes.
    pub(crate) size: u64,
    /// How many lines were read.
    lines: u64,
    /// Device and inode: a file put in the place of another is a new one.
    identity: Option<(u64, u64)>,
}

impl Followed {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            read: 0,
            size: 0,
            lines: 0,
            identity: None,
        }
    }

    /// Looks at the file. Whether it is not the one that was read: then all that came of it is
    /// void, and it is read from its beginning.
    pub(crate) fn is_replaced(&mut self) -> Result<bool> {
        let (identity, size) = match std::fs::metadata(&self.path) {
            Ok(data) => (Some((data.dev(), data.ino())), data.len()),
            Err(error) if error.kind() == ErrorKind::NotFound => (None, 0),
            Err(error) => return Err(error),
        };
        let known = self.identity.is_some();
        let replaced = known && (self.identity != identity || size < self.read);
        self.identity = identity;
        self.size = size;
        if replaced {
            self.read = 0;
            self.lines = 0;
        }
        Ok(replaced)
    }

    /// Reads whole lines, about `budget` bytes of them, and gives each to `take` with its place
    /// and its number from 1; a line that is too long comes as `None`. Whether there may be more.
    /// A last line without a line break is still being written, and no line yet.
    pub(crate) fn read_on(
        &mut self,
        budget: u64,
        mut take: impl FnMut(Span, u64, Option<&[u8]>),
    ) -> Result<bool> {
        let mut file = match File::open(&self.path) {
            Ok(file) => BufReader::with_capacity(1 << 18, file),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(self.read))?;
        let end = self.read.saturating_add(budget);
        let mut line = Vec::new();
        while self.read < end {
            let Some((length, whole)) = next_line(&mut file, &mut line)? else {
                return Ok(false);
            };
            self.lines += 1;
            let span = Span {
                offset: self.read,
                length,
            };
            take(span, self.lines, whole.then_some(line.as_slice()));
            self.read += length + 1;
        }
        Ok(true)
    }
}

/// Reads a line that has a line break: its length, and whether `line` holds all of it.
fn next_line(file: &mut impl BufRead, line: &mut Vec<u8>) -> Result<Option<(u64, bool)>> {
    line.clear();
    let mut length = 0;
    loop {
        let bytes = file.fill_buf()?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let taken = end.unwrap_or(bytes.len());
        if length + taken as u64 <= LONGEST_LINE {
            line.extend_from_slice(&bytes[..taken]);
        }
        length += taken as u64;
        file.consume(taken + usize::from(end.is_some()));
        if end.is_some() {
            return Ok(Some((length, length <= LONGEST_LINE)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn lines(file: &mut Followed) -> Vec<String> {
        let mut lines = Vec::new();
        file.read_on(u64::MAX, |_, number, line| {
            let line = String::from_utf8_lossy(line.expect("a short line"));
            lines.push(format!("{number} {line}"));
        })
        .expect("the file is there");
        lines
    }

    #[test]
    fn a_line_being_written_is_no_line_until_it_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lines");
        std::fs::write(&path, "one\ntw").expect("a file");
        let mut file = Followed::new(path.clone());
        assert!(!file.is_replaced().expect("a file"));
        assert_eq!(lines(&mut file), ["1 one"]);
        let mut end = File::options().append(true).open(&path).expect("a file");
        end.write_all(b"o\n\nfour\n").expect("a write");
        assert!(!file.is_replaced().expect("a file"));
        assert_eq!(lines(&mut file), ["2 two", "3 ", "4 four"]);
    }

    #[test]
    fn a_file_put_in_its_place_is_read_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lines");
        std::fs::write(&path, "one\ntwo\n").expect("a file");
        let mut file = Followed::new(path.clone());
        assert!(!file.is_replaced().expect("a file"));
        lines(&mut file);
        let other = folder.path().join("other");
        std::fs::write(&other, "three\nfour\nfive\n").expect("a file");
        std::fs::rename(&other, &path).expect("a rename");
        assert!(file.is_replaced().expect("a file"));
        assert_eq!(lines(&mut file), ["1 three", "2 four", "3 five"]);
        std::fs::remove_file(&path).expect("a file");
        assert!(file.is_replaced().expect("no error"));
        assert_eq!(lines(&mut file), [""; 0]);
    }
}
